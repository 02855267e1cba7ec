package route

import (
	"slices"
	"strings"
)

// trie is a tree of nodes by the user's octets; nodes[0] is the root.
type trie struct{ nodes []node }

type node struct {
	octets string // that may come next …
	next   []int32
	rules  []int32 // whose key ends here, ascending
}

func (t *trie) addAll(keys []string, rule int32) {
	for _, key := range keys {
		t.add(key, rule)
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

// sort restores the order of the rules after some were added late.
func (t *trie) sort() {
	for i := range t.nodes {
		slices.Sort(t.nodes[i].rules)
	}
}

// collect adds the rules of all nodes on the user's way.
func (t *trie) collect(l *lists, user string) {
	at := int32(0)
	for i := 0; ; i++ {
		n := &t.nodes[at]
		l.add(n.rules, 0)
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
