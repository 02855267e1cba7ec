package proxy

import (
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
	// without credentials of ours, 1 for one with those of Known, else the next of the last Answer to it.
	Answer(at netip.AddrPort, resp *sip.Message, tried uint8, method, uri string) (line string, next uint8, err error)
	// Refused is told of a challenge that could not be answered.
	Refused(at netip.AddrPort, err error)
}

// refusesLogin is what a caller hears whose upstream wants other credentials than we have. A challenge would ask the
// caller for what only we can know.
func refusesLogin(upstream string, why error) error {
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

// renumbers reports whether what goes to upstream may have another CSeq than its sender's: it is one that requests are sent
// to once more. base is what our Record-Route says of the dialog, which may be older than this process.
func (p *Proxy) renumbers(upstream string, base uint32) bool {
	return upstream != "" && (base > 0 || p.login(upstream) != nil || p.minimums.get(upstream) > 0)
}

// setNumber gives the copy its CSeq towards an upstream, and what speaks of CSeqs (RFC 3262 §7.2).
func (rc *responseContext) setNumber(a *act, out *sip.Splice) error {
	if !rc.p.renumbers(a.w.Upstream, rc.route.shift) {
		return nil
	}
	a.login = rc.p.login(a.w.Upstream)
	n, method := a.req.CSeq()
	k := rc.p.shifts.key(a.req.CallID(), a.req.FromTag(), a.w.Upstream)
	left := rc.p.shifts.number(k, n, rc.route.shift, a.again)
	if left == 0 {
		return errNumbers
	}
	a.cseq = left
	if left != n {
		out.SetCSeq(left)
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
	left := p.shifts.invite(k, uint32(n), base).left
	for _, f := range req.Fields() {
		if f.Header == sip.RAck && left != uint32(n) {
			out.Replace(f, rseq+" "+strconv.FormatUint(uint64(left), 10)+" "+strings.TrimLeft(method, " \t"))
		}
	}
}

// logIn puts credentials into the copy, which is ready but for them.
func (rc *responseContext) logIn(a *act, f *flow.Flow, out *sip.Splice) error {
	if a.login == nil {
		return nil
	}
	line, at := "", f.Info().Remote
	if a.resp == nil {
		if line = a.login.Known(at, a.req.Method(), out.URI()); line != "" {
			a.tried = 1
		}
	} else {
		var err error
		if line, a.tried, err = a.login.Answer(at, a.resp, a.tried, a.req.Method(), out.URI()); err != nil {
			a.login.Refused(at, err)
			rc.p.Counters.LoginsRefused.Add(1)
			return refusesLogin(a.w.Upstream, err)
		}
		rc.p.Counters.LoginsAnswered.Add(1)
	}
	if line == "" {
		return nil
	}
	setCredentials(a.req, out, line)
	k := rc.p.shifts.key(a.req.CallID(), a.req.FromTag(), a.w.Upstream)
	if rc.invite {
		n, _ := a.req.CSeq()
		rc.p.shifts.sign(k, sentInvite{n, a.cseq, line})
		a.credentials = line
	}
	if rc.inDialog {
		rc.p.holdShift(k, a.req)
	}
	return nil
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
	if s := m.Status(); s != 401 && s != 407 || b.login == nil {
		return false
	}
	if rc.closedLocked() {
		rc.endLocked(b.t, rc.unsentLocked())
		return true
	}
	rc.againLocked(b, act{resp: m, again: true, tried: b.tried, raises: b.raises})
	return true
}

// againLocked sends the request of a branch that has ended where it went, once more and changed as a says.
func (rc *responseContext) againLocked(b *branch, a act) {
	a.kind, a.req, a.t, a.w, a.f, a.name, a.hop = actLaunch, rc.req, b.t, b.w, b.to, b.name, b.hop
	if !b.to.Live() && b.hop.Addr.IsValid() {
		a.kind = actReach // it hung up on us
	}
	b.t.state = reaching
	rc.todo(a)
}

// restoreNumber gives the caller its CSeq back.
func (b *branch) restoreNumber(out *sip.Splice) {
	if b.cseq != 0 {
		out.SetCSeq(b.cseq)
	}
}

// shiftAck gives the ACK to a 2xx the number and the credentials of its INVITE.
func (p *Proxy) shiftAck(m *sip.Message, out *sip.Splice, r *route) {
	if !p.renumbers(r.dstName, r.shift) {
		return
	}
	n, _ := m.CSeq()
	i := p.shifts.invite(p.shifts.key(m.CallID(), m.FromTag(), r.dstName), n, r.shift)
	if i.left != n && i.left <= maxCSeq {
		out.SetCSeq(i.left)
	}
	if i.credentials != "" {
		setCredentials(m, out, i.credentials)
	}
}

// loggedInLocked keeps what was learnt of CSeqs for as long as what a 2xx begins; calls see to themselves (callTable.answered).
func (rc *responseContext) loggedInLocked(b *branch, m *sip.Message) {
	if b.login == nil || rc.invite || rc.final != 0 {
		return
	}
	life := shiftLife
	if m.Has(sip.Expires) {
		life = max(seconds(m.Value(sip.Expires)), time.Minute)
	}
	rc.p.shifts.keep(rc.p.shifts.key(m.CallID(), m.FromTag(), b.w.Upstream), life)
}

// forgetLoginLocked: the request is over; what begins no dialog leaves nothing behind.
func (rc *responseContext) forgetLoginLocked(upstream string) {
	if rc.inDialog || rc.final < 300 && recordsRoute(rc.req.Method()) || !rc.p.renumbers(upstream, 0) {
		return
	}
	rc.p.shifts.drop(rc.p.shifts.key(rc.req.CallID(), rc.req.FromTag(), upstream))
}

// holdShift has the call that an in-dialog request belongs to keep its shift.
func (p *Proxy) holdShift(k callKey, req *sip.Message) {
	if s := p.shifts.hold(k); s != nil && !p.calls.attach(req, s) {
		s.unhold()
	}
}
