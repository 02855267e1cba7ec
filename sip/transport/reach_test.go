package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// reach waits for Reach.
func reach(g *gateway, hop Hop, size int) (*flow.Flow, error) {
	type result struct {
		f   *flow.Flow
		err error
	}
	ch := make(chan result, 2)
	g.Reach(hop, size, func(f *flow.Flow, err error) { ch <- result{f, err} })
	r := <-ch
	return r.f, r.err
}

// RFC 3261 §18.1.1, and what the operator pinned.
func TestReachChoosesTransport(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
	both := start(t, nil, "tcp://127.0.0.1:0")
	closed := closedPort(t)
	for _, tt := range []struct {
		name string
		hop  Hop
		size int
		want sip.Transport // 0: error
	}{
		{"small", Hop{Addr: both.Addr(0)}, 1300, sip.UDP},
		{"large", Hop{Addr: both.Addr(0)}, 1301, sip.TCP},
		{"large without TCP", Hop{Addr: closed}, 1301, sip.UDP},
		{"large pinned to udp", Hop{Addr: both.Addr(0), Transport: sip.UDP}, 5000, sip.UDP},
		{"small pinned to tcp", Hop{Addr: both.Addr(0), Transport: sip.TCP}, 100, sip.TCP},
		{"pinned to tcp, refused", Hop{Addr: closed, Transport: sip.TCP}, 100, 0},
		{"mapped address", Hop{Addr: netip.AddrPortFrom(netip.AddrFrom16(both.Addr(0).Addr().As16()), both.Addr(0).Port())}, 100, sip.UDP},
		{"no listener of that family", Hop{Addr: netip.MustParseAddrPort("[::1]:5060")}, 100, 0},
		{"WebSocket", Hop{Addr: both.Addr(0), Transport: sip.WS}, 100, 0},
	} {
		f, err := reach(g, tt.hop, tt.size)
		if err != nil {
			want(t, tt.name+": "+err.Error(), 0, tt.want)
			continue
		}
		want(t, tt.name, f.Info().Transport, tt.want)
		want(t, tt.name+": listener", f.Info().Listener, map[sip.Transport]int{sip.UDP: 0, sip.TCP: 1}[tt.want])
		want(t, tt.name+": advertise", f.Info().Advertise, g.Addr(f.Info().Listener).String())
	}
	waitFor(t, func() bool { return both.count.Accepted.Load() == 1 })
}

// Without a TCP listener a large request stays on UDP: Record-Route would name a port
// where the peer's requests in the dialog find nobody (RFC 3261 §18.1.1, §18.2.1).
func TestReachStaysWithoutTCPListener(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0")
	both := start(t, nil, "tcp://127.0.0.1:0")
	f, err := reach(g, Hop{Addr: both.Addr(0)}, 5000)
	if err != nil || f.Info().Transport != sip.UDP {
		t.Fatal(f, err)
	}
	want(t, "fell back", g.count.FellBack.Load(), 1)
	want(t, "dialled", g.count.Dialled.Load(), 0)
	if f, err = reach(g, Hop{Addr: both.Addr(0), Transport: sip.TCP}, 5000); err != nil || f.Info().Transport != sip.TCP {
		t.Fatal("pinned to tcp:", f, err)
	}
}

func closedPort(t *testing.T) netip.AddrPort {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return addrPort(ln.Addr())
}

// A refusal is remembered, for a while.
func TestReachRemembersRefusal(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
	hop := Hop{Addr: closedPort(t)}
	for range 3 {
		if f, err := reach(g, hop, 2000); err != nil || f.Info().Transport != sip.UDP {
			t.Fatal(f, err)
		}
	}
	want(t, "dialled", g.count.DialFailed.Load(), 1)
	want(t, "fell back", g.count.FellBack.Load(), 3)
	g.hops.mu.Lock()
	g.hops.without[hop.Addr] = time.Now().Add(-time.Second)
	g.hops.mu.Unlock()
	reach(g, hop, 2000)
	want(t, "dialled after the time", g.count.DialFailed.Load(), 2)
}

// A hop that drops SYNs costs TryTime once; who must have TCP waits DialTime.
func TestReachBlackHole(t *testing.T) {
	hole := blackHole(t)
	g := start(t, func(c *Config) { c.TryTime, c.DialTime = 30*time.Millisecond, time.Hour }, "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
	pinned := make(chan error, 1)
	g.Reach(Hop{Addr: hole, Transport: sip.TCP}, 100, func(_ *flow.Flow, err error) { pinned <- err })
	f, err := reach(g, Hop{Addr: hole}, 2000)
	if err != nil || f.Info().Transport != sip.UDP {
		t.Fatal(f, err)
	}
	want(t, "pinned ended as early", len(pinned), 0)
	g.hops.end() // as shutting down does
	if err := <-pinned; err == nil {
		t.Error("connected to a black hole")
	}
	want(t, "dialled", g.count.DialFailed.Load(), 1)
	g = start(t, func(c *Config) { c.DialTime = 30 * time.Millisecond }, "udp://127.0.0.1:0")
	var timeout net.Error
	if _, err := reach(g, Hop{Addr: hole, Transport: sip.TCP}, 100); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("pinned ended with %v, want its time to be over", err)
	}
}

// blackHole is a listening port with a full backlog: SYNs are dropped.
func blackHole(t *testing.T) netip.AddrPort {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	syscall.Listen(fd, 0)
	sa, _ := syscall.Getsockname(fd)
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))
	for range 8 {
		c, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the backlog does not fill here")
	return addr
}

// Concurrent calls share one dial; an open connection is given at once, and both
// ends keep using it.
func TestReachSharesConnection(t *testing.T) {
	pbx := start(t, nil, "tcp://127.0.0.1:0")
	g := start(t, nil, "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
	hop := Hop{Addr: pbx.Addr(0), Transport: sip.TCP}
	flows := make(chan *flow.Flow, 50)
	for range 50 {
		g.Reach(hop, 100, func(f *flow.Flow, err error) {
			if err != nil {
				t.Error(err)
			}
			flows <- f
		})
	}
	f := <-flows
	for range 49 {
		want(t, "flow", <-flows, f)
	}
	inline := false
	g.Reach(hop, 100, func(again *flow.Flow, _ error) { inline = again == f })
	want(t, "given at once", inline, true)
	f.Send(message("out", 0))
	back := <-pbx.flows
	want(t, "connections", pbx.count.Accepted.Load(), 1)
	back.Send(message("back", 0))
	want(t, "answer", (<-g.got).CallID(), "back")
	back.Close(sip.CloseNormal)
	g.wantClosed(sip.CloseNormal)
	next, err := reach(g, hop, 100)
	if err != nil || next == f || !next.Live() {
		t.Fatal("no new connection after the end of the old", err)
	}
}

// The listener that faces the peer is the one to send from.
func TestReachChoosesListener(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.2:0", "udp://127.0.0.1:0", "udp://[::1]:0", "udp://:0")
	for addr, index := range map[string]int{"127.0.0.1:5060": 1, "[::1]:5060": 2, "192.0.2.1:5060": 3} {
		f, err := reach(g, Hop{Addr: netip.MustParseAddrPort(addr)}, 100)
		if err != nil {
			t.Fatal(err)
		}
		want(t, addr, f.Info().Listener, index)
	}
}

func TestShutdownEndsConnections(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0", "udp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 0))
	<-g.got
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	g.wantClosed(sip.CloseShutdown)
	if _, err := reach(g, Hop{Addr: g.Addr(0), Transport: sip.TCP}, 10); err == nil {
		t.Error("dialled after the end")
	}
	u := g.client("udp", 1)
	u.Write(message("late", 0))
	want(t, "UDP goes on", (<-g.got).CallID(), "late")
}

func TestListenErrors(t *testing.T) {
	for url, text := range map[string]string{
		"sctp://:5060": "udp, tcp, tls", "tls://:5061": "certificate", "udp://example.com:5060": "IP address", "udp://:5060/x": "host and port",
	} {
		if _, err := New(Config{Listen: []Listen{{URL: url}}}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", url, err, text)
		}
	}
	g := start(t, nil, "udp://:0", "tcp://127.0.0.1:0")
	for i, scheme := range []string{"udp://:", "tcp://127.0.0.1:"} {
		l, err := New(Config{Listen: []Listen{{URL: scheme + fmt.Sprint(g.Addr(i).Port())}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Listen(); err == nil || !strings.Contains(err.Error(), "already in use") || strings.Contains(err.Error(), "\n") {
			t.Errorf("port in use: %v", err)
		}
	}
}
