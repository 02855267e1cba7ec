package transport

import (
	"io"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// The echo benchmarks are a message of 3 KB (UDP: 1 KB) in and the same out over
// real sockets; the client takes part in the time, not in the allocations.
func benchmarkEcho(b *testing.B, network string, size int) {
	g := start(b, func(c *Config) {
		c.Receive = func(m *sip.Message, f *flow.Flow) { f.Send([]byte(m.String())) }
	}, network+"://127.0.0.1:0")
	c := g.client(network, 0)
	in := message("echo", size)
	out := make([]byte, len(in))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(in); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, out); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEchoTCP(b *testing.B) { benchmarkEcho(b, "tcp", 2700) }
func BenchmarkEchoUDP(b *testing.B) { benchmarkEcho(b, "udp", 700) }

// BenchmarkReach is the choice of a flow for a small request and for a large one
// whose connection is open.
func BenchmarkReach(b *testing.B) {
	peer := start(b, nil, "tcp://127.0.0.1:0")
	g := start(b, nil, "udp://127.0.0.1:0")
	hop := Hop{Addr: peer.Addr(0)}
	if _, err := reach(g, hop, 2000); err != nil {
		b.Fatal(err)
	}
	done := func(*flow.Flow, error) {}
	for name, size := range map[string]int{"small": 500, "large": 2000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.Reach(hop, size, done)
			}
		})
	}
}

// BenchmarkDatagramOut is one sendto(2) of a blank datagram, with its reading.
func BenchmarkDatagramOut(b *testing.B) {
	g := start(b, func(c *Config) { c.Receive = func(*sip.Message, *flow.Flow) {} }, "udp://127.0.0.1:0")
	f, err := reach(g, Hop{Addr: g.Addr(0)}, 100)
	if err != nil {
		b.Fatal(err)
	}
	m := []byte("\r\n\r\n")
	b.ReportAllocs()
	for b.Loop() {
		f.Send(m)
	}
}
