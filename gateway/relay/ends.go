package relay

import (
	"slices"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Expired is transaction.Alarm: the binding's time is over, or that of what it left behind.
func (e *entry) Expired(*transaction.Timer) {
	t := &e.r.table
	t.mu.Lock()
	if e.timer.Stale() || t.named[e.Name] != e {
		t.mu.Unlock()
		return
	}
	if e.over {
		f := e.Flow
		t.removeLocked(e)
		t.mu.Unlock()
		if f != nil {
			e.r.Flows.Unbind(f, e.Name)
		}
		return
	}
	f := e.Flow
	t.mu.Unlock()
	e.r.end(e.Name, f, Expired)
}

// end ends the binding of that name, if it is over flow f where one is given.
func (r *Relay) end(name flow.Name, f *flow.Flow, why Change) {
	t := &r.table
	t.mu.Lock()
	e := t.named[name]
	if e == nil || f != nil && e.Flow != f || !t.endLocked(e) {
		t.mu.Unlock()
		return
	}
	b := e.Binding
	if b.Flow.Live() {
		r.Wheel.Stop(&e.timer) // it stays, ended, as long as its flow
	} else {
		r.Wheel.After(&e.timer, linger, e)
	}
	t.mu.Unlock()
	if b.Flow.Live() {
		r.Flows.Unbind(b.Flow, name)
	}
	r.forget(b.Flow, b.AOR)
	if why == GoingAway || why == FlowLost {
		r.unregister(b)
	}
	r.tell(why, &b)
}

// forget takes from f that it speaks for aor when no binding says so any more.
func (r *Relay) forget(f *flow.Flow, aor string) {
	t := &r.table
	t.mu.RLock()
	held := slices.ContainsFunc(t.of[aor], func(e *entry) bool { return !e.over && e.Flow == f })
	if !held && f.Live() {
		f.Forget(aor) // under the lock: a REGISTER that enters after this says it again
	}
	t.mu.RUnlock()
}

func (r *Relay) unregister(b Binding) {
	if r.Unregister != nil && b.Sent != "" && r.groups[b.Upstream].Unregister {
		r.Unregister(b)
	}
}

// endListedNot ends the bindings of an AOR that its registrar does not list after "Contact: *", x; but those that are younger.
func (r *Relay) endListedNot(x *Registration) {
	t, younger := &r.table, false
	t.mu.RLock()
	all := slices.Clone(t.of[x.aor])
	all = slices.DeleteFunc(all, func(e *entry) bool {
		late := !e.over && t.order.late(t.order.agent(e.Name), x.turn)
		younger = younger || late
		return late
	})
	t.mu.RUnlock()
	if younger {
		r.Counters.add(Outdated)
	}
	for _, e := range all {
		b, ok := r.ByName(e.Name)
		if !ok || b.Upstream != x.up.Name {
			continue
		}
		user := b.Alias
		if u, err := sip.ParseURI(b.Contact); user == "" && err == nil {
			user = u.User
		}
		if !slices.ContainsFunc(x.list, func(l listed) bool { return !l.bad && sameUser(l.uri.User, user) }) {
			r.end(b.Name, nil, Unregistered)
		}
	}
}

func (r *Relay) tell(what Change, b *Binding) {
	r.Counters.add(what)
	if r.OnEvent != nil {
		r.OnEvent(Event{what, *b})
	}
}

// FlowNamed is flow.Watcher's; the relay causes it.
func (r *Relay) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) {}

// FlowClosed is flow.Watcher's: the bindings over f end, at once when the page is gone, else after the
// grace unless their user agents are back by then.
func (r *Relay) FlowClosed(f *flow.Flow, why sip.CloseReason) {
	t := &r.table
	t.mu.RLock()
	names := make([]flow.Name, 0, len(t.on[f.ID]))
	for _, e := range t.on[f.ID] {
		names = append(names, e.Name)
	}
	t.mu.RUnlock()
	if len(names) == 0 {
		return
	}
	r.overs(f)
	if why.Gone() {
		what := FlowLost
		if why == sip.CloseGoingAway {
			what = GoingAway
		}
		for _, n := range names {
			r.end(n, f, what)
		}
		return
	}
	r.Wheel.After(new(transaction.Timer), r.Grace, transaction.AlarmFunc(func() {
		for _, n := range names {
			r.end(n, f, FlowLost)
		}
	}))
}

// overs lets what ended bindings left on f go after a while.
func (r *Relay) overs(f *flow.Flow) {
	t := &r.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.on[f.ID] {
		if e.over {
			r.Wheel.After(&e.timer, linger, e)
		}
	}
}
