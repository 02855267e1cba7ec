package ws

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// byGorilla is what gorilla makes of b: the data message or the control frame.
func byGorilla(t *testing.T, b []byte) (op byte, payload []byte) {
	t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="}}
	c, err := upgrader.Upgrade(fed{httptest.NewRecorder(), b}, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	control := func(is byte) func(string) error {
		return func(s string) error { op, payload = is, []byte(s); return nil }
	}
	c.SetPingHandler(control(opPing))
	c.SetPongHandler(control(opPong))
	kind, data, err := c.ReadMessage()
	if err == nil {
		return byte(kind), data
	}
	if op == 0 {
		t.Fatalf("% x is refused: %v", b, err)
	}
	return op, payload
}

// fed is a connection on which b has come.
type fed struct {
	http.ResponseWriter
	b []byte
}

func (f fed) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	c := &scripted{Conn: discard{}, in: f.b, size: 1 << 20}
	return c, bufio.NewReadWriter(bufio.NewReader(bytes.NewReader(nil)), bufio.NewWriter(io.Discard)), nil
}

type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error)      { return len(p), nil }
func (discard) SetDeadline(time.Time) error      { return nil }
func (discard) SetWriteDeadline(time.Time) error { return nil }
func (discard) Close() error                     { return nil }

// FuzzPlainFrame: what is taken without gorilla, gorilla would have taken for the same; what is
// not taken is not touched.
func FuzzPlainFrame(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 1, 2, 3, 4, 'h', 'e', 'l', 'l', 'o', 0x89, 0x80, 0, 0, 0, 0})
	f.Add(append([]byte{0x82, 0xfe, 0, 130, 1, 2, 3, 4}, make([]byte, 130)...))
	f.Add([]byte{0x89, 0x83, 9, 8, 7, 6, 'a', 'b', 'c'})
	f.Add([]byte{0x8a, 0x80, 0, 0, 0, 0})
	for _, first := range []byte{0x01, 0xc1, 0x80, 0x88, 0x83, 0x8b} {
		f.Add([]byte{first, 0x81, 0, 0, 0, 0, 'x'})
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.Clone(b)
		op, payload, n := plainFrame(in, sip.MaxMessage)
		if n == 0 {
			if !bytes.Equal(in, b) {
				t.Fatal("a frame was changed and not taken")
			}
			return
		}
		if op2, payload2 := byGorilla(t, b[:n]); op2 != op || !bytes.Equal(payload2, payload) {
			t.Fatalf("op %d %q, gorilla %d %q", op, payload, op2, payload2)
		}
	})
}

// RFC 6455 §5: a final, masked text, binary, ping or pong frame that is all there; nothing else.
func TestPlainFrames(t *testing.T) {
	frame := func(first, second byte, rest ...byte) []byte { return append([]byte{first, second}, rest...) }
	long := func(second byte, n int) []byte {
		b := binary.BigEndian.AppendUint16([]byte{0x81, second}, uint16(n))
		return append(b, make([]byte, 4+n)...)
	}
	for _, c := range []struct {
		name  string
		b     []byte
		taken int
	}{
		{"text", frame(0x81, 0x81, 0, 0, 0, 0, 'x'), 7},
		{"binary", frame(0x82, 0x81, 0, 0, 0, 0, 'x'), 7},
		{"empty", frame(0x81, 0x80, 0, 0, 0, 0), 6},
		{"ping", frame(0x89, 0x80, 0, 0, 0, 0), 6},
		{"pong", frame(0x8a, 0x80, 0, 0, 0, 0), 6},
		{"16 bits of length", long(0xfe, 300), 308},
		{"the largest message", long(0xfe, 1000), 1008},
		{"larger than the limit", long(0xfe, 1001), 0},
		{"header only in part", frame(0x81, 0xfe, 0), 0},
		{"payload only in part", frame(0x81, 0x82, 0, 0, 0, 0, 'x'), 0},
		{"not masked", frame(0x81, 0x05, 'h', 'e', 'l', 'l', 'o'), 0},
		{"first fragment", frame(0x01, 0x81, 0, 0, 0, 0, 'x'), 0},
		{"last fragment", frame(0x80, 0x81, 0, 0, 0, 0, 'x'), 0},
		{"reserved bit", frame(0xc1, 0x81, 0, 0, 0, 0, 'x'), 0},
		{"reserved opcode", frame(0x83, 0x81, 0, 0, 0, 0, 'x'), 0},
		{"close", frame(0x88, 0x80, 0, 0, 0, 0), 0},
		{"fragmented ping", frame(0x09, 0x80, 0, 0, 0, 0), 0},
		{"ping of 126", append(frame(0x89, 0xfe, 0, 126), make([]byte, 130)...), 0},
	} {
		if _, _, n := plainFrame(c.b, 1000); n != c.taken {
			t.Errorf("%s: %d octets taken, want %d", c.name, n, c.taken)
		}
	}
}

// parkedAgain waits until nobody reads f but the poller.
func parkedAgain(t *testing.T, f *Flow) {
	t.Helper()
	waitFor(t, f.sock.Parked)
}

// Between messages a flow has no goroutine, whatever came before: a message in one frame, in fragments, in pieces.
func TestFlowIsParkedBetweenMessages(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	m := message("m", 3000)
	send(t, c, websocket.TextMessage, m)
	f := (<-e.flows).Conn.(*Flow)
	<-e.got
	parkedAgain(t, f)
	for _, pieces := range []func(){
		func() { frame(c, 0x01, m[:9]); frame(c, 0x80, m[9:]) },
		func() { frame(c, 0x01, m[:9]); frame(c, 0x8a, nil); frame(c, 0x80, m[9:]) },
		func() {
			w, b := c.NetConn(), masked(m)
			for _, piece := range [][]byte{b[:1], b[1:100]} {
				w.Write(piece)
				waitFor(t, func() bool { return !f.sock.Parked() })
			}
			w.Write(b[100:])
		},
	} {
		pieces()
		want(t, "message", (<-e.got).String(), string(m))
		parkedAgain(t, f)
	}
	send(t, c, websocket.TextMessage, m) // and served as at first
	want(t, "message", (<-e.got).String(), string(m))
	want(t, "pong", func() string {
		pong := make(chan string, 1)
		c.SetPongHandler(func(s string) error { pong <- s; return io.EOF })
		c.WriteControl(websocket.PingMessage, []byte("hi"), time.Now().Add(time.Second))
		c.ReadMessage()
		return <-pong
	}(), "hi")
	parkedAgain(t, f)
}

// What comes behind a message that ends the flow is seen by nobody.
func TestNothingIsReadAfterTheEnd(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	var b []byte
	b = append(b, 0x81, 0x81, 0, 0, 0, 0, 0xff) // no UTF-8
	b = append(b, masked(message("late", 300))...)
	c.NetConn().Write(b)
	want(t, "close code", closeCode(t, c), websocket.CloseInvalidFramePayloadData)
	e.wantClosed(sip.CloseEncoding)
	want(t, "messages", len(e.got), 0)
}
