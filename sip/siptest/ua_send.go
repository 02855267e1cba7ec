package siptest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// write sends text on the UA's connection.
func (u *UA) write(text string) {
	u.mu.Lock()
	u.last = text
	c := u.conn
	u.mu.Unlock()
	if c == nil || c.Closed() {
		u.note("not connected")
		return
	}
	c.Write(text)
}

// Send sends text as it is; line ends are made CRLF.
func (u *UA) Send(text string) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	u.write(text)
}

// Again sends the last message once more, as a retransmission.
func (u *UA) Again() { u.write(u.last) }

// Request sends a request outside a dialog; an INVITE begins one. target is a URI, or the
// user of one in the UA's own domain. headers are "Name: value" lines: they replace those of
// the template, "+Name: value" adds one more, "Name: -" removes, "body: text" is the body.
func (u *UA) Request(method, target string, headers ...string) {
	u.mu.Lock()
	u.tags++
	d := &dialog{
		callID: fmt.Sprintf("%s-call-%d", u.Name, u.tags), local: "<sip:" + u.opt.AOR + ">", remote: "<" + u.uri(target) + ">",
		localTag: fmt.Sprintf("%s-%d", u.Name, u.tags),
	}
	text := u.draftLocked(d, method, headers).text()
	if method == "INVITE" || method == "SUBSCRIBE" {
		u.dialogs = append(u.dialogs, d)
	}
	u.mu.Unlock()
	u.write(text)
}

// InDialog sends a request in the newest dialog; ACK is that to the last 2xx.
func (u *UA) InDialog(method string, headers ...string) {
	u.mu.Lock()
	if len(u.dialogs) == 0 {
		u.mu.Unlock()
		u.note("has no dialog for " + method)
		return
	}
	d := u.dialogs[len(u.dialogs)-1]
	if u.use > 0 {
		d = u.dialogs[u.use-1]
	}
	text := u.draftLocked(d, method, headers).text()
	u.mu.Unlock()
	u.write(text)
}

// UseDialog makes InDialog use the nth dialog, from 1 in the order of their beginning; 0: the newest.
func (u *UA) UseDialog(n int) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if n < 0 || n > len(u.dialogs) {
		return fmt.Errorf("%s has %d dialogs", u.Name, len(u.dialogs))
	}
	u.use = n
	return nil
}

// Register sends a REGISTER for the AOR; expires < 0 leaves the duration out.
func (u *UA) Register(expires int, headers ...string) {
	u.mu.Lock()
	u.regCSeq++
	d := &dialog{
		callID: u.Name + "-reg", local: "<sip:" + u.opt.AOR + ">", remote: "<sip:" + u.opt.AOR + ">",
		localTag: u.Name + "-reg", target: "sip:" + u.host, cseq: u.regCSeq - 1,
	}
	q := u.templateLocked(d, "REGISTER")
	c := u.contactLocked()
	if u.opt.Instance != "" {
		c += fmt.Sprintf(`;reg-id=%d;+sip.instance="<%s>"`, max(1, u.opt.RegID), u.opt.Instance)
	}
	if expires >= 0 {
		c += ";expires=" + strconv.Itoa(expires)
	}
	q.set("Contact: " + c)
	q.set("Supported: path, outbound, gruu")
	q.apply(headers)
	u.sent = append(u.sent, q)
	u.mu.Unlock()
	u.write(q.text())
}

// Cancel sends the CANCEL of the newest INVITE (RFC 3261 §9.1).
func (u *UA) Cancel(headers ...string) {
	u.mu.Lock()
	var q *draft
	for _, d := range slices.Backward(u.dialogs) {
		if d.invite != nil {
			q = cancelOf(d.invite, d.inviteCSeq)
			break
		}
	}
	u.mu.Unlock()
	if q == nil {
		u.note("has no INVITE to cancel")
		return
	}
	q.apply(headers)
	u.write(q.text())
}

func cancelOf(inv *draft, cseq uint32) *draft {
	q := &draft{start: "CANCEL" + strings.TrimPrefix(inv.start, "INVITE")}
	for _, name := range []string{"Via", "Route", "Max-Forwards", "From", "To", "Call-ID"} {
		for _, v := range inv.all(name) {
			q.headers = append(q.headers, name+": "+v)
		}
	}
	q.headers = append(q.headers, fmt.Sprintf("CSeq: %d CANCEL", cseq))
	return q
}

// Reply answers the newest request without a final answer, of that method if it is not "".
func (u *UA) Reply(status int, reason, method string, headers ...string) {
	u.mu.Lock()
	i := len(u.requests) - 1
	for i >= 0 && method != "" && u.requests[i].m.Method() != method {
		i--
	}
	if i < 0 {
		u.mu.Unlock()
		u.note("has nothing to answer")
		return
	}
	q := u.requests[i]
	if status >= 200 {
		u.requests = slices.Delete(u.requests, i, i+1)
	}
	text := u.replyLocked(q, status, reason, headers)
	u.last = text
	c := q.conn
	if c.Closed() { // the UA has reconnected
		c = u.conn
	}
	u.mu.Unlock()
	c.Write(text)
}

// replyLocked makes a response; a 1xx or 2xx to INVITE begins a dialog.
func (u *UA) replyLocked(q received, status int, reason string, headers []string) string {
	if reason == "" {
		reason = phrase(status)
	}
	r := &draft{start: fmt.Sprintf("SIP/2.0 %d %s", status, reason)}
	inDialog := status > 100 && status < 300
	for _, f := range q.m.Fields() {
		line := q.m.Name(f) + ": " + q.m.FieldValue(f)
		switch {
		case f.Header == sip.To && q.m.ToTag() == "" && status > 100:
			line += ";tag=" + q.tag
		case f.Header == sip.Via || f.Header == sip.From || f.Header == sip.To || f.Header == sip.CallID || f.Header == sip.CSeq:
		case f.Header == sip.RecordRoute && inDialog:
		default:
			continue
		}
		r.headers = append(r.headers, line)
	}
	if m := q.m.Method(); inDialog && (m == "INVITE" || m == "SUBSCRIBE") {
		u.acceptLocked(r, q, status)
	}
	r.apply(headers)
	return r.text()
}

// acceptLocked adds what a response that makes a dialog has, and keeps the dialog.
func (u *UA) acceptLocked(r *draft, q received, status int) {
	r.set("Contact: " + u.contactLocked())
	if status >= 200 && q.m.Method() == "INVITE" {
		r.set("Content-Type: application/sdp")
		r.body = u.sdp()
	}
	if u.dialogLocked(q.m.CallID()) == nil {
		u.dialogs = append(u.dialogs, answering(q.m, q.tag))
	}
}

// templateLocked is a request of the dialog with Via and Contact.
func (u *UA) templateLocked(d *dialog, method string) *draft {
	q := d.request(method)
	q.headers = append([]string{"Via: " + u.viaLocked()}, q.headers...)
	switch method {
	case "INVITE", "SUBSCRIBE", "REFER", "NOTIFY", "UPDATE":
		q.set("Contact: " + u.contactLocked())
	}
	if method == "INVITE" {
		q.set("Content-Type: application/sdp")
		q.body = u.sdp()
	}
	return q
}

func (u *UA) draftLocked(d *dialog, method string, headers []string) *draft {
	q := u.templateLocked(d, method)
	q.apply(headers)
	if method != "ACK" {
		u.sent = append(u.sent, q)
	}
	if method == "INVITE" {
		d.invite, d.inviteCSeq = q, d.cseq
	}
	return q
}

func (u *UA) viaLocked() string {
	u.count++
	sentBy := u.addr.String() + ";rport"
	if u.opt.Transport.WebSocket() {
		sentBy = u.Name + ".invalid"
	}
	return fmt.Sprintf("SIP/2.0/%s %s;branch=z9hG4bK-%s-%d", u.opt.Transport, sentBy, u.Name, u.count)
}

func (u *UA) contactLocked() string {
	host := u.addr.String()
	if u.opt.Transport.WebSocket() {
		host = u.Name + ".invalid;transport=ws"
	} else if u.opt.Transport != sip.UDP {
		host += ";transport=" + strings.ToLower(u.opt.Transport.String())
	}
	return "<sip:" + cmp.Or(u.opt.Contact, u.user) + "@" + host + ">"
}

func (u *UA) sdp() string { return "v=0\r\ns=" + u.Name + "\r\n" }

// uri is target as a URI.
func (u *UA) uri(target string) string {
	if strings.Contains(target, ":") {
		return target
	}
	return "sip:" + target + "@" + u.host
}

// phrase is the reason phrase that a UA gives a status.
func phrase(status int) string {
	if p := phrases[status]; p != "" {
		return p
	}
	return "Status"
}

var phrases = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 202: "Accepted", 302: "Moved Temporarily",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 407: "Proxy Authentication Required",
	408: "Request Timeout", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
	486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 500: "Server Internal Error",
	503: "Service Unavailable", 600: "Busy Everywhere", 603: "Decline",
}
