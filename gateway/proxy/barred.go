package proxy

import (
	"hash/maphash"
	"slices"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// A token says which call it is of and which two sides that has, not that the call is still there, nor whom its sender
// now names in the Request-URI. What an upstream may take as the beginning of something goes on within a dialog only
// where it is for the other side of one that we know, or where the rules would let it through without a dialog.

var errNoSuchCall = sip.Refuse(481, "Call/Transaction Does Not Exist: the call is over, or never was")

// begins reports whether a server that does not know the To tag may do something for a request, and charge for it.
func begins(method string) bool {
	switch method {
	case "ACK", "BYE", "CANCEL", "PRACK", "UPDATE", "NOTIFY", "INFO", "OPTIONS":
		return false
	}
	return true
}

// mayAsk is nil for a request within a dialog that an upstream may get.
func (p *Proxy) mayAsk(req *sip.Message, from *flow.Flow, r *route) error {
	if p.calls.contradicts(req) {
		return errNoSuchDialog
	}
	if r.bare && r.dstName != "" {
		return p.mayBe(req, from, r)
	}
	if r.dstName == "" || !begins(req.Method()) {
		return nil
	}
	uri := r.strict
	if uri == "" {
		uri = req.RequestURI()
	}
	known, target := p.calls.targetOf(req)
	switch {
	case known && sameTarget(target, uri) && !r.strictNext():
		return nil
	case known:
	case req.Method() == "INVITE" && p.wasOurs(r):
		return errNoSuchCall
	case req.Method() == "SUBSCRIBE" && p.subscribed.has(p.subscription(req)):
		return nil
	}
	return p.barred(req, uri, from, r)
}

// mayBe is mayAsk for a user's request that shows no token: who sends it, and that it is in a dialog, only its dialog says. Of one that
// is not known, from before a restart maybe, go on what asks for nothing elsewhere, and only as himself.
func (p *Proxy) mayBe(req *sip.Message, from *flow.Flow, r *route) error {
	method := req.Method()
	known := p.calls.has(req) || p.subscribed.has(p.subscription(req))
	if begins(method) && !(known && method == "SUBSCRIBE") {
		if ok, target := p.calls.targetOf(req); !known || !ok || !sameTarget(target, req.RequestURI()) {
			if err := p.barred(req, req.RequestURI(), from, r); err != nil {
				return err
			}
		}
	}
	himself := known && (!begins(method) || sameAddress(p.calls.addressOf(req), req.Value(sip.From)))
	if err := p.Agents.Bare(req, from, r.dstName, himself); err != nil {
		return err
	}
	if !known && (begins(method) || method == "NOTIFY") {
		return errNoSuchCall
	}
	return nil
}

// sameTarget reports whether two URIs name the same user at the same host; clients write a Contact in words of their own.
func sameTarget(one, other string) bool {
	if one == other {
		return true
	}
	a, err := sip.ParseURI(one)
	b, err2 := sip.ParseURI(other)
	return err == nil && err2 == nil && a.IsSIP() && b.IsSIP() && sip.Unescape(a.User) == sip.Unescape(b.User) && sip.EqualFold(a.Host, b.Host)
}

// barred asks the rules about the Request-URI, and about what becomes it at a strict router (§16.6 step 6).
func (p *Proxy) barred(req *sip.Message, uri string, from *flow.Flow, r *route) error {
	if p.Barred == nil {
		return nil
	}
	if err := p.Barred(req, uri, from, r.dstName); err != nil || !r.strictNext() {
		return err
	}
	next, _ := addrOf(r.next)
	return p.Barred(req, next, from, r.dstName)
}

// strictNext reports whether the next Route is a strict router's.
func (r *route) strictNext() bool {
	if r.next == "" {
		return false
	}
	u, err := routeURI(r.next)
	if err != nil {
		return false
	}
	_, loose := u.Params.Value("lr")
	return !loose
}

// wasOurs reports whether the tokens were made since we have known every call: one that is not known is over.
func (p *Proxy) wasOurs(r *route) bool {
	return r.pair && (p.Flows.Issued(r.src.Flow) || p.Flows.Issued(r.dst.Flow)) &&
		p.Counters.CallsForgotten.Load() == 0 && p.Counters.CallsExpired.Load() == 0
}

// targetOf says whether the dialog of a request is known, and the Contact of its other side; "" for one that is not noted.
func (t *callTable) targetOf(req *sip.Message) (known bool, contact string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.calls[t.key(req.CallID(), req.FromTag(), req.ToTag())]; c != nil {
		if req.FromTag() == c.FromTag {
			return true, c.Callee.Contact
		}
		return true, c.Caller.Contact
	}
	return t.byID[t.hash(t.seeds[0], req.CallID())] != nil, "" // of a second answer; else it contradicts
}

// has reports whether a request is of a dialog that an answer has made.
func (t *callTable) has(req *sip.Message) bool {
	from, to := req.FromTag(), req.ToTag()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls[t.key(req.CallID(), from, to)] != nil {
		return true
	}
	for c := t.byID[t.hash(t.seeds[0], req.CallID())]; c != nil; c = c.twin {
		if c.FromTag == from && slices.Contains(c.others, to) || c.FromTag == to && slices.Contains(c.others, from) {
			return true
		}
	}
	return false
}

// addressOf is what the sender of a request is called in its dialog, tag and all; "" where that is not noted.
func (t *callTable) addressOf(req *sip.Message) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[t.key(req.CallID(), req.FromTag(), req.ToTag())]
	switch {
	case c == nil:
		return ""
	case req.FromTag() == c.FromTag:
		return c.Caller.Address
	}
	return c.Callee.Address
}

// sameAddress reports whether two values of From or To name the same user; "" is anybody.
func sameAddress(one, other string) bool {
	if one == "" || one == other {
		return true
	}
	a, err := addrOf(one)
	b, err2 := addrOf(other)
	return err == nil && err2 == nil && sameTarget(a, b)
}

// subscription is the key of the dialog of a SUBSCRIBE or NOTIFY, the same whichever side sends.
func (p *Proxy) subscription(m *sip.Message) uint64 {
	one, other := m.FromTag(), m.ToTag()
	if one > other {
		one, other = other, one
	}
	var h maphash.Hash
	h.SetSeed(p.subscribed.seed)
	for _, s := range [...]string{m.CallID(), one, other} {
		h.WriteString(s)
		h.WriteByte(0)
	}
	return h.Sum64()
}

// noteSubscribed keeps the dialogs that an upstream's answers and NOTIFYs make (RFC 6665 §4.1.2.4): their
// refreshes have a Request-URI of the upstream's.
func (p *Proxy) noteSubscribed(m *sip.Message) {
	if m.Status() == 0 && m.Method() == "NOTIFY" && m.ToTag() != "" {
		p.subscribed.add(p.subscription(m))
		return
	}
	if _, method := m.CSeq(); m.Status() >= 200 && m.Status() < 300 && (method == "SUBSCRIBE" || method == "REFER") {
		p.subscribed.add(p.subscription(m))
	}
}
