package transaction

import (
	"slices"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// clientState is a state of RFC 3261 §17.1 or RFC 6026 §7.2.
type clientState uint8

const (
	unstarted clientState = iota
	calling               // sent, no response yet (Trying, for other requests than INVITE)
	ringing               // a provisional response has come (Proceeding)
	closed                // the final response has come, to INVITE 300–699 (Completed)
	answered              // INVITE: a 2xx has come (Accepted)
	over                  // Terminated
)

// cancelState is how far the CANCEL of an INVITE is.
type cancelState uint8

const (
	noCancel       cancelState = iota
	cancelWanted               // waits for a provisional response (RFC 3261 §9.1)
	cancelSent                 // waits for the response to it
	cancelAnswered             // the INVITE's own response is still to come
)

// Client is a client transaction. The CANCEL of an INVITE is part of it: it
// has the same branch and the same life.
type Client struct {
	// Static after construction.
	table    *Table
	id       uint64
	method   string
	number   uint32 // the CSeq's, from Start on
	invite   bool
	reliable bool

	// Guarded by the flow's peerShard; listed by mu too.
	listed     flow.ID
	next, prev *Client

	mu     sync.Mutex
	state  clientState
	cancel cancelState
	flow   *flow.Flow
	user   ClientUser
	out    Outgoing // nil from the final response on
	extra  []string // header lines of the CANCEL
	ack    []byte   // UDP: the ACK, for final responses sent again
	final  int      // UDP: the status that it is for
	failed error    // Failed is still to be told
	quiet  bool     // the request is not sent again
	timer  Timer
	pace   pace // of timers A and B, E and F, or the CANCEL's E and the wait for the final response
}

func (tx *Client) kind() Kind {
	if tx.invite {
		return ClientInvite
	}
	return ClientOther
}

// Flow is where the request was sent, or where its receiver is now (FlowMoved).
func (tx *Client) Flow() *flow.Flow {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.flow
}

// Start arms the timers and sends. out is kept until the final response. A flow
// that takes no message makes the transaction fail, which the user is told after Start.
func (tx *Client) Start(out Outgoing) {
	tx.mu.Lock()
	defer tx.unlockLater()
	tx.state, tx.out, tx.number = calling, out, out.CSeq()
	tx.table.enterClient(tx)
	tx.pace = newPace(TimerA, TimerB, tx.reliable)
	tx.afterLocked(tx.pace.step)
	p := newBuffer()
	defer p.free()
	p.b = out.Append(p.b)
	if deliver(tx.flow, p.b) != nil {
		tx.failLocked(ErrTransport)
	}
}

// Cancel sends a CANCEL once a provisional response has come (RFC 3261 §9.1), at once or later; extra as in
// sip.Splice.AppendCancel. Until then the INVITE is sent again: where only its provisional was lost, it rings for nobody.
// The CANCEL's own transaction is the table's business. When no
// final response follows within 64*T1 the transaction fails with ErrTimeout. A 2xx that crosses
// it is a Response like any. Without effect after a final response and on other requests than INVITE.
func (tx *Client) Cancel(extra ...string) {
	tx.mu.Lock()
	defer tx.unlockLater()
	if !tx.invite || tx.cancel != noCancel || tx.state != calling && tx.state != ringing {
		return
	}
	tx.cancel, tx.extra = cancelWanted, slices.Clone(extra)
	if tx.state == ringing {
		tx.sendCancelLocked()
	}
}

// Quiet stops sending the request again: it has gone elsewhere meanwhile. Its answer is still taken.
func (tx *Client) Quiet() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.quiet = true
}

// Forget ends the transaction of a request that is no INVITE: nobody waits for its answer
// any more. Nothing is sent again and nobody is told; an answer that comes is a stray one.
func (tx *Client) Forget() {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.invite && tx.state != unstarted {
		tx.terminateLocked()
	}
}

// asked reports whether m, of this branch, has the CSeq of the request or its CANCEL (RFC 3261 §17.1.3, §8.2.6.2: it is copied).
func (tx *Client) asked(m *sip.Message) bool {
	n, method := m.CSeq()
	return n == tx.number && (method == tx.method || tx.invite && method == "CANCEL")
}

// receive takes a response that is the transaction's own by branch, CSeq and origin; used: it said something new.
func (tx *Client) receive(m *sip.Message) (used bool) {
	u, used := tx.take(m)
	if u != nil {
		u.Response(tx, m)
	}
	return used
}

// take returns the user if it is to see the response.
func (tx *Client) take(m *sip.Message) (u ClientUser, used bool) {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	tell := false
	switch {
	case m.Method() != tx.method:
		return nil, tx.cancelResponseLocked(m.Status())
	case tx.invite:
		tell = tx.inviteResponseLocked(m)
	default:
		tell = tx.otherResponseLocked(m)
	}
	if !tell {
		return nil, false
	}
	return tx.user, true
}

// flowFailed: the server cannot be reached any more.
func (tx *Client) flowFailed(f *flow.Flow) {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	if tx.listed == f.ID {
		tx.failLocked(ErrTransport)
	}
}

// flowMoved: the server is on f now. What rings there it may have forgotten with its connection
// (JsSIP does): it would neither answer nor take a CANCEL. One that has not takes the INVITE for a
// retransmission (RFC 3261 §17.2.1).
func (tx *Client) flowMoved(old, f *flow.Flow) {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	if tx.listed != old.ID {
		return
	}
	tx.moveLocked(f)
	if tx.invite && tx.state == ringing && tx.cancel == noCancel && !tx.quiet {
		tx.resendLocked(tx.out.Append(nil))
	}
}

// Move goes on over f, of the same transport: the connection to the server has ended and f is a new one (RFC 3261 §18.4).
// What has no answer goes once more, as a retransmission. false, and nothing happens, when no final response is waited for.
func (tx *Client) Move(f *flow.Flow) bool {
	tx.mu.Lock()
	defer tx.unlockLater()
	if tx.state != calling && tx.state != ringing {
		return false
	}
	tx.moveLocked(f)
	return true
}

// moveLocked: the server may not have got what was sent last.
func (tx *Client) moveLocked(f *flow.Flow) {
	tx.table.unlistClient(tx)
	tx.table.listClient(tx, f.ID)
	tx.flow = f
	switch {
	case tx.state == calling && (tx.quiet || tx.cancel != noCancel): // nobody wants it any more: not to ring now
		tx.failLocked(ErrTransport)
	case tx.state == calling:
		tx.resendLocked(tx.out.Append(nil))
	case tx.cancel == cancelSent:
		tx.resendLocked(tx.out.AppendCancel(nil, tx.extra...))
	}
}

// resendLocked sends again; when the flow is dead, somebody will say so (FailFlow) or the time-out comes.
func (tx *Client) resendLocked(b []byte) {
	tx.table.counters.resentRequests.Add(1)
	_ = deliver(tx.flow, b)
}

// finalLocked lets go of what only a request in progress needs.
func (tx *Client) finalLocked(s clientState) {
	tx.state, tx.out, tx.extra = s, nil, nil
	tx.table.unlistClient(tx)
}

func (tx *Client) failLocked(err error) {
	if err == ErrTimeout {
		tx.table.counters.timedOut[tx.kind()].Add(1)
		tx.flow.Distrust(time.Now().Add(-TimerB))
	}
	tx.failed = err
	tx.terminateLocked()
}

func (tx *Client) terminateLocked() {
	if tx.state == over {
		return
	}
	tx.finalLocked(over)
	tx.ack = nil
	tx.table.wheel.Stop(&tx.timer)
	tx.table.removeClient(tx)
}

// clientAlarm keeps Expired out of Client's own methods.
type clientAlarm Client

// Expired implements Alarm.
func (a *clientAlarm) Expired(*Timer) {
	tx := (*Client)(a)
	tx.mu.Lock()
	defer tx.unlockAndTell()
	if !tx.timer.Stale() {
		tx.alarmLocked()
	}
}

func (tx *Client) alarmLocked() {
	switch {
	case tx.state == closed || tx.state == answered: // timers D, K, M
		tx.terminateLocked()
	case tx.state == over:
	case tx.pace.next(tx.intervalLocked()): // timers B, F
		tx.failLocked(ErrTimeout)
	default:
		tx.againLocked()
		tx.afterLocked(tx.pace.step)
	}
}

// intervalLocked is the next interval of timer A or E.
func (tx *Client) intervalLocked() time.Duration {
	switch {
	case tx.invite && tx.state == calling:
		return 2 * tx.pace.step
	case !tx.invite && tx.state == ringing:
		return T2
	default:
		return min(2*tx.pace.step, T2)
	}
}

// againLocked is timer A or E.
func (tx *Client) againLocked() {
	switch {
	case tx.cancel == cancelSent:
		tx.resendLocked(tx.out.AppendCancel(nil, tx.extra...))
	case tx.quiet:
	case !tx.invite || tx.state == calling:
		tx.resendLocked(tx.out.Append(nil))
	}
}

func (tx *Client) afterLocked(d time.Duration) {
	tx.table.wheel.After(&tx.timer, d, (*clientAlarm)(tx))
}

// unlockAndTell ends an event: it unlocks and delivers what is to be told. It is deferred, as unlockLater
// is: an event that panics fails this transaction, and nobody waits for its lock.
func (tx *Client) unlockAndTell() {
	v := recover()
	if v != nil {
		tx.breakLocked()
	}
	err := tx.failed
	tx.failed = nil
	tx.mu.Unlock()
	if err != nil {
		tx.user.Failed(tx, err)
	}
	if v != nil {
		tx.table.onPanic.Pass(v)
	}
}

// unlockLater unlocks after a call of the user, who may hold a lock of its own.
func (tx *Client) unlockLater() {
	v := recover()
	if v != nil {
		tx.breakLocked()
	}
	if tx.failed != nil {
		tx.afterLocked(0)
	}
	tx.mu.Unlock()
	if v != nil {
		tx.table.onPanic.Pass(v)
	}
}

// breakLocked ends what panicked.
func (tx *Client) breakLocked() {
	if tx.state == calling || tx.state == ringing {
		tx.failLocked(ErrInternal)
		return
	}
	tx.terminateLocked()
}
