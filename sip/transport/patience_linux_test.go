package transport

import (
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

func option(t *testing.T, s *Socket, level, name int) (value int) {
	t.Helper()
	err := s.raw.Control(func(fd uintptr) {
		var err error
		if value, err = unix.GetsockoptInt(int(fd), level, name); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// A peer without power is found out within 10 s where calls are placed, asked something or not (RFC 5482): the
// kernel would try for a quarter of an hour. A client's keep-alive may be lost twice.
func TestPatienceWithDeadPeers(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	server := start(t, nil, "tcp://127.0.0.1:0")
	f, err := reach(g, Hop{Addr: server.Addr(0), Transport: sip.TCP}, 100)
	if err != nil {
		t.Fatal(err)
	}
	out := f.Conn.(*stream).sock
	want(t, "dialled: TCP_USER_TIMEOUT", option(t, out, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT), 10_000)
	want(t, "dialled: TCP_KEEPIDLE", option(t, out, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), 5)
	want(t, "dialled: TCP_KEEPINTVL", option(t, out, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL), 2)
	g.client("tcp", 0).Write(message("a", 0))
	in := (<-g.flows).Conn.(*stream).sock
	patience := option(t, in, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	want(t, "accepted: TCP_USER_TIMEOUT", patience, 90_000)
	idle, each := option(t, in, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), option(t, in, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL)
	if lost := (patience/1000 - idle) / each; lost < 2 {
		t.Errorf("%d lost keep-alives end a client's connection", lost)
	}
}

// An upstream that connects to us is trusted as little.
func TestPatienceWithUpstreams(t *testing.T) {
	g := start(t, func(c *Config) { c.Accepted = func(f *flow.Flow) { f.SetUpstream("pbx") } }, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 0))
	f := <-g.flows
	<-g.got
	c.Write(message("b", 0)) // once it was read, the first is done with
	<-g.got
	want(t, "TCP_USER_TIMEOUT", option(t, f.Conn.(*stream).sock, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT), 10_000)
}

// A hop's connection over which nothing came since a request was sent in vain is closed; the next
// request dials.
func TestDistrust(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	g := start(t, nil, "tcp://127.0.0.1:0")
	hop := Hop{Addr: addrPort(ln.Addr()), Transport: sip.TCP}
	f, err := reach(g, hop, 100)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before := time.Now()
	c.Write(message("a", 0))
	<-g.got
	f.Distrust(before)
	if again, err := reach(g, hop, 100); again != f || err != nil {
		t.Fatalf("a connection that something came over is given up: %v", err)
	}
	f.Distrust(time.Now())
	g.wantClosed(sip.CloseDead)
	if again, err := reach(g, hop, 100); again == f || err != nil {
		t.Errorf("the next request gets the silent connection again, %v", err)
	}
	g.client("tcp", 0).Write(message("b", 0))
	<-g.flows // of message a
	in := <-g.flows
	in.Distrust(time.Now())
	want(t, "a client's connection lives", in.Live() && in.Conn.(*stream).sock.Reason() == "", true)
}
