package registrar

import (
	"context"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	// linger is how long a name stays with its dead flow after the binding's end:
	// requests wait at most 32 s for a user agent, its transactions as long again.
	linger = 64 * time.Second
	// storeRetry is when a clean-up that the store refused is tried again.
	storeRetry = 5 * time.Second
	// storePatience bounds a clean-up's wait for the store.
	storePatience = 2 * time.Second
)

// Run enters what the store holds into the index, then lets bindings end when
// their time or their connection's grace is over. It returns nil when ctx ends.
func (r *Registrar) Run(ctx context.Context) error {
	if err := r.load(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		now := time.Now()
		for d, ok := r.deadlines.pop(now); ok; d, ok = r.deadlines.pop(now) {
			r.reached(ctx, d)
		}
		timer.Reset(r.deadlines.next(time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-r.deadlines.sooner:
		}
	}
}

func (r *Registrar) load(ctx context.Context) error {
	return r.store.Each(ctx, func(aor string, _ []Binding) bool {
		s := r.index.stripe(aor)
		s.Lock()
		list, err := r.store.Get(ctx, aor) // as it is under the lock
		if err == nil {
			r.index.set(s, aor, list, nil)
		}
		s.Unlock()
		for i := range list {
			r.deadlines.expires(list[i].AOR, list[i].Expires)
		}
		return err == nil
	})
}

func (r *Registrar) reached(ctx context.Context, d deadline) {
	switch {
	case d.aor != "":
		r.sweep(ctx, d.aor)
	case d.name != (flow.Name{}):
		r.flows.Unbind(d.flow, d.name)
	default:
		r.endFlow(ctx, d.flow, FlowLost)
	}
}

// FlowNamed is flow.Watcher's; the registrar causes it and needs no telling.
func (r *Registrar) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) {}

// FlowClosed is flow.Watcher's: the bindings over f end, at once when the page is
// gone, else after the grace unless their user agents are back by then. At once
// means before it returns; it waits for the store, 2 s per AOR at most.
func (r *Registrar) FlowClosed(f *flow.Flow, why sip.CloseReason) {
	if r.index.flow(f.ID) == nil {
		return
	}
	switch {
	case why == sip.CloseGoingAway:
		r.endFlow(context.Background(), f, GoneAway)
		return
	case why.Gone():
		r.endFlow(context.Background(), f, FlowLost)
		return
	}
	r.deadlines.push(deadline{at: time.Now().Add(r.grace), flow: f})
}

// endFlow ends the bindings that are still over f.
func (r *Registrar) endFlow(ctx context.Context, f *flow.Flow, why Change) {
	failed := false
	for _, aor := range r.index.aorsOf(f.ID) {
		_, _, err := r.end(ctx, aor, func(b *Binding) Change {
			if b.Flow == f.ID {
				return why
			}
			return ""
		})
		failed = failed || err != nil
	}
	if failed {
		r.deadlines.push(deadline{at: time.Now().Add(storeRetry), flow: f})
	}
}

// sweep ends what has expired.
func (r *Registrar) sweep(ctx context.Context, aor string) {
	now := time.Now()
	left, _, err := r.end(ctx, aor, func(b *Binding) Change {
		if b.Live(now) {
			return ""
		}
		return Expired
	})
	if err != nil {
		r.deadlines.expires(aor, now.Add(storeRetry))
		return
	}
	for i := range left {
		r.deadlines.expires(left[i].AOR, left[i].Expires)
	}
}

// Kick ends the bindings of aor at contact, or all of them when contact is "",
// and returns how many there were.
func (r *Registrar) Kick(ctx context.Context, aor, contact string) (int, error) {
	_, gone, err := r.end(ctx, aor, func(b *Binding) Change {
		if contact == "" || b.Contact == contact {
			return Kicked
		}
		return ""
	})
	return len(gone), err
}

// end removes the bindings of aor for which why returns a Change.
func (r *Registrar) end(ctx context.Context, aor string, why func(*Binding) Change) (left []Binding, gone []change, err error) {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	left, gone, err = r.endLocked(ctx, r.index.stripe(aor), aor, why)
	if err == nil {
		r.tell(gone, left)
	}
	return left, gone, err
}

func (r *Registrar) endLocked(ctx context.Context, s *stripe, aor string, why func(*Binding) Change) (left []Binding, gone []change, err error) {
	s.Lock()
	defer s.Unlock()
	err = r.store.Update(ctx, aor, func(have []Binding) ([]Binding, error) {
		left, gone = have[:0], nil
		for i := range have {
			if what := why(&have[i]); what != "" {
				gone = append(gone, change{Event: Event{what, have[i]}})
			} else {
				left = append(left, have[i])
			}
		}
		return left, nil
	})
	if err != nil {
		return nil, nil, err
	}
	r.known(gone)
	r.index.set(s, aor, left, nil)
	return left, gone, nil
}
