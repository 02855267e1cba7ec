package proxy

import (
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Ack passes on the ACK to a 2xx, which no transaction absorbs (§16.6 with §16.11):
// by the tokens of both sides, without state. What may not pass is dropped and
// counted, for nobody answers an ACK.
func (p *Proxy) Ack(m *sip.Message, from *flow.Flow) {
	r, err := p.readRoutes(m)
	switch {
	case err != nil || !r.pair && p.bare(m, from, &r) != nil:
		p.wasteAck(DropAckNoToken, from)
		return
	case m.MaxForwards() <= 0:
		p.wasteAck(DropAckHops, from)
		return
	}
	if r.bare || p.isParty(r.src, from) {
		p.passAck(m, from, &r)
		return
	}
	if from.Proven() || from.ID == 0 {
		p.wasteAck(DropAckStranger, from)
		return
	}
	a := &ack{p: p, m: m, from: from, route: r, unproven: true}
	a.holdFor(waitKey{from: from.ID}, p.Times.Grace)
}

// wasteAck drops an ACK of a sender who could know that it goes nowhere.
func (p *Proxy) wasteAck(why Drop, from *flow.Flow) {
	p.Counters.drop(why)
	if p.Wasted != nil {
		p.Wasted(from)
	}
}

// passAck finds the way as for any other in-dialog request.
func (p *Proxy) passAck(m *sip.Message, from *flow.Flow, r *route) {
	if r.dstName != "" {
		p.ackUpstream(m, from, *r)
		return
	}
	if f := p.liveFlow(r.dst.Flow, r.dst.Name); f != nil {
		p.sendAck(m, from, r, f)
		return
	}
	if r.dst.Name == (flow.Name{}) {
		p.Counters.drop(DropAckAway)
		return
	}
	a := &ack{p: p, m: m, from: from, route: *r}
	a.holdFor(waitKey{name: r.dst.Name}, p.Times.HoldInvite)
}

func (p *Proxy) ackUpstream(m *sip.Message, from *flow.Flow, r route) {
	t, err := p.tokenTarget(m, &r)
	if err != nil {
		p.wasteAck(DropAckBad, from)
		return
	}
	done := func(f *flow.Flow, err error) {
		if f == nil || err != nil {
			p.Counters.drop(DropAckSend)
			return
		}
		p.sendAck(m, from, &r, f)
	}
	if len(t.Hops) == 0 {
		done(p.liveFlow(t.id, t.Name), nil)
		return
	}
	r.beside = t.Hops[0].Beside
	p.reachOr(t.id, r.dstName, t.Hops[0], len(m.String())+added, done)
}

func (p *Proxy) sendAck(m *sip.Message, from *flow.Flow, r *route, f *flow.Flow) {
	out := m.Splice()
	stamp(&out, from.Info())
	if r.strict != "" {
		out.SetURI(r.strict)
		out.PopLastRoute()
	}
	out.SetMaxForwards(m.MaxForwards() - 1)
	if (r.dstName == "" || !r.toStrict(m, &out)) && r.pops > 0 {
		out.PopRoutes(r.pops)
	}
	p.shiftAck(m, &out, r)
	if rewrite := p.again(r, true); rewrite != nil {
		if err := rewrite(m, &out); err != nil {
			p.Counters.drop(DropAckBad)
			return
		}
	}
	if p.Branch != nil {
		if err := p.Branch(m, &out, from, f, &Target{Upstream: r.dstName, Name: r.dst.Name}); err != nil {
			p.Counters.drop(DropAckBad)
			return
		}
	}
	var via [256]byte
	out.PushVia(string(appendVia(via[:0], f.Info(), transaction.NewID(), 0)))
	if err := f.Send(out.Append(make([]byte, 0, len(m.String())+added))); err != nil {
		p.Counters.drop(DropAckSend)
		return
	}
	p.Counters.Acks.Add(1)
}

// ack is an ACK on its way, perhaps waiting for its sender to be known or for its
// receiver to come back.
type ack struct {
	p        *Proxy
	m        *sip.Message
	from     *flow.Flow
	route    route
	unproven bool
	timer    transaction.Timer
	wait     waitNode
}

// holdFor queues a; of ACKs with the same dialog and CSeq the newest stays.
func (a *ack) holdFor(key waitKey, d time.Duration) {
	p := a.p
	n, _ := a.m.CSeq()
	old := p.waiting.find(key, a.m.CallID(), func(w waiter) bool {
		b, ok := w.(*ack)
		if !ok {
			return false
		}
		bn, _ := b.m.CSeq()
		return bn == n && b.m.ToTag() == a.m.ToTag() && b.m.FromTag() == a.m.FromTag()
	})
	if old != nil && p.waiting.remove(old) {
		p.Wheel.Stop(&old.who.(*ack).timer)
	}
	if !p.waiting.add(&a.wait, key, a.m.CallID(), a.from, a) {
		p.Counters.drop(DropHeldFull)
		return
	}
	p.Counters.Held.Add(1)
	p.Wheel.After(&a.timer, d, a)
	if !a.unproven {
		if f := p.Flows.ByName(key.name); f != nil && p.waiting.remove(&a.wait) {
			a.wake(f) // it came back meanwhile
		}
	}
}

// Expired is transaction.Alarm: it has waited long enough.
func (a *ack) Expired(*transaction.Timer) {
	if !a.p.waiting.remove(&a.wait) {
		return
	}
	switch {
	case !a.unproven:
		a.p.Counters.drop(DropAckAway)
	case a.p.isParty(a.route.src, a.from):
		a.p.passAck(a.m, a.from, &a.route)
	default:
		a.p.Counters.drop(DropAckUnproven)
	}
}

// wake: the sender is known now, or the receiver is back on f.
func (a *ack) wake(f *flow.Flow) {
	defer a.p.Panicked.Catch() // others wait for f, too
	a.p.Wheel.Stop(&a.timer)
	if a.unproven {
		a.unproven = false
		if !a.p.isParty(a.route.src, a.from) {
			a.p.Counters.drop(DropAckStranger)
			return
		}
		a.p.passAck(a.m, a.from, &a.route)
		return
	}
	a.p.Counters.Released.Add(1)
	a.p.sendAck(a.m, a.from, &a.route, f)
}
