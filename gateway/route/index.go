package route

import "strings"

// index finds the rules that can fit a user of a domain, in the order of the file. Rules are
// kept in tries by what a user must begin with: one trie a domain and one of the
// rules that name none.
type index struct {
	routes  []*condition // of the whole table
	any     *trie
	domains map[string]*trie
}

// trie is a tree of nodes by the user's octets; nodes[0] is the root.
type trie struct{ nodes []node }

type node struct {
	octets string // next octets there are …
	next   []int32
	rules  []int32 // whose key ends here, ascending
}

func newIndex(routes []*condition) *index {
	return &index{routes: routes, any: &trie{nodes: make([]node, 1)}, domains: map[string]*trie{}}
}

// add enters rule i, which must not be below one entered before.
func (ix *index) add(i int) {
	c := ix.routes[i]
	t := ix.any
	if c.domain != "" {
		if t = ix.domains[c.domain]; t == nil {
			t = &trie{nodes: make([]node, 1)}
			ix.domains[c.domain] = t
		}
	}
	for _, key := range c.keys {
		t.add(key, int32(i))
	}
}

func (t *trie) add(key string, rule int32) {
	at := int32(0)
	for i := 0; i < len(key); i++ {
		k := strings.IndexByte(t.nodes[at].octets, key[i])
		if k < 0 {
			t.nodes = append(t.nodes, node{})
			n := &t.nodes[at]
			k = len(n.next)
			n.octets += key[i : i+1]
			n.next = append(n.next, int32(len(t.nodes)-1))
		}
		at = t.nodes[at].next[k]
	}
	t.nodes[at].rules = append(t.nodes[at].rules, rule)
}

// lists are the rules of the nodes on a user's way through two tries.
type lists struct {
	n  int
	of [2 * (maxKey + 1)][]int32
}

func (l *lists) collect(t *trie, user string) {
	at := int32(0)
	for i := 0; ; i++ {
		n := &t.nodes[at]
		if len(n.rules) > 0 {
			l.of[l.n] = n.rules
			l.n++
		}
		if i == len(user) {
			return
		}
		k := strings.IndexByte(n.octets, user[i])
		if k < 0 {
			return
		}
		at = n.next[k]
	}
}

// next takes the lowest rule off the lists, -1 when they are empty.
func (l *lists) next() int32 {
	best := -1
	for i := range l.n {
		if len(l.of[i]) > 0 && (best < 0 || l.of[i][0] < l.of[best][0]) {
			best = i
		}
	}
	if best < 0 {
		return -1
	}
	rule := l.of[best][0]
	if l.of[best] = l.of[best][1:]; len(l.of[best]) == 0 {
		l.n--
		l.of[best] = l.of[l.n]
	}
	return rule
}

// first is the first rule that fits, -1 for none.
func (ix *index) first(f *Facts) int {
	var l lists
	l.collect(ix.any, f.User)
	if len(ix.domains) > 0 {
		if t := ix.domains[hostKey(f.Domain)]; t != nil {
			l.collect(t, f.User)
		}
	}
	for {
		i := l.next()
		if i < 0 || ix.routes[i].fits(f) {
			return int(i)
		}
	}
}
