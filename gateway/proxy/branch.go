package proxy

import (
	"errors"
	"hash/maphash"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// branch is one client transaction of a response context. The context's mu guards it.
type branch struct {
	t         *target
	w         *Target // the way it goes
	tx        *transaction.Client
	to        *flow.Flow
	name      flow.Name // whom to speaks for
	from      string    // the caller's From, where the copy may have another
	records   int       // Record-Route values that the request left with
	peer      Peer      // the address it went to, where somebody wants to know
	placed    bool      // peer counts it as a call
	silent    bool      // peer was told so
	hop       int       // index of the hop it went to
	resent    bool      // it got a new connection after its own had ended
	resending bool      // that is being opened

	started   bool // Start has returned
	cancelled bool // a CANCEL is wanted or on its way
	heard     bool // any response, 100 too
	proceeded bool // 101–199
	done      bool // final response, or given up
	abandoned bool // given up before its final response
	won       bool // its 2xx was forwarded
	ended     bool // its late 2xx was answered with a BYE

	try *try // nil where the request left with its own CSeq

	reason   []string  // Reason lines of its CANCEL
	answerBy time.Time // ping a silent WebSocket flow
	tryBy    time.Time // next hop
	lastBy   time.Time // the last hop has been silent for too long
	graceBy  time.Time // its flow is gone: until when it may come back
	timerC   time.Time
	watch    watchNode
	mute     mute // guarded by muteIndex.mu but for listed
}

// reached goes on with a hop once there is a flow to it.
func (rc *responseContext) reached(a *act, f *flow.Flow, err error) {
	if err != nil {
		rc.unreached(a, err)
		return
	}
	defer rc.survive()
	if rc.connected(a.t) {
		rc.launch(a, f)
	}
}

// connected: the connection for t is there; false when nobody wants it any more.
func (rc *responseContext) connected(t *target) bool {
	rc.mu.Lock()
	defer rc.unlock()
	if t.state != connecting {
		return false
	}
	t.state = reaching
	return true
}

func (rc *responseContext) unreached(a *act, err error) {
	rc.mu.Lock()
	defer rc.unlock()
	rc.failoverLocked(a.t)
	if a.hop.Peer != nil {
		a.hop.Peer.Lost(err, true)
	}
	rc.failWayLocked(a.t, answer{err: unavailable(err)})
}

// failoverLocked counts a hop given up, if there is a next.
func (rc *responseContext) failoverLocked(t *target) {
	if t.left() && !rc.closedLocked() {
		rc.p.Counters.Failovers.Add(1)
	}
}

// unavailable is what a hop ends with that cannot be reached or takes no calls. Once that is so of all hops of
// an upstream, it is what the caller hears: whoever else is called there next will fare no better (§16.7 step 6).
func unavailable(why error) *sip.StatusError {
	return &sip.StatusError{
		Code: 503, Reason: "Service Unavailable: no server of the upstream takes the request",
		Headers: []string{"Retry-After: 10"}, Err: why,
	}
}

// launch makes the copy of a request for a way over f and sends it (§16.6).
func (rc *responseContext) launch(a *act, f *flow.Flow) {
	req, t, id := a.req, a.t, transaction.NewID()
	out, err := rc.copyRequest(a, f, id)
	if err != nil {
		rc.unsendable(t, err)
		return
	}
	b := &branch{t: t, w: a.w, to: f, name: a.name, from: ownFrom(a), peer: a.hop.Peer, try: a.try, resent: a.again}
	if rc.invite {
		b.records = 2 + countValues(req, sip.RecordRoute)
	}
	b.tx = rc.p.Table.Client(id, req.Method(), f, b)
	if !rc.enter(b) {
		return
	}
	rc.p.Counters.Forwarded.Add(1)
	b.tx.Start(out)
	rc.begun(b)
	if !f.Live() {
		b.flowClosed(f, sip.CloseLost) // it closed before it was watched
	}
}

// unsendable: the copy for t cannot be made.
func (rc *responseContext) unsendable(t *target, err error) {
	rc.mu.Lock()
	defer rc.unlock()
	rc.endLocked(t, answer{err: sip.AsStatus(err)})
}

// enter makes b a running branch, unless nothing is to be sent any more.
func (rc *responseContext) enter(b *branch) (entered bool) {
	rc.mu.Lock()
	defer rc.unlock()
	if rc.closedLocked() {
		rc.endLocked(b.t, rc.unsentLocked())
		return false
	}
	rc.enterLocked(b)
	return true
}

// begun: the request has left, and a CANCEL that was wanted meanwhile may follow.
func (rc *responseContext) begun(b *branch) {
	rc.mu.Lock()
	defer rc.unlock()
	b.started = true
	if b.cancelled {
		rc.todo(act{kind: actCancel, b: b, lines: b.reason})
	}
}

// enterLocked makes b the running branch of its target and sets its deadlines.
func (rc *responseContext) enterLocked(b *branch) {
	t, w, now := b.t, b.w, time.Now()
	t.branch, t.state, b.hop = b, running, t.hop
	rc.branches = append(rc.branches, b)
	if b.to.Info().Transport.WebSocket() {
		b.answerBy = now.Add(rc.p.Times.Answer)
	}
	b.place()
	if len(w.Hops) > 0 && (t.left() || rc.invite) {
		try := w.TryTimeout
		if try == 0 {
			try = rc.p.Times.Try
		}
		b.tryBy = now.Add(within(try))
		if rc.invite && !rc.inDialog {
			b.lastBy = now.Add(within(max(try, lastTry)))
		}
	}
	if rc.invite {
		b.timerC = now.Add(rc.p.Times.TimerC)
	}
	rc.p.watch.add(&b.watch, b.to, b)
	rc.armLocked()
}

// within is for how long a timer is set that is to go off no later than d: the wheel's may be one step late.
func within(d time.Duration) time.Duration {
	return max(d-transaction.Resolution, min(d, transaction.Resolution))
}

// lastTry is how long at least the last hop may be silent: one that is slow to say 100 is better than none.
const lastTry = 5 * time.Second

// Failed is transaction.ClientUser: no final response will come.
func (b *branch) Failed(_ *transaction.Client, err error) {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	rc.failedLocked(b, err)
}

func (rc *responseContext) failedLocked(b *branch, err error) {
	if b.done || err == transaction.ErrTransport && (b.resending || rc.resendLocked(b)) {
		return
	}
	rc.closeBranchLocked(b)
	b.abandoned = true
	if !b.heard || err == transaction.ErrTransport {
		b.tellLost(err)
	}
	hops := len(b.w.Hops) > 0
	a := answer{err: &sip.StatusError{Code: 408, Reason: "Request Timeout", Err: err}}
	switch {
	case hops && (err != transaction.ErrTimeout || rc.invite && !b.heard && !rc.inDialog):
		a.err = unavailable(err) // §16.9
	case err != transaction.ErrTimeout:
		a.err = errAway
	}
	if b.proceeded || b.cancelled {
		rc.endLocked(b.t, a)
		return
	}
	if hops {
		rc.failoverLocked(b.t)
	}
	rc.failWayLocked(b.t, a)
}

// abandonLocked gives a running branch up: its target ends with a, or goes on with
// its next way. Late answers are seen to; reason is for its CANCEL.
func (rc *responseContext) abandonLocked(b *branch, a answer, reason []string) {
	if b.done {
		return
	}
	b.abandoned = true
	rc.closeBranchLocked(b)
	rc.cancelBranchLocked(b, reason)
	b.tx.Quiet() // it would ring there while another hop is talked to
	rc.failWayLocked(b.t, a)
}

// closeBranchLocked takes b out of the timers and off its flow.
func (rc *responseContext) closeBranchLocked(b *branch) {
	b.done = true
	rc.p.watch.remove(&b.watch)
	rc.p.mutes.remove(b)
	if peer := b.leavePlace(); peer != nil {
		peer.Ended()
	}
}

// place counts what begins a call among those at its peer.
func (b *branch) place() {
	if rc := b.t.rc; b.peer != nil && rc.invite && !rc.inDialog && !b.placed {
		b.placed = true
		b.peer.Began()
	}
}

// leavePlace gives that up; whoever gets the peer tells it of the end, nil for none.
func (b *branch) leavePlace() Peer {
	if !b.placed {
		return nil
	}
	b.placed = false
	return b.peer
}

// counts reports whether what becomes of b may take its hop out for everybody: an INVITE of somebody we know. Servers drop and
// refuse other requests for what is in them, or for who is behind; RFC 4320 §4.1 has proxies swallow their 408.
func (b *branch) counts() bool { return b.t.rc.invite && b.t.rc.from.Proven() }

// tellLost passes on that no response came, silence once.
func (b *branch) tellLost(err error) {
	if b.peer == nil || err == transaction.ErrTimeout && b.silent {
		return
	}
	b.silent = err == transaction.ErrTimeout
	b.peer.Lost(lostBy(err, b.to), b.counts())
}

// tellPeer passes on what a response says of the peer's health.
func (b *branch) tellPeer(m *sip.Message) {
	status := m.Status()
	if b.peer == nil || status < 200 && b.heard {
		return
	}
	switch {
	case Stopping(m):
		status = 503
	case status == 503 && b.proceeded:
		status = 500 // who has rung is behind the server, and it is his
	}
	if status != 503 {
		b.peer.Heard(status, 0, 0)
		return
	}
	if !b.counts() {
		b.peer.Lost(errUnavailable, false)
		return
	}
	retryAfter, callee := time.Duration(0), uint64(0)
	if m.Has(sip.RetryAfter) {
		retryAfter = seconds(m.Value(sip.RetryAfter))
	}
	if rc := b.t.rc; rc.req != nil {
		callee = maphash.String(rc.p.seed, rc.req.RequestURI())
	}
	b.peer.Heard(status, retryAfter, callee)
}

var errUnavailable = errors.New("503")

// seconds is the delta-seconds at the start of a Retry-After (RFC 3261 §20.33), 0 where there are none.
func seconds(value string) time.Duration {
	n := 0
	for i := 0; i < len(value) && value[i] >= '0' && value[i] <= '9'; i++ {
		if n = 10*n + int(value[i]-'0'); n > 1<<20 {
			break // beyond what anybody waits
		}
	}
	return time.Duration(n) * time.Second
}
