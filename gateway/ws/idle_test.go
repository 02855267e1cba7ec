//go:build !race

package ws

import (
	"net"
	"runtime"
	"runtime/metrics"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// TestIdleStack: what handling a message took of the reader's stack does not stay with
// an idle flow that has a reader of its own, as with TLS. Its frames while it waits must leave the collector room to halve 8 KiB.
// (The race detector makes frames larger.)
func TestIdleStack(t *testing.T) {
	const clients = 400
	e := start(t, func(c *Config) {
		c.Receive = func(m *sip.Message, f *flow.Flow) {
			deep(40)
			f.Send([]byte(m.String()))
		}
	})
	before := stacks()
	m, answer := masked(message("idle", 300)), make([]byte, 4096)
	m[0] = 0x01 // fragments, and a pong behind them: the poller does not get such a flow back
	m = append(m, 0x80, 0x80, 0, 0, 0, 0, 0x8a, 0x80, 0, 0, 0, 0)
	var conns []net.Conn
	for range clients {
		c := rawDial(t, e.Addr(0).String())
		defer c.Close()
		c.Write(m)
		if _, err := c.Read(answer); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	if each := (stacks() - before) / clients; each > 6<<10 {
		t.Errorf("an idle flow holds %d octets of stack, want 4 KiB", each)
	}
	runtime.KeepAlive(conns)
}

// deep uses some 140 octets of stack a level.
//
//go:noinline
func deep(n int) (sum byte) {
	var room [100]byte
	room[n] = byte(n)
	if n > 0 {
		sum = deep(n - 1)
	}
	return sum + room[n]
}

// stacks is what goroutines hold when collections have halved what can be halved.
func stacks() int {
	for range 4 {
		runtime.GC()
	}
	s := []metrics.Sample{{Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}
