package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

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

// no pong, no other traffic: dead. A client that talks lives.
func TestNoPongIsDead(t *testing.T) {
	e := start(t, func(c *Config) { c.PingInterval, c.PongTime = 10*time.Millisecond, 50*time.Millisecond })
	dead := e.dial()
	dead.SetPingHandler(func(string) error { return nil })
	go dead.ReadMessage()
	e.wantClosed(sip.CloseDead)
	e2 := start(t, nil)
	c := e2.dial()
	send(t, c, websocket.TextMessage, message("a", 0))
	f := (<-e2.flows).Conn.(*Flow)
	<-e2.got
	f.overdue()
	send(t, c, websocket.TextMessage, []byte("\r\n\r\n"))
	receive(t, c)
	want(t, "a client that talks", f.due(), "")
	f.overdue()
	want(t, "a client that does not", f.due(), sip.CloseDead)
}

// overdue makes it the time by which the pong to a ping sent now has to be there.
func (f *Flow) overdue() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watch.pongBy, f.watch.heard = 1, f.heard.Load()
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
	e := start(t, func(c *Config) { c.ProveTime = 20 * time.Millisecond })
	want(t, "close code", closeCode(t, e.dial()), websocket.ClosePolicyViolation)
	e.wantClosed(sip.CloseUnproven)
	e = start(t, nil)
	send(t, e.dial(), websocket.TextMessage, message("a", 0))
	known := <-e.flows
	f := known.Conn.(*Flow)
	late := func() sip.CloseReason {
		f.mu.Lock()
		f.watch.proveBy = 1
		f.mu.Unlock()
		return f.due()
	}
	want(t, "unknown, when it is time", late(), sip.CloseUnproven)
	known.AuthenticatedAs("alice@example.com")
	want(t, "known, when it is time", late(), "")
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
	frame(c, 0x88, []byte{3}) // RFC 6455 §5.5.1: a code is two octets
	want(t, "answer to one octet", closeCode(t, c), 1002)
	e.wantClosed(sip.CloseProtocol)
	c = e.dial()
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
	go func() { ended <- e.Shutdown(until{ctx, time.Now().Add(1100 * time.Millisecond)}) }() // 100 ms to spread them over
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

// until is a context with an earlier deadline, which nobody enforces.
type until struct {
	context.Context
	end time.Time
}

func (u until) Deadline() (time.Time, bool) { return u.end, true }

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
