package route

// index finds the rules that can fit a user of a domain, in the order of the file: one bucket a domain and one
// of the rules that name none.
type index struct {
	conds   []*condition // of the whole table
	methods *methods
	any     *bucket
	domains map[string]*bucket
	kinds   *kinds
	splits  map[listKey]split // of long lists
}

// listKey is which list it is.
type listKey struct {
	first *int32
	n     int
}

// bucket keeps rules with a pattern on the user or, without any condition on him, on the caller in automata; all
// others, and the few patterns that fit no automaton, in a trie by what a user must begin with.
type bucket struct {
	trie    trie
	users   automata
	callers automata
}

// automata are those of one bucket and subject.
type automata struct {
	run []*automaton
	all []int32 // their rules, ascending

	parts []*automaton // while rules are added
}

// maxAutomata are run for a user; the patterns of more are asked one by one.
const maxAutomata = 8

func newIndex(conds []*condition, m *methods, k *kinds) *index {
	return &index{conds: conds, methods: m, kinds: k, any: newBucket(), domains: map[string]*bucket{}, splits: map[listKey]split{}}
}

func newBucket() *bucket { return &bucket{trie: trie{nodes: make([]node, 1)}} }

// add enters rule i, which must not be below one entered before.
func (ix *index) add(i int) {
	c := ix.conds[i]
	b := ix.any
	if c.domain != "" {
		if b = ix.domains[c.domain]; b == nil {
			b = newBucket()
			ix.domains[c.domain] = b
		}
	}
	user, caller := c.regexps[0], c.regexps[1]
	switch {
	case len(c.keys) == 0:
	case user != nil && user.auto != nil:
		b.users.add(user.auto, int32(i))
	case user == nil && c.prefix == "" && caller != nil && caller.auto != nil:
		b.callers.add(caller.auto, int32(i))
	default:
		b.trie.addAll(c.keys, int32(i))
	}
}

func (a *automata) add(one *automaton, rule int32) {
	a.all = append(a.all, rule)
	a.parts = append(a.parts, one.of(rule))
}

// finish puts the automata together when all rules are there.
func (ix *index) finish() {
	ix.any.finish(ix.conds)
	ix.split(ix.any)
	for _, b := range ix.domains {
		b.finish(ix.conds)
		ix.split(b)
	}
}

// split does so with the long lists of a bucket.
func (ix *index) split(b *bucket) {
	one := func(rules []int32) {
		if len(rules) > splitOver {
			if s := ix.kinds.split(rules, ix.conds); s != nil {
				ix.splits[listKey{&rules[0], len(rules)}] = s
			}
		}
	}
	for i := range b.trie.nodes {
		one(b.trie.nodes[i].rules)
	}
	for _, a := range []*automata{&b.users, &b.callers} {
		one(a.all)
		for _, m := range a.run {
			for _, rules := range m.fits {
				one(rules)
			}
		}
	}
}

func (b *bucket) finish(conds []*condition) {
	for _, a := range []*automata{&b.users, &b.callers} {
		a.run = joinAll(a.parts)
		if a.parts = nil; len(a.run) <= maxAutomata {
			continue
		}
		for _, i := range a.all {
			b.trie.addAll(conds[i].keys, i)
		}
		b.trie.sort()
		*a = automata{}
	}
}

// lists are the rules that can fit a request, each list ascending.
type lists struct {
	of   []list // within its capacity: an array of the caller's
	full bool   // there were more

	ix    *index
	facts *Facts
	asked asked
	extra int // of those are of lists that were split
}

// maxLists is how many there are where none is split. Few have more than fewLists, and clearing room for all costs more than the decision.
const (
	maxLists = 2 * (maxKey + 1 + 2*maxAutomata)
	maxExtra = 2 * maxOfSplit
	fewLists = 8
)

type list struct {
	rules []int32
	sure  sure
}

// sure says which conditions the index has seen to.
type sure uint8

const (
	sureUser sure = 1 << iota
	sureCaller
)

func (l *lists) add(rules []int32, s sure) {
	if len(rules) > splitOver && l.extra+maxOfSplit <= maxExtra {
		if of := l.ix.splits[listKey{&rules[0], len(rules)}]; of != nil && l.asked.find(l.ix.kinds, l.facts) {
			l.addSplit(of, s)
			return
		}
	}
	l.put(rules, s)
}

func (l *lists) put(rules []int32, s sure) {
	switch n := len(l.of); {
	case len(rules) == 0:
	case n == cap(l.of):
		l.full = true
	default:
		l.of = l.of[:n+1]
		l.of[n] = list{rules, s}
	}
}

// addSplit adds what of a list can fit.
func (l *lists) addSplit(of split, s sure) {
	methods := l.asked.methods[:]
	if methods[1] == anyMethod {
		methods = methods[:1]
	}
	before := len(l.of)
	for _, source := range l.asked.sources[:l.asked.n] {
		for _, method := range methods {
			l.put(of[kind{source, method}], s)
		}
	}
	l.extra += max(len(l.of)-before-1, 0)
}

func (b *bucket) collect(l *lists, f *Facts) {
	b.trie.collect(l, f.User)
	b.users.collect(l, f.User, sureUser)
	b.callers.collect(l, f.Caller, sureCaller)
}

func (a *automata) collect(l *lists, subject string, s sure) {
	for _, one := range a.run {
		rules, ok := one.fit(subject)
		if !ok {
			l.add(a.all, 0)
			return // at the first: none knows such a text
		}
		l.add(rules, s)
	}
}

// lowest is the list with the lowest rule, nil when all are empty.
func (l *lists) lowest() *list {
	if len(l.of) == 0 {
		return nil
	}
	best := &l.of[0]
	for i := 1; i < len(l.of); i++ {
		if of := &l.of[i]; of.rules[0] < best.rules[0] {
			best = of
		}
	}
	return best
}

// drop takes the first rule off one of the lists.
func (l *lists) drop(of *list) {
	if of.rules = of.rules[1:]; len(of.rules) == 0 {
		last := len(l.of) - 1
		*of = l.of[last]
		l.of = l.of[:last]
	}
}

// first is the first rule that fits, -1 for none.
func (ix *index) first(f *Facts) int {
	var room [fewLists]list
	l := lists{of: room[:0], ix: ix, facts: f}
	i := ix.lowest(&l, f)
	if l.full {
		return ix.firstOfMany(f)
	}
	return i
}

//go:noinline
func (ix *index) firstOfMany(f *Facts) int {
	var room [maxLists + maxExtra]list
	l := lists{of: room[:0], ix: ix, facts: f}
	return ix.lowest(&l, f)
}

// lowest is the first rule of l that fits, once they are there; what it says is void where l is full.
func (ix *index) lowest(l *lists, f *Facts) int {
	ix.any.collect(l, f)
	if len(ix.domains) > 0 {
		if b := ix.domains[hostKey(f.Domain)]; b != nil {
			b.collect(l, f)
		}
	}
	if l.full {
		return -1
	}
	method := ix.methods.bit(f.Method)
	for of := l.lowest(); of != nil; of = l.lowest() {
		i := of.rules[0]
		if ix.methods.of[i]&method != 0 && ix.conds[i].fits(f, of.sure) {
			return int(i)
		}
		l.drop(of)
	}
	return -1
}

// methods are those that rules name, a bit each; the last bit is everything else.
type methods struct {
	names []string
	of    []uint64 // of each rule
}

const otherMethod = 1 << 63

func (m *methods) bit(name string) uint64 {
	for i, n := range m.names {
		if n == name {
			return 1 << i
		}
	}
	return otherMethod
}

// add enters the next rule.
func (m *methods) add(names []string) {
	mask := uint64(0)
	for _, name := range names {
		if m.bit(name) == otherMethod && len(m.names) < 63 {
			m.names = append(m.names, name)
		}
		mask |= m.bit(name)
	}
	if len(names) == 0 {
		mask = ^uint64(0)
	}
	m.of = append(m.of, mask)
}
