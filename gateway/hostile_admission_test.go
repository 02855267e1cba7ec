package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// silence is the answer to what cannot or must not be answered.
const silence = 0

// TestHostileAdmission: what is no SIP as it has to be is refused, with the right status,
// over each transport, and harms nobody. 407 is what a request gets
// that is in order, for its sender has proved nothing.
func TestHostileAdmission(t *testing.T) {
	r := newHostileRig(t, "")
	swap := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic("no " + old)
			}
			return strings.Replace(s, old, new, 1)
		}
	}
	line := func(l string) func(string) string {
		return swap("Max-Forwards: 70\r\n", "Max-Forwards: 70\r\n"+l+"\r\n")
	}
	instead := func(name, l string) func(string) string {
		return func(s string) string {
			at := strings.Index(s, "\r\n"+name+":") + 2
			end := at + strings.Index(s[at:], "\r\n") + 2
			return s[:at] + l + s[end:]
		}
	}
	uri := func(u string) func(string) string { return swap("OPTIONS sip:example.com ", "OPTIONS "+u+" ") }
	params := strings.Repeat(";p=1", 65)
	for _, c := range []struct {
		name    string
		edit    func(string) string
		want    int
		tcp     int // where it differs
		skip    sip.Transport
		skipUDP bool
	}{
		{name: "in order", edit: swap("", ""), want: 407},
		// Header names (CVE-2020-28361, AST-2016-009).
		{name: "a blank before the colon", edit: line("X-Y : a"), want: 407},
		{name: "a tab before the colon", edit: line("X-Y\t: a"), want: 407},
		{name: "a control character before the colon", edit: line("X-Y\x01: a"), want: 400},
		{name: "a vertical tab before the colon", edit: line("X-Y\x0b: a"), want: 400},
		{name: "a DEL before the colon", edit: line("X-Y\x7f: a"), want: 400},
		{name: "a NUL in the name", edit: line("X\x00Y: a"), want: 400},
		{name: "a blank within the name", edit: line("X Y: a"), want: 400},
		{name: "a non-breaking space in the name", edit: line("X\u00a0Y: a"), want: 400},
		{name: "an empty name", edit: line(": a"), want: 400},
		{name: "a quoted name", edit: line(`"X": a`), want: 400},
		{name: "no colon", edit: line("Supported"), want: 400},
		{name: "a blank before the first name", edit: swap("\r\nVia:", "\r\n Via:"), want: silence},
		{name: "a fold", edit: line("Subject: a\r\n b\r\n\tc"), want: 407},
		// CR, LF, NUL.
		{name: "a bare LF in a value", edit: line("Subject: a\nX: b"), want: 400},
		{name: "a bare CR in a value", edit: line("Subject: a\rX: b"), want: 400},
		{name: "a NUL in a value", edit: line("Subject: a\x00b"), want: 400},
		{name: "LF line ends", edit: func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }, want: silence},
		{name: "LF CR line ends", edit: func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n\r") }, want: silence},
		{name: "a bare LF in From", edit: swap("From: <", "From: \n<"), want: silence, tcp: silence},
		{name: "a bare CR in Call-ID", edit: swap("Call-ID: ", "Call-ID: \ra"), want: silence},
		{name: "CR CR LF", edit: line("Subject: a\r"), want: 400},
		// Fields that must be there once.
		{name: "two From", edit: line("From: <sip:eve@example.com>;tag=1"), want: 400},
		{name: "two From, one compact", edit: line("f: <sip:eve@example.com>;tag=1"), want: 400},
		{name: "two To", edit: line("TO: <sip:eve@example.com>"), want: 400},
		{name: "two To, one compact", edit: line("t : <sip:eve@example.com>"), want: 400},
		{name: "two Call-ID", edit: line("i: other"), want: 400},
		{name: "two CSeq", edit: line("CSeq: 9 OPTIONS"), want: 400},
		{name: "two Max-Forwards", edit: line("Max-Forwards: 9"), want: 400},
		{name: "two Content-Type", edit: line("Content-Type: a/b\r\nc: a/b"), want: 400},
		{name: "no Via", edit: instead("Via", ""), want: silence},
		{name: "no From", edit: instead("From", ""), want: silence},
		{name: "no To", edit: instead("To", ""), want: silence},
		{name: "no Call-ID", edit: instead("Call-ID", ""), want: silence},
		{name: "no CSeq", edit: instead("CSeq", ""), want: silence},
		{name: "no Max-Forwards", edit: instead("Max-Forwards", ""), want: 407},
		{name: "an empty Via", edit: instead("Via", "Via:\r\n"), want: silence},
		{name: "an empty From", edit: instead("From", "From: \r\n"), want: silence},
		{name: "two values in From", edit: swap("From: <", "From: <sip:eve@example.com>;tag=2, <"), want: 400},
		// Content-Length (CVE-2026-23457, request smuggling).
		{name: "two Content-Length, equal", edit: swap("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 0"), want: 400},
		{name: "two Content-Length, different", edit: swap("Content-Length: 0", "Content-Length: 0\r\nContent-Length: 5"), want: 400},
		{name: "two Content-Length, one compact", edit: swap("Content-Length: 0", "Content-Length: 0\r\nl: 0"), want: 400},
		{name: "two Content-Length, one with a blank", edit: swap("Content-Length: 0", "Content-Length: 0\r\nl : 5"), want: 400},
		{name: "Content-Length +0", edit: swap("Length: 0", "Length: +0"), want: 400},
		{name: "Content-Length -1", edit: swap("Length: 0", "Length: -1"), want: 400},
		{name: "Content-Length 0x0", edit: swap("Length: 0", "Length: 0x0"), want: 400},
		{name: "Content-Length 0,0", edit: swap("Length: 0", "Length: 0,0"), want: 400},
		{name: "Content-Length 0 0", edit: swap("Length: 0", "Length: 0 0"), want: 400},
		{name: "Content-Length of other digits", edit: swap("Length: 0", "Length: \u0660"), want: 400},
		{name: "an empty Content-Length", edit: swap("Length: 0", "Length:"), want: 400},
		{name: "Content-Length 2^32", edit: swap("Length: 0", "Length: 4294967296"), want: 400, tcp: 513},
		{name: "Content-Length 2^64", edit: swap("Length: 0", "Length: 18446744073709551616"), want: 400, tcp: 513},
		{name: "a body shorter than announced", edit: swap("Length: 0", "Length: 10"), want: 400, skip: sip.TCP},
		{name: "a body longer than announced", edit: func(s string) string { return s + "xxxx" }, want: 400, skip: sip.TCP, skipUDP: true},
		{name: "no Content-Length", edit: instead("Content-Length", ""), want: 407, tcp: 400},
		// Limits by number and size.
		{name: "71 Via", edit: line(strings.TrimSuffix(strings.Repeat("v: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", 70), "\r\n")), want: 513},
		{name: "71 Via on a line", edit: line("Via: " + strings.Repeat("SIP/2.0/UDP h;branch=z9hG4bK1, ", 69) + "SIP/2.0/UDP h"), want: 513},
		{name: "257 fields", edit: line(strings.TrimSuffix(strings.Repeat("X: a\r\n", 257), "\r\n")), want: 513},
		{name: "17 Route", edit: line("Route: " + strings.Repeat("<sip:h;lr>, ", 16) + "<sip:h;lr>"), want: 513},
		{name: "65 parameters in From", edit: swap(">;tag=", ">"+params+";tag="), want: 513},
		{name: "65 parameters in Contact", edit: line("Contact: <sip:a@h>" + params), want: 513},
		{name: "65 parameters in Via", edit: swap(";branch=", params+";branch="), want: 513},
		{name: "a line of 9 KiB", edit: line("Subject: " + strings.Repeat("a", 9<<10)), want: 513},
		{name: "a folded line of 9 KiB", edit: line("Subject: a" + strings.Repeat("\r\n a", 3<<10)), want: 513},
		{name: "a start line of 5 KiB", edit: uri("sip:" + strings.Repeat("a", 5<<10) + "@example.com"), want: 513},
		{name: "a method of 3,000 letters", edit: func(s string) string { return strings.ReplaceAll(s, "OPTIONS", strings.Repeat("A", 3000)) }, want: 407},
		{name: "a Call-ID of 8,000 letters", edit: swap("Call-ID: ", "Call-ID: "+strings.Repeat("a", 8000)), want: 407},
		// CSeq.
		{name: "another method in CSeq", edit: swap(" OPTIONS\r\nMax", " INVITE\r\nMax"), want: 400},
		{name: "the method in other case in CSeq", edit: swap(" OPTIONS\r\nMax", " options\r\nMax"), want: 400},
		{name: "CSeq 2^31", edit: instead("CSeq", "CSeq: 2147483648 OPTIONS\r\n"), want: 400},
		{name: "CSeq 2^64", edit: instead("CSeq", "CSeq: 18446744073709551617 OPTIONS\r\n"), want: 400},
		{name: "a negative CSeq", edit: instead("CSeq", "CSeq: -1 OPTIONS\r\n"), want: 400},
		{name: "CSeq without method", edit: instead("CSeq", "CSeq: 1\r\n"), want: 400},
		{name: "CSeq method of 5,000 letters", edit: instead("CSeq", "CSeq: 1 "+strings.Repeat("A", 5000)+"\r\n"), want: 400},
		// Start line.
		{name: "SIP/3.0", edit: swap(" SIP/2.0\r\n", " SIP/3.0\r\n"), want: 505},
		{name: "sip/2.0", edit: swap(" SIP/2.0\r\n", " sip/2.0\r\n"), want: 407},
		{name: "HTTP/1.1", edit: swap(" SIP/2.0\r\n", " HTTP/1.1\r\n"), want: 400},
		{name: "a blank at the end of the start line", edit: swap(" SIP/2.0\r\n", " SIP/2.0 \r\n"), want: 400},
		{name: "two blanks in the start line", edit: swap("OPTIONS sip", "OPTIONS  sip"), want: 400},
		{name: "a control character in the method", edit: swap("OPTIONS sip", "OPT\x01IONS sip"), want: silence},
		{name: "text", edit: func(string) string { return "hello\r\n\r\n" }, want: silence},
		// Request-URI.
		{name: "http", edit: uri("http://example.com/"), want: 416},
		{name: "tel", edit: uri("tel:+15551234"), want: 416},
		{name: "urn", edit: uri("urn:service:sos"), want: 416},
		{name: "javascript", edit: uri("javascript:alert(1)"), want: 416},
		{name: "sip: and nothing", edit: uri("sip:"), want: 400},
		{name: "no scheme", edit: uri("example.com"), want: 400},
		{name: "a star", edit: uri("*"), want: 400},
		{name: "angle brackets", edit: uri("<sip:example.com>"), want: 400},
		{name: "headers in the URI", edit: uri("sip:example.com?Route=%3Csip:192.0.2.1%3E"), want: 400},
		{name: "port 99999", edit: uri("sip:example.com:99999"), want: 400},
		{name: "two @", edit: uri("sip:a@b@example.com"), want: 400},
		{name: "an open bracket", edit: uri("sip:[::1"), want: 400},
		{name: "an escape cut short", edit: uri("sip:a%4@example.com"), want: 400},
		{name: "an escaped CRLF stays escaped", edit: uri("sip:a%0d%0aX:b@example.com"), want: 407},
		{name: "a control character in the URI", edit: uri("sip:a\x01@example.com"), want: 400},
		// Addresses.
		{name: "From without end", edit: swap("From: <sip:alice@example.com>", "From: <sip:alice@example.com"), want: 400},
		{name: "a quote without end", edit: swap("From: <", `From: "a <`), want: 400},
		{name: "a Via without host", edit: swap(r.via(), "SIP/2.0/UDP "), want: 400},
		{name: "Max-Forwards 256", edit: swap("Forwards: 70", "Forwards: 256"), want: 400},
		{name: "Max-Forwards -1", edit: swap("Forwards: 70", "Forwards: -1"), want: 400},
		// What is allowed, if seldom seen.
		{name: "all names compact", edit: func(s string) string {
			return strings.NewReplacer("\r\nVia:", "\r\nv:", "\r\nFrom:", "\r\nf:", "\r\nTo:", "\r\nt:", "\r\nCall-ID:", "\r\ni:",
				"\r\nContent-Length:", "\r\nl:").Replace(s)
		}, want: 407},
		{name: "all names in odd case", edit: func(s string) string {
			return strings.NewReplacer("\r\nVia:", "\r\nvIA:", "\r\nFrom:", "\r\nFROM:", "\r\nCall-ID:", "\r\ncall-id:").Replace(s)
		}, want: 407},
		{name: "octets over 127", edit: line("Subject: \xff\xfe"), want: 407},
		// What is never answered.
		{name: "a broken ACK", edit: func(s string) string { return strings.ReplaceAll(line("X Y: a")(s), "OPTIONS", "ACK") }, want: silence},
		{name: "a broken response", edit: swap("OPTIONS sip:example.com SIP/2.0", "SIP/2.0 999 X"), want: silence},
		{name: "a response to nothing", edit: swap("OPTIONS sip:example.com SIP/2.0", "SIP/2.0 200 OK"), want: silence},
		{name: "a response in an older version", edit: swap("OPTIONS sip:example.com SIP/2.0", "SIP/1.0 200 OK"), want: silence},
	} {
		for _, kind := range []sip.Transport{sip.WS, sip.TCP, sip.UDP} {
			if c.skip == kind && c.skip != sip.UDP || c.skipUDP && kind == sip.UDP {
				continue
			}
			t.Run(fmt.Sprint(c.name, "/", kind), func(t *testing.T) {
				p := r.open(kind).on(t)
				defer p.close()
				o := p.out("OPTIONS", "sip:example.com", "sip:alice@example.com", "sip:example.com")
				if strings.Contains(c.name, "Via without host") {
					o.via = r.via()
				}
				p.send(c.edit(o.String()))
				want := c.want
				if c.tcp != 0 && kind == sip.TCP {
					want = c.tcp
				}
				p.refusedAs(want)
			})
		}
		r.alive(t)
	}
}

func (r *hostileRig) via() string { return "SIP/2.0/UDP 192.0.2.1" }

// refusedAs is the one answer to what was sent; a stream whose framing is lost may end.
func (p *hostilePeer) refusedAs(want int) {
	p.t.Helper()
	if want != silence {
		it := p.item("the answer")
		if !strings.HasPrefix(it.text, fmt.Sprintf("SIP/2.0 %d ", want)) {
			p.t.Errorf("got %.300q (%d) instead of %d", it.text, it.code, want)
		}
	}
	if p.kind != sip.TCP {
		p.quiet()
		return
	}
	o := p.out("OPTIONS", "sip:example.com", "sip:mark@example.com", "sip:mark@example.com")
	_ = p.write(o.String())
	it := p.item("the answer to the mark, or the end")
	if !it.end && !strings.Contains(it.text, o.callID) {
		p.t.Fatalf("%s got %q as well", p.user, it.text)
	}
}
