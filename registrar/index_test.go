package registrar

import (
	"testing"

	"github.com/ringway/ringway/sip/flow"
)

// What is bound no more leaves nothing behind.
func TestIndexForgets(t *testing.T) {
	x := newIndex()
	const aor = "alice@example.com"
	s := x.stripe(aor)
	f, g := &flow.Flow{ID: 1}, &flow.Flow{ID: 2}
	on := func(id flow.ID, contact string) Binding { return Binding{AOR: aor, Contact: contact, Flow: id} }
	for _, step := range []struct {
		list  []Binding
		from  *flow.Flow
		f, g  int // AORs attached
		count int64
	}{
		{[]Binding{on(1, "sip:a@h"), on(1, "sip:b@h")}, f, 1, 0, 2},
		{[]Binding{on(1, "sip:a@h"), on(2, "sip:b@h")}, g, 1, 1, 2},
		{[]Binding{on(2, "sip:c@h"), on(2, "sip:b@h")}, g, 0, 1, 2},
		{[]Binding{on(2, "sip:c@h")}, nil, 0, 1, 1},
		{nil, nil, 0, 0, 0},
	} {
		x.set(s, aor, step.list, step.from)
		if a, b := len(x.aorsOf(1)), len(x.aorsOf(2)); a != step.f || b != step.g || x.bindings.Load() != step.count {
			t.Errorf("after %d bindings: attached %d and %d, want %d and %d; count %d", len(step.list), a, b, step.f, step.g, x.bindings.Load())
		}
	}
	for i := range indexShards {
		if n := len(x.contacts[i].owners) + len(x.flows[i].byID) + len(x.stripes[i].indexed); n != 0 {
			t.Errorf("shard %d holds %d entries", i, n)
		}
	}
}
