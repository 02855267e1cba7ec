package ws

import (
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

	"github.com/ringway/ringway/sip"
)

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
	e := start(t, nil)
	res, _ := e.handshake(http.Header{"Sec-Websocket-Protocol": {"sip"}, "X-Large": {strings.Repeat("x", 17<<10)}}, "/ws")
	want(t, "status", res.StatusCode, 431)
	e = start(t, func(c *Config) { c.HandshakeTime = 50 * time.Millisecond })
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
	e := start(t, func(c *Config) { c.MaxHalfOpen, c.MaxWaiting, c.HandshakeTime = 3, -1, time.Hour })
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
