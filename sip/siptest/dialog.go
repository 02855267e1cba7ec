package siptest

import (
	"slices"
	"strconv"

	"github.com/ringway/ringway/sip"
)

// dialog is what a UA remembers of a call it made or took (RFC 3261 §12).
type dialog struct {
	callID        string
	local, remote string // name-addr without tag
	localTag      string
	remoteTag     string
	target        string   // the peer's Contact
	routes        []string // route set, in the order to be sent
	cseq          uint32   // our last
	invite        *draft   // our INVITE, for its ACK and CANCEL
	inviteCSeq    uint32
	confirmed     bool // by a 2xx
}

// learnLocked notes what a response to INVITE or SUBSCRIBE says of its dialog. A 2xx with a
// tag of its own makes a dialog of its own, where a fork brings more than one (RFC 3261 §13.2.2.4).
func (u *UA) learnLocked(m *sip.Message) {
	if m.Status() <= 100 || m.Status() >= 300 || m.ToTag() == "" {
		return
	}
	var d *dialog
	for _, e := range slices.Backward(u.dialogs) {
		if e.callID == m.CallID() && (e.remoteTag == m.ToTag() || d == nil) {
			d = e
		}
	}
	if d == nil {
		return
	}
	if d.confirmed && d.remoteTag != m.ToTag() {
		if m.Status() < 200 {
			return
		}
		other := *d
		d = &other
		u.dialogs = append(u.dialogs, d)
	}
	d.learn(m)
	d.confirmed = d.confirmed || m.Status() >= 200
}

// learn takes the peer's tag, target and route set from a response to our request:
// Record-Route in reverse order (RFC 3261 §12.1.2). A 2xx wins over what provisional responses said.
func (d *dialog) learn(m *sip.Message) {
	fresh := d.remoteTag != m.ToTag()
	d.remoteTag = m.ToTag()
	if c := contact(m); c != "" {
		d.target = c
	}
	if fresh || len(d.routes) == 0 {
		d.routes = slices.Collect(m.Values(sip.RecordRoute))
		slices.Reverse(d.routes)
	}
}

// answering is the dialog of a request that came in: Record-Route as it stands (§12.1.1).
func answering(m *sip.Message, tag string) *dialog {
	return &dialog{
		callID: m.CallID(), local: addr(m.Value(sip.To)), remote: addr(m.Value(sip.From)),
		localTag: tag, remoteTag: m.FromTag(), target: contact(m),
		routes: slices.Collect(m.Values(sip.RecordRoute)),
	}
}

// request is a request within the dialog; ACK has the number of its INVITE.
func (d *dialog) request(method string) *draft {
	n := d.inviteCSeq
	if method != "ACK" {
		d.cseq++
		n = d.cseq
	}
	target := d.target
	if target == "" {
		target = uriOf(d.remote)
	}
	q := &draft{start: method + " " + target + " SIP/2.0"}
	for _, r := range d.routes {
		q.headers = append(q.headers, "Route: "+r)
	}
	to := d.remote
	if d.remoteTag != "" {
		to += ";tag=" + d.remoteTag
	}
	q.headers = append(q.headers, "Max-Forwards: 70", "From: "+d.local+";tag="+d.localTag, "To: "+to,
		"Call-ID: "+d.callID, "CSeq: "+strconv.FormatUint(uint64(n), 10)+" "+method)
	return q
}

// contact is the URI of the first Contact.
func contact(m *sip.Message) string {
	for v := range m.Values(sip.Contact) {
		return uriOf(v)
	}
	return ""
}

// uriOf is the URI of a name-addr.
func uriOf(v string) string {
	a, err := sip.ParseNameAddr(v)
	if err != nil {
		return v
	}
	return a.URI
}

// addr is a From or To value without its parameters.
func addr(v string) string { return "<" + uriOf(v) + ">" }
