package proxy

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// responseContext is a server transaction and its branches (§16.7). It is passive:
// events change it under mu and what is to be sent anew is collected in acts and done
// after unlocking; responses are forwarded under mu, which keeps their order.
//
// Invariants:
//   - at most one final response is forwarded but for 2xx to INVITE;
//   - every 2xx to INVITE is forwarded, also after another 2xx, but for two that would find
//     nobody: after a final of 300 and above, and of a branch given up before (failover, dead flow) when something
//     else has won. Those are acknowledged and ended by us (docs/adr/0008-late-answers-are-ended-by-us.md);
//   - a non-2xx final is forwarded only when no target is pending;
//   - a CANCEL goes to a branch only after its provisional (Client.Cancel sees to it).
type responseContext struct {
	// Static after start.
	p        *Proxy
	tx       *transaction.Server
	from     *flow.Flow // whom the request came from
	route    route
	name     flow.Name // the caller's, where the request can form a dialog
	caller   string    // its token
	loop     uint64
	vias     uint64 // what of its Vias a response must have (viasOf)
	breadth  int
	port     uint16 // at which the caller listens, by its Via
	user     uint64 // whose INVITE it is counted as
	invite   bool
	inDialog bool
	started  time.Time

	mu       sync.Mutex
	req      *sip.Message // nil after the final response
	targets  []*target
	branches []*branch
	next     int // first target of the next group
	pending  int // targets tried and not ended
	final    int // status of the first final response sent, 0 before
	best     bestResponse
	acts     []act

	// What nearly every context needs one of is part of it.
	oneTarget target
	oneBranch [1]*branch
	oneAct    [1]act
	oneTaken  bool // oneAct is in use or has been

	cancelled bool      // by the caller, or the caller is gone
	timedOut  bool      // nobody answered for Times.Ring
	stopped   bool      // by Stop
	rung      bool      // some 101–199 came
	decided   bool      // a 6xx came: nothing more is tried
	reason    []string  // Reason lines of the CANCELs
	followed  []sip.URI // what redirections led to, and the Request-URI
	ownVias   string    // the request's Vias, once a response came with others

	timer   transaction.Timer
	armed   time.Time // when timer goes off; zero: not armed
	ringBy  time.Time
	graceBy time.Time // the caller's flow is gone: until when it may come back
	watch   watchNode
}

// act is something to be done after unlocking.
type act struct {
	kind  actKind
	req   *sip.Message
	t     *target
	w     *Target
	b     *branch
	f     *flow.Flow
	name  flow.Name // whom f speaks for
	hop   Hop
	text  []byte
	lines []string
	resp  *sip.Message
	n     int
	call  *call
	up    string
	try   *try // of actLaunch and actReach, nil where the request leaves with its own CSeq
	again bool // of actLaunch: it has had a new connection
}

type actKind uint8

const (
	actLaunch actKind = iota // send a copy over f
	actReach                 // open a flow to hop
	actCancel
	actPing
	actGhost    // acknowledge and end a late 2xx
	actFinished // tell of the final response
	actForgotten
	actReopen          // a connection for a response
	actResend          // a new connection for a request
	actCancelElsewhere // the same for a CANCEL
)

func newContext(p *Proxy, tx *transaction.Server, req *sip.Message, r *route, set []Target) *responseContext {
	rc := &responseContext{p: p, tx: tx, from: tx.Flow(), route: *r, req: req, started: time.Now()}
	rc.invite = req.Method() == "INVITE"
	rc.vias = p.viasOf(req, 0)
	rc.port = cmp.Or(req.TopVia().Port, defaultPort(rc.from.Info().Transport))
	rc.inDialog = r.pair || r.bare
	rc.targets = newTargets(rc, set)
	rc.branches = rc.oneBranch[:0]
	if recordsRoute(req.Method()) && !rc.inDialog {
		if f := p.Flows.Adopt(rc.from); f != nil {
			rc.from = f // a UDP peer gets a flow that can be looked up
		}
		rc.name = p.nameOf(req, rc.from)
		var b [flow.TokenLen]byte
		rc.caller = string(p.Keys.Append(b[:0], flow.Token{Node: p.Node, Side: flow.Caller, Flow: rc.from.ID, Name: rc.name}, rc.req.CallID()))
	}
	return rc
}

// todo adds to what is to be done after unlocking.
func (rc *responseContext) todo(a act) {
	if rc.acts == nil && !rc.oneTaken {
		rc.oneTaken = true
		rc.acts = rc.oneAct[:0]
	}
	rc.acts = append(rc.acts, a)
}

func (rc *responseContext) start() {
	rc.p.Counters.Contexts.Add(1)
	rc.mu.Lock()
	defer rc.unlock()
	if rc.invite {
		rc.ringBy = rc.started.Add(rc.p.Times.Ring)
		if rc.from.Upstream() == "" {
			rc.p.watch.add(&rc.watch, rc.from, rc)
		}
	}
	rc.startGroupLocked()
}

// unlock ends an event: it unlocks and does what the event left to do. It is always deferred: an event that
// panics ends this request, and neither holds its lock nor those who come after it.
func (rc *responseContext) unlock() {
	v := recover()
	if v != nil {
		rc.spoilLocked()
	}
	acts := rc.acts
	rc.acts = nil
	rc.mu.Unlock()
	for done := 0; done < len(acts); {
		done = rc.doAll(acts, done)
	}
	clear(acts) // oneAct lives as long as rc
	if v != nil {
		rc.p.Panicked.Pass(v)
	}
}

// doAll does acts from the one of that index on and returns how far it got: all, or beyond one that panicked.
func (rc *responseContext) doAll(acts []act, from int) (done int) {
	done = from
	defer rc.survive()
	for done < len(acts) {
		done++
		rc.do(&acts[done-1])
	}
	return done
}

func (rc *responseContext) do(a *act) {
	switch a.kind {
	case actLaunch:
		rc.launch(a, a.f)
	case actReach:
		b := *a
		rc.p.reachOr(b.w.id, b.w.Upstream, b.hop, len(b.req.String())+rc.p.added(b.w.Upstream), func(f *flow.Flow, err error) { rc.reached(&b, f, err) })
	case actCancel:
		rc.p.Counters.Cancels.Add(1)
		a.b.tx.Cancel(a.lines...)
	case actPing:
		b, f := a.b, a.f
		rc.p.Network.Ping(f, rc.p.Times.Pong, func(alive bool) { b.ponged(f, alive) })
	case actGhost:
		rc.p.endGhost(a.b, a.resp, a.n == 0, a.lines[0])
	case actFinished:
		if a.req.Method() == "BYE" && a.n != 401 && a.n != 407 {
			rc.p.calls.end(a.req)
		}
		rc.p.finished(a.req, rc.from, a.n, a.up, rc.started)
	case actResend:
		b, h := a.b, a.hop
		rc.p.reconnect(h, a.f, func(f *flow.Flow, err error) { b.reconnected(h, f, err) })
	case actCancelElsewhere:
		rc.p.cancelElsewhere(a)
	case actReopen:
		rc.reopen(a.hop, a.n, a.text)
	case actForgotten:
		rc.p.Counters.CallsForgotten.Add(1)
		a.call.leave("forgotten")
	}
}

// startGroupLocked starts the targets of the next q (§16.6: serial by q, parallel within), as many as
// Max-Breadth allows: what is beyond it comes when those have ended (RFC 5393 §5.3.3.1).
func (rc *responseContext) startGroupLocked() {
	from, n := rc.next, 1
	for from+n < len(rc.targets) && rc.targets[from+n].ways[0].Q == rc.targets[from].ways[0].Q {
		n++
	}
	n = min(n, rc.breadth)
	rc.next += n
	rc.pending += n
	group := rc.targets[from : from+n]
	for i, t := range group {
		t.breadth = rc.breadth / n
		if i < rc.breadth%n {
			t.breadth++
		}
	}
	for _, t := range group {
		rc.tryLocked(t)
	}
}

// closedLocked reports that nothing new is to be sent.
func (rc *responseContext) closedLocked() bool {
	return rc.final != 0 || rc.cancelled || rc.timedOut || rc.stopped || rc.decided
}

// tryLocked starts the way that t stands at.
func (rc *responseContext) tryLocked(t *target) {
	if rc.closedLocked() {
		rc.endLocked(t, rc.unsentLocked())
		return
	}
	w := t.current()
	if len(w.Hops) > 0 {
		t.state = connecting
		rc.todo(act{kind: actReach, req: rc.req, t: t, w: w, hop: w.Hops[t.hop]})
		return
	}
	f, name := rc.p.flowOf(w)
	switch {
	case f == nil && t.left():
		t.advance()
		rc.tryLocked(t)
	case f == nil:
		rc.holdLocked(t)
	case rc.usedLocked(f):
		rc.failWayLocked(t, answer{err: errAway}) // a client answers 482 to a second branch
	default:
		rc.launchLocked(t, f, name)
	}
}

func (rc *responseContext) launchLocked(t *target, f *flow.Flow, name flow.Name) {
	t.state = reaching
	t.tried |= 1 << t.way
	rc.todo(act{kind: actLaunch, req: rc.req, t: t, w: t.current(), f: f, name: name})
}

// usedLocked reports whether the WebSocket flow f has had a branch of this context or is to have one.
func (rc *responseContext) usedLocked(f *flow.Flow) bool {
	if !f.Info().Transport.WebSocket() {
		return false
	}
	return slices.ContainsFunc(rc.branches, func(b *branch) bool { return b.to == f }) ||
		slices.ContainsFunc(rc.acts, func(a act) bool { return a.kind == actLaunch && a.f == f })
}

// Response is transaction.ClientUser.
func (b *branch) Response(tx *transaction.Client, m *sip.Message) {
	rc := b.t.rc
	if b.w.Upstream != "" {
		rc.p.noteSubscribed(m)
	}
	if b.w.Exchange != nil {
		b.w.Exchange.Answers(m, tx.Flow())
	}
	rc.mu.Lock()
	defer rc.unlock()
	b.tellPeer(m)
	b.noteForkLocked(m)
	b.acceptedLocked(m)
	switch status := m.Status(); {
	case status == 100:
		b.heardLocked()
		if rc.invite && !b.proceeded && !b.done {
			rc.p.mutes.add(b)
		}
	case status < 200:
		rc.provisionalLocked(b, m)
	case status < 300 && viaLost(m):
		rc.successLostLocked(b, m)
	case status < 300:
		rc.successLocked(b, m)
	default:
		rc.failureLocked(b, m)
	}
}

// heardLocked: the peer is there, whatever it says.
func (b *branch) heardLocked() {
	b.heard = true
	b.answerBy, b.tryBy = time.Time{}, time.Time{}
}

// provisionalLocked is §16.7 steps 2 and 5: Timer C anew, and on to the caller.
func (rc *responseContext) provisionalLocked(b *branch, m *sip.Message) {
	b.heardLocked()
	b.proceeded = true
	rc.p.mutes.remove(b)
	if b.done || !rc.invite {
		return // RFC 4320 §4.1: none but 100 goes to a non-INVITE, and that is the transaction's
	}
	b.timerC = time.Now().Add(rc.p.Times.TimerC)
	rc.rung = true
	switch {
	case viaLost(m):
		rc.p.Counters.drop(DropNoVia)
	case rc.final == 0:
		rc.forwardLocked(b, m)
	}
}

// successLocked forwards every 2xx to INVITE that finds its caller, and the first to anything else (§16.7
// steps 5 and 10).
func (rc *responseContext) successLocked(b *branch, m *sip.Message) {
	b.heardLocked()
	ghost := rc.final >= 300 || b.abandoned && rc.final != 0 && !b.won
	switch {
	case !rc.invite && rc.final != 0:
		rc.closeBranchLocked(b)
		return
	case ghost:
		n := 0
		if b.ended {
			n = 1 // a retransmission: ACK again, no second BYE
		}
		b.ended = true
		rc.closeBranchLocked(b)
		rc.todo(act{kind: actGhost, b: b, resp: m, n: n, lines: rc.ghostReason()})
		return
	}
	first := rc.final == 0
	b.won = true
	var peer Peer
	if first {
		b.place() // again, if it had been given up
		peer = b.leavePlace()
	}
	rc.closeBranchLocked(b)
	rc.loggedInLocked(b, m)
	if b.t.branch == b && b.t.state == running {
		b.t.state = ended
		rc.pending--
	}
	if first {
		rc.final = m.Status()
		rc.noteCallLocked(b, m, peer)
	} else if rc.invite && !rc.inDialog {
		rc.p.calls.alsoAnswered(m)
	}
	rc.forwardLocked(b, m)
	if !first {
		return
	}
	if rc.invite {
		rc.reason = elsewhere
		rc.cancelPendingLocked()
	}
	rc.closeLocked(b.w.Upstream)
}

// noteCallLocked tells the call table of a 2xx to INVITE or UPDATE; peer counts the call.
func (rc *responseContext) noteCallLocked(b *branch, m *sip.Message, peer Peer) {
	switch {
	case rc.inDialog:
		if _, method := m.CSeq(); rc.invite || method == "UPDATE" {
			rc.p.calls.refreshed(m)
		}
	case rc.invite:
		if old := rc.p.calls.answered(rc.p, rc, b, m, peer); old != nil {
			rc.todo(act{kind: actForgotten, call: old})
		}
	}
}

// failureLocked is a final response of 300 and above (§16.7 steps 4–6).
func (rc *responseContext) failureLocked(b *branch, m *sip.Message) {
	b.heardLocked()
	if b.done {
		return
	}
	rc.closeBranchLocked(b)
	t, status := b.t, m.Status()
	a := rc.answerOf(b, m)
	switch {
	case rc.challengedLocked(b, m), rc.tooBriefLocked(b, m):
		return
	case rc.redirectedLocked(b, m):
		return
	case status == 487 && b.cancelled && !rc.closedLocked(): // Timer C, not the caller
		a = answer{err: sip.Refuse(408, "Request Timeout")}
	case status >= 600:
		rc.decided = true
		rc.reason = reason(status, sip.StatusText(status))
		rc.cancelPendingLocked()
	case (status == 503 || Stopping(m) && !rc.inDialog) && len(b.w.Hops) > 0 && !b.proceeded:
		rc.failoverLocked(t)
		if _, method := m.CSeq(); !rc.inDialog && method != "REGISTER" {
			e := unavailable(nil)
			if why := m.Named("Reason"); why != "" { // RFC 3326: what it says of the call stays true
				e.Headers = append(e.Headers, "Reason: "+why)
			}
			a = answer{err: e}
		}
		rc.failWayLocked(t, a)
		return
	case status == 430: // RFC 5626 §5.3: the instance's next flow
		rc.failWayLocked(t, a)
		return
	}
	rc.endLocked(t, a)
}

// failWayLocked goes on to the next way of t, or ends it.
func (rc *responseContext) failWayLocked(t *target, a answer) {
	if t.state == ended {
		return
	}
	if rc.closedLocked() || !t.left() {
		rc.endLocked(t, a)
		return
	}
	t.advance()
	rc.tryLocked(t)
}

// forwardLocked passes a response on as it is, without our Via (§16.7 steps 3 and 9).
func (rc *responseContext) forwardLocked(b *branch, m *sip.Message) {
	if out := rc.spliceResponse(m); out != nil {
		rc.sendLocked(b, m, out)
	}
}

// splices are for responses, which need theirs only until they are sent.
var splices = sync.Pool{New: func() any { return new(sip.Splice) }}

// spliceResponse is nil for a response that nobody above us would take.
func (rc *responseContext) spliceResponse(m *sip.Message) *sip.Splice {
	out := splices.Get().(*sip.Splice)
	*out = m.Splice()
	out.PopVia()
	if !rc.returnVias(m, out) {
		release(out)
		return nil
	}
	return out
}

func release(out *sip.Splice) {
	*out = sip.Splice{}
	splices.Put(out)
}

// sendLocked queues it for the caller. Relay runs under the context's lock, which is
// what keeps responses in order: it must not block or call the proxy.
func (rc *responseContext) sendLocked(b *branch, m *sip.Message, out *sip.Splice) {
	b.restoreFrom(m, out)
	b.restoreNumber(out)
	status := b.withoutEarlyMedia(m, out)
	if rc.p.Relay != nil {
		rc.p.Relay(rc.tx, m, out, b.to)
	}
	if b.w.Exchange != nil {
		b.w.Exchange.Returns(m, out)
	}
	rc.p.Counters.Responses.Add(1)
	if text := out.Append(make([]byte, 0, len(m.String())+8)); !rc.tx.Forward(status, text) {
		rc.reopenLocked(status, text)
	}
	release(out)
}
