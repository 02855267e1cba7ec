package route

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode"
)

// automaton says at once which of many patterns a user fits: a deterministic one over the ASCII octets without
// control characters, made of the patterns when rules are compiled.
type automaton struct {
	class   [128]uint8 // octets that no state tells apart have the same
	classes int
	next    []int32 // state*classes + class → state; 0 is the start
	accept  []int32 // state → index of fits
	fits    [][]int32
}

const (
	maxStates = 1 << 8  // of one pattern; one that needs more stays a regular expression
	maxCells  = 1 << 20 // of next, when automata are put together
	maxFits   = 1 << 18 // of all lists
)

// fit is the rules that s fits, ascending; ok is false where the automaton does not know.
func (a *automaton) fit(s string) (rules []int32, ok bool) {
	state := int32(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c < ' ' || c >= 0x7f {
			return nil, false
		}
		state = a.next[int(state)*a.classes+int(a.class[c])]
	}
	return a.fits[a.accept[state]], true
}

// single is a pattern as an automaton, and as a regular expression for what that does not know.
type single struct {
	*automaton
	re *regexp.Regexp
}

// MatchString reports whether s fits.
func (m *single) MatchString(s string) bool {
	rules, ok := m.fit(s)
	if !ok {
		return m.re.MatchString(s)
	}
	return rules != nil
}

func (a *automaton) states() int { return len(a.accept) }

// automatonOf makes the automaton of one pattern, as that of rule 0; nil where it has too many states
// or asks for word boundaries.
func automatonOf(tree *syntax.Regexp) *automaton {
	prog, err := syntax.Compile(tree)
	if err != nil {
		return nil
	}
	for i := range prog.Inst {
		in := &prog.Inst[i]
		if in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&(syntax.EmptyWordBoundary|syntax.EmptyNoWordBoundary) != 0 {
			return nil
		}
	}
	s := subsets{prog: prog, known: map[string]int32{}}
	a := &automaton{fits: [][]int32{nil, {0}}}
	s.classify(a)
	if !s.build() {
		return nil
	}
	a.next, a.accept = s.next, s.accept
	return a
}

// of is the automaton of one pattern standing for another rule.
func (a *automaton) of(rule int32) *automaton {
	b := *a
	b.fits = [][]int32{nil, {rule}}
	return &b
}

// subsets is the subset construction over a pattern's program.
type subsets struct {
	prog   *syntax.Prog
	octets []rune           // one of each class
	known  map[string]int32 // the instructions a state stands for → its number
	todo   [][]uint32
	next   []int32
	accept []int32
	seen   []bool
}

// classify puts octets into one class that every instruction takes or none does. Control characters go
// with the blank: fit asks for none.
func (s *subsets) classify(a *automaton) {
	takers := map[string]uint8{}
	key := make([]byte, len(s.prog.Inst))
	for c := range rune(128) {
		r := c
		if unicode.IsControl(c) {
			r = ' '
		}
		for pc := range s.prog.Inst {
			key[pc] = 0
			if s.takes(uint32(pc), r) {
				key[pc] = 1
			}
		}
		class, ok := takers[string(key)]
		if !ok {
			class = uint8(len(s.octets))
			takers[string(key)] = class
			s.octets = append(s.octets, r)
		}
		a.class[c] = class
	}
	a.classes = len(s.octets)
}

func (s *subsets) takes(pc uint32, c rune) bool {
	switch in := &s.prog.Inst[pc]; in.Op {
	case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
		return in.MatchRune(c)
	}
	return false
}

// A pattern that fits already fits whatever follows: matched is the only instruction of that state.
const matched = ^uint32(0)

func (s *subsets) build() bool {
	s.seen = make([]bool, len(s.prog.Inst))
	s.enter([]uint32{uint32(s.prog.Start)})
	for i := 0; i < len(s.todo); i++ {
		if !s.expand(s.todo[i], i == 0) {
			return false
		}
	}
	return true
}

// enter is the number of the state that core stands for: the instructions that the octets so far lead to.
func (s *subsets) enter(core []uint32) int32 {
	slices.Sort(core)
	core = slices.Compact(core)
	key := make([]byte, 0, 4*len(core)+1)
	if len(s.todo) == 0 {
		key = append(key, 1) // the start is a state of its own: ^ holds there only
	}
	for _, pc := range core {
		key = append(key, byte(pc), byte(pc>>8), byte(pc>>16), byte(pc>>24))
	}
	if n, ok := s.known[string(key)]; ok {
		return n
	}
	n := int32(len(s.todo))
	s.known[string(key)] = n
	s.todo = append(s.todo, core)
	return n
}

// expand gives a state its transitions; false when there are too many states.
func (s *subsets) expand(core []uint32, start bool) bool {
	var flags syntax.EmptyOp
	if start {
		flags = syntax.EmptyBeginText | syntax.EmptyBeginLine
	}
	now, fits := core, core[0] == matched
	if !fits {
		now = s.closure(core, flags)
		fits = slices.Contains(s.closure(core, flags|syntax.EmptyEndText|syntax.EmptyEndLine), matched)
	}
	s.accept = append(s.accept, 0)
	if fits {
		s.accept[len(s.accept)-1] = 1
	}
	done := slices.Contains(now, matched)
	for _, c := range s.octets {
		to := []uint32{matched}
		if !done {
			to = append(s.after(now, c), uint32(s.prog.Start)) // a match may begin at any octet
		}
		s.next = append(s.next, s.enter(to))
	}
	return len(s.todo) <= maxStates
}

// closure is the instructions that take an octet, or matched, which core leads to where flags hold.
func (s *subsets) closure(core []uint32, flags syntax.EmptyOp) (out []uint32) {
	clear(s.seen)
	stack := slices.Clone(core)
	for len(stack) > 0 {
		pc := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.seen[pc] {
			continue
		}
		s.seen[pc] = true
		switch in := &s.prog.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			stack = append(stack, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			stack = append(stack, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^flags == 0 {
				stack = append(stack, in.Out)
			}
		case syntax.InstMatch:
			out = append(out, matched)
		case syntax.InstFail:
		default:
			out = append(out, pc)
		}
	}
	return out
}

// after is where the instructions lead that take c.
func (s *subsets) after(now []uint32, c rune) (out []uint32) {
	for _, pc := range now {
		if s.takes(pc, c) {
			out = append(out, s.prog.Inst[pc].Out)
		}
	}
	return out
}

// join is the automaton of all that a and b have, or nil when it would be too large.
func join(a, b *automaton) *automaton {
	j := joiner{a: a, b: b, out: &automaton{}, known: map[[2]int32]int32{}, lists: map[[2]int32]int32{}}
	j.joinClasses()
	limit := max(2*(a.states()+b.states()), 1024)
	j.enter(0, 0)
	for i := 0; i < len(j.todo); i++ {
		p := j.todo[i]
		for _, c := range j.pairs {
			to := j.enter(a.next[int(p[0])*a.classes+int(c[0])], b.next[int(p[1])*b.classes+int(c[1])])
			j.out.next = append(j.out.next, to)
		}
		j.out.accept = append(j.out.accept, j.list(a.accept[p[0]], b.accept[p[1]]))
		if len(j.todo) > limit || len(j.out.next) > maxCells || j.total > maxFits {
			return nil
		}
	}
	return j.out
}

type joiner struct {
	a, b  *automaton
	out   *automaton
	pairs [][2]uint8 // class → those of a and b
	known map[[2]int32]int32
	todo  [][2]int32
	lists map[[2]int32]int32
	total int
}

func (j *joiner) joinClasses() {
	known := map[[2]uint8]uint8{}
	for c := range j.out.class {
		p := [2]uint8{j.a.class[c], j.b.class[c]}
		n, ok := known[p]
		if !ok {
			n = uint8(len(j.pairs))
			known[p] = n
			j.pairs = append(j.pairs, p)
		}
		j.out.class[c] = n
	}
	j.out.classes = len(j.pairs)
}

func (j *joiner) enter(a, b int32) int32 {
	p := [2]int32{a, b}
	n, ok := j.known[p]
	if !ok {
		n = int32(len(j.todo))
		j.known[p] = n
		j.todo = append(j.todo, p)
	}
	return n
}

// list is what fits when both end in states with these lists.
func (j *joiner) list(a, b int32) int32 {
	p := [2]int32{a, b}
	n, ok := j.lists[p]
	if !ok {
		n = int32(len(j.out.fits))
		both := slices.Concat(j.a.fits[a], j.b.fits[b]) // ascending: joinAll joins neighbours
		j.lists[p] = n
		j.out.fits = append(j.out.fits, both)
		j.total += len(both)
	}
	return n
}

// joinAll puts automata together, two and two, as far as they get no larger than the parts.
func joinAll(parts []*automaton) []*automaton {
	for len(parts) > 1 {
		var next []*automaton
		for i := 0; i < len(parts); i += 2 {
			if i+1 == len(parts) {
				next = append(next, parts[i])
			} else if both := join(parts[i], parts[i+1]); both != nil {
				next = append(next, both)
			} else {
				next = append(next, parts[i], parts[i+1])
			}
		}
		if len(next) == len(parts) {
			break
		}
		parts = next
	}
	return parts
}
