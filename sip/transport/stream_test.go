package transport

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

func TestStreamFraming(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	a, b := message("a", 30_000), message("b", 0)
	c.Write(append(append([]byte("\r\n"), a...), b...))
	want(t, "first", (<-g.got).String(), string(a))
	want(t, "second", (<-g.got).String(), string(b))
	for _, one := range append(b, b...) { // RFC 3261 §18.3: framing is Content-Length, not segments
		c.Write([]byte{one})
	}
	want(t, "octet by octet", (<-g.got).String(), string(b))
	want(t, "and again", (<-g.got).String(), string(b))
	f := <-g.flows
	want(t, "flow's transport", f.Info().Transport, sip.TCP)
	want(t, "advertise", f.Info().Advertise, g.Addr(0).String())
	if err := f.Send(a); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(a))
	io.ReadFull(c, got)
	want(t, "out", string(got), string(a))
	c.Close()
	g.wantClosed(sip.CloseNormal)
	want(t, "live", f.Live(), false)
}

// RFC 5626 §4.4.1: CRLF CRLF is answered by CRLF, a single CRLF is not.
func TestStreamKeepAlive(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	for _, piece := range []string{"\r\n", string(message("a", 0)), "\r", "\n\r", "\n"} {
		c.Write([]byte(piece))
	}
	want(t, "answer", readSome(t, c), "\r\n")
	want(t, "call", (<-g.got).CallID(), "a")
	want(t, "counted", g.count.KeepAlives.Load(), 1)
	c.Write(bytes.Repeat([]byte("\r\n\r\n"), 200))
	g.wantClosed(sip.CloseFlood)
}

// RFC 5626 §4.4.1: our CRLF CRLF is answered by one CRLF, which is no half of a keep-alive of the peer's; those are answered meanwhile.
func TestStreamPing(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 0))
	f := <-g.flows
	<-g.got
	s := f.Conn.(*stream)
	pings := func(answer string) {
		t.Helper()
		before := s.Ponged()
		if err := s.Ping(); err != nil {
			t.Fatal(err)
		}
		want(t, "ping", readSome(t, c), "\r\n\r\n")
		c.Write([]byte(answer))
		waitFor(t, func() bool { return s.Ponged().After(before) })
	}
	if !s.Ponged().IsZero() {
		t.Error("ponged before a ping")
	}
	pings("\r\n")
	pings("\r\n") // no second half
	pings("\r\n" + string(message("b", 0)))
	want(t, "call behind a pong", (<-g.got).CallID(), "b")
	want(t, "none of these answered", g.count.KeepAlives.Load(), 0)

	pings("\r\n\r\n\r\n") // its own, and the pong
	want(t, "answer", readSome(t, c), "\r\n")
	if err := s.Ping(); err != nil {
		t.Fatal(err)
	}
	want(t, "ping", readSome(t, c), "\r\n\r\n")
	last := s.Ponged()
	c.Write([]byte("\r\n\r\n")) // its own, no pong
	want(t, "answer", readSome(t, c), "\r\n")
	want(t, "answered", g.count.KeepAlives.Load(), 2)
	want(t, "no pong", s.Ponged(), last)
}

func TestStreamBadMessage(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(malformed("bad")) // framing intact: answered, and the next one is read
	if got := readSome(t, c); !strings.HasPrefix(got, "SIP/2.0 400 ") {
		t.Errorf("answer %q", got)
	}
	c.Write(message("good", 0))
	want(t, "next", (<-g.got).CallID(), "good")
	for range 200 {
		c.Write(malformed("flood"))
	}
	g.wantClosed(sip.CloseFlood)
}

// What loses the frame is answered where it can be, and ends the stream.
func TestStreamBrokenFraming(t *testing.T) {
	without := bytes.Replace(message("x", 0), []byte("Content-Length: 0\r\n"), nil, 1)
	for _, tt := range []struct {
		name   string
		in     []byte
		answer string
		why    sip.CloseReason
	}{
		{"no Content-Length", without, "SIP/2.0 400 ", sip.CloseProtocol},
		{"Content-Length too large", bytes.Replace(message("x", 0), []byte("Length: 0"), []byte("Length: 99999999"), 1), "SIP/2.0 513 ", sip.CloseTooBig},
		{"Content-Length no number", bytes.Replace(message("x", 0), []byte("Length: 0"), []byte("Length: -1"), 1), "SIP/2.0 400 ", sip.CloseProtocol},
		{"bare LF", []byte("REGISTER sip:x SIP/2.0\n"), "", sip.CloseProtocol},
		{"endless line", bytes.Repeat([]byte("x"), 100_000), "", ""},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "", sip.CloseProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, nil, "tcp://127.0.0.1:0")
			c := g.client("tcp", 0)
			c.Write(tt.in)
			got, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(got), tt.answer) || tt.answer == "" && len(got) > 0 {
				t.Errorf("answer %q, error %v, want %q", got, err, tt.answer)
			}
			if why := <-g.closed; tt.why != "" {
				want(t, "close reason", why, tt.why)
			}
		})
	}
}

// A peer has so long to prove who it is, and no longer for what it sends meanwhile (RFC 5626 §4.4.1
// keep-alives, requests); one that has proved it, or is known by its address, stays.
func TestStreamUnproven(t *testing.T) {
	var next atomic.Pointer[string] // who connects next
	comes := func(who string) { next.Store(&who) }
	comes("alice")
	g := start(t, func(c *Config) {
		c.ProveTime = 60 * time.Millisecond
		c.Accepted = func(f *flow.Flow) {
			switch *next.Load() {
			case "alice":
				f.AuthenticatedAs("alice@example.com")
			case "pbx":
				f.SetUpstream("pbx")
			}
		}
	}, "tcp://127.0.0.1:0")
	proven := g.client("tcp", 0)
	waitFor(t, func() bool { return g.count.Open.Load() == 1 })
	proven.Write(message("a", 0))
	<-g.flows
	comes("pbx")
	silent := g.client("tcp", 0) // a trunk's
	waitFor(t, func() bool { return g.count.Open.Load() == 2 })
	comes("nobody")
	g.client("tcp", 0)
	g.wantClosed(sip.CloseUnproven)
	for busy := g.client("tcp", 0); ; {
		busy.Write(message("b", 0))
		select {
		case <-g.flows:
			continue
		case why := <-g.closed:
			want(t, "close reason", why, sip.CloseUnproven)
		}
		break
	}
	for len(g.flows) > 0 {
		<-g.flows
	}
	for _, c := range []net.Conn{proven, silent} {
		c.Write(message("c", 0))
		<-g.flows
	}
}

func TestStreamMessageNotCompleted(t *testing.T) {
	g := start(t, func(c *Config) { c.MessageTime = 30 * time.Millisecond }, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 10)[:100])
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	g.wantClosed(sip.CloseProtocol)
}

func TestStreamPanic(t *testing.T) {
	g := start(t, func(c *Config) { c.Receive = func(*sip.Message, *flow.Flow) { panic("boom") } }, "tcp://127.0.0.1:0")
	g.client("tcp", 0).Write(message("a", 0))
	g.wantClosed(sip.ClosePanic)
	want(t, "counted", g.count.Panics.Load(), 1)
}

func TestStreamCaps(t *testing.T) {
	g := start(t, func(c *Config) { c.MaxPerAddr = 2 }, "tcp://127.0.0.1:0")
	a := g.client("tcp", 0)
	g.client("tcp", 0)
	waitFor(t, func() bool { return g.count.Open.Load() == 2 })
	if c, err := net.Dial("tcp", g.Addr(0).String()); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("third connection is served")
		}
		c.Close()
	}
	waitFor(t, func() bool { return g.count.RefusedFull.Load() == 1 })
	a.Close()
	<-g.closed
	waitFor(t, func() bool { return g.conns.Total() == 1 })
	g.client("tcp", 0).Write(message("a", 0))
	<-g.got
}
