package ws

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
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
func (e *edge) url() string { return "ws://" + e.Addr(0).String() + "/ws" }
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

// RFC 7118 §4: the client MUST offer sip, the server MUST select it.
func TestHandshakeSubprotocol(t *testing.T) {
	e := start(t, nil)
	for _, tt := range []struct {
		offer []string
		want  int
	}{
		{nil, 400}, {[]string{"mqtt"}, 400}, {[]string{"SIP"}, 400}, {[]string{"sipx, xsip"}, 400},
		{[]string{"sip"}, 101}, {[]string{"mqtt, sip"}, 101}, {[]string{"mqtt", "sip"}, 101},
	} {
		res, body := e.handshake(http.Header{"Sec-Websocket-Protocol": tt.offer}, "/ws")
		want(t, fmt.Sprint("status for ", tt.offer), res.StatusCode, tt.want)
		echo := ""
		if tt.want == 101 {
			echo = "sip"
		} else if !strings.Contains(body, "subprotocol sip") {
			t.Errorf("%v: reason %q names nothing", tt.offer, body)
		}
		want(t, fmt.Sprint("echo for ", tt.offer), res.Header.Get("Sec-Websocket-Protocol"), echo)
	}
	want(t, "counted", e.count.RefusedSubprotocol.Load(), 4)
}

func TestHandshakeOrigin(t *testing.T) {
	for _, tt := range []struct {
		name     string
		allowed  []string
		required bool
		origin   []string
		want     int
	}{
		{"absent", nil, false, nil, 101},
		{"absent but required", nil, true, nil, 403},
		{"absent but required of any", []string{"*"}, true, nil, 403},
		{"same host", nil, false, []string{"http://phone.test"}, 101},
		{"same host by TLS in front", nil, false, []string{"https://PHONE.test"}, 101},
		{"same host other port", nil, false, []string{"http://phone.test:8080"}, 403},
		{"foreign", nil, false, []string{"https://evil.test"}, 403},
		{"null", nil, false, []string{"null"}, 403},
		{"listed", []string{"https://a.test", "https://b.test"}, false, []string{"https://b.test"}, 101},
		{"listed with default port", []string{"https://b.test:443"}, false, []string{"https://b.test"}, 101},
		{"listed other scheme", []string{"https://b.test"}, false, []string{"http://b.test"}, 403},
		{"listed only", []string{"https://b.test"}, false, []string{"http://phone.test"}, 403},
		{"wildcard", []string{"https://*.b.test"}, false, []string{"https://x.y.b.test"}, 101},
		{"wildcard is not the domain", []string{"https://*.b.test"}, false, []string{"https://b.test"}, 403},
		{"wildcard suffix", []string{"https://*.b.test"}, false, []string{"https://evilb.test"}, 403},
		{"any", []string{"*"}, false, []string{"null"}, 101},
		{"two", []string{"https://b.test"}, false, []string{"https://b.test", "https://b.test"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := start(t, func(c *Config) { c.Listen[0].Origins, c.Listen[0].RequireOrigin = tt.allowed, tt.required })
			h := http.Header{"Sec-Websocket-Protocol": {"sip"}, "Host": {"phone.test"}}
			if tt.origin != nil {
				h["Origin"] = tt.origin
			}
			res, _ := e.handshake(h, "/ws")
			want(t, "status", res.StatusCode, tt.want)
		})
	}
}

func TestHandshakeRefusals(t *testing.T) {
	e := start(t, func(c *Config) {
		c.Listen[0].Paths = []string{"/sip"}
		c.Pages = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "page") })
	})
	base := "http://" + e.Addr(0).String()
	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		status             int
		body               string
	}{
		{"a page view of the path", "GET", "/ws", nil, 426, "SIP WebSocket"},
		{"of its second path", "GET", "/sip", nil, 426, "SIP WebSocket"},
		{"another path", "GET", "/phone.js", nil, 200, "page"},
		{"POST", "POST", "/ws", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, 405, "GET"},
		{"old version", "GET", "/ws", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"8"}}, 426, "13"},
		{"no key", "GET", "/ws", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": {"sip"}}, 400, "Key"},
	} {
		req, _ := http.NewRequest(tt.method, base+tt.path, nil)
		if tt.header != nil {
			req.Header = tt.header
		}
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(tt.name, err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		want(t, tt.name+": status", res.StatusCode, tt.status)
		if !strings.Contains(string(body), tt.body) {
			t.Errorf("%s: body %q, want %q in it", tt.name, body, tt.body)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	res, _ := e.handshake(http.Header{"Sec-Websocket-Protocol": {"sip"}}, "/sip")
	want(t, "second path", res.StatusCode, 101)
}

func TestHandshakeDraining(t *testing.T) {
	e := start(t, nil)
	e.Drain()
	res, _ := e.handshake(http.Header{"Sec-Websocket-Protocol": {"sip"}}, "/ws")
	want(t, "status", res.StatusCode, 503)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}

// Slowloris: a header of more than 16 KiB is refused, one that does not come cut.
func TestHandshakeLimits(t *testing.T) {
	e := start(t, func(c *Config) { c.HandshakeTime = 50 * time.Millisecond })
	res, _ := e.handshake(http.Header{"Sec-Websocket-Protocol": {"sip"}, "X-Large": {strings.Repeat("x", 17<<10)}}, "/ws")
	want(t, "status", res.StatusCode, 431)
	c, err := net.Dial("tcp", e.Addr(0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\n")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(c); err != nil {
		t.Fatalf("an incomplete handshake is not cut: %v", err)
	}
}

func TestHalfOpenCap(t *testing.T) {
	e := start(t, func(c *Config) { c.MaxHalfOpen, c.MaxWaiting = 3, -1 })
	c := e.dial() // upgraded: does not count
	defer c.Close()
	var idle []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", e.Addr(0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		idle = append(idle, c)
	}
	waitFor(t, func() bool { return e.HalfOpen() == 3 })
	if over, err := net.Dial("tcp", e.Addr(0).String()); err == nil { // else reset already
		defer over.Close()
		over.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := over.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("fourth half-open connection: %v, want a reset", err)
		}
	}
	want(t, "counted", e.count.RefusedHalfOpen.Load(), 1)
	idle[0].Close()
	waitFor(t, func() bool { return e.HalfOpen() == 2 })
	e.dial()
}

// R14: a storm of clients behind one address gets through a place after the other.
func TestHalfOpenWaits(t *testing.T) {
	e := start(t, func(c *Config) { c.MaxHalfOpen = 2 })
	var storm sync.WaitGroup
	for range 300 {
		storm.Go(func() {
			c, _, err := offer.Dial(e.url(), nil)
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	storm.Wait()
	waitFor(t, func() bool { return e.count.Upgraded.Load() == 300 && e.HalfOpen() == 0 })
}

// Who waits too long for a place is sent away; so are all when the server ends.
func TestHalfOpenWaitEnds(t *testing.T) {
	e := start(t, func(c *Config) { c.MaxHalfOpen, c.HandshakeTime = 1, 100*time.Millisecond })
	var conns []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", e.Addr(0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("still open")
		}
	}
}

func TestFlowCap(t *testing.T) {
	e := start(t, func(c *Config) { c.MaxPerAddr = 1 })
	c := e.dial()
	res, _ := e.handshake(http.Header{"Sec-Websocket-Protocol": {"sip"}}, "/ws")
	want(t, "status", res.StatusCode, 503)
	c.Close()
	e.wantClosed(sip.CloseLost)
	waitFor(t, func() bool { return e.flows2() == 0 })
	e.dial()
}

func (e *edge) flows2() int { return e.Server.flows.Total() }

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

func TestPingsGoOut(t *testing.T) {
	e := start(t, func(c *Config) { c.PingInterval, c.PongTime = 5*time.Millisecond, 5*time.Second })
	c := e.dial()
	pings := 0
	c.SetPingHandler(func(s string) error {
		if pings++; pings == 20 {
			return errors.New("enough")
		}
		return c.WriteControl(websocket.PongMessage, []byte(s), time.Now().Add(time.Second))
	})
	c.ReadMessage()
	want(t, "pings", pings, 20)
}

// FIELD §1: no pong, no other traffic: dead. A client that talks lives.
func TestNoPongIsDead(t *testing.T) {
	e := start(t, func(c *Config) { c.PingInterval, c.PongTime = 10*time.Millisecond, 50*time.Millisecond })
	dead := e.dial()
	dead.SetPingHandler(func(string) error { return nil })
	go dead.ReadMessage()
	e.wantClosed(sip.CloseDead)
	e2 := start(t, func(c *Config) { c.PingInterval, c.PongTime = time.Millisecond, 2*time.Second })
	c := e2.dial()
	c.SetPingHandler(func(string) error { return nil })
	for range 50 { // over 50 pings none of which gets its pong
		send(t, c, websocket.TextMessage, []byte("\r\n\r\n"))
		receive(t, c)
	}
	want(t, "closed", len(e2.closed), 0)
}

func TestPingProbe(t *testing.T) {
	e := start(t, nil)
	c := e.dial()
	send(t, c, websocket.TextMessage, message("a", 0))
	f := <-e.flows
	alive := make(chan bool, 1)
	e.Ping(f, 10*time.Second, func(ok bool) { alive <- ok })
	go c.ReadMessage() // answers the ping
	want(t, "client that reads", <-alive, true)
	silent := e.dial()
	send(t, silent, websocket.TextMessage, message("b", 0))
	f = <-e.flows
	e.Ping(f, 30*time.Millisecond, func(ok bool) { alive <- ok })
	want(t, "client that does not", <-alive, false)
	e.wantClosed(sip.CloseDead)
	e.Ping(f, time.Hour, func(ok bool) { alive <- ok })
	want(t, "closed flow", <-alive, false)
}

func TestUnproven(t *testing.T) {
	e := start(t, func(c *Config) { c.ProveTime = 100 * time.Millisecond })
	known, unknown := e.dial(), e.dial()
	send(t, known, websocket.TextMessage, message("a", 0))
	(<-e.flows).AuthenticatedAs("alice@example.com")
	want(t, "close code", closeCode(t, unknown), websocket.ClosePolicyViolation)
	e.wantClosed(sip.CloseUnproven)
	send(t, known, websocket.TextMessage, message("b", 0))
	<-e.flows
}

func TestCloseCodesOut(t *testing.T) {
	e := start(t, nil)
	for why, w := range closeWords {
		c := e.dial()
		send(t, c, websocket.TextMessage, message("a", 0))
		f := <-e.flows
		f.Close(why)
		f.Close(sip.CloseNormal) // the first counts
		if err := f.Send([]byte("x")); err == nil {
			t.Error("a closed flow takes messages")
		}
		want(t, "code for "+string(why), closeCode(t, c), w.code)
		e.wantClosed(why)
		c.Close()
	}
}

// RFC 6455 §7.1.5; FIELD: 1001 is a page that went away, 1000 may only reconnect.
func TestCloseCodesIn(t *testing.T) {
	e := start(t, nil)
	for _, tt := range []struct {
		code, echo int
		why        sip.CloseReason
	}{
		{1000, 1000, sip.CloseNormal}, {1001, 1001, sip.CloseGoingAway}, {1005, 1005, sip.CloseLost}, {1002, 1002, sip.CloseProtocol},
		{1007, 1007, sip.CloseEncoding}, {1009, 1009, sip.CloseTooBig}, {1011, 1011, sip.CloseLost}, {4000, 4000, sip.CloseNormal},
		{999, 1002, sip.CloseProtocol}, {1004, 1002, sip.CloseProtocol}, {1015, 1002, sip.CloseProtocol},
	} {
		c := e.dial()
		var payload []byte
		if tt.code != 1005 {
			payload = binary.BigEndian.AppendUint16(nil, uint16(tt.code))
		}
		frame(c, 0x88, payload)
		want(t, fmt.Sprint("echo of ", tt.code), closeCode(t, c), tt.echo)
		want(t, fmt.Sprint("reason of ", tt.code), <-e.closed, tt.why)
	}
	c := e.dial()
	c.Close() // 1006
	e.wantClosed(sip.CloseLost)
}

// RFC 6455 §5: broken frames are 1002.
func TestBrokenFrames(t *testing.T) {
	e := start(t, nil)
	for name, b := range map[string][]byte{
		"not masked":            {0x81, 0x01, 'x'},
		"RSV1 (compression)":    {0xc1, 0x80, 0, 0, 0, 0},
		"opcode 3":              {0x83, 0x80, 0, 0, 0, 0},
		"continuation first":    {0x80, 0x80, 0, 0, 0, 0},
		"fragmented ping":       {0x09, 0x80, 0, 0, 0, 0},
		"ping of 126 octets":    {0x89, 0xfe, 0, 126, 0, 0, 0, 0},
		"data within a message": {0x01, 0x81, 0, 0, 0, 0, 'x', 0x81, 0x80, 0, 0, 0, 0},
	} {
		c := e.dial()
		c.NetConn().Write(b)
		want(t, name, closeCode(t, c), websocket.CloseProtocolError)
		e.wantClosed(sip.CloseProtocol)
	}
}

func TestMessageNotCompleted(t *testing.T) {
	e := start(t, func(c *Config) { c.MessageTime = 30 * time.Millisecond })
	c := e.dial()
	frame(c, 0x01, []byte("REGISTER "))
	want(t, "close code", closeCode(t, c), websocket.CloseProtocolError)
}

func TestPanicClosesThatFlow(t *testing.T) {
	var e *edge
	told := make(chan any, 1)
	e = start(t, func(c *Config) {
		c.Receive = func(m *sip.Message, f *flow.Flow) {
			if m.CallID() == "bomb" {
				panic("boom")
			}
			e.receive(m, f)
		}
		c.Panicked = func(v any, _ []byte) { told <- v }
	})
	a, b := e.dial(), e.dial()
	send(t, a, websocket.TextMessage, message("bomb", 0))
	want(t, "close code", closeCode(t, a), websocket.CloseInternalServerErr)
	e.wantClosed(sip.ClosePanic)
	want(t, "told", <-told, any("boom"))
	want(t, "counted", e.count.Panics.Load(), 1)
	send(t, b, websocket.TextMessage, message("good", 0))
	want(t, "other flow", (<-e.got).CallID(), "good")
}

// R8: a client that does not read is cut when its queue is full; others go on.
func TestSlowReader(t *testing.T) {
	e := start(t, nil)
	slow, quick := e.dial(), e.dial()
	send(t, slow, websocket.TextMessage, message("slow", 0))
	f := <-e.flows
	send(t, quick, websocket.TextMessage, message("quick", 0))
	g := <-e.flows
	m := message("out", 20_000)
	sent := 0
	for f.Send(m) == nil {
		if err := g.Send(m); err != nil {
			t.Fatal(err)
		}
		receive(t, quick)
		if sent += len(m); sent > 64<<20 {
			t.Fatal("64 MB taken for a client that does not read")
		}
	}
	e.wantClosed(sip.CloseSlow)
}

func TestShutdownCloses1012(t *testing.T) {
	e := start(t, nil)
	var clients []*websocket.Conn
	for range 20 {
		clients = append(clients, e.dial())
	}
	waitFor(t, func() bool { return e.count.Open.Load() == 20 })
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	go func() {
		c, stop := context.WithTimeout(ctx, 1100*time.Millisecond)
		defer stop()
		ended <- e.Shutdown(c)
	}()
	for _, c := range clients {
		want(t, "close code", closeCode(t, c), websocket.CloseServiceRestart)
		c.Close()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	want(t, "open", e.count.Open.Load(), 0)
	want(t, "flows in the table", e.table.Len(), 0)
}

func TestListenErrors(t *testing.T) {
	for url, text := range map[string]string{
		"http://:1/ws": "neither ws nor wss", "wss://:1/ws": "certificate", "ws://example.com/ws": "IP address", "ws://:1/ws?x": "path",
	} {
		if _, err := New(Config{Listen: []Listen{{URL: url}}}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", url, err, text)
		}
	}
	if _, err := New(Config{Listen: []Listen{{URL: "ws://:1/ws", Origins: []string{"example.com"}}}}); err == nil {
		t.Error("origin without scheme accepted")
	}
	e := start(t, nil)
	s, err := New(Config{Listen: []Listen{{URL: e.url()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "already in use") || strings.Contains(err.Error(), "\n") {
		t.Errorf("port in use: %v", err)
	}
}
