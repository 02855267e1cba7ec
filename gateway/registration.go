package gateway

import (
	"context"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
	"github.com/ringway/ringway/sip/ua"
)

// registrations are what we register at providers ourselves. What to do when, trunk.Registration knows; here it is
// done: sent as every request is, by our client transactions from our listeners.
type registrations struct {
	gateway *Gateway
	all     []*registration
}

// registration is one address-of-record of a provider's.
type registration struct {
	// Static after construction.
	gateway  *Gateway
	upstream string
	left     chan struct{} // closed when it has ended

	mu      sync.Mutex // before those of transactions and the wheel
	machine *trunk.Registration
	timer   transaction.Timer
	tx      *transaction.Client // waits for an answer
	cseq    uint32              // of that
	contact string              // its Contact
	flow    *flow.Flow          // it went over
	keep    keepAlive           // of that
	ended   bool
}

func newRegistrations(g *Gateway) *registrations {
	all := &registrations{gateway: g}
	for i := range g.cfg.Upstreams {
		if group := &g.cfg.Upstreams[i]; group.Register != nil {
			r := &registration{
				gateway: g, upstream: group.Name, left: make(chan struct{}), machine: trunk.NewRegistration(group, g.random),
			}
			r.keep.r = r
			all.all = append(all.all, r)
		}
	}
	return all
}

// run registers until ctx ends.
func (a *registrations) run(ctx context.Context) error {
	for _, r := range a.all {
		r.mu.Lock()
		r.afterLocked(r.machine.First())
		r.mu.Unlock()
	}
	<-ctx.Done()
	for _, r := range a.all {
		r.mu.Lock()
		r.gateway.transactions.Wheel().Stop(&r.timer)
		r.keep.stopLocked()
		r.mu.Unlock()
	}
	return nil
}

// leave un-registers, and waits for the answers until ctx ends.
func (a *registrations) leave(ctx context.Context) {
	for _, r := range a.all {
		r.event(func(now time.Time) trunk.Step {
			r.forget()
			return r.machine.Leave(now)
		})
	}
	for _, r := range a.all {
		select {
		case <-r.left:
		case <-ctx.Done():
			return
		}
	}
}

// registered is 1 for each upstream that has us registered now, 0 for one that has not.
func (a *registrations) registered() map[string]uint64 {
	now, out := time.Now(), map[string]uint64{}
	for _, r := range a.all {
		r.mu.Lock()
		out[r.upstream] = 0
		if r.machine.Registered(now) {
			out[r.upstream] = 1
		}
		r.mu.Unlock()
	}
	return out
}

// back: an address of the upstream answers again.
func (a *registrations) back(upstream string, at netip.AddrPort) {
	for _, r := range a.all {
		if r.upstream == upstream {
			r.event(func(time.Time) trunk.Step { return r.machine.HopUp(at) })
		}
	}
}

// down: an address of the upstream is out of use.
func (a *registrations) down(upstream string, at netip.AddrPort) {
	for _, r := range a.all {
		if r.upstream != upstream {
			continue
		}
		var room [8]trunk.Target
		if others, _ := a.gateway.trunks.Select(room[:0], upstream, ""); len(others) > 0 {
			r.event(func(time.Time) trunk.Step { return r.machine.HopDown(at) })
		}
	}
}

// FlowNamed is flow.Watcher's.
func (a *registrations) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) {}

// FlowClosed is flow.Watcher's: calls came, and can come no more, over the connection that the provider knows us by.
func (a *registrations) FlowClosed(f *flow.Flow, _ sip.CloseReason) {
	for _, r := range a.all {
		r.event(func(now time.Time) trunk.Step {
			if r.flow != f {
				return trunk.Step{}
			}
			r.flow = nil
			if r.tx != nil {
				r.forget()
				return r.machine.Lost(now, r.cseq, transaction.ErrTransport)
			}
			return r.machine.Disconnected(now)
		})
	}
}

// Expired is transaction.Alarm.
func (r *registration) Expired(*transaction.Timer) {
	var room [8]trunk.Target
	targets, _ := r.gateway.trunks.Select(room[:0], r.upstream, "")
	r.event(func(now time.Time) trunk.Step {
		if r.timer.Stale() {
			return trunk.Step{}
		}
		r.forget()
		return r.machine.Due(now, targets)
	})
}

// forget waits for no answer any more. The caller has locked mu.
func (r *registration) forget() {
	if r.tx != nil {
		r.tx.Forget()
		r.tx = nil
	}
}

// event tells the machine of something and does what it says.
func (r *registration) event(tell func(now time.Time) trunk.Step) {
	step := r.told(tell)
	if step.Changed {
		r.say(&step)
	}
	if step.Send != nil {
		r.gateway.network.Reach(hopOf(&step.Send.Target), registerSize, func(f *flow.Flow, err error) { r.reached(step.Send, f, err) })
	}
}

// registerSize is about a REGISTER's octets with credentials.
const registerSize = 900

func (r *registration) told(tell func(now time.Time) trunk.Step) trunk.Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return trunk.Step{}
	}
	step := tell(time.Now())
	if step.Wait > 0 {
		r.afterLocked(step.Wait)
	}
	if step.Send != nil {
		r.cseq = step.Send.CSeq
	}
	if step.Changed && step.State == trunk.Left {
		r.ended = true
		r.gateway.transactions.Wheel().Stop(&r.timer)
		r.keep.stopLocked()
		close(r.left)
	}
	return step
}

func (r *registration) afterLocked(d time.Duration) {
	r.gateway.transactions.Wheel().After(&r.timer, d, r)
}

// reached sends once there is a flow.
func (r *registration) reached(t *trunk.Try, f *flow.Flow, err error) {
	if err == nil {
		err = r.send(t, f)
	}
	if err != nil {
		r.event(func(now time.Time) trunk.Step { return r.machine.Lost(now, t.CSeq, err) })
	}
}

func (r *registration) send(t *trunk.Try, f *flow.Flow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.cseq != t.CSeq {
		return nil // it took too long
	}
	info, id := f.Info(), transaction.NewID()
	contact := "sip:" + t.User + "@" + info.Advertise
	if info.Transport != sip.UDP {
		contact += ";transport=" + info.Transport.Param()
	}
	req := ua.Request{
		Method: "REGISTER", URI: t.URI, Via: via(info, id), From: "<" + t.AOR + ">;tag=" + t.Tag, To: "<" + t.AOR + ">",
		CallID: t.CallID, CSeq: t.CSeq,
		Headers: []string{"Contact: <" + contact + ">", "Expires: " + strconv.Itoa(int(t.Expires/time.Second)), methods},
	}
	if t.Credentials != "" {
		req.Headers = append(req.Headers, t.Credentials)
	}
	m, err := req.Build()
	if err != nil {
		return err
	}
	out := m.Splice()
	r.contact, r.flow = contact, f
	r.tx = r.gateway.transactions.Client(id, "REGISTER", f, r)
	r.tx.Start(&out)
	return nil
}

// Response is transaction.ClientUser.
func (r *registration) Response(tx *transaction.Client, m *sip.Message) {
	if m.Status() < 200 {
		return
	}
	r.event(func(now time.Time) trunk.Step {
		if r.tx != tx {
			return trunk.Step{}
		}
		r.tx = nil
		step := r.machine.Answered(now, m, r.contact)
		if m.Status() < 300 && step.State == trunk.Registered && r.flow != nil {
			r.keep.keepLocked(r.flow, m)
		}
		return step
	})
}

// Failed is transaction.ClientUser.
func (r *registration) Failed(tx *transaction.Client, err error) {
	r.event(func(now time.Time) trunk.Step {
		if r.tx != tx {
			return trunk.Step{}
		}
		r.tx = nil
		return r.machine.Lost(now, r.cseq, err)
	})
}

// say logs that a registration came or went.
func (r *registration) say(s *trunk.Step) {
	e := r.gateway.log.Info()
	switch {
	case s.State == trunk.Failing, s.Odd:
		e = r.gateway.log.Warn()
	case s.State == trunk.Refused:
		e = r.gateway.log.Error()
	}
	e.Str("upstream", r.upstream).Str("state", s.State.String()).Str("cause", s.Cause).Msg("registration")
}
