package route

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

type matcher interface{ MatchString(string) bool }

// pattern is a regular expression and what is known of it without running it.
type pattern struct {
	text string
	tree *syntax.Regexp
	run  matcher
	dial *dial      // what run is, where the pattern is of that kind
	auto *automaton // nil: too large

	all, some bool // it fits every text without control characters; every one but ""
}

// compilePattern prepares a pattern. Dial patterns of the usual kind, such as
// ^[0-9]+$ or ^00, become a comparison byte by byte, nearly all others an automaton; a few stay regular expressions.
func compilePattern(text string) (*pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	p := &pattern{text: text, tree: tree.Simplify(), run: re}
	if p.auto = automatonOf(p.tree); p.auto != nil {
		p.run = &single{p.auto, re}
	}
	if p.dial = dialOf(p.tree); p.dial != nil {
		p.run = p.dial
	}
	p.all, p.some = universal(p.tree, false), universal(p.tree, true)
	return p, nil
}

// CompileUser prepares one pattern on a user.
func CompileUser(text string) (interface{ MatchString(string) bool }, error) {
	p, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	return p.run, nil
}

const (
	maxKeys  = 64 // prefixes of one pattern
	maxKey   = 16 // octets of one prefix
	maxClass = 16 // characters of a class that are told apart
)

// keys are texts of which each one that fits begins with one; none of them begins with
// another. {""} says nothing; an empty list says that nothing can fit.
func (p *pattern) keys() []string {
	if !anchored(p.tree) {
		return []string{""}
	}
	set, _ := leads(p.tree)
	return shortest(set)
}

// shortest cuts keys to maxKey and drops those that begin with another.
func shortest(set []string) []string {
	for i, s := range set {
		set[i] = s[:min(len(s), maxKey)]
	}
	slices.Sort(set)
	kept := set[:0]
	for _, s := range set {
		if len(kept) == 0 || !strings.HasPrefix(s, kept[len(kept)-1]) {
			kept = append(kept, s)
		}
	}
	return kept
}

// anchored reports whether a match can only start where the text does.
func anchored(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpBeginText:
		return true
	case syntax.OpCapture, syntax.OpConcat, syntax.OpPlus:
		return anchored(re.Sub[0])
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !anchored(s) })
	}
	return false
}

// leads is a set of texts of which each match begins with one; whole: each match is one.
func leads(re *syntax.Regexp) (set []string, whole bool) {
	nothing := []string{""}
	switch re.Op {
	case syntax.OpNoMatch:
		return nil, true
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEndText, syntax.OpEndLine,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return nothing, true // that it may not hold only makes the set larger than needed
	case syntax.OpLiteral:
		return leadsOfLiteral(re)
	case syntax.OpCharClass:
		return leadsOfClass(re)
	case syntax.OpCapture:
		return leads(re.Sub[0])
	case syntax.OpPlus:
		set, _ = leads(re.Sub[0])
		return set, false
	case syntax.OpQuest:
		if set, whole = leads(re.Sub[0]); len(set) < maxKeys {
			return append(slices.Clone(set), ""), whole
		}
	case syntax.OpConcat:
		set, whole = nothing, true
		for _, part := range re.Sub {
			if set, whole = cross(set, part); !whole {
				break
			}
		}
		return set, whole
	case syntax.OpAlternate:
		return leadsOfAny(re.Sub)
	}
	return nothing, false
}

// cross puts what a part begins with behind each text of set.
func cross(set []string, part *syntax.Regexp) ([]string, bool) {
	next, whole := leads(part)
	if len(set)*len(next) > maxKeys {
		return set, false
	}
	out := make([]string, 0, len(set)*len(next))
	for _, a := range set {
		for _, b := range next {
			if len(a)+len(b) > maxKey {
				whole = false
			}
			out = append(out, a+b)
		}
	}
	return out, whole
}

func leadsOfAny(subs []*syntax.Regexp) (set []string, whole bool) {
	whole = true
	for _, s := range subs {
		some, w := leads(s)
		if set = append(set, some...); len(set) > maxKeys {
			return []string{""}, false
		}
		whole = whole && w
	}
	return set, whole
}

func leadsOfLiteral(re *syntax.Regexp) (set []string, whole bool) {
	set = []string{""}
	for _, r := range re.Rune {
		if r == utf8.RuneError {
			return set, false // stands for any octet that is no UTF-8
		}
		forms := []rune{r}
		if re.Flags&syntax.FoldCase != 0 {
			for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
				forms = append(forms, f)
			}
		}
		if len(set)*len(forms) > maxKeys || len(set[0]) >= maxKey {
			return set, false
		}
		var longer []string
		for _, s := range set {
			for _, f := range forms {
				longer = append(longer, s+string(f))
			}
		}
		set = longer
	}
	return set, true
}

func leadsOfClass(re *syntax.Regexp) (set []string, whole bool) {
	for i := 0; i < len(re.Rune); i += 2 {
		lo, hi := re.Rune[i], re.Rune[i+1]
		if len(set)+int(hi-lo)+1 > maxClass || lo <= utf8.RuneError && utf8.RuneError <= hi {
			return []string{""}, false
		}
		for r := lo; r <= hi; r++ {
			set = append(set, string(r))
		}
	}
	return set, true
}

// universal reports whether a pattern fits every text without control characters;
// but: every one but "".
func universal(tree *syntax.Regexp, but bool) bool {
	if empty(tree) {
		return true
	}
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	anchors := 0
	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
		anchors++
	}
	if n := len(parts); n > 0 && parts[n-1].Op == syntax.OpEndText {
		parts = parts[:n-1]
		anchors++
	}
	if len(parts) != 1 {
		return false
	}
	re := parts[0]
	for re.Op == syntax.OpCapture {
		re = re.Sub[0]
	}
	if re.Op == syntax.OpStar || re.Op == syntax.OpPlus && but {
		return anything(re.Sub[0])
	}
	return but && anchors == 0 && anything(re)
}

func anything(re *syntax.Regexp) bool {
	return re.Op == syntax.OpAnyChar || re.Op == syntax.OpAnyCharNotNL
}

// empty reports whether re matches nothing at the start of any text: then it fits all.
func empty(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpStar, syntax.OpQuest:
		return true
	case syntax.OpCapture, syntax.OpPlus:
		return empty(re.Sub[0])
	case syntax.OpConcat:
		return !slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return !empty(s) })
	case syntax.OpAlternate:
		return slices.ContainsFunc(re.Sub, empty)
	case syntax.OpLiteral:
		return len(re.Rune) == 0
	}
	return false
}
