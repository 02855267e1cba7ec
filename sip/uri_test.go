package sip

import (
	"strconv"
	"strings"
	"testing"
)

func TestParseURIRefuses(t *testing.T) { // RFC 3261 §25.1
	for _, in := range []string{
		"", "sip", "sip:", ":alice@example.org", "5ip:alice@example.org", "s p:alice@example.org",
		"sip:@example.org", "sip:alice@", "sip:alice@@example.org", "sip:a@b@example.org",
		"sip:ali ce@example.org", "sip:alice@exam ple.org", "sip:alice@example.org ;lr", "sip:alice@example.org; lr", // RFC 4475 §3.1.2.6
		" sip:alice@example.org", "sip:alice@example.org\r\nVia: x", "sip:alice\n@example.org", "sip:al\x00ice@example.org",
		"<sip:alice@example.org>", "sip:\"alice\"@example.org", "sip:al{ice@example.org", "sip:al\\ice@example.org", "sip:al\xc3\xbcce@example.org",
		"sip:al%4ice@example.org", "sip:alice%@example.org", "sip:alice%4@example.org", "sip:alice:pass[]@example.org",
		"sip:alice@example.org:", "sip:alice@example.org:0", "sip:alice@example.org:65536", "sip:alice@example.org:99999999999999999999", "sip:alice@example.org:5o60", "sip:alice@example.org:-1",
		"sip:alice@exa$mple.org", "sip:alice@.example.org", "sip:alice@example..org", "sip:alice@-example.org", "sip:alice@example-.org", "sip:alice@.",
		"sip:alice@256.1.1.1", "sip:alice@1.2.3", "sip:alice@1.2.3.4.5", "sip:alice@01.2.3.4", "sip:5060",
		"sip:alice@[2001:db8::1", "sip:alice@2001:db8::1", "sip:2001:db8::10", "sip:alice@[]", "sip:alice@[192.0.2.1]", "sip:alice@[fe80::1%25eth0]", "sip:alice@[2001:db8::1]x", // RFC 5118 §4.2
		"sip:alice@example.org;", "sip:alice@example.org;;lr", "sip:alice@example.org;=x", "sip:alice@example.org;a=b=c", "sip:alice@example.org;x=\"y\"", "sip:alice@example.org;x=%zz",
		"sip:alice@example.org;lr;LR", "sip:alice@example.org;transport=udp;transport=tcp", // §19.1.1
		"sip:alice@example.org" + manyParams(65),
		"sip:alice@example.org?", "sip:alice@example.org?a=<b>", "sip:alice@example.org?a=b c",
		"tel:", "urn:a b", "http://a\"b", "tel:+1<2>",
	} {
		if u, err := ParseURI(in); err == nil {
			t.Errorf("ParseURI(%q) = %+v, want an error", in, u)
		}
	}
}

// manyParams are n parameters with different names.
func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(";p" + strconv.Itoa(i))
	}
	return b.String()
}

func TestParamCount(t *testing.T) { // 64 parameters a value, no more
	if _, err := ParseURI("sip:alice@example.org" + manyParams(64)); err != nil {
		t.Errorf("URI with 64 parameters: %v", err)
	}
	if _, err := ParseNameAddr("<sip:a@b>" + manyParams(64)); err != nil {
		t.Errorf("name-addr with 64 parameters: %v", err)
	}
	if _, err := ParseURI("sip:alice@example.org" + manyParams(65)); err != errParamCount {
		t.Errorf("URI with 65 parameters: %v", err)
	}
	if _, err := ParseNameAddr("<sip:a@b>" + manyParams(65)); err != errParamCount {
		t.Errorf("name-addr with 65 parameters: %v", err)
	}
	if _, err := ParseNameAddr("<sip:a@b>;x=" + strings.Repeat("y", 1<<16) + ";z"); err != errParamLong {
		t.Errorf("64 KiB of parameters: %v", err)
	}
}

func TestParseURI(t *testing.T) { // RFC 3261 §19.1.3, §25.1
	for _, c := range []struct {
		in   string
		want URI
	}{
		{"sip:example.org", URI{Scheme: "sip", Host: "example.org"}},
		{"SIPS:alice@example.org:5061", URI{Scheme: "SIPS", User: "alice", Host: "example.org", Port: 5061}},
		{"sip:alice:secret%20word@atlanta.com;transport=tcp", URI{Scheme: "sip", User: "alice", Pass: "secret%20word", Host: "atlanta.com", Params: ";transport=tcp"}},
		{"sip:alice:@atlanta.com", URI{Scheme: "sip", User: "alice", Host: "atlanta.com"}},
		{"sips:alice@atlanta.com?subject=project%20x&priority=urgent", URI{Scheme: "sips", User: "alice", Host: "atlanta.com", Headers: "subject=project%20x&priority=urgent"}},
		{"sip:+1-212-555-1212:1234@gateway.com;user=phone", URI{Scheme: "sip", User: "+1-212-555-1212", Pass: "1234", Host: "gateway.com", Params: ";user=phone"}},
		{"sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com", URI{Scheme: "sip", Host: "atlanta.com", Params: ";method=REGISTER", Headers: "to=alice%40atlanta.com"}},
		{"sip:alice;day=tuesday@atlanta.com", URI{Scheme: "sip", User: "alice;day=tuesday", Host: "atlanta.com"}},
		{"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com", URI{Scheme: "sip", // RFC 4475 §3.1.1.2
			User: "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*", Pass: "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)", Host: "example.com"}},
		{"sip:sips%3Auser%40example.com@example.net", URI{Scheme: "sip", User: "sips%3Auser%40example.com", Host: "example.net"}}, // §3.1.1.3
		{"sip:null-%00-null@example.com", URI{Scheme: "sip", User: "null-%00-null", Host: "example.com"}},                         // §3.1.1.4
		{"sip:user;par=u%40example.net@example.com", URI{Scheme: "sip", User: "user;par=u%40example.net", Host: "example.com"}},   // §3.1.1.9
		{"sip:*31#@pbx_1", URI{Scheme: "sip", User: "*31#", Host: "pbx_1"}},
		{"sip:user@[2001:db8::10]:5070;lr?a=b", URI{Scheme: "sip", User: "user", Host: "[2001:db8::10]", Port: 5070, Params: ";lr", Headers: "a=b"}}, // RFC 5118 §4.1
		{"sip:[::ffff:192.0.2.1]", URI{Scheme: "sip", Host: "[::ffff:192.0.2.1]"}},
		{"sip:192.0.2.4:05060", URI{Scheme: "sip", Host: "192.0.2.4", Port: 5060}},
		{"sip:a@example.org.", URI{Scheme: "sip", User: "a", Host: "example.org."}},
		{"sip:k3j4@df7jal23ls0d.invalid;transport=ws;ob", URI{Scheme: "sip", User: "k3j4", Host: "df7jal23ls0d.invalid", Params: ";transport=ws;ob"}},
		{"sip:alice@example.org;gr=urn:uuid:f81d4fae-7dec;x=[1]/:&+$", URI{Scheme: "sip", User: "alice", Host: "example.org", Params: ";gr=urn:uuid:f81d4fae-7dec;x=[1]/:&+$"}},
		{"sip:3f2a1b9c4d5e:5060", URI{Scheme: "sip", Host: "3f2a1b9c4d5e", Port: 5060}},
		{"tel:+1-201-555-0123;phone-context=x", URI{Scheme: "tel", Opaque: "+1-201-555-0123;phone-context=x"}},
		{"urn:service:sos", URI{Scheme: "urn", Opaque: "service:sos"}},
		{"soap.beep://192.0.2.103:3002", URI{Scheme: "soap.beep", Opaque: "//192.0.2.103:3002"}},
		{"nobodyKnowsThisScheme:totallyopaquecontent", URI{Scheme: "nobodyKnowsThisScheme", Opaque: "totallyopaquecontent"}},
	} {
		got, err := ParseURI(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseURI(%q) = %+v, %v\nwant %+v", c.in, got, err, c.want)
		}
	}
}

func mustURI(t *testing.T, s string) *URI {
	t.Helper()
	u, err := ParseURI(s)
	if err != nil {
		t.Fatalf("ParseURI(%q): %v", s, err)
	}
	return &u
}

func TestURIEqual(t *testing.T) { // RFC 3261 §19.1.4, its own examples first
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com", "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"sip:a@h", "sips:a@h", false},
		{"sip:h", "sip:a@h", false},
		{"sip:a:x@h", "sip:a@h", false},
		{"sip:a@h;user=phone", "sip:a@h", false},
		{"sip:a@h;maddr=192.0.2.1", "sip:a@h", false},
		{"sip:a@h;ttl=1", "sip:a@h", false},
		{"sip:a@h;method=INVITE", "sip:a@h", false},
		{"sip:a%40b@h", "sip:a%3Ab@h", false},
		{"sip:a%26b@h", "sip:a&b@h", false}, // reserved: its escape is another thing
		{"sip:a@h?x=1&x=2", "sip:a@h?x=1", false},
		{"sip:a%2db@h", "sip:a-b@h", true},
		{"sip:a%2Fb@h", "sip:a%2fb@h", true},
		{"sip:a@h;%6C%72", "sip:a@h;LR", true},
		{"sip:a@[2001:DB8::1]", "sip:a@[2001:db8:0:0::1]", true}, // RFC 5954 §4.1
		{"sip:a@[2001:db8::1]", "sip:a@[2001:db8::2]", false},
		{"tel:+1", "TEL:+1", true},
		{"tel:+1", "tel:+2", false},
		{"tel:1", "sip:h1", false},
	} {
		a, b := mustURI(t, c.a), mustURI(t, c.b)
		if a.Equal(b) != c.want || b.Equal(a) != c.want {
			t.Errorf("%s equal to %s: %v and %v, want %v", c.a, c.b, a.Equal(b), b.Equal(a), c.want)
		}
	}
}

func TestAOR(t *testing.T) { // RFC 3261 §10.3 step 5
	for in, want := range map[string]string{
		"sip:%61lic%65@Example.ORG:5070;transport=ws?x=y": "alice@example.org",
		"sips:alice:pw@example.org.":                      "alice@example.org",
		"sip:Alice@example.org":                           "Alice@example.org", // the user part is case-sensitive
		"sip:a%40b%2f%c3%bc@h":                            "a%40b%2F%C3%BC@h",
		"sip:Example.org":                                 "example.org",
		"sip:a@[2001:DB8::1]":                             "a@[2001:db8::1]",
		"tel:+1":                                          "",
	} {
		if got := mustURI(t, in).AOR(); got != want {
			t.Errorf("AOR of %s = %q, want %q", in, got, want)
		}
	}
}

func TestURIHostPortTransport(t *testing.T) { // RFC 3261 §19.1.2
	for _, c := range []struct {
		in, host string
		port     uint16
		tr       Transport
		named    bool
	}{
		{"sip:a@h", "h", 5060, 0, false},
		{"sip:a@h;transport=TCP", "h", 5060, TCP, true},
		{"sip:a@h;transport=tls", "h", 5061, TLS, true},
		{"sip:a@h:7;transport=sctp", "h", 7, 0, true},
		{"sips:a@[::1]", "::1", 5061, TLS, false},
		{"sips:a@h;transport=tcp", "h", 5061, TLS, true},
		{"sips:a@h;transport=ws", "h", 5061, WSS, true},
		{"sip:a@h;t%72ansport=w%73", "h", 5060, WS, true},
	} {
		u := mustURI(t, c.in)
		host, port := u.HostPort()
		tr, named := u.Transport()
		if host != c.host || port != c.port || tr != c.tr || named != c.named {
			t.Errorf("%s: %s %d %v %v", c.in, host, port, tr, named)
		}
	}
	if v, ok := mustURI(t, "sip:a@h;%6C%72;n%61me=v%61lue%25%34%31").Param("name"); v != "value%41" || !ok { // RFC 4475 §3.1.1.3
		t.Errorf("escaped parameter = %q, %v", v, ok)
	}
}
