package proxy

import (
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// A response context has one timer for all its deadlines (Timer C §16.8, ring
// timeout, silence, grace, hold): it is set for the earliest; moving a deadline back
// costs nothing, the timer then goes off in vain.

var noTime time.Time

func (rc *responseContext) now() time.Time { return time.Now() }

// earlier is the earlier of two deadlines, where the zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// deadlineLocked is the earliest deadline of the context.
func (rc *responseContext) deadlineLocked() time.Time {
	d := earlier(rc.ringBy, rc.graceBy)
	for _, t := range rc.targets {
		if t.state == holding {
			d = earlier(d, t.holdUntil)
		}
	}
	for _, b := range rc.branches {
		if !b.done {
			d = earlier(d, earlier(earlier(b.answerBy, b.tryBy), earlier(b.graceBy, b.timerC)))
		}
	}
	return d
}

// armLocked sets the timer for the earliest deadline unless it goes off before.
func (rc *responseContext) armLocked() {
	if rc.final != 0 {
		return
	}
	d := rc.deadlineLocked()
	if d.IsZero() || !rc.armed.IsZero() && !d.Before(rc.armed) {
		return
	}
	rc.armed = d
	rc.p.Wheel.After(&rc.timer, time.Until(d), rc)
}

// Expired is transaction.Alarm.
func (rc *responseContext) Expired(*transaction.Timer) {
	rc.mu.Lock()
	defer rc.unlock()
	if rc.final == 0 {
		rc.armed = noTime
		rc.tickLocked(rc.now())
		rc.armLocked()
	}
}

// due reports whether deadline d has come, and takes it off.
func due(d *time.Time, now time.Time) bool {
	if d.IsZero() || now.Before(*d) {
		return false
	}
	*d = noTime
	return true
}

func (rc *responseContext) tickLocked(now time.Time) {
	if due(&rc.graceBy, now) && !rc.from.Current().Live() {
		rc.cancelLocked(tooLate)
	}
	if due(&rc.ringBy, now) && !rc.closedLocked() {
		rc.p.Counters.RingTimeouts.Add(1)
		rc.timedOut = true
		rc.reason = noAnswer
		rc.cancelPendingLocked()
	}
	for _, t := range rc.targets {
		if t.state == holding && !now.Before(t.holdUntil) {
			rc.p.leaveWaits(t)
			rc.endLocked(t, answer{err: errAway}) // no way was there
		}
	}
	for _, b := range rc.branches { // a copy of the slice: branches that start now have nothing due
		if !b.done && rc.final == 0 {
			rc.tickBranchLocked(b, now)
		}
	}
}

func (rc *responseContext) tickBranchLocked(b *branch, now time.Time) {
	switch {
	case due(&b.graceBy, now):
		if c := b.to.Current(); c.Live() {
			b.moveLocked(c)
			return
		}
		if b.w.hold > 0 && !b.heard { // it never got there: it waits for the client, beyond the end of its binding
			b.abandoned = true
			rc.closeBranchLocked(b)
			b.t.tried &^= 1 << b.t.way
			rc.holdLocked(b.t)
			return
		}
		rc.abandonLocked(b, answer{err: errAway}, lostFlow)
	case due(&b.tryBy, now):
		if rc.invite {
			b.tellLost(transaction.ErrTimeout)
		}
		rc.silentLocked(b, now)
	case due(&b.answerBy, now):
		rc.todo(act{kind: actPing, b: b, f: b.to})
	case due(&b.timerC, now):
		rc.p.Counters.TimerC.Add(1)
		if b.proceeded || b.heard {
			rc.cancelBranchLocked(b, noProgress) // its 487, or 64*T1 without one, ends it
			return
		}
		rc.abandonLocked(b, answer{err: sip.Refuse(408, "Request Timeout")}, noProgress)
	}
}

// silentLocked: a hop has said nothing for TryTimeout. The last one gets more time, but not the 32 s of timer B, within
// which a caller gives up.
func (rc *responseContext) silentLocked(b *branch, now time.Time) {
	switch {
	case b.t.left():
		rc.failoverLocked(b.t)
		rc.abandonLocked(b, answer{err: sip.Refuse(408, "Request Timeout")}, nextHop)
	case due(&b.lastBy, now):
		rc.abandonLocked(b, answer{err: unavailable(transaction.ErrTimeout)}, noProgress)
	default:
		b.tryBy = b.lastBy // zero: nobody else can be asked
	}
}

// ponged: the silent flow answered our ping, or is dead.
func (b *branch) ponged(f *flow.Flow, alive bool) {
	if alive {
		return
	}
	b.pongMissed(f)
	b.t.rc.p.Counters.DeadFlows.Add(1)
	f.Close(sip.CloseDead)
}

func (b *branch) pongMissed(f *flow.Flow) {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	if !b.done && b.to == f && !b.heard && b.w.hold == 0 {
		rc.abandonLocked(b, answer{err: errAway}, lostFlow) // within a dialog the close that follows starts the wait
	}
}

// flowClosed: the callee's connection ended. A client may come back and answer on a new one; a
// hop that has said nothing but 100 is given up for the next.
func (b *branch) flowClosed(f *flow.Flow, why sip.CloseReason) {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	if b.done || f != b.to {
		return
	}
	switch {
	case b.resending || rc.resendLocked(b):
	case b.cancelled && b.lostLocked():
		rc.cancelElsewhereLocked(b)
	case len(b.w.Hops) > 0 || b.upstreamStream() && !b.proceeded:
		if !b.proceeded {
			b.tellLost(transaction.ErrTransport)
			rc.failoverLocked(b.t)
			rc.abandonLocked(b, answer{err: unavailable(nil)}, nextHop)
		}
	case why.Gone() || b.t.left():
		rc.abandonLocked(b, answer{err: errAway}, lostFlow)
	default:
		b.graceBy = rc.now().Add(rc.p.Times.Grace)
		rc.armLocked()
	}
}

// Unregistered: the user agent called name has ended its binding over the flow of that id.
// It will not answer what rings there; it hears so, for it is still connected.
func (p *Proxy) Unregistered(id flow.ID, name flow.Name) {
	for _, o := range p.watch.on(id) {
		if b, ok := o.(*branch); ok {
			b.unregistered(name)
		}
	}
}

func (b *branch) unregistered(name flow.Name) {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	if rc.invite && !rc.inDialog && b.w.Name == name {
		rc.abandonLocked(b, answer{err: errAway}, unregistered)
	}
}

// flowMoved: the callee is back on f.
func (b *branch) flowMoved(f *flow.Flow) {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	if !b.done {
		b.moveLocked(f)
	}
}

func (b *branch) moveLocked(f *flow.Flow) {
	rc := b.t.rc
	rc.p.Counters.Moved.Add(1)
	rc.p.watch.remove(&b.watch)
	b.to, b.graceBy = f, noTime
	rc.p.watch.add(&b.watch, f, b)
}

// holdLocked lets t wait for the flow of any way that has not been tried (RFC 3261 leaves us
// this time: the caller hears 100).
func (rc *responseContext) holdLocked(t *target) {
	w := t.current()
	t.holdUntil = rc.started.Add(w.hold)
	if w.hold == 0 {
		t.holdUntil = rc.now().Add(rc.p.Times.Grace)
	}
	t.state = holding
	if !rc.waitLocked(t) {
		rc.endLocked(t, answer{err: errAway})
		return
	}
	rc.p.Counters.Held.Add(1)
	if rc.invite && len(rc.branches) == 0 { // later, and to others, the transaction sends it when it is time (RFC 4320 §4.1)
		rc.tx.Reply(&sip.Reply{Status: 100})
	}
	rc.armLocked()
	for i := range t.waits {
		name := t.waits[i].node.key.name
		if f := rc.p.Flows.ByName(name); f != nil && rc.p.waiting.remove(&t.waits[i].node) {
			rc.backLocked(&t.waits[i], f) // it came back meanwhile
			return
		}
	}
}

// waitLocked enters the waits of t; false when there is nobody to wait for, or no room.
func (rc *responseContext) waitLocked(t *target) bool {
	t.waits = make([]wayWait, 0, len(t.ways)) // anew: the last ones may be about to wake
	for i := range t.ways {
		if t.ways[i].path || len(t.ways[i].Hops) > 0 || t.tried>>i&1 != 0 {
			continue
		}
		if _, name := rc.p.flowOf(&t.ways[i]); name != (flow.Name{}) {
			t.waits = append(t.waits, wayWait{t: t, way: i, node: waitNode{key: waitKey{name: name}}})
		}
	}
	for i := range t.waits {
		n := &t.waits[i].node
		if !rc.p.waiting.add(n, n.key, rc.req.CallID(), rc.from, &t.waits[i]) {
			rc.p.Counters.drop(DropHeldFull)
			rc.p.leaveWaits(t)
			return false
		}
	}
	return len(t.waits) > 0
}

// leaveWaits ends all waits of t.
func (p *Proxy) leaveWaits(t *target) {
	for i := range t.waits {
		p.waiting.remove(&t.waits[i].node)
	}
}

// wake: the user agent is back.
func (w *wayWait) wake(f *flow.Flow) {
	rc := w.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	if w.t.state == holding && rc.final == 0 {
		rc.backLocked(w, f)
	}
}

// backLocked goes on with the way whose flow is there.
func (rc *responseContext) backLocked(w *wayWait, f *flow.Flow) {
	t := w.t
	rc.p.leaveWaits(t)
	rc.p.Counters.Released.Add(1)
	t.way, t.hop = w.way, 0
	if rc.usedLocked(f) {
		rc.failWayLocked(t, answer{err: errAway})
		return
	}
	rc.launchLocked(t, f, w.node.key.name)
}
