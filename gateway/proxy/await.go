package proxy

import (
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// ErrUnregistered is what Authenticate answers for a peer who can prove who he is by a REGISTER only, as an upstream has his password.
var ErrUnregistered = sip.Refuse(403, "Forbidden: no REGISTER was accepted over this connection")

// awaiting is a request within a dialog whose sender is back on a new connection, and has shown its tokens: his REGISTER is on its
// way, and user agents don't wait for it. Nobody could repeat what is refused meanwhile; a call would never end.
type awaiting struct {
	p     *Proxy
	tx    *transaction.Server
	req   *sip.Message
	from  *flow.Flow
	timer transaction.Timer
	wait  waitNode
}

// await holds a request until its sender is known, for Times.Grace; false: it cannot.
func (p *Proxy) await(tx *transaction.Server, req *sip.Message, from *flow.Flow) bool {
	if from.ID == 0 {
		return false
	}
	a := &awaiting{p: p, tx: tx, req: req, from: from}
	tx.SetUser(a)
	if !p.waiting.add(&a.wait, waitKey{from: from.ID}, req.CallID(), from, a) {
		p.Counters.drop(DropHeldFull)
		return false
	}
	p.Counters.Held.Add(1)
	p.Wheel.After(&a.timer, p.Times.Grace, a)
	if from.Proven() && p.waiting.remove(&a.wait) {
		a.wake(from) // it was accepted meanwhile
	}
	return true
}

// wake: the sender is known now.
func (a *awaiting) wake(*flow.Flow) {
	defer a.p.Panicked.Catch() // others wait, too
	a.p.Wheel.Stop(&a.timer)
	a.p.Counters.Released.Add(1)
	if err := a.p.request(a.tx, a.req, a.from); err != nil {
		a.p.decline(a.tx, a.req, a.from, err)
	}
}

// Expired is transaction.Alarm.
func (a *awaiting) Expired(*transaction.Timer) {
	if a.p.waiting.remove(&a.wait) {
		a.p.decline(a.tx, a.req, a.from, ErrUnregistered)
	}
}

// Cancelled is transaction.ServerUser.
func (a *awaiting) Cancelled(*transaction.Server, *sip.Message) {
	if a.p.waiting.remove(&a.wait) {
		a.p.Wheel.Stop(&a.timer)
		a.p.decline(a.tx, a.req, a.from, sip.Refuse(487, "Request Terminated"))
	}
}

// Ended is transaction.ServerUser.
func (a *awaiting) Ended(*transaction.Server, error) {
	if a.p.waiting.remove(&a.wait) {
		a.p.Wheel.Stop(&a.timer)
	}
}
