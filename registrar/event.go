package registrar

import (
	"slices"
	"time"

	"github.com/ringway/ringway/sip/flow"
)

// Change is what happened to a binding; each is a metric label.
type Change string

// The changes.
const (
	Registered   Change = "registered"
	Refreshed    Change = "refreshed"    // also when its user agent is back on another flow
	Unregistered Change = "unregistered" // expires=0 or *
	Expired      Change = "expired"
	Replaced     Change = "replaced"   // by another binding of the same user agent
	Evicted      Change = "evicted"    // the AOR was full
	GoneAway     Change = "going_away" // its page was closed or reloaded
	FlowLost     Change = "flow_lost"  // its connection ended and it did not come back in time
	Kicked       Change = "kicked"     // by the operator
)

// renamed is no event: a binding was refreshed and has another name now.
const renamed Change = "renamed"

// Event tells of a change to one binding. For Registered and Refreshed it is the
// new state, else the last.
type Event struct {
	Change  Change
	Binding Binding
}

// change is an Event with the flow of the binding that is gone, where it is known.
type change struct {
	Event
	flow *flow.Flow
}

// Gone reports whether the binding is no more.
func (e *Event) Gone() bool { return e.Change != Registered && e.Change != Refreshed }

// known fills in the flows of the bindings that are gone; to be called before
// the index forgets them.
func (r *Registrar) known(changes []change) {
	for i := range changes {
		if c := &changes[i]; c.Gone() {
			c.flow = r.index.flow(c.Binding.Flow)
		}
	}
}

// tell lets go of the names by which no binding of list, which is what the AOR has
// now, goes on their flows any more, and passes the events on. No lock is held.
func (r *Registrar) tell(changes []change, list []Binding) {
	for i := range changes {
		c := &changes[i]
		if c.Gone() && c.flow != nil && !named(list, &c.Binding) {
			r.release(c.flow, &c.Binding)
		}
		if r.onEvent != nil && c.Change != renamed {
			r.onEvent(c.Event)
		}
	}
}

// nameFlow says that f speaks for b. Locks are not held here, so a REGISTER that
// was committed after b's may have been quicker to name its flow: it is named again.
func (r *Registrar) nameFlow(f *flow.Flow, b *Binding) {
	r.flows.Bind(f, b.Name)
	if now := r.index.named(b.AOR, b.Name, f); now != nil && now != f {
		r.flows.Bind(now, b.Name)
	}
}

// release says that f speaks for b no more. A dead flow keeps the name for a
// while: calls over it can still go on when the user agent is back.
func (r *Registrar) release(f *flow.Flow, b *Binding) {
	if !f.Live() {
		r.deadlines.push(deadline{at: time.Now().Add(linger), flow: f, name: b.Name})
		return
	}
	r.flows.Unbind(f, b.Name)
	if now := r.index.named(b.AOR, b.Name, f); now != nil && now.Live() { // registered again meanwhile, or over another flow as well
		r.flows.Bind(now, b.Name)
	}
}

// named reports whether a binding of list goes by gone's name over its flow.
func named(list []Binding, gone *Binding) bool {
	return slices.ContainsFunc(list, func(b Binding) bool { return b.Name == gone.Name && b.Flow == gone.Flow })
}
