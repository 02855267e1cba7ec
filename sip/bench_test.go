package sip

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
)

// benchInvite is an INVITE as JsSIP sends it: 15 header lines and 6 KB of SDP.
func benchInvite() string {
	sdp := "v=0\r\no=- 7615493183486425821 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
	for len(sdp) < 6<<10 {
		sdp += "a=candidate:2271598405 1 udp 2113937151 5a7e9c6e-42b5-4df0-9b8e-0a4f1c2d3e4f.local 55433 typ host generation 0 network-cost 999\r\n"
	}
	return lines("INVITE sip:bob@example.org SIP/2.0",
		"Via: SIP/2.0/WSS 8hq3fvl7mjqi.invalid;branch=z9hG4bK4512875",
		"Max-Forwards: 69",
		"Route: <sip:edge1.example.org:443;transport=ws;lr>",
		"To: <sip:bob@example.org>",
		"From: \"Alice\" <sip:alice@example.org>;tag=3m4n5k2j1h",
		"Call-ID: 6s7d8f9g0h1j2k3l4m5n",
		"CSeq: 6182 INVITE",
		"Proxy-Authorization: Digest algorithm=MD5, username=\"alice\", realm=\"example.org\", nonce=\"0123456789abcdef0123456789abcdef\", uri=\"sip:bob@example.org\", response=\"d41d8cd98f00b204e9800998ecf8427e\", qop=auth, cnonce=\"8q7w6e5r4t\", nc=00000001",
		"Contact: <sip:alice@8hq3fvl7mjqi.invalid;transport=ws;ob>",
		"Content-Type: application/sdp",
		"Session-Expires: 90",
		"Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY",
		"Supported: timer,gruu,ice,replaces,outbound",
		"User-Agent: JsSIP 3.13.8",
		"Content-Length: "+strconv.Itoa(len(sdp))) + sdp
}

const benchRegister = "REGISTER sip:example.org SIP/2.0\r\n" +
	"Via: SIP/2.0/WSS 8hq3fvl7mjqi.invalid;branch=z9hG4bK9183746\r\n" +
	"Max-Forwards: 69\r\n" +
	"To: <sip:alice@example.org>\r\n" +
	"From: \"Alice\" <sip:alice@example.org>;tag=9k8j7h6g5f\r\n" +
	"Call-ID: 1q2w3e4r5t6y7u8i9o0p\r\n" +
	"CSeq: 2 REGISTER\r\n" +
	"Authorization: Digest algorithm=MD5, username=\"alice\", realm=\"example.org\", nonce=\"0123456789abcdef0123456789abcdef\", uri=\"sip:example.org\", response=\"d41d8cd98f00b204e9800998ecf8427e\", qop=auth, cnonce=\"8q7w6e5r4t\", nc=00000001\r\n" +
	"Contact: <sip:k3j4h5g6@8hq3fvl7mjqi.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:4c2d1e0f-5a6b-4c7d-8e9f-0a1b2c3d4e5f>\";expires=600\r\n" +
	"Expires: 600\r\n" +
	"Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY\r\n" +
	"Supported: path,gruu,outbound\r\n" +
	"User-Agent: JsSIP 3.13.8\r\n" +
	"Content-Length: 0\r\n\r\n"

// bench200 is the answer to a forwarded INVITE, with our Via on top.
func bench200() string {
	sdp := strings.Repeat("a=rtpmap:111 opus/48000/2\r\n", 110)
	return lines("SIP/2.0 200 OK",
		"Via: SIP/2.0/WS gw.example.org;branch=z9hG4bK0123456789abcdef0123456789abcdef",
		"Via: SIP/2.0/WSS 8hq3fvl7mjqi.invalid;branch=z9hG4bK4512875;received=192.0.2.1",
		"Record-Route: <sip:vY0bT2u8Qn5xLw7eRk1dHc9aZs4mGf6jPo3iVbNqXtEyUrCl@gw.example.org:443;transport=ws;lr>",
		"Record-Route: <sip:aZs4mGf6jPo3iVbNqXtEyUrClvY0bT2u8Qn5xLw7eRk1dHc9@gw.example.org:443;transport=ws;lr>",
		"To: <sip:bob@example.org>;tag=7h6g5f4d3s",
		"From: \"Alice\" <sip:alice@example.org>;tag=3m4n5k2j1h",
		"Call-ID: 6s7d8f9g0h1j2k3l4m5n",
		"CSeq: 6182 INVITE",
		"Contact: <sip:bob@example.org;gr=urn:uuid:4c2d1e0f-5a6b-4c7d-8e9f-0a1b2c3d4e5f>",
		"Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY",
		"Supported: outbound",
		"User-Agent: JsSIP 3.13.8",
		"Content-Type: application/sdp",
		"Content-Length: "+strconv.Itoa(len(sdp))) + sdp
}

var sink *Message

func benchParse(b *testing.B, text string) {
	b.ReportAllocs()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		m, err := Parse(text, Frame)
		if err != nil {
			b.Fatal(err)
		}
		sink = m
	}
}

func BenchmarkParseInvite(b *testing.B)   { benchParse(b, benchInvite()) }
func BenchmarkParseRegister(b *testing.B) { benchParse(b, benchRegister) }
func BenchmarkParse200(b *testing.B)      { benchParse(b, bench200()) }

// BenchmarkParseRefused is what a bad message costs.
func BenchmarkParseRefused(b *testing.B) {
	text := strings.Replace(benchInvite(), "Max-Forwards: 69", "Max-Forwards: 690", 1)
	b.ReportAllocs()
	for b.Loop() {
		sink, _ = Parse(text, Frame)
	}
}

// forward makes of m what a proxy sends on (RFC 3261 §16.6).
func forward(dst []byte, m *Message) []byte {
	s := m.Splice()
	s.SetURI("sip:k3j4h5g6@9jr4gwm8nkrj.invalid;transport=ws")
	s.SetMaxForwards(m.MaxForwards() - 1)
	s.PopRoutes(1)
	s.PushRecordRoutes("<sip:vY0bT2u8Qn5xLw7eRk1dHc9aZs4mGf6jPo3iVbNqXtEyUrCl@gw.example.org:443;transport=ws;lr>",
		"<sip:aZs4mGf6jPo3iVbNqXtEyUrClvY0bT2u8Qn5xLw7eRk1dHc9@gw.example.org:443;transport=ws;lr>")
	s.PushVia("SIP/2.0/WS gw.example.org;branch=z9hG4bK0123456789abcdef0123456789abcdef")
	return s.Append(dst)
}

func BenchmarkSpliceForward(b *testing.B) {
	m := mustParse(b, benchInvite())
	buf := make([]byte, 0, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = forward(buf[:0], m)
	}
}

// BenchmarkSpliceForwardStamped is that with received and rport, and credentials taken out.
func BenchmarkSpliceForwardStamped(b *testing.B) {
	m := mustParse(b, benchInvite())
	buf := make([]byte, 0, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		s := m.Splice()
		s.SetURI("sip:k3j4h5g6@9jr4gwm8nkrj.invalid;transport=ws")
		s.SetMaxForwards(68)
		s.StampVia("192.0.2.1", 40123)
		s.RemoveAll(ProxyAuthorization)
		s.PopRoutes(1)
		s.PushVia("SIP/2.0/WS gw.example.org;branch=z9hG4bK0123456789abcdef0123456789abcdef")
		buf = s.Append(buf[:0])
	}
}

func BenchmarkSpliceResponse(b *testing.B) {
	m := mustParse(b, bench200())
	buf := make([]byte, 0, 16<<10)
	b.ReportAllocs()
	for b.Loop() {
		s := m.Splice()
		s.PopVia()
		buf = s.Append(buf[:0])
	}
}

func BenchmarkReply(b *testing.B) {
	m := mustParse(b, benchInvite())
	buf := make([]byte, 0, 4<<10)
	r := &Reply{Status: 100, Source: netip.MustParseAddrPort("192.0.2.1:40123")}
	b.ReportAllocs()
	for b.Loop() {
		buf = m.AppendReply(buf[:0], r)
	}
}

func BenchmarkFramer(b *testing.B) {
	text := []byte(benchInvite())
	b.ReportAllocs()
	for b.Loop() {
		if n, err := frameLength(text); n != len(text) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// TestHotPathAllocations holds what the benchmarks show: nothing is allocated
// but the Message itself.
func TestHotPathAllocations(t *testing.T) {
	invite, ok := benchInvite(), bench200()
	m, resp := mustParse(t, invite), mustParse(t, ok)
	buf := make([]byte, 0, 16<<10)
	reply := &Reply{Status: 100, Source: netip.MustParseAddrPort("192.0.2.1:40123")}
	text := []byte(invite)
	for _, c := range []struct {
		name string
		want float64
		run  func()
	}{
		{"Parse INVITE", 1, func() { sink, _ = Parse(invite, Frame) }},
		{"Parse REGISTER", 1, func() { sink, _ = Parse(benchRegister, Frame) }},
		{"Parse 200", 1, func() { sink, _ = Parse(ok, Frame) }},
		{"forward", 0, func() { buf = forward(buf[:0], m) }},
		{"response", 0, func() { s := resp.Splice(); s.PopVia(); buf = s.Append(buf[:0]) }},
		{"stamp", 0, func() { s := m.Splice(); s.StampVia("2001:db8::1", 1); buf = s.Append(buf[:0]) }},
		{"CANCEL and ACK", 0, func() { s := m.Splice(); s.PushVia("x"); buf = s.AppendAck(s.AppendCancel(buf[:0]), resp) }},
		{"reply", 0, func() { buf = m.AppendReply(buf[:0], reply) }},
		{"Value", 0, func() {
			_ = m.Value(ContentType)
			_ = m.Named("session-expires")
			_ = m.HasOption(Supported, "outbound")
		}},
		{"Values", 0, func() {
			for v := range m.Values(Supported) {
				_ = v
			}
		}},
		{"frame", 0, func() { _, _ = frameLength(text) }},
	} {
		if got := testing.AllocsPerRun(100, c.run); got > c.want {
			t.Errorf("%s: %v allocations, want %v", c.name, got, c.want)
		}
	}
}
