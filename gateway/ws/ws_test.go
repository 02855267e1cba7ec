package ws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge is a running Server and what it was told.
type edge struct {
	*Server
	t      testing.TB
	table  *flow.Table
	flows  chan *flow.Flow
	got    chan *sip.Message
	closed chan sip.CloseReason
	stop   func()
}

func (e *edge) FlowNamed(*flow.Flow, flow.Name, *flow.Flow)  {}
func (e *edge) FlowClosed(_ *flow.Flow, why sip.CloseReason) { e.closed <- why }
func (e *edge) receive(m *sip.Message, from *flow.Flow)      { e.flows <- from; e.got <- m }
func (e *edge) wantClosed(why sip.CloseReason) {
	e.t.Helper()
	want(e.t, "close reason", <-e.closed, why)
}

// HalfOpen is the number of connections without a WebSocket.
func (e *edge) HalfOpen() int { return e.room.taken.Total() }
func (e *edge) url() string   { return "ws://" + e.Addr(0).String() + "/ws" }
func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s %v, want %v", what, got, want)
	}
}

// start runs an edge on a free port; set changes the configuration.
func start(t testing.TB, set func(*Config)) *edge {
	t.Helper()
	e := &edge{
		t: t, table: flow.NewTable(),
		flows: make(chan *flow.Flow, 100_000), got: make(chan *sip.Message, 100_000), closed: make(chan sip.CloseReason, 100_000),
	}
	e.table.Watch(e)
	cfg := Config{Table: e.table, Receive: e.receive, Listen: []Listen{{URL: "ws://127.0.0.1:0/ws"}}}
	if set != nil {
		set(&cfg)
	}
	var err error
	if e.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := e.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	e.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		waitFor(t, func() bool { return e.HalfOpen() == 0 })
	})
	t.Cleanup(e.stop)
	return e
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen")
		}
	}
}

var offer = websocket.Dialer{Subprotocols: []string{"sip"}, HandshakeTimeout: 10 * time.Second}

// dial is a client that offered the subprotocol.
func (e *edge) dial() *websocket.Conn {
	e.t.Helper()
	c, _, err := offer.Dial(e.url(), nil)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

// handshake tries one and returns the answer's status and text.
func (e *edge) handshake(header http.Header, path string) (*http.Response, string) {
	e.t.Helper()
	c, res, err := websocket.DefaultDialer.Dial("ws://"+e.Addr(0).String()+path, header)
	if err == nil {
		c.Close()
		return res, ""
	}
	if res == nil {
		e.t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	return res, string(body)
}

func message(call string, body int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK%s\r\n", call)
	fmt.Fprintf(&b, "Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n")
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", call, body)
	for range body {
		b.WriteByte('x')
	}
	return b.Bytes()
}

func send(t testing.TB, c *websocket.Conn, kind int, b []byte) {
	t.Helper()
	if err := c.WriteMessage(kind, b); err != nil {
		t.Fatal(err)
	}
}

func receive(t testing.TB, c *websocket.Conn) (int, string) {
	t.Helper()
	kind, b, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return kind, string(b)
}

// closeCode reads until the connection ends.
func closeCode(t testing.TB, c *websocket.Conn) int {
	t.Helper()
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				t.Fatalf("connection ended without a close frame: %v", err)
			}
			return closed.Code
		}
	}
}

// frame writes a frame by hand, masked with zeros.
func frame(c *websocket.Conn, first byte, payload []byte) error {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, 0, 0, 0, 0)
	_, err := c.NetConn().Write(append(b, payload...))
	return err
}

// RFC 7118 §5: one message per WebSocket message, text or binary, fragmented or
// not; Content-Length may be absent.
func TestMessagesIn(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	whole := message("whole", 6000)
	send(t, c, websocket.TextMessage, whole)
	want(t, "text", (<-e.got).String(), string(whole))
	send(t, c, websocket.BinaryMessage, whole)
	want(t, "binary", (<-e.got).String(), string(whole))
	frame(c, 0x01, whole[:100]) // fragments, with a ping between them (RFC 6455 §5.4)
	frame(c, 0x89, []byte("in between"))
	frame(c, 0x00, whole[100:101])
	frame(c, 0x00, nil)
	frame(c, 0x80, whole[101:])
	want(t, "fragmented", (<-e.got).String(), string(whole))
	send(t, c, websocket.TextMessage, append([]byte("\r\n"), whole...))
	want(t, "after CRLF", (<-e.got).String(), string(whole))
	short := bytes.Replace(message("short", 0), []byte("Content-Length: 0\r\n"), nil, 1)
	send(t, c, websocket.TextMessage, short)
	want(t, "without Content-Length", (<-e.got).String(), string(short))
	f := <-e.flows
	want(t, "transport", f.Info().Transport, sip.WS)
	want(t, "remote", f.Info().Remote.String(), c.LocalAddr().String())
	want(t, "advertise", f.Info().Advertise, e.Addr(0).String())
}

func TestMessageOfTheLimit(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	m := message("limit", 0)
	m = message("limit", 64<<10-len(m)-4)
	if len(m) != 64<<10 {
		t.Fatal(len(m))
	}
	send(t, c, websocket.BinaryMessage, m)
	want(t, "length", len((<-e.got).String()), 64<<10)
	for part := range 64 { // 1 KiB fragments
		first := byte(0)
		if part == 0 {
			first = 2
		} else if part == 63 {
			first = 0x80
		}
		if err := frame(c, first, m[part<<10:][:1<<10]); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "in fragments of 1 KiB", (<-e.got).String(), string(m))
}

// FIELD: a message over the limit is answered 513, then 1009.
func TestMessageTooLarge(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	send(t, c, websocket.TextMessage, message("large", 70_000))
	if _, answer := receive(t, c); !strings.HasPrefix(answer, "SIP/2.0 513 ") || !strings.Contains(answer, "Call-ID: large\r\n") {
		t.Errorf("answer %q", answer)
	}
	want(t, "close code", closeCode(t, c), websocket.CloseMessageTooBig)
	e.wantClosed(sip.CloseTooBig)
}

// An announced length reserves nothing.
func TestMessageAnnouncedHuge(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	c.NetConn().Write([]byte{0x82, 0x80 | 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	c.NetConn().Write(make([]byte, 65<<10))
	want(t, "close code", closeCode(t, c), websocket.CloseMessageTooBig)
}

func TestBadMessageKeepsTheSocket(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	send(t, c, websocket.TextMessage, []byte("this is no SIP"))
	send(t, c, websocket.TextMessage, bytes.Replace(message("bad", 0), []byte("Max-Forwards: 70"), []byte("Max-Forwards: many"), 1))
	if _, answer := receive(t, c); !strings.HasPrefix(answer, "SIP/2.0 400 ") {
		t.Errorf("answer %q", answer)
	}
	send(t, c, websocket.TextMessage, message("good", 0))
	want(t, "next", (<-e.got).CallID(), "good")
	want(t, "bad counted", e.count.Bad.Load(), 2)
}

func TestFloods(t *testing.T) {
	garbage := func(c *websocket.Conn) error { return frame(c, 0x81, []byte("no SIP at all")) }
	refused := bytes.Replace(message("bad", 0), []byte("Max-Forwards: 70"), []byte("Max-Forwards: many"), 1)
	for _, tt := range []struct {
		name string
		one  func(*websocket.Conn) error
		why  sip.CloseReason
	}{
		{"garbage", garbage, sip.CloseUnsupported},
		{"bad messages", func(c *websocket.Conn) error { return frame(c, 0x81, refused) }, sip.CloseFlood},
		{"pings", func(c *websocket.Conn) error { return frame(c, 0x89, nil) }, sip.CloseFlood},
		{"pongs", func(c *websocket.Conn) error { return frame(c, 0x8a, nil) }, sip.CloseFlood},
		{"keep-alives", func(c *websocket.Conn) error { return frame(c, 0x81, []byte("\r\n\r\n")) }, sip.CloseFlood},
		{"empty messages", func(c *websocket.Conn) error { return frame(c, 0x81, nil) }, sip.CloseFlood},
		{"empty fragments", func(c *websocket.Conn) error { return frame(c, 0x01, nil) }, sip.CloseProtocol},
		{"tiny fragments", func(c *websocket.Conn) error { return frame(c, 0x00, []byte("x")) }, sip.CloseFlood},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := start(t, func(c *Config) { c.Bad = func(*sip.Message, error, *flow.Flow) {} })
			c := e.dial()
			if tt.name == "tiny fragments" {
				frame(c, 0x01, []byte("x"))
			}
			for range 1000 {
				if tt.one(c) != nil {
					break
				}
			}
			code := websocket.ClosePolicyViolation
			if tt.why == sip.CloseProtocol {
				code = websocket.CloseProtocolError
			}
			want(t, "close code", closeCode(t, c), code)
			e.wantClosed(tt.why)
		})
	}
}

// RFC 6455 §8.1; the message itself would be good.
func TestTextThatIsNotUTF8(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	m := message("latin", 3)
	m[len(m)-1] = 0xe9
	send(t, c, websocket.BinaryMessage, m)
	want(t, "as binary", (<-e.got).String(), string(m))
	send(t, c, websocket.TextMessage, m)
	want(t, "close code", closeCode(t, c), websocket.CloseInvalidFramePayloadData)
	e.wantClosed(sip.CloseEncoding)
}

func TestMessagesOut(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	send(t, c, websocket.TextMessage, message("hello", 0))
	f := <-e.flows
	for _, size := range []int{0, 200, 3000, 60_000, 70_000} {
		m := message("out", size)
		if err := f.Send(m); err != nil {
			t.Fatal(err)
		}
		kind, got := receive(t, c)
		want(t, "kind", kind, websocket.TextMessage)
		want(t, "message", got, string(m))
	}
	m := message("binary", 1)
	m[len(m)-1] = 0xff
	f.Send(m)
	kind, got := receive(t, c)
	want(t, "kind of what is not UTF-8", kind, websocket.BinaryMessage)
	want(t, "message", got, string(m))
}

// RFC 5626 §4.4.1, RFC 7118 §6: CRLF CRLF is answered by CRLF in its own message.
func TestKeepAlive(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	for _, text := range []string{"\r\n", " ", "\n\n", "\r\n\r\n\r\n", ""} {
		send(t, c, websocket.TextMessage, []byte(text)) // ignored
	}
	send(t, c, websocket.TextMessage, []byte("\r\n\r\n"))
	_, got := receive(t, c)
	want(t, "answer", got, "\r\n")
	send(t, c, websocket.BinaryMessage, []byte("\r\n\r\n"))
	_, got = receive(t, c)
	want(t, "answer", got, "\r\n")
	want(t, "counted", e.count.KeepAlives.Load(), 2)
	want(t, "ignored", e.count.Blank.Load(), 5)
}

// RFC 6455 §5.5.3: the pong has the ping's payload.
func TestPingFromClient(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	pong := ""
	c.SetPongHandler(func(s string) error { pong = s; return nil })
	c.WriteControl(websocket.PingMessage, []byte("payload"), time.Now().Add(time.Second))
	send(t, c, websocket.TextMessage, []byte("\r\n\r\n"))
	receive(t, c)
	want(t, "pong", pong, "payload")
}
