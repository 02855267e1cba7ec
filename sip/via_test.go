package sip

import "testing"

func TestParseViaRefuses(t *testing.T) { // RFC 3261 §20.42, §25.1
	for _, in := range []string{
		"", "SIP", "SIP/2.0", "SIP/2.0/", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/ UDP", "SIP/2.0 UDP h", "SIP/7.0/UDP h", "HTTP/2.0/UDP h", "SIP/2.0/UDP;branch=x", "SIP/2.0/U@P h",
		"SIP/2.0/UDP :5060", "SIP/2.0/UDP h:", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:65536", "SIP/2.0/UDP h:5o", "SIP/2.0/UDP h h", "SIP/2.0/UDP h@x", "SIP/2.0/UDP h/x",
		"SIP/2.0/UDP 2001:db8::1", "SIP/2.0/UDP [2001:db8::1", "SIP/2.0/UDP [h]", "SIP/2.0/UDP [2001:db8::1]x",
		"SIP/2.0/UDP 192.0.2.15;;,;,,", "SIP/2.0/UDP h;", "SIP/2.0/UDP h;branch=a;branch=b", "SIP/2.0/UDP h;branch=a b", "SIP/2.0/UDP h (comment)", "SIP/2.0/UDP h;x=\"",
		"SIP/2.0/UDP h\r\n ;branch=a", "SIP/2.0/UDP h;bran\x00ch=a",
	} {
		if v, err := ParseVia(in); err == nil {
			t.Errorf("ParseVia(%q) = %+v, want an error", in, v)
		}
	}
}

func TestParseVia(t *testing.T) {
	for _, c := range []struct {
		in   string
		want ViaValue
	}{
		{"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK87asdks7;rport", ViaValue{"UDP", "192.0.2.1", 5060, "z9hG4bK87asdks7", ";branch=z9hG4bK87asdks7;rport"}},
		{"SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1", // §20.42
			ViaValue{"UDP", "first.example.com", 4000, "z9hG4bKa7c6a8dlze.1", ";ttl=16 ;maddr=224.2.0.1 ;branch=z9hG4bKa7c6a8dlze.1"}},
		{"SIP  /\t2.0 /UDP 192.0.2.2\t:\t5060 ; branch  =   z9hG4bK9ikj8  ", ViaValue{"UDP", "192.0.2.2", 5060, "z9hG4bK9ikj8", "; branch  =   z9hG4bK9ikj8"}}, // RFC 4475 §3.1.1.1
		{"sip/2.0/wss k3j4.invalid;branch=z9hG4bK1", ViaValue{"wss", "k3j4.invalid", 0, "z9hG4bK1", ";branch=z9hG4bK1"}},
		{"SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3-111", // RFC 5118 §4.5
			ViaValue{"UDP", "[2001:db8::9:1]", 6050, "z9hG4bKas3-111", ";received=[2001:db8::9:255];branch=z9hG4bKas3-111"}},
		{"SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255", ViaValue{"UDP", "[2001:db8::9:1]", 0, "", ";received=2001:db8::9:255"}},
		{"SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en", ViaValue{"UNKNOWN", "t4.example.com", 0, "z9hG4bKasd0f3en", ";branch=z9hG4bKasd0f3en"}},
		{"SIP/2.0/TCP h;branch=z9hG4bK-.!%66*_+`'~", ViaValue{"TCP", "h", 0, "z9hG4bK-.!%66*_+`'~", ";branch=z9hG4bK-.!%66*_+`'~"}}, // RFC 4475 §3.1.1.5
	} {
		got, err := ParseVia(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseVia(%q) = %+v, %v\nwant %+v", c.in, got, err, c.want)
		}
	}
}
