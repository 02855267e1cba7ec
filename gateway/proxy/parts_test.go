package proxy

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// RFC 3261 §16.7 step 6: the order in which one response is preferred to another.
func TestRank(t *testing.T) {
	order := [][]int{{600, 603, 606}, {300, 302}, {401, 407}, {484}, {415, 420, 422}, {486, 488}, {400, 403, 491}, {480}, {404}, {482, 487}, {408}, {500, 504}, {503}}
	for i := range order[1:] {
		for _, better := range order[i] {
			for _, worse := range order[i+1] {
				if rank(better, false) >= rank(worse, false) {
					t.Errorf("%d does not come before %d", better, worse)
				}
			}
		}
	}
	if rank(487, true) >= rank(302, true) || rank(487, true) <= rank(600, true) {
		t.Error("after a CANCEL 487 comes behind 6xx and before all others")
	}
}

// The first of equals stays, and what we say ourselves counts like a response.
func TestBestResponseKeepsTheFirst(t *testing.T) {
	var b bestResponse
	first, second := sip.Refuse(480, "first"), sip.Refuse(480, "second")
	b.add(answer{err: sip.Refuse(408, "")}, false)
	b.add(answer{err: first}, false)
	b.add(answer{err: second}, false)
	if got := b.choose(); got.err != first {
		t.Errorf("chose %v, want the first 480", got.err)
	}
}

func TestGroupsByInstanceAndQ(t *testing.T) {
	name := func(b byte) (n flow.Name) { n[0] = b; return n }
	hop := []Hop{{}}
	set := []Target{
		{URI: "a", Q: 500, Name: name(1)}, {URI: "b", Q: 1000, Name: name(2)}, {URI: "c", Q: 500, Name: name(1)},
		{URI: "d", Q: 1000, Hops: hop}, {URI: "e", Q: 1000, Hops: hop}, {URI: "f", Q: 500, Name: name(3), Instance: name(1)}, {URI: "g", Q: 500},
		{URI: "h", Q: 500},
	}
	var got [][]string
	for _, t := range newTargets(&responseContext{}, set) {
		var uris []string
		for _, w := range t.ways {
			uris = append(uris, w.URI)
		}
		got = append(got, uris)
	}
	want := [][]string{{"b"}, {"d"}, {"e"}, {"a", "c", "f"}, {"g"}, {"h"}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The watch index against a plain model of it.
func TestWatchIndex(t *testing.T) {
	var x watchIndex
	x.init()
	flows := make([]*flow.Flow, 3)
	table := flow.NewTable()
	for i := range flows {
		flows[i] = table.Open(&wire{info: sip.ConnInfo{Transport: sip.WS}})
	}
	owners := make([]*callSide, 20)
	on := make([]int, len(owners)) // 1 + index of the flow
	for i := range owners {
		owners[i] = &callSide{}
	}
	for range 5000 {
		i, f := rand.IntN(len(owners)), rand.IntN(len(flows))
		if rand.IntN(2) == 0 {
			x.add(&owners[i].watch, flows[f], owners[i])
			if on[i] == 0 {
				on[i] = f + 1
			}
		} else {
			x.remove(&owners[i].watch)
			on[i] = 0
		}
		for k, fl := range flows {
			got := x.on(fl.ID)
			n := 0
			for j := range owners {
				if on[j] != k+1 {
					continue
				}
				n++
				if !slices.Contains(got, watched(owners[j])) {
					t.Fatalf("owner %d is not on flow %d", j, k)
				}
			}
			if n != len(got) {
				t.Fatalf("flow %d has %d, want %d", k, len(got), n)
			}
		}
	}
	for i := range owners {
		x.remove(&owners[i].watch)
	}
	for i := range x.shards {
		if len(x.shards[i].first) != 0 {
			t.Error("an entry was left behind")
		}
	}
}

type waitingFor struct {
	node  waitNode
	woken *[]*waitingFor
}

func (w *waitingFor) wake(*flow.Flow) { *w.woken = append(*w.woken, w) }

// First in, first out, bounded per dialog and in all; what is taken out stays out.
func TestWaitList(t *testing.T) {
	var l waitList
	l.init()
	key, sender := waitKey{from: 7}, func(i int) *flow.Flow { return &flow.Flow{ID: flow.ID(2 * i)} }
	var woken, want []*waitingFor
	var all []*waitingFor
	for i := range 2 * maxHeldPerDialog {
		w := &waitingFor{woken: &woken}
		if ok := l.add(&w.node, key, "call", sender(1), w); ok != (i < maxHeldPerDialog) {
			t.Fatalf("entry %d of a dialog: %v", i, ok)
		}
		all = append(all, w)
	}
	for i, w := range all {
		switch {
		case i < maxHeldPerDialog && i%3 != 0:
			want = append(want, w)
		case l.remove(&w.node) != (i < maxHeldPerDialog):
			t.Fatalf("removing entry %d", i)
		}
	}
	l.wake(key, nil)
	if !slices.Equal(woken, want) {
		t.Errorf("%d woken, want %d in order", len(woken), len(want))
	}
	for i := range maxHeld + 1 {
		w := &waitingFor{woken: &woken}
		if ok := l.add(&w.node, waitKey{from: flow.ID(i)}, "call", sender(i/10), w); ok != (i < maxHeld) {
			t.Fatalf("entry %d in all: %v", i, ok)
		}
	}
	for i := range maxHeld {
		l.wake(waitKey{from: flow.ID(i)}, nil)
	}
	l.wantEmpty(t)
}

func (l *waitList) wantEmpty(t *testing.T) {
	t.Helper()
	if l.n != 0 || len(l.wait)+len(l.of)+len(l.in) != 0 {
		t.Errorf("%d entries, %d queues, %d senders, %d shares left", l.n, len(l.wait), len(l.of), len(l.in))
	}
}

// attack: what a user sends to his own absent tab, over however many connections, fills neither the list nor the queue of
// anybody; an upstream's messages, which are of many callers, share the bound of whom they are for.
func TestWaitListShares(t *testing.T) {
	user := func(i int) *flow.Flow {
		f := &flow.Flow{ID: flow.ID(1 + i%10)}
		f.AuthenticatedAs("mallory@example.com")
		return f
	}
	others := func(i int) *flow.Flow { return &flow.Flow{ID: flow.ID(2 * i)} }
	pbx := func(int) *flow.Flow { f := &flow.Flow{ID: 99}; f.SetUpstream("pbx"); return f }
	one, many := func(int) waitKey { return waitKey{from: 1} }, func(i int) waitKey { return waitKey{from: flow.ID(i % 5000)} }
	for _, c := range []struct {
		name string
		from func(i int) *flow.Flow
		key  func(i int) waitKey
		want int
	}{
		{"one user, ten connections, one name", user, one, maxHeldPerPair},
		{"one user, many names", user, many, maxHeldPerSender},
		{"many users, one name", others, one, maxHeldPerQueue},
		{"an upstream, one name", pbx, one, maxHeldPerQueue},
		{"an upstream, many names", pbx, many, maxHeld},
	} {
		var l waitList
		l.init()
		var nodes []*waitNode
		for i := range maxHeld + 10 {
			n := &waitNode{}
			if l.add(n, c.key(i), strconv.Itoa(i), c.from(i), nil) {
				nodes = append(nodes, n)
			}
		}
		if len(nodes) != c.want {
			t.Errorf("%s: %d are held, want %d", c.name, len(nodes), c.want)
		}
		other := &waitNode{}
		if l.add(other, waitKey{from: 77_777}, "c", &flow.Flow{ID: 7_777_777}, nil) != (c.want < maxHeld) {
			t.Errorf("%s: room for another's message to another: %v", c.name, other.queued)
		}
		l.remove(other)
		for i := range nodes { // from the middle
			l.remove(nodes[(i*7919+len(nodes)/2)%len(nodes)])
		}
		for _, n := range nodes {
			l.remove(n)
		}
		l.wantEmpty(t)
	}
}
