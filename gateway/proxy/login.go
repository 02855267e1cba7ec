package proxy

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Terms are how an upstream is dealt with, beyond passing messages on.
type Terms struct {
	// Login answers its challenges (RFC 3261 §22) in the name of callers, who never see them; nil: they are for the callers.
	Login      Login
	EarlyMedia EarlyMedia
	// Redirect is where a Contact of a redirection of its leads, with the caller's rights; none: nowhere. A 3xx with
	// one that leads somewhere is followed instead of passed on (§16.7 step 4). nil: none is.
	Redirect func(req *sip.Message, from *flow.Flow, contact *sip.URI) []Target
}

// Login makes credentials. It is called from many goroutines.
type Login interface {
	// Known is the header line for a request that has not been challenged, "" for none. uri is the
	// Request-URI that it leaves with.
	Known(at netip.AddrPort, method, uri string) string
	// Answer is the header line for the request once more, after the challenge in resp. tried is 0 for a request
	// without credentials of ours, 1 for one with those of Known, else the next of the last Answer to it. The error
	// may be what the caller is to hear, a *sip.StatusError.
	Answer(at netip.AddrPort, resp *sip.Message, tried uint8, method, uri string) (line string, next uint8, err error)
	// Refused is told of a challenge that could not be answered.
	Refused(at netip.AddrPort, err error)
	// Accepted is told that a request outside a dialog got further with the credentials in that line.
	Accepted(line string)
}

// refusesLogin is what a caller hears whose upstream wants other credentials than we have. A challenge would ask the
// caller for what only we can know.
func refusesLogin(upstream string, why error) error {
	if s := (*sip.StatusError)(nil); errors.As(why, &s) {
		return s
	}
	return &sip.StatusError{Code: 503, Reason: "Service Unavailable: upstream " + upstream + " refuses our login", Err: why}
}

// shiftParam is a parameter of our Record-Route: what was added to the CSeq of the request that began the dialog.
const shiftParam = "cs"

func (p *Proxy) terms(upstream string) *Terms {
	if upstream == "" || p.Terms == nil {
		return nil
	}
	return p.Config.Terms(upstream)
}

// login is nil for an upstream whose challenges are the callers'.
func (p *Proxy) login(upstream string) Login {
	if t := p.terms(upstream); t != nil {
		return t.Login
	}
	return nil
}

// loginAt is the login for what goes to one address of an upstream: not at another port of a hop's host, which may be anybody's there.
func (p *Proxy) loginAt(upstream string, h *Hop) Login {
	if h.Beside {
		return nil
	}
	return p.login(upstream)
}

// renumbers reports whether what goes to upstream may have another CSeq than its sender's: it is one that requests are sent
// to once more. base is what our Record-Route says of the dialog, which may be older than this process.
func (p *Proxy) renumbers(upstream string, base uint32) bool {
	return upstream != "" && (base > 0 || p.login(upstream) != nil || p.minimums.raised(upstream))
}

// try is one sending of a request to an upstream that renumbers speaks of.
type try struct {
	login       Login         // nil: its challenges are the caller's
	again       bool          // the hop has had this request, and wants it otherwise
	challenge   *sip.Message  // 401 or 407 that it answers, nil for none
	tried       uint8         // credentials of ours that it has, as Login counts them
	raises      uint8         // how often its session interval was raised (minse.go)
	least       time.Duration // to which, 0 for not
	cseq, left  uint32        // the caller's number, and the one that it leaves with
	credentials string        // header line, "" for none
}

// added is about how much longer a request leaves for an upstream ("" for none) than it came.
func (p *Proxy) added(upstream string) int {
	if p.login(upstream) != nil {
		return added + 300
	}
	return added
}

// setNumber gives the copy its CSeq towards an upstream, and what speaks of CSeqs (RFC 3262 §7.2).
func (rc *responseContext) setNumber(a *act, out *sip.Splice) error {
	if !rc.p.renumbers(a.w.Upstream, rc.route.shift) {
		return nil
	}
	if a.try == nil {
		a.try = &try{}
	}
	t := a.try
	n, method := a.req.CSeq()
	if method != "REGISTER" { // who registers has a password
		t.login = rc.p.login(a.w.Upstream)
	}
	k := rc.p.shifts.key(a.req.CallID(), a.req.FromTag(), a.w.Upstream)
	var ok bool
	t.cseq = n
	t.left, ok = rc.p.shifts.number(k, sending{
		cseq: n, base: rc.route.shift, invite: rc.invite, again: t.again, dialog: rc.inDialog && method != "BYE" || recordsRoute(method),
	})
	if !ok {
		return errNumbers
	}
	if rc.inDialog {
		rc.p.holdShift(k, a.req)
	}
	if t.left != n {
		out.SetCSeq(t.left)
	}
	if method == "PRACK" {
		rc.p.shiftRAck(k, a.req, out, rc.route.shift)
	}
	return nil
}

var errNumbers = sip.Refuse(500, "CSeq is too high")

// shiftRAck names the INVITE by the number that it left with.
func (p *Proxy) shiftRAck(k callKey, req *sip.Message, out *sip.Splice, base uint32) {
	rseq, rest, _ := strings.Cut(req.Value(sip.RAck), " ")
	number, method, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return // the callee will say so
	}
	left := p.shifts.invite(k, uint32(n), base, req.ToTag()).left
	for _, f := range req.Fields() {
		if f.Header == sip.RAck && left != uint32(n) {
			out.Replace(f, rseq+" "+strconv.FormatUint(uint64(left), 10)+" "+strings.TrimLeft(method, " \t"))
		}
	}
}

// logIn puts credentials into the copy, which is ready but for them.
func (rc *responseContext) logIn(a *act, f *flow.Flow, out *sip.Splice) error {
	t := a.try
	if t == nil || t.login == nil {
		return nil
	}
	at := f.Info().Remote
	if a.hop.Beside {
		return rc.noLogIn(t, a.w.Upstream)
	}
	if t.challenge == nil {
		if t.credentials = t.login.Known(at, a.req.Method(), out.URI()); t.credentials == "" {
			return nil
		}
		t.tried = 1
	} else {
		var err error
		if t.credentials, t.tried, err = t.login.Answer(at, t.challenge, t.tried, a.req.Method(), out.URI()); err != nil {
			t.login.Refused(at, err)
			rc.p.Counters.LoginsRefused.Add(1)
			return refusesLogin(a.w.Upstream, err)
		}
		t.challenge = nil
		rc.p.Counters.LoginsAnswered.Add(1)
	}
	setCredentials(a.req, out, t.credentials)
	k := rc.p.shifts.key(a.req.CallID(), a.req.FromTag(), a.w.Upstream)
	if rc.invite {
		rc.p.shifts.sign(k, sentInvite{cseq: t.cseq, left: t.left, credentials: t.credentials})
	}
	return nil
}

// noLogIn is for another port of a hop's host, which may be another customer's there: nobody's password is for him.
func (rc *responseContext) noLogIn(t *try, upstream string) error {
	if t.challenge == nil {
		return nil
	}
	rc.p.Counters.LoginsRefused.Add(1)
	return sip.Refuse(503, "Service Unavailable: our login at upstream "+upstream+" is for its hops alone")
}

// setCredentials puts ours in the place of those that the caller sent for the same question.
func setCredentials(req *sip.Message, out *sip.Splice, line string) {
	name, value, _ := strings.Cut(line, ": ")
	out.RemoveAll(sip.HeaderNamed(name))
	out.Add(name, value)
}

// challengedLocked sees to a 401 or 407 of an upstream that we have a login for: the same hop gets the request
// once more (§22.2, §22.3). The caller's other branches and timers go on. false: it is an answer like any.
func (rc *responseContext) challengedLocked(b *branch, m *sip.Message) bool {
	if s := m.Status(); s != 401 && s != 407 || b.try == nil || b.try.login == nil {
		return false
	}
	if rc.closedLocked() {
		rc.endLocked(b.t, rc.unsentLocked())
		return true
	}
	rc.againLocked(b, &try{challenge: m, tried: b.try.tried, raises: b.try.raises, least: b.try.least})
	return true
}

// againLocked sends the request of a branch that has ended where it went, once more and changed as t says.
func (rc *responseContext) againLocked(b *branch, t *try) {
	t.again = true
	a := act{kind: actLaunch, req: rc.req, t: b.t, w: b.w, f: b.to, name: b.name, try: t}
	b.t.state = reaching
	if len(b.w.Hops) > 0 {
		a.hop = b.w.Hops[b.t.hop]
		if !b.to.Live() {
			a.kind, b.t.state = actReach, connecting // it hung up on us
		}
	}
	rc.todo(a)
}

// restoreNumber gives the caller its CSeq back.
func (b *branch) restoreNumber(out *sip.Splice) {
	if b.try != nil && b.try.left != b.try.cseq {
		out.SetCSeq(b.try.cseq)
	}
}

// shiftAck gives the ACK to a 2xx the number and the credentials of its INVITE.
func (p *Proxy) shiftAck(m *sip.Message, out *sip.Splice, r *route) {
	if !p.renumbers(r.dstName, r.shift) {
		return
	}
	n, _ := m.CSeq()
	i := p.shifts.invite(p.shifts.key(m.CallID(), m.FromTag(), r.dstName), n, r.shift, m.ToTag())
	if i.left != n && i.left <= maxCSeq {
		out.SetCSeq(i.left)
	}
	if i.credentials != "" && !r.beside {
		setCredentials(m, out, i.credentials)
	}
}

// loggedInLocked keeps what was learnt of CSeqs for as long as what a 2xx begins; calls see to themselves (callTable.answered).
func (rc *responseContext) loggedInLocked(b *branch, m *sip.Message) {
	if b.try == nil || rc.invite || rc.final != 0 {
		return
	}
	life := shiftLife
	if m.Has(sip.Expires) {
		life = max(seconds(m.Value(sip.Expires)), time.Minute)
	}
	rc.p.shifts.keep(rc.p.shifts.key(m.CallID(), m.FromTag(), b.w.Upstream), life)
}

// acceptedLocked tells a login of a response that its credentials brought.
func (b *branch) acceptedLocked(m *sip.Message) {
	if b.try == nil || b.try.credentials == "" || b.t.rc.inDialog {
		return
	}
	switch s := m.Status(); {
	case s > 100 && s < 300, s == 404, s >= 480 && s < 490, s >= 600:
		b.try.login.Accepted(b.try.credentials)
	}
}

// noteForkLocked keeps apart which of several branches of an INVITE a callee answers: each may have left with a number of its own.
func (b *branch) noteForkLocked(m *sip.Message) {
	rc := b.t.rc
	if s := m.Status(); b.try == nil || s <= 100 || s >= 300 || !rc.invite || rc.inDialog || len(rc.targets) < 2 {
		return
	}
	t := b.try
	rc.p.shifts.answered(rc.p.shifts.key(m.CallID(), m.FromTag(), b.w.Upstream), sentInvite{cseq: t.cseq, left: t.left, credentials: t.credentials}, m.ToTag())
}

// forgetLoginLocked: the request is over; what begins no dialog leaves nothing behind, unless its caller is to send it again.
func (rc *responseContext) forgetLoginLocked(upstream string) {
	for _, b := range rc.branches { // those of others
		if up := b.w.Upstream; b.try != nil && up != upstream && !rc.inDialog {
			rc.p.shifts.drop(rc.p.shifts.key(rc.req.CallID(), rc.req.FromTag(), up))
		}
	}
	if rc.inDialog || rc.final < 300 && recordsRoute(rc.req.Method()) || !rc.p.renumbers(upstream, 0) {
		return
	}
	k := rc.p.shifts.key(rc.req.CallID(), rc.req.FromTag(), upstream)
	if asksAgain(rc.final) {
		rc.p.shifts.linger(k)
		return
	}
	rc.p.shifts.drop(k)
}

// asksAgain reports whether a caller sends its request once more upon that response, of the same From tag and with the next
// CSeq (RFC 3261 §8.1.3.4, §8.1.3.5; RFC 4028 §7.4), which may have been used up towards the upstream.
func asksAgain(status int) bool {
	switch status {
	case 401, 407, 413, 415, 416, 420, 422:
		return true
	}
	return status >= 300 && status < 400
}

// holdShift has the call that an in-dialog request belongs to keep its shift.
func (p *Proxy) holdShift(k callKey, req *sip.Message) {
	if s := p.shifts.hold(k); s != nil && !p.calls.attach(req, s) {
		s.unhold()
	}
}
