package transaction

import (
	"bytes"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// serverState is a state of RFC 3261 §17.2 or RFC 6026 §7.1.
type serverState uint8

const (
	trying     serverState = iota // nothing sent yet (an INVITE's is part of Proceeding in the RFC)
	proceeding                    // a provisional response was sent
	completed                     // a final response was sent; to INVITE: 300–699, without ACK yet
	confirmed                     // INVITE: the ACK has come
	accepted                      // INVITE: a 2xx was sent
	terminated
)

// Server is a server transaction. From the final response on it holds no
// message, only the bytes that may have to be sent again.
type Server struct {
	// Static after construction.
	table    *Table
	key      key
	method   string
	invite   bool
	reliable bool

	// Guarded by the flow's peerShard; listed by mu too.
	listed     flow.ID
	next, prev *Server

	mu        sync.Mutex
	state     serverState
	cancelled bool // a CANCEL has come
	unsent    bool // last is a final response that did not reach the flow
	lost      bool // the flow did not take the newest response
	ending    bool // Ended is still to be told
	flow      *flow.Flow
	req       *sip.Message // nil after the final response
	user      ServerUser
	cancel    *sip.Message // Cancelled is still to be told
	last      []byte       // the response to send again
	err       error        // for Ended
	timer     Timer
	pace      pace // of timers G and H
}

func newServer(t *Table, m *sip.Message, k key, from *flow.Flow) *Server {
	method := sip.OwnMethod(m.Method())
	return &Server{
		table: t, key: k, method: method, invite: method == "INVITE",
		reliable: from.Info().Transport.Reliable(), flow: from, req: m,
	}
}

func (tx *Server) kind() Kind {
	if tx.invite {
		return ServerInvite
	}
	return ServerOther
}

// Request is the request; nil once a final response has been sent or the transaction has ended. Who
// hands it to another goroutine hands over the message, not the question.
func (tx *Server) Request() *sip.Message {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.req
}

// Method is the request's method, also when Request is gone.
func (tx *Server) Method() string { return tx.method }

// Flow is where the request came from, or where its sender is now (FlowMoved).
func (tx *Server) Flow() *flow.Flow {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.flow
}

// SetUser sets who is told of CANCEL and the end; called within User.Request, or before
// what User.Request handed over goes on.
func (tx *Server) SetUser(u ServerUser) {
	tx.mu.Lock()
	defer tx.unlockLater()
	tx.user = u
}

// Reply answers with a response made by us; Source and ToTag are filled in here.
func (tx *Server) Reply(r *sip.Reply) {
	tx.mu.Lock()
	defer tx.unlockLater()
	tx.replyLocked(*r)
}

func (tx *Server) replyLocked(r sip.Reply) {
	if tx.req == nil {
		tx.table.counters.drop(UnsentLate)
		return
	}
	if tx.invite || !tx.reliable { // it may have to be sent again
		tx.forwardLocked(r.Status, appendReply(nil, tx.req, r, tx.key, tx.flow))
		return
	}
	p := newBuffer()
	defer p.free()
	p.b = appendReply(p.b, tx.req, r, tx.key, tx.flow)
	tx.forwardLocked(r.Status, p.b)
	tx.last = bytes.Clone(tx.last) // not sent, if there is one
}

// Refuse answers with err's status. Before SetUser it leaves no state behind: the request sent again is judged
// again, with the same To tag, and an ACK to that tag is absorbed. So a
// refusal costs its sender nothing but one answer, and a forged source gets no more than one.
func (tx *Server) Refuse(err *sip.StatusError) {
	tx.mu.Lock()
	defer tx.unlockLater()
	stateless := tx.user == nil && (tx.state == trying || tx.reliable && tx.state == proceeding)
	if !stateless || err.Code == 408 && !tx.invite {
		tx.replyLocked(refusal(err))
		return
	}
	tx.table.answer(tx.req, refusal(err), tx.key, tx.flow)
	tx.terminateLocked(nil)
}

// Forward sends a response that is already spliced, b given away. Order: it is queued before Forward returns.
// Every 2xx to an INVITE goes out, whatever went before (RFC 3261 §16.7 step 5); of other
// final responses only the first does. false: the flow did not take it. What is kept of it then goes out
// when the client is on another (FlowMoved, Move).
func (tx *Server) Forward(status int, b []byte) (taken bool) {
	tx.mu.Lock()
	defer tx.unlockLater()
	tx.lost = false
	tx.forwardLocked(status, b)
	return !tx.lost
}

// Move says that the client is reached over f from now on (RFC 3261 §18.2.2: a new connection in place of one that
// has closed). A final response that the old flow did not take is sent to f.
func (tx *Server) Move(f *flow.Flow) {
	tx.mu.Lock()
	defer tx.unlockLater()
	if tx.state != terminated {
		tx.moveLocked(f)
	}
}

func (tx *Server) forwardLocked(status int, b []byte) {
	if tx.invite {
		tx.answerInviteLocked(status, b)
	} else {
		tx.answerOtherLocked(status, b)
	}
}

// startLocked arms the timer of the state that a new transaction is in.
func (tx *Server) startLocked() {
	if tx.invite {
		tx.afterLocked(Trying100)
	} else {
		tx.afterLocked(Late100)
	}
}

// again handles the request sent again.
func (tx *Server) again() {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	tx.table.counters.absorbed.Add(1)
	if tx.state == trying && tx.invite {
		tx.send100Locked() // RFC 3261 §17.2.1: the client should stop retransmitting
		return
	}
	if tx.state == proceeding || tx.state == completed {
		tx.resendLocked()
	}
}

// resendLocked sends the last response again, if it is kept.
func (tx *Server) resendLocked() {
	if tx.last == nil {
		return
	}
	tx.table.counters.resentResponses.Add(1)
	tx.deliverLocked(tx.last)
}

// send100Locked answers 100 and leaves Trying.
func (tx *Server) send100Locked() {
	tx.provisionalLocked(appendReply(nil, tx.req, sip.Reply{Status: 100}, tx.key, tx.flow))
}

// provisionalLocked sends a provisional response; it is kept where the request can come again.
func (tx *Server) provisionalLocked(b []byte) {
	if !tx.reliable {
		tx.last = b
	}
	tx.state = proceeding
	tx.lost = deliver(tx.flow, b) != nil // the final response will tell
}

// deliverLocked sends a final response and notes whether the flow took it. What it did not
// take is kept for FlowMoved.
func (tx *Server) deliverLocked(b []byte) {
	tx.unsent = deliver(tx.flow, b) != nil
	if tx.lost = tx.unsent; tx.unsent {
		tx.last = b
	}
}

// cancelReceived takes a CANCEL that was answered; the user hears of the first, while it can do something.
func (tx *Server) cancelReceived(m *sip.Message) {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	if tx.state <= proceeding && !tx.cancelled {
		tx.cancelled = true
		tx.cancel = m
	}
}

// flowFailed: the client cannot be reached any more.
func (tx *Server) flowFailed(f *flow.Flow) {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	if tx.listed == f.ID {
		tx.terminateLocked(ErrTransport)
	}
}

// flowMoved: the client is on f now.
func (tx *Server) flowMoved(old, f *flow.Flow) {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	if tx.listed == old.ID {
		tx.moveLocked(f)
	}
}

func (tx *Server) moveLocked(f *flow.Flow) {
	if tx.listed != 0 {
		tx.table.unlistServer(tx)
		tx.table.listServer(tx, f.ID, 0)
	}
	tx.flow = f
	if tx.state > proceeding && tx.last != nil {
		tx.resendLocked()
		tx.settleLocked()
	}
}

// settleLocked lets go of what is not needed once a final response has reached the flow.
func (tx *Server) settleLocked() {
	if tx.unsent {
		return
	}
	if tx.invite {
		tx.settleInviteLocked()
	} else {
		tx.settleOtherLocked()
	}
}

func (tx *Server) terminateLocked(err error) {
	if tx.state == terminated {
		return
	}
	if tx.unsent {
		tx.table.counters.drop(Undelivered)
		err = ErrTransport
	}
	if err == ErrTimeout {
		tx.table.counters.timedOut[tx.kind()].Add(1)
	}
	tx.state, tx.req, tx.last, tx.cancel = terminated, nil, nil, nil
	tx.ending, tx.err = true, err
	tx.stopLocked()
	tx.table.unlistServer(tx)
	tx.table.removeServer(tx)
}

// serverAlarm keeps Expired out of Server's own methods.
type serverAlarm Server

// Expired implements Alarm.
func (a *serverAlarm) Expired(*Timer) {
	tx := (*Server)(a)
	tx.mu.Lock()
	defer tx.unlockAndTell()
	switch {
	case tx.timer.Stale():
	case tx.invite:
		tx.inviteAlarmLocked()
	default:
		tx.otherAlarmLocked()
	}
}

func (tx *Server) afterLocked(d time.Duration) {
	tx.table.wheel.After(&tx.timer, d, (*serverAlarm)(tx))
}

func (tx *Server) stopLocked() { tx.table.wheel.Stop(&tx.timer) }

// unlockAndTell ends an event: it unlocks and delivers what is to be told. It is deferred, as unlockLater
// is: an event that panics ends this transaction, and nobody waits for its lock.
func (tx *Server) unlockAndTell() {
	v := recover()
	if v != nil {
		tx.breakLocked()
	}
	tx.tellAndUnlock()
	if v != nil {
		tx.table.onPanic.Pass(v)
	}
}

func (tx *Server) tellAndUnlock() {
	u, cancel, ended := tx.user, tx.cancel, tx.ending
	if u != nil {
		tx.cancel, tx.ending = nil, false
		if ended {
			tx.user = nil
		}
	}
	tx.mu.Unlock()
	if u == nil {
		return
	}
	if cancel != nil {
		u.Cancelled(tx, cancel)
	}
	if ended {
		u.Ended(tx, tx.err)
	}
}

// unlockLater unlocks after a call of the user, who may hold a lock of its own: the wheel
// delivers what is to be told. In Trying that brings the 100 forward, which harms nobody.
func (tx *Server) unlockLater() {
	v := recover()
	if v != nil {
		tx.breakLocked()
	}
	if tx.user != nil && (tx.ending || tx.cancel != nil) {
		tx.afterLocked(0)
	}
	tx.mu.Unlock()
	if v != nil {
		tx.table.onPanic.Pass(v)
	}
}

// breakLocked ends what panicked, with 500 to a client that has no final response yet.
func (tx *Server) breakLocked() {
	req := tx.req
	tx.unsent = false
	tx.terminateLocked(ErrInternal)
	if req == nil {
		return
	}
	defer func() { _ = recover() }() // it panicked for want of a way to answer: the client's timer tells it
	tx.table.answer(req, refusal(errPanicked), tx.key, tx.flow)
}
