package proxy

import (
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// added is about how much longer a request leaves than it came: Via, two Record-Routes, Max-Breadth.
const added = 400

// copyRequest is §16.6 steps 1–8: the copy of a request for its way over flow f.
func (rc *responseContext) copyRequest(a *act, f *flow.Flow, id uint64) (*sip.Splice, error) {
	req, w := a.req, a.w
	out := new(sip.Splice)
	*out = req.Splice()
	stamp(out, rc.from.Info())
	loop := rc.setURI(req, out, w, a.hop.Host)
	if err := rc.setNumber(a, out); err != nil {
		return nil, err
	}
	if a.try != nil {
		loop = rc.p.leavingNumbered(loop, a.try.cseq, a.try.left)
	}
	out.SetMaxForwards(req.MaxForwards() - 1)
	rc.setRoutes(req, out, w)
	var lines [768]byte
	b := appendVia(lines[:0], f.Info(), id, loop)
	via := len(b)
	if recordsRoute(req.Method()) && !rc.route.bare {
		b = rc.appendRecordRoutes(b, a, f)
	}
	text := string(b)
	out.PushVia(text[:via])
	if len(text) > via {
		callee, caller, _ := strings.Cut(text[via:], "\n")
		out.PushRecordRoutes(callee, caller)
	}
	setBreadth(req, out, a.t.breadth)
	rc.p.setInterval(a, out)
	if w.Rewrite != nil {
		if err := w.Rewrite(req, out); err != nil {
			return nil, err
		}
	}
	if rc.p.Branch != nil {
		if err := rc.p.Branch(req, out, rc.from, f, w); err != nil {
			return nil, err
		}
	}
	if w.Exchange != nil {
		if err := w.Exchange.Leaves(req, out, f); err != nil {
			return nil, err
		}
	}
	if err := rc.logIn(a, f, out); err != nil {
		return nil, err
	}
	return out, nil
}

// stamp is RFC 3261 §18.2.1 and RFC 3581 §4.
func stamp(out *sip.Splice, from *sip.ConnInfo) {
	out.StampVia(from.Remote.Addr().Unmap().String(), from.Remote.Port())
}

// setURI is step 2, and what §16.4 left of a strict router's request. It returns the loop hash of what leaves.
func (rc *responseContext) setURI(req *sip.Message, out *sip.Splice, w *Target, host string) uint64 {
	switch {
	case host != "":
		uri := w.URI
		if uri == "" {
			uri = req.RequestURI()
		}
		uri = atHost(uri, host)
		out.SetURI(uri)
		return rc.p.leavingAs(rc.loop, req, uri)
	case w.URI != "":
		out.SetURI(w.URI)
	case rc.route.strict != "":
		out.SetURI(rc.route.strict)
		out.PopLastRoute()
	}
	return rc.loop
}

// setRoutes takes our Routes off, puts the rest of a Path on, and is step 6: a
// next hop that routes strictly gets its own URI as Request-URI.
func (rc *responseContext) setRoutes(req *sip.Message, out *sip.Splice, w *Target) {
	r := &rc.route
	if len(w.Route) > 1 {
		out.PushRoutes(w.Route[1:]...)
	}
	if w.Upstream != "" && r.toStrict(req, out) {
		return
	}
	if r.pops > 0 {
		out.PopRoutes(r.pops)
	}
}

// toStrict is step 6 where the next Route is a strict router's: its URI becomes the
// Request-URI, and the target the last Route. false where there is nothing to do.
func (r *route) toStrict(req *sip.Message, out *sip.Splice) bool {
	if r.next == "" {
		return false
	}
	u, err := routeURI(r.next)
	if err != nil {
		return false
	}
	if _, loose := u.Params.Value("lr"); loose {
		return false
	}
	last := req.RequestURI()
	if r.strict != "" {
		last = r.strict
	}
	next, _ := addrOf(r.next)
	out.PopRoutes(r.pops + 1)
	out.AppendRoute("<" + last + ">")
	out.SetURI(next)
	return true
}

// recordsRoute reports whether a request of this method can form a dialog; a method we don't know may.
func recordsRoute(method string) bool {
	switch method {
	case "REGISTER", "OPTIONS", "MESSAGE", "INFO", "BYE", "ACK", "CANCEL", "PRACK", "PUBLISH":
		return false
	}
	return true
}

// appendRecordRoutes is step 4 with RFC 5658: one line facing each side, the next
// hop's first, "\n" between them. A request within a dialog shows the pair it came with.
func (rc *responseContext) appendRecordRoutes(b []byte, a *act, f *flow.Flow) []byte {
	if rc.route.pair {
		b = appendRecordRoute(b, rc.route.texts[1], f.Info(), 0, 0)
		b = append(b, '\n')
		return appendRecordRoute(b, rc.route.texts[0], rc.from.Info(), 0, 0)
	}
	name := a.name
	if a.w.Upstream != "" {
		name = rc.p.upstreamName(a.w.Upstream)
	}
	var callee [flow.TokenLen]byte
	tok := rc.p.Keys.AppendCallee(callee[:0], flow.Token{Node: rc.p.Node, Flow: f.ID, Name: name}, rc.caller, a.req.CallID())
	shift := uint32(0)
	if a.try != nil {
		shift = a.try.left - a.try.cseq
	}
	b = appendRecordRoute(b, string(tok), f.Info(), shift, a.w.Mark)
	b = append(b, '\n')
	return appendRecordRoute(b, rc.caller, rc.from.Info(), 0, 0)
}

func appendRecordRoute(b []byte, token string, info *sip.ConnInfo, shift, mark uint32) []byte {
	b = append(b, "<sip:"...)
	b = append(b, token...)
	b = append(b, '@')
	b = append(b, info.Advertise...)
	b = append(b, ";transport="...)
	b = append(b, info.Transport.Param()...)
	if shift > 0 {
		b = append(b, ";"+shiftParam+"="...)
		b = strconv.AppendUint(b, uint64(shift), 10)
	}
	if mark > 0 {
		b = append(b, ";"+markParam+"="...)
		b = strconv.AppendUint(b, uint64(mark), 16)
	}
	return append(b, ";lr>"...)
}

// appendVia is step 8.
func appendVia(b []byte, info *sip.ConnInfo, id, loop uint64) []byte {
	b = append(b, "SIP/2.0/"...)
	b = append(b, info.Transport.String()...)
	b = append(b, ' ')
	b = append(b, info.Advertise...)
	if !info.Transport.WebSocket() {
		b = append(b, ";rport"...) // RFC 3581 §3
	}
	b = append(b, ";branch="...)
	return transaction.AppendBranch(b, id, loop)
}

// setBreadth is RFC 5393 §5.3.3.
func setBreadth(req *sip.Message, out *sip.Splice, breadth int) {
	if req.Has(sip.MaxBreadth) {
		out.RemoveAll(sip.MaxBreadth)
	}
	out.Add("Max-Breadth", strconv.Itoa(breadth))
}
