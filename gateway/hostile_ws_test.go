package gateway_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// frameOf is a frame as RFC 6455 §5.2 has it, or not quite.
type frameOf struct {
	head     byte   // FIN, RSV and opcode
	unmasked bool   //
	length   uint64 // announced instead of what follows; 0: what follows
	wide     bool   // length in 64 bits
	payload  string
}

func (f frameOf) bytes() []byte {
	n, mask := uint64(len(f.payload)), byte(0x80)
	if f.length != 0 {
		n = f.length
	}
	if f.unmasked {
		mask = 0
	}
	b := []byte{f.head}
	switch {
	case f.wide || n > 0xffff:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), n)
	case n > 125:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(n))
	default:
		b = append(b, mask|byte(n))
	}
	if f.unmasked {
		return append(b, f.payload...)
	}
	key := [4]byte{1, 2, 3, 4}
	b = append(b, key[:]...)
	for i := range len(f.payload) {
		b = append(b, f.payload[i]^key[i&3])
	}
	return b
}

// rawWS is a WebSocket whose frames are made by hand.
type rawWS struct {
	t   *testing.T
	c   net.Conn
	in  *bufio.Reader
	res string // the handshake's answer
}

const goodHandshake = "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: sip\r\n"

func (r *hostileRig) rawWS(t *testing.T, lines string) *rawWS {
	t.Helper()
	w := r.rawHTTP(t, fmt.Sprintf(goodHandshake, r.ws)+lines+"\r\n")
	if !strings.HasPrefix(w.res, "HTTP/1.1 101 ") {
		t.Fatalf("handshake: %q", w.res)
	}
	return w
}

// rawHTTP sends a request and reads the answer's head.
func (r *hostileRig) rawHTTP(t *testing.T, text string) *rawWS {
	t.Helper()
	c, err := r.dialer(attackerHost).Dial("tcp", r.ws.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(hostilePatience))
	w := &rawWS{t: t, c: c, in: bufio.NewReader(c)}
	go io.WriteString(c, text) // the answer may come before the end
	for {
		line, err := w.in.ReadString('\n')
		w.res += line
		if err != nil || line == "\r\n" {
			return w
		}
	}
}

// next is the next frame of the server; op 0: the connection ended.
func (w *rawWS) next() (op byte, payload string) {
	w.t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(w.in, head[:]); err != nil {
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			w.t.Fatal("nothing came")
		}
		return 0, ""
	}
	n := int(head[1])
	switch n {
	case 126:
		var l [2]byte
		io.ReadFull(w.in, l[:])
		n = int(binary.BigEndian.Uint16(l[:]))
	case 127:
		w.t.Fatal("a frame of 64-bit length")
	}
	b := make([]byte, n)
	io.ReadFull(w.in, b)
	return head[0] & 0x0f, string(b)
}

// outcome is what the server does: "407", "close 1002", "pong x", "text …", in order,
// up to the first that is not skipped.
func (w *rawWS) outcome(skip string) string {
	for {
		got := ""
		switch op, b := w.next(); op {
		case 0:
			return "lost"
		case 8:
			if len(b) >= 2 {
				return fmt.Sprint("close ", binary.BigEndian.Uint16([]byte(b)))
			}
			return "close"
		case 10:
			got = "pong " + b
		default:
			if got = "text " + b; strings.HasPrefix(b, "SIP/2.0 ") {
				got = b[8:11]
			}
		}
		if skip == "" || !strings.HasPrefix(got, skip) {
			return got
		}
	}
}

// TestHostileFrames: RFC 6455 §5 and §8, RFC 7118 §5: broken framing and floods cost the
// connection with the right code, everything else only the message, and nobody else anything.
func TestHostileFrames(t *testing.T) {
	r := newHostileRig(t, "")
	p := &hostilePeer{t: t, r: r, kind: sip.WS}
	ask := p.out("OPTIONS", "sip:example.com", "sip:alice@example.com", "sip:example.com").String()
	big := func(n int) string {
		o := p.out("OPTIONS", "sip:example.com", "sip:alice@example.com", "sip:example.com")
		o.body = strings.Repeat("x", n)
		return o.String()
	}
	var thirds, tiny []frameOf
	third := len(ask) / 3
	thirds = []frameOf{{head: 0x01, payload: ask[:third]}, {head: 0x00, payload: ask[third : 2*third]}, {head: 0x80, payload: ask[2*third:]}}
	for i := range len(ask) {
		f := frameOf{payload: ask[i : i+1]}
		if i == 0 {
			f.head = 0x01
		}
		tiny = append(tiny, f)
	}
	many := func(n int, f frameOf) (all []frameOf) {
		for range n {
			all = append(all, f)
		}
		return all
	}
	for _, c := range []struct {
		name   string
		frames []frameOf
		want   string
		skip   string
	}{
		{"a text message is answered", []frameOf{{head: 0x81, payload: ask}}, "407", ""},
		{"a binary message is answered", []frameOf{{head: 0x82, payload: ask}}, "407", ""},
		{"three fragments are one message", thirds, "407", ""},
		{"a ping between fragments", []frameOf{thirds[0], {head: 0x89, payload: "p"}, thirds[1], thirds[2]}, "407", "pong p"},
		{"an empty last fragment", []frameOf{{head: 0x01, payload: ask}, {head: 0x80}}, "407", ""},
		{"octets one by one in fragments", tiny, "close 1008", ""},
		{"empty fragments without end", append([]frameOf{{head: 0x01}}, many(400, frameOf{head: 0x00})...), "close 1008", ""},
		{"300 pings", many(300, frameOf{head: 0x89}), "close 1008", "pong"},
		{"300 unasked pongs", many(300, frameOf{head: 0x8a, payload: "x"}), "close 1008", ""},
		{"a ping's payload comes back", []frameOf{{head: 0x89, payload: strings.Repeat("b", 125)}}, "pong " + strings.Repeat("b", 125), ""},
		{"a ping over 125 octets", []frameOf{{head: 0x89, payload: strings.Repeat("b", 126)}}, "close 1002", ""},
		{"a ping in fragments", []frameOf{{head: 0x09, payload: "b"}, {head: 0x80, payload: "b"}}, "close 1002", ""},
		{"RSV1 without compression", []frameOf{{head: 0xc1, payload: ask}}, "close 1002", ""},
		{"RSV2", []frameOf{{head: 0xa1, payload: ask}}, "close 1002", ""},
		{"RSV3 on a ping", []frameOf{{head: 0x99}}, "close 1002", ""},
		{"opcode 3", []frameOf{{head: 0x83, payload: ask}}, "close 1002", ""},
		{"opcode 11", []frameOf{{head: 0x8b}}, "close 1002", ""},
		{"opcode 15", []frameOf{{head: 0x8f}}, "close 1002", ""},
		{"a frame without mask", []frameOf{{head: 0x81, payload: ask, unmasked: true}}, "close 1002", ""},
		{"a ping without mask", []frameOf{{head: 0x89, unmasked: true}}, "close 1002", ""},
		{"a continuation of nothing", []frameOf{{head: 0x80, payload: ask}}, "close 1002", ""},
		{"a message begun within another", []frameOf{thirds[0], {head: 0x81, payload: ask}}, "close 1002", ""},
		{"a length of 2^63", []frameOf{{head: 0x81, length: 1 << 63, wide: true, payload: "x"}}, "close 1002", ""},
		{"a length of 2^64-1", []frameOf{{head: 0x82, length: 1<<64 - 1, wide: true, payload: "x"}}, "close 1002", ""},
		{"a terabyte announced, 70,000 octets sent", []frameOf{{head: 0x82, length: 1 << 40, wide: true, payload: big(70000)}}, "close 1009", "513"},
		{"a small length in 64 bits", []frameOf{{head: 0x81, wide: true, payload: ask}}, "407", ""},
		{"text that is no UTF-8", []frameOf{{head: 0x81, payload: ask + "\xff\xfe"}}, "close 1007", ""},
		{"an overlong UTF-8 NUL", []frameOf{{head: 0x81, payload: "\xc0\x80" + ask}}, "close 1007", ""},
		{"a UTF-16 surrogate", []frameOf{{head: 0x81, payload: "\xed\xa0\x80"}}, "close 1007", ""},
		{"60,000 octets of body", []frameOf{{head: 0x81, payload: big(60000)}}, "407", ""},
		{"over 64 KiB", []frameOf{{head: 0x81, payload: big(66000)}}, "close 1009", "513"},
		{"over 64 KiB in fragments", []frameOf{{head: 0x01, payload: big(66000)[:40000]}, {head: 0x80, payload: big(66000)[40000:]}}, "close 1009", "513"},
		{"over 64 KiB of nothing", []frameOf{{head: 0x82, payload: strings.Repeat("\x00", 66000)}}, "close 1009", ""},
		{"a close of one octet", []frameOf{{head: 0x88, payload: "\x03"}}, "close 1002", ""},
		{"a close with code 1005", []frameOf{{head: 0x88, payload: "\x03\xed"}}, "close 1002", ""},
		{"a close with code 999", []frameOf{{head: 0x88, payload: "\x03\xe7"}}, "close 1002", ""},
		{"a close whose reason is no UTF-8", []frameOf{{head: 0x88, payload: "\x03\xe8\xff"}}, "close 1002", ""},
		{"a close is echoed", []frameOf{{head: 0x88, payload: "\x03\xe8bye"}}, "close 1000", ""},
		{"a close without code is echoed", []frameOf{{head: 0x88}}, "close", ""},
		{"a close over 125 octets", []frameOf{{head: 0x88, payload: "\x03\xe8" + strings.Repeat("x", 200)}}, "close 1002", ""},
		{"an empty text, then a message", []frameOf{{head: 0x81}, {head: 0x81, payload: ask}}, "407", ""},
		{"CRLF CRLF is answered in its own message", []frameOf{{head: 0x81, payload: "\r\n\r\n"}}, "text \r\n", ""},
		{"CRLF before a message", []frameOf{{head: 0x81, payload: "\r\n\r\n" + ask}}, "407", ""},
		{"300 keep-alives", many(300, frameOf{head: 0x81, payload: "\r\n\r\n"}), "close 1008", "text"},
		{"300 blanks", many(300, frameOf{head: 0x81, payload: "  "}), "close 1008", ""},
		{"what is no SIP, twice, costs nothing", []frameOf{{head: 0x81, payload: "hello"}, {head: 0x81, payload: "{}"}, {head: 0x81, payload: ask}}, "407", ""},
		{"what is no SIP, again and again", many(40, frameOf{head: 0x81, payload: "hello"}), "close 1008", ""},
		{"two messages in one", []frameOf{{head: 0x81, payload: ask + ask}}, "400", ""},
		{"half a message", []frameOf{{head: 0x81, payload: ask[:len(ask)-9]}}, "400", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := r.rawWS(t, "")
			for _, f := range c.frames {
				if _, err := w.c.Write(f.bytes()); err != nil {
					break // cut already
				}
			}
			if got := w.outcome(c.skip); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			r.alive(t)
		})
	}
}

// TestHostileHandshakes: RFC 6455 §4.2, RFC 7118 §4, RFC 6454.
func TestHostileHandshakes(t *testing.T) {
	r := newHostileRig(t, "origins: [ \"https://phone.example.com\", \"https://*.good.example\" ]\n")
	head := fmt.Sprintf(goodHandshake, r.ws)
	swap := func(old, new string) string {
		if !strings.Contains(head, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(head, old, new, 1) + "\r\n"
	}
	origin := func(o string) string { return head + "Origin: " + o + "\r\n\r\n" }
	for _, c := range []struct {
		name, text, want string
	}{
		{"as it should be", head + "\r\n", "101"},
		{"sip among other subprotocols", swap("Protocol: sip", "Protocol: xmpp, sip , mqtt"), "101"},
		{"no subprotocol", swap("Sec-WebSocket-Protocol: sip\r\n", ""), "400"},
		{"another subprotocol", swap("Protocol: sip", "Protocol: sipx"), "400"},
		{"subprotocol by another name", swap("Protocol: sip", "Protocol: SIP\x01"), "400"},
		{"a foreign path", swap("GET /ws", "GET /ws2"), "404"},
		{"a path to climb by", swap("GET /ws", "GET /ws/../../etc/passwd"), "404"},
		{"POST", swap("GET", "POST"), "405"},
		{"CONNECT", swap("GET /ws", "CONNECT 192.0.2.1:25"), "404"},
		{"a foreign absolute URI", swap("GET /ws", "GET http://192.0.2.1/x"), "404"},
		{"version 8", swap("Version: 13", "Version: 8"), "426"},
		{"two versions", swap("Version: 13", "Version: 13, 8"), "426"},
		{"no key", swap("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", ""), "400"},
		{"a short key", swap("AAAAAAAAAAAAAAAAAAAAAA==", "AAAA"), "400"},
		{"no Upgrade", swap("Upgrade: websocket\r\n", ""), "426"},
		{"HTTP/1.0", swap("HTTP/1.1", "HTTP/1.0"), "505"},
		{"no Host", swap("Host: "+r.ws.String()+"\r\n", ""), "400"},
		{"two Hosts", swap("Host: ", "Host: a\r\nHost: "), "400"},
		{"garbage", "\x00\x01\x02\x03\r\n\r\n", "400"},
		{"a TLS ClientHello", "\x16\x03\x01\x00\x05hello\r\n\r\n", "400"},
		{"SIP", "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bKa\r\n\r\n", "400"},
		{"a header of 64 KiB", head + "X: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "431"},
		{"10,000 header fields", head + strings.Repeat("X: a\r\n", 10000) + "\r\n", "431"},
		{"a blank before the colon", swap("Upgrade:", "Upgrade :"), "400"},
		{"compression offered is not taken", head + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", "101"},
		{"a page that may", origin("https://phone.example.com"), "101"},
		{"with its port", origin("https://phone.example.com:443"), "101"},
		{"a subdomain that may", origin("https://a.b.good.example"), "101"},
		{"another scheme", origin("http://phone.example.com"), "403"},
		{"another port", origin("https://phone.example.com:8443"), "403"},
		{"a longer name", origin("https://phone.example.com.evil.example"), "403"},
		{"the name as a user", origin("https://phone.example.com@evil.example"), "403"},
		{"no subdomain", origin("https://evilgood.example"), "403"},
		{"the wildcard's own name", origin("https://good.example"), "403"},
		{"the wildcard itself", origin("https://*.good.example.evil.example"), "403"},
		{"null", origin("null"), "403"},
		{"an empty origin", origin(""), "403"},
		{"two origins", head + "Origin: https://phone.example.com\r\nOrigin: https://evil.example\r\n\r\n", "403"},
		{"two in one", origin("https://phone.example.com, https://evil.example"), "403"},
		{"a path", origin("https://evil.example/https://phone.example.com"), "403"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := r.rawHTTP(t, c.text)
			_, status, _ := strings.Cut(w.res, " ")
			if !strings.HasPrefix(status, c.want) {
				t.Errorf("got %q, want %s", w.res, c.want)
			}
			if strings.Contains(w.res, "Sec-WebSocket-Extensions") || strings.Contains(w.res, "Server:") {
				t.Errorf("told too much: %q", w.res)
			}
			r.alive(t)
		})
	}
}

// TestHostileSlowHandshakes: who begins and does not go on is cut off, and of one
// address only so many may be at it; everybody else gets in.
func TestHostileSlowHandshakes(t *testing.T) {
	r := newHostileRig(t, "limits: { handshake: 1s, half_open: 5 }\n")
	var open []net.Conn
	for i := range 5 {
		c, err := r.dialer(attackerHost).Dial("tcp", r.ws.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\n"[:5*i])
		open = append(open, c)
	}
	for range 5 { // over the cap: they wait or are refused
		if c, err := r.dialer(attackerHost).Dial("tcp", r.ws.String()); err == nil {
			open = append(open, c)
			defer c.Close()
		}
	}
	r.alive(t)
	r.wsFrom(otherHost).register("eve")
	for _, c := range open {
		c.SetReadDeadline(time.Now().Add(hostilePatience))
		if _, err := io.Copy(io.Discard, c); err != nil {
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				t.Error("a handshake that does not go on was not cut off")
			}
		}
	}
	r.alive(t)
}

// TestHostileUnproven: a WebSocket that neither registers nor authenticates in time ends
// with 1008, also one that keeps talking.
func TestHostileUnproven(t *testing.T) {
	r := newHostileRig(t, "limits: { unproven: 1s }\n")
	silent, talking := r.wsFrom(attackerHost), r.wsFrom(attackerHost)
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			if talking.write("\r\n\r\n") != nil {
				return
			}
		}
	}()
	if code := silent.ended(); code != 1008 {
		t.Errorf("the silent one was closed with %d", code)
	}
	if code := talking.ended(); code != 1008 {
		t.Errorf("the talking one was closed with %d", code)
	}
	r.alive(t)
}
