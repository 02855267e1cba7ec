package gateway_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ringway/ringway/sip"
)

// What it says: requests, responses and calls made up by hand.

// hostileRequest is a request being made up. Lines are whole header lines.
type hostileRequest struct {
	method, uri, from, to, via string
	fromTag, toTag, callID     string
	branch                     string
	cseq                       int
	cseqMethod, maxForwards    string
	lines                      []string
	body                       string
	length                     string // Content-Length line; "-": none
}

func hostileID(prefix string) string { return prefix + strconv.Itoa(int(hostileIDs.Add(1))) + "x" }

// out begins a request out of a dialog.
func (p *hostilePeer) out(method, uri, from, to string) *hostileRequest {
	p.cseq++
	o := &hostileRequest{method: method, uri: uri, from: from, to: to, fromTag: hostileID("f"), callID: hostileID("call") + "@h",
		branch: hostileID("z9hG4bKh"), cseq: p.cseq, maxForwards: "70"}
	o.via = p.sentBy()
	if method == "INVITE" || method == "SUBSCRIBE" || method == "UPDATE" {
		o.lines = append(o.lines, "Contact: <"+p.contactURI()+">")
	}
	return o
}

func (p *hostilePeer) sentBy() string {
	switch p.kind {
	case sip.WS:
		return "SIP/2.0/WS h" + strconv.Itoa(int(p.local.Port())) + ".invalid"
	case sip.TCP:
		return "SIP/2.0/TCP " + p.local.String()
	}
	return "SIP/2.0/UDP " + p.local.String() + ";rport"
}

// contacts counts those given out: a port may come again, with another user's binding on it.
var contacts atomic.Uint64

func (p *hostilePeer) contactURI() string {
	if p.contact == "" {
		p.contact = fmt.Sprintf("sip:c%d@h%d.invalid;transport=ws", contacts.Add(1), p.local.Port())
		if p.kind != sip.WS {
			p.contact = fmt.Sprintf("sip:c%d@%s", contacts.Add(1), p.local)
		}
	}
	return p.contact
}

func (o *hostileRequest) add(lines ...string) *hostileRequest {
	o.lines = append(o.lines, lines...)
	return o
}

// String is the request's text.
func (o *hostileRequest) String() string {
	var b strings.Builder
	tag := ""
	if o.toTag != "" {
		tag = ";tag=" + o.toTag
	}
	method := o.cseqMethod
	if method == "" {
		method = o.method
	}
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\nVia: %s;branch=%s\r\nFrom: <%s>;tag=%s\r\nTo: <%s>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n",
		o.method, o.uri, o.via, o.branch, o.from, o.fromTag, o.to, tag, o.callID, o.cseq, method)
	if o.maxForwards != "" {
		b.WriteString("Max-Forwards: " + o.maxForwards + "\r\n")
	}
	for _, l := range o.lines {
		b.WriteString(l + "\r\n")
	}
	switch o.length {
	case "":
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(o.body))
	case "-":
	default:
		b.WriteString(o.length + "\r\n")
	}
	return b.String() + "\r\n" + o.body
}

// login is the answer to a challenge; edit changes its parts before they are written.
func (o *hostileRequest) login(challenge *sip.Message, user, pass string, edit func(c map[string]string)) *hostileRequest {
	field, value := "Authorization", challenge.Value(sip.WWWAuthenticate)
	if value == "" {
		field, value = "Proxy-Authorization", challenge.Value(sip.ProxyAuthenticate)
	}
	c := map[string]string{"username": user, "realm": quotedIn(value, "realm"), "nonce": quotedIn(value, "nonce"), "uri": o.uri,
		"qop": "auth", "nc": "00000001", "cnonce": "hostile", "algorithm": "MD5"}
	if edit != nil {
		edit(c)
	}
	if c["response"] == "" {
		c["response"] = md5hex(md5hex(c["username"]+":"+c["realm"]+":"+pass) + ":" + c["nonce"] + ":" + c["nc"] + ":" + c["cnonce"] +
			":" + c["qop"] + ":" + md5hex(o.method+":"+c["uri"]))
	}
	var b strings.Builder
	for _, k := range []string{"username", "realm", "nonce", "uri", "response", "cnonce"} {
		fmt.Fprintf(&b, ", %s=%q", k, c[k])
	}
	for _, k := range []string{"qop", "nc", "algorithm"} {
		if c[k] != "-" {
			fmt.Fprintf(&b, ", %s=%s", k, c[k])
		}
	}
	n := *o
	n.cseq, n.branch = o.cseq+1, hostileID("z9hG4bKh")
	n.lines = append(append([]string{}, o.lines...), field+": Digest "+b.String()[2:])
	return &n
}

func quotedIn(value, name string) string {
	_, rest, _ := strings.Cut(value, name+`="`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// registration is a REGISTER of the peer's Contact for a user.
func (p *hostilePeer) registration(user string) *hostileRequest {
	aor := "sip:" + user + "@example.com"
	return p.out("REGISTER", "sip:example.com", aor, aor).add("Contact: <"+p.contactURI()+">", "Expires: 600")
}

// register registers with the right password.
func (p *hostilePeer) register(user string) *hostilePeer {
	p.t.Helper()
	o := p.registration(user)
	p.send(o.String())
	p.send(o.login(p.status(401), user, "pw-"+user, nil).String())
	p.status(200)
	p.user, p.cseq = user, p.cseq+1
	return p
}

// reply answers a request that came.
func hostileReply(m *sip.Message, status int, toTag string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d X\r\n", status)
	for v := range m.Values(sip.Via) {
		b.WriteString("Via: " + v + "\r\n")
	}
	for v := range m.Values(sip.RecordRoute) {
		b.WriteString("Record-Route: " + v + "\r\n")
	}
	to := m.Value(sip.To)
	if m.ToTag() == "" {
		to += ";tag=" + toTag
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n", m.Value(sip.From), to, m.CallID(), m.Value(sip.CSeq))
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	return b.String() + "Content-Length: 0\r\n\r\n"
}

// hostileCall is an established call, with all that its parties know.
type hostileCall struct {
	caller, callee *hostilePeer
	invite         *hostileRequest // as the caller sent it
	arrived, ok    *sip.Message
	toTag          string
	routes         []string // the caller's route set
	calleeRoutes   []string
}

// ring sets up a call as far as 180.
func (r *hostileRig) ring(caller, callee *hostilePeer, uri string, lines ...string) *hostileCall {
	caller.t.Helper()
	c := &hostileCall{caller: caller, callee: callee, toTag: hostileID("t")}
	c.invite = caller.out("INVITE", uri, "sip:"+caller.user+"@example.com", uri).add(lines...)
	caller.send(c.invite.String())
	c.arrived = callee.request("INVITE")
	callee.send(hostileReply(c.arrived, 180, c.toTag, "Contact: <"+callee.contactURI()+">"))
	caller.status(180)
	return c
}

// answer completes it with 200 and ACK.
func (c *hostileCall) answer() *hostileCall {
	c.caller.t.Helper()
	c.callee.send(hostileReply(c.arrived, 200, c.toTag, "Contact: <"+c.callee.contactURI()+">"))
	c.ok = c.caller.status(200)
	for v := range c.ok.Values(sip.RecordRoute) {
		c.routes = append([]string{v}, c.routes...)
	}
	for v := range c.arrived.Values(sip.RecordRoute) {
		c.calleeRoutes = append(c.calleeRoutes, v)
	}
	c.caller.send(c.within(c.caller, "ACK", c.invite.cseq).String())
	c.callee.request("ACK")
	return c
}

// within is a request of the caller's side of the dialog, as p would send it.
func (c *hostileCall) within(p *hostilePeer, method string, cseq int) *hostileRequest {
	o := p.out(method, c.callee.contactURI(), c.invite.from, c.invite.to)
	o.fromTag, o.toTag, o.callID, o.cseq = c.invite.fromTag, c.toTag, c.invite.callID, cseq
	for _, v := range c.routes {
		o.add("Route: " + v)
	}
	return o
}

// hangUp ends the call from the caller's side.
func (c *hostileCall) hangUp() {
	c.caller.t.Helper()
	c.caller.send(c.within(c.caller, "BYE", c.invite.cseq+1000).String())
	m := c.callee.request("BYE")
	c.callee.send(hostileReply(m, 200, c.toTag))
	c.caller.status(200)
}
