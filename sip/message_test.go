package sip

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// lines makes a header of lines, with the empty line behind it.
func lines(l ...string) string { return strings.Join(l, "\r\n") + "\r\n\r\n" }

// request is a plain INVITE; each edit replaces the header line of that name or,
// with a name of its own, puts one in behind them. "Name" alone takes the line out,
// and "> " begins another start line.
func request(edits ...string) string {
	l := []string{
		"INVITE sip:bob@example.org SIP/2.0",
		"Via: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1",
		"Max-Forwards: 69",
		"From: <sip:alice@example.org>;tag=a1",
		"To: <sip:bob@example.org>",
		"Call-ID: call-1",
		"CSeq: 7 INVITE",
	}
	for _, e := range edits {
		name, _, found := strings.Cut(e, ":")
		at := slices.IndexFunc(l, func(s string) bool { return strings.HasPrefix(s, name+":") })
		switch {
		case strings.HasPrefix(e, "> "):
			l[0] = e[2:]
		case at >= 0 && !found:
			l = slices.Delete(l, at, at+1)
		case at >= 0:
			l[at] = e
		default:
			l = append(l, e)
		}
	}
	return lines(l...)
}

func mustParse(t testing.TB, text string) *Message {
	t.Helper()
	m, err := Parse(text, Frame)
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return m
}

func TestMessageAccessors(t *testing.T) {
	m := mustParse(t, "\r\n\r\n"+request("Route: <sip:p1;lr>, <sip:p2,x;lr>", "k : path,outbound",
		"Subject: one \t\r\n two\r\n\tthree", "X-Thing:v", "x : 90", "s-thing: w", "ROUTE: <sip:p3;lr>")+"body")
	if !m.IsRequest() || m.Method() != "INVITE" || m.Status() != 0 || m.ReasonPhrase() != "" {
		t.Error("not an INVITE", m.Method(), m.Status())
	}
	n, method := m.CSeq()
	for _, c := range []struct{ what, got, want string }{
		{"RequestURI", m.RequestURI(), "sip:bob@example.org"},
		{"CallID", m.CallID(), "call-1"},
		{"FromTag", m.FromTag(), "a1"},
		{"ToTag", m.ToTag(), ""},
		{"branch", m.TopVia().Branch, "z9hG4bK1"},
		{"CSeq method", method, "INVITE"},
		{"Body", m.Body(), "body"},
		{"folded value, RFC 3261 §7.3.1", m.Named("subject"), "one two three"},
		{"compact name, RFC 3261 §7.3.3", m.Named("s"), "one two three"},
		{"compact name looked up by its long one", m.Named("session-EXPIRES"), "90"},
		{"Named known", m.Named("supported"), "path,outbound"},
		{"Named other", m.Named("x-THING"), "v"},
		{"Named absent", m.Named("X-Nothing"), ""},
		{"Value absent", m.Value(Contact), ""},
		{"Routes", strings.Join(slices.Collect(m.Values(Route)), "|"), "<sip:p1;lr>|<sip:p2,x;lr>|<sip:p3;lr>"},
		{"Name", m.Name(m.Fields()[7]), "k"},
	} {
		if c.got != c.want {
			t.Errorf("%s = %q, want %q", c.what, c.got, c.want)
		}
	}
	if n != 7 || m.MaxForwards() != 69 || m.ViaCount() != 1 {
		t.Error(n, m.MaxForwards(), m.ViaCount())
	}
	if !m.HasOption(Supported, "OUTBOUND") || m.HasOption(Supported, "gruu") || m.Has(Contact) {
		t.Error("options")
	}
	for range m.Values(Route) {
		break
	}
}

func TestHeaderNames(t *testing.T) { // RFC 3261 §7.3.3, §20
	for h := Other + 1; h < headerCount; h++ {
		name := h.String()
		for _, n := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := HeaderNamed(n); got != h {
				t.Errorf("HeaderNamed(%q) = %v, want %v", n, got, h)
			}
		}
	}
	for compact, want := range map[string]Header{"v": Via, "F": From, "t": To, "i": CallID, "m": Contact, "l": ContentLength,
		"C": ContentType, "k": Supported, "o": Event, "r": ReferTo, "b": ReferredBy, "e": ContentEncoding,
		"s": Other, "x": Other, "z": Other, "1": Other, "": Other, "\x16": Other, "Vi\u0251": Other, "Via ": Other} {
		if got := HeaderNamed(compact); got != want {
			t.Errorf("HeaderNamed(%q) = %v, want %v", compact, got, want)
		}
	}
}

func TestParseResponse(t *testing.T) { // RFC 3261 §7.2
	head := []string{"Via: SIP/2.0/UDP a;branch=z9hG4bK1", "From: <sip:a@x>;tag=1", "To: <sip:b@x>;tag=2", "Call-ID: c", "CSeq: 1 INVITE"}
	for _, c := range []struct {
		line, phrase string
		status       int
	}{
		{"SIP/2.0 200 OK", "OK", 200},
		{"sip/2.0 180 Es klingelt \xc3\xbc", "Es klingelt \xc3\xbc", 180},
		{"SIP/2.0 100 ", "", 100},
		{"SIP/2.0 699", "", 699},
	} {
		m, err := Parse(lines(append([]string{c.line}, head...)...), Datagram)
		if err != nil {
			t.Errorf("%q: %v", c.line, err)
			continue
		}
		if m.IsRequest() || m.Status() != c.status || m.ReasonPhrase() != c.phrase || m.Method() != "INVITE" || m.RequestURI() != "" {
			t.Errorf("%q: %d %q %q", c.line, m.Status(), m.ReasonPhrase(), m.Method())
		}
	}
	for line, reason := range map[string]string{
		"SIP/2.0 099 Low": "status code", "SIP/2.0 700 High": "status code", "SIP/2.0 20 Short": "status code",
		"SIP/2.0 2000 Long": "status code", "SIP/2.0  200 OK": "status code", "SIP/2.0 +20 OK": "status code", "SIP/2.0": "status code",
		"SIP/3.0 200 OK": "Version", "SIP/x 200 OK": "status line", "SIP/2.0\t200 OK": "status line",
	} {
		m, err := Parse(lines(append([]string{line}, head...)...), Datagram)
		if m != nil || err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: %v %v, want nil and %q", line, m, err, reason)
		}
	}
}

func TestParseAdmits(t *testing.T) {
	for _, c := range []struct{ name, text string }{
		{"RFC 3261 §7.3.1 any-case names, blanks before the colon", request("via \t: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1", "Via")},
		{"RFC 3261 §7.1 version in any case", request("> INVITE sip:bob@example.org sip/2.0")},
		{"RFC 3261 §7.1 a method is any token", request("> In-Vite! sip:bob@example.org SIP/2.0", "CSeq: 1 In-Vite!")},
		{"RFC 3261 §8.1.1.5 largest CSeq", request("CSeq: 2147483647 INVITE")},
		{"RFC 4475 3.1.1.1 zeros in front", request("CSeq: 0000000000000000000007 INVITE", "Max-Forwards: 00255", "Content-Length: 00000000000000000000")},
		{"RFC 3261 §16.3 Max-Forwards 0 is another's business", request("Max-Forwards: 0")},
		{"RFC 3261 §16.6 no Max-Forwards", request("Max-Forwards")},
		{"RFC 2543 no From tag", request("From: sip:alice@example.org")},
		{"empty values", request("Subject:", "Supported: ", "Allow: \r\n ")},
		{"70 Via", request("v: " + strings.Repeat("SIP/2.0/UDP h, ", 68) + "SIP/2.0/UDP h")},
		{"16 Route", request("Route: " + strings.Repeat("<sip:p;lr>,", 15) + "<sip:p;lr>")},
		{"256 header fields", manyFields(256)},
		{"64 parameters to a value, many values", request("Contact: <sip:a@b>" + params(64) + ", <sip:a@b>" + params(64))},
		{"8 KiB line", request("X-Long: " + strings.Repeat("x", 8<<10-10))},
	} {
		if _, err := Parse(c.text, Frame); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// manyFields is a request with n header fields.
func manyFields(n int) string {
	plain := strings.TrimSuffix(request(), "\r\n")
	return plain + strings.Repeat("X: 1\r\n", n-strings.Count(plain, "\r\n")+1) + "\r\n"
}

// params are n parameters.
func params(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(";p" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + "=\";;,\"")
	}
	return b.String()
}

func TestParseRefuses(t *testing.T) {
	const answered, dropped = true, false
	for _, c := range []struct {
		name, text string
		answer     bool
		want       string
	}{
		{"no SIP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", dropped, "400 Bad Request: start line"},
		{"nothing", "", dropped, "400 Bad Request: no start line"},
		{"CRLFs alone", "\r\n\r\n", dropped, "400 Bad Request: no start line"},
		{"LF only", strings.ReplaceAll(request(), "\r\n", "\n"), dropped, "LF without CR"},
		{"§7 empty line missing", strings.TrimSuffix(request(), "\r\n"), answered, "400 Bad Request: header without an empty line"},

		{"§7.1 two blanks", request("> INVITE  sip:bob@example.org SIP/2.0"), answered, "400 Bad Request: blank in Request-URI"},
		{"§7.1 tab", request("> INVITE\tsip:bob@example.org SIP/2.0"), dropped, "400 Bad Request: start line"},
		{"§7.1 no method", request(">  sip:bob@example.org SIP/2.0"), dropped, "400 Bad Request: start line"},
		{"§7.1 no URI", request("> INVITE SIP/2.0"), answered, "400 Bad Request: start line"},
		{"§7.1 blank at the end", request("> INVITE sip:bob@example.org SIP/2.0 "), answered, "400 Bad Request: start line"},
		{"§7.1 control character", request("> INVITE sip:bob\x01@example.org SIP/2.0"), answered, "control character in Request-URI"},
		{"§7.1 angle brackets", request("> INVITE <sip:bob@example.org> SIP/2.0"), answered, "400 Bad Request: Request-URI in angle brackets"},
		{"§7.1 folded start line", strings.Replace(request(), "\r\nVia", "\r\n ;x\r\nVia", 1), answered, "400 Bad Request: blank before the first header name"},
		{"§19.1.1 headers", request("> INVITE sip:bob@example.org?Subject=x SIP/2.0"), answered, "400 Bad Request: headers in Request-URI"},
		{"§19.1.1 no host", request("> INVITE sip:bob@ SIP/2.0"), answered, "400 Bad Request: malformed Request-URI: "},
		{"§19.1.1 no scheme", request("> INVITE bob@example.org SIP/2.0"), answered, "400 Bad Request: malformed Request-URI: "},
		{"§21.5.6 version", strings.Replace(request(), "SIP/2.0\r\n", "SIP/3.14\r\n", 1), answered, "505 Version Not Supported"},
		{"§7.1 no version", strings.Replace(request(), "SIP/2.0\r\n", "HTTP/1.1\r\n", 1), answered, "400 Bad Request: start line"},
		{"§8.2.2.1 tel", request("> INVITE tel:+1234 SIP/2.0"), answered, "416 Unsupported URI Scheme"},
		{"RFC 4475 novelsc", request("> INVITE soap.be+e-p2://x:1 SIP/2.0"), answered, "416 Unsupported URI Scheme"},
		{"§16.3 syntax before scheme", request("> INVITE tel:+1234 SIP/2.0", "CSeq: x INVITE"), answered, "400 Bad Request: malformed CSeq"},

		{"CVE-2020-28361 control before the colon", request("Contact\x0b: <sip:a@b>"), answered, "400 Bad Request: malformed header name"},
		{"header name with a blank", request("X Y: z"), answered, "400 Bad Request: malformed header name"},
		{"no header name", request(": z"), answered, "400 Bad Request: malformed header name"},
		{"no colon", request("Contact"), answered, "400 Bad Request: header line without colon"},
		{"§25.1 bare LF in another field", request("X-A: b\nX-Evil: 1"), answered, "400 Bad Request: LF without CR"},
		{"§25.1 bare CR in another field", request("X-A: b\rX-Evil: 1"), answered, "400 Bad Request: CR without LF"},
		{"§25.1 NUL in another field", request("X-A: b\x00"), answered, "400 Bad Request: NUL in header"},
		{"bare LF is never echoed", request("Call-ID: a\nX-Evil: 1"), dropped, "400 Bad Request: LF without CR"},
		{"bare CR is never echoed", request("Call-ID: a\rX-Evil: 1"), dropped, "400 Bad Request: malformed Call-ID"},
		{"bare CR in a fold is never echoed", request("To: <sip:b@x>\r\n ;x=\r1"), dropped, "400 Bad Request: "},
		{"NUL is never echoed", request("To: \"\\\x00\" <sip:b@x>"), dropped, "400 Bad Request: "},

		{"§8.1.1 no Via", request("Via"), dropped, "400 Bad Request: no Via"},
		{"§8.1.1 no From", request("From"), dropped, "400 Bad Request: no From"},
		{"§8.1.1 no To", request("To"), dropped, "400 Bad Request: no To"},
		{"§8.1.1 no Call-ID", request("Call-ID"), dropped, "400 Bad Request: no Call-ID"},
		{"§8.1.1 no CSeq", request("CSeq"), dropped, "400 Bad Request: no CSeq"},
		{"§7.3.1 two From", request("f: <sip:x@y>"), answered, "400 Bad Request: two From"},
		{"CVE-2018-14767 two To", request("t: <sip:x@y>"), answered, "400 Bad Request: two To"},
		{"§7.3.1 two Call-ID", request("i: x"), answered, "400 Bad Request: two Call-ID"},
		{"§7.3.1 two CSeq", request("cseq: 7 INVITE"), answered, "400 Bad Request: two CSeq"},
		{"§7.3.1 two Max-Forwards", request("max-forwards: 3"), answered, "400 Bad Request: two Max-Forwards"},
		{"§20.14 two Content-Length", request("Content-Length: 0", "l: 0"), answered, "400 Bad Request: two Content-Length"},
		{"§20.14 two Content-Length in one", request("Content-Length: 0, 0"), answered, "400 Bad Request: malformed Content-Length"},
		{"§20.14 negative", request("Content-Length: -1"), answered, "400 Bad Request: malformed Content-Length"},
		{"§20.14 plus", request("Content-Length: +0"), answered, "400 Bad Request: malformed Content-Length"},
		{"§20.14 empty", request("Content-Length:"), answered, "400 Bad Request: malformed Content-Length"},
		{"§20.14 folded number", request("Content-Length: 1\r\n 0"), answered, "400 Bad Request: malformed Content-Length"},
		{"CVE-2026-23457 Content-Length beyond 32 bits", request("Content-Length: 4294967296"), answered, "400 Bad Request: body shorter than Content-Length"},
		{"§20.14 beyond 64 bits", request("Content-Length: 36893488147419103232"), answered, "400 Bad Request: body shorter than Content-Length"},
		{"§20.15 two Content-Type", request("Content-Type: a/b", "c: a/b"), answered, "400 Bad Request: two Content-Type"},

		{"§20.42 malformed Via", request("Via: SIP/2.0/UDP"), answered, "400 Bad Request: malformed Via: "},
		{"§20.42 empty Via", request("v: SIP/2.0/UDP h,"), answered, "400 Bad Request: empty Via value"},
		{"§20.34 empty Route", request("Route: <sip:p;lr>,,<sip:q;lr>"), answered, "400 Bad Request: empty Route value"},
		{"§20.20 malformed From", request("From: \"Alice <sip:a@b>"), answered, "400 Bad Request: malformed From: "},
		{"§20.39 two values in To", request("To: <sip:a@b>, <sip:c@d>"), answered, "400 Bad Request: more than one value in To"},
		{"§20.8 blank in Call-ID", request("Call-ID: a b"), answered, "400 Bad Request: malformed Call-ID"},
		{"§20.8 empty Call-ID", request("Call-ID:"), dropped, "400 Bad Request: empty Call-ID"},
		{"§8.1.1.5 CSeq 2^31", request("CSeq: 2147483648 INVITE"), answered, "400 Bad Request: CSeq number over"},
		{"§8.1.1.5 CSeq 2^64+7", request("CSeq: 18446744073709551623 INVITE"), answered, "400 Bad Request: CSeq number over"},
		{"§20.16 CSeq without method", request("CSeq: 7"), answered, "400 Bad Request: malformed CSeq"},
		{"§20.16 CSeq with more", request("CSeq: 7 INVITE x"), answered, "400 Bad Request: malformed CSeq"},
		{"§8.1.1.5 CSeq method", request("CSeq: 7 invite"), answered, "400 Bad Request: CSeq method is not the request's"},
		{"§20.22 Max-Forwards 256", request("Max-Forwards: 256"), answered, "400 Bad Request: Max-Forwards is not 0 to 255"},
		{"§20.22 Max-Forwards x", request("Max-Forwards: x"), answered, "400 Bad Request: Max-Forwards is not 0 to 255"},

		{"71 Via", request("v: " + strings.Repeat("SIP/2.0/UDP h, ", 69) + "SIP/2.0/UDP h"), answered, "513 Message Too Large: more than 70 Via"},
		{"17 Route", request("Route: " + strings.Repeat("<sip:p;lr>,", 16) + "<sip:p;lr>"), answered, "513 Message Too Large: more than 16 Route"},
		{"257 header fields", manyFields(257), answered, "513 Message Too Large: more than 256 header fields"},
		{"65 parameters", request("Contact: <sip:a@b>" + params(65)), answered, "513 Message Too Large: more than 64 parameters in Contact"},
		{"long start line", request("> INVITE sip:" + strings.Repeat("b", 4<<10) + "@example.org SIP/2.0"), answered, "513 Message Too Large: start line over 4 KiB"},
		{"long start line without end", strings.Repeat("A", 5000), dropped, "513 Message Too Large: start line over 4 KiB"},
		{"long line", request("X-Long: " + strings.Repeat("x", 8<<10)), answered, "513 Message Too Large: header line over 8 KiB"},
		{"long folded line", request("X-Long: " + strings.Repeat("x\r\n ", 2050)), answered, "513 Message Too Large: header line over 8 KiB"},
		{"long header", strings.TrimSuffix(request(), "\r\n") + strings.Repeat("X: "+strings.Repeat("x", 8000)+"\r\n", 9) + "\r\n", answered, "513 Message Too Large: over 64 KiB"},
		{"long message", request() + strings.Repeat("x", 64<<10), answered, "513 Message Too Large: over 64 KiB"},
	} {
		m, err := Parse(c.text, Frame)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		var s *StatusError
		if !errors.As(err, &s) {
			t.Errorf("%s: %T", c.name, err)
		}
		if (m != nil) != c.answer {
			t.Errorf("%s: answerable %v, want %v", c.name, m != nil, c.answer)
		}
		if m != nil {
			reparse(t, c.name, m, s)
		}
	}
}

// reparse makes the answer to a refused request and reads it: nothing in it may be broken
// but what it copies.
func reparse(t *testing.T, name string, m *Message, s *StatusError) {
	t.Helper()
	b := string(m.AppendReply(nil, &Reply{Status: s.Code, Reason: s.Reason, ToTag: "t1", Source: netip.MustParseAddrPort("192.0.2.1:5")}))
	if !strings.HasPrefix(b, "SIP/2.0 ") || strings.Count(b, "\r\n\r\n") != 1 || !strings.HasSuffix(b, "Content-Length: 0\r\n\r\n") {
		t.Errorf("%s: answer %q", name, b)
	}
	var present headerSet
	for line := range strings.SplitSeq(b, "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		present |= 1 << HeaderNamed(strings.TrimRight(name, " \t"))
	}
	if present&mandatory != mandatory {
		t.Errorf("%s: answer %q", name, b)
	}
}
