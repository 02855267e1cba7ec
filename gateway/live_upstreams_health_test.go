//go:build linux

package gateway_test

import (
	"net"
	"testing"
)

// A hop that dies is left out without a caller noticing, and is back in use after two answers;
// /metrics shows both.
func TestHopDiesAndComesBack(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		first, second := l.free(71), l.free(72)
		one := l.server("hop", "", transport, first)
		l.server("hop", "", transport, second)
		l.start(group(quick, hop(first, transport), hop(second, transport)))
		alice := l.browser("alice")
		l.probed(first)
		l.probed(second)
		if at := l.talk(alice); at != first {
			t.Errorf("%s has the call, want the first hop", at)
		}
		one.kill()
		l.until("the first hop is down", func() bool { return !l.up(first) })
		before := l.event("failover")
		if at := l.talk(alice); at != second {
			t.Errorf("%s has the call while the first hop is down", at)
		}
		if n := l.event("failover") - before; n != 0 {
			t.Errorf("a call tried the hop that is down: %d failovers", n)
		}
		if got := l.metric("ringway_upstream_downs_total", first); got != "1" {
			t.Errorf("ringway_upstream_downs_total is %s, want 1", got)
		}
		one = l.server("hop", "", transport, first)
		l.until("the first hop is up", func() bool { return l.up(first) })
		if at := l.talk(alice); at != first {
			t.Errorf("%s has the call, want the first hop, which is back", at)
		}
		if n := len(one.logged("INVITE")); n != 1 {
			t.Errorf("%d calls reached the hop that came back, want 1", n)
		}
		l.over()
		alice.quiet()
	})
}

// What a call meets takes a hop out before a probe does: the first call fails over, the second
// need not.
func TestCallsMarkHops(t *testing.T) {
	for name, first := range map[string]func(l *live) string{
		"TCP refused": func(l *live) string { return hop(l.free(71), "tcp") },
		"503 with Retry-After": func(l *live) string {
			at := l.free(71)
			l.server("hop-503", "503 Busy\r\nRetry-After: 60\r\nX-Was:", "udp", at)
			return hop(at, "udp")
		},
		"503 with Retry-After over TCP": func(l *live) string {
			at := l.free(71)
			l.server("hop-503", "503 Busy\r\nRetry-After: 60\r\nX-Was:", "tcp", at)
			return hop(at, "tcp")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			uri := first(l)
			at := l.free(72)
			l.server("hop", "", "udp", at)
			l.start(group("health: { interval: 1h, down_interval: 1h }", uri, hop(at, "udp")))
			alice := l.browser("alice")
			for range 3 {
				if got := l.talk(alice); got != at {
					t.Errorf("%s has the call", got)
				}
			}
			if n := l.event("failover"); n != 1 {
				t.Errorf("%d failovers for 3 calls, want that of the first", n)
			}
			l.over()
			alice.quiet()
		})
	}
}

// One lost call or one 503 without Retry-After takes nobody out, a second does.
func TestSecondFailureMarksHops(t *testing.T) {
	for name, first := range map[string]func(l *live) string{
		"503": func(l *live) string {
			at := l.free(71)
			l.server("hop-503", "503", "udp", at)
			return hop(at, "udp")
		},
		"black hole": func(l *live) string {
			at := l.free(71)
			hole, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
			if err != nil {
				l.t.Fatal(err)
			}
			l.t.Cleanup(func() { hole.Close() })
			return hop(at, "udp")
		},
		"reset": func(l *live) string { return hop(l.resetting(71), "tcp") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			uri := first(l)
			at := l.free(72)
			l.server("hop", "", "udp", at)
			l.start(group("health: off", uri, hop(at, "udp")))
			alice := l.browser("alice")
			for i, want := range []int{1, 2, 2} {
				if got := l.talk(alice); got != at {
					t.Errorf("%s has the call", got)
				}
				if n := l.event("failover"); n != want {
					t.Errorf("%d failovers after call %d, want %d", n, i+1, want)
				}
			}
			l.over()
			alice.quiet()
		})
	}
}
