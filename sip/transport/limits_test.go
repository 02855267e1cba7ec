package transport

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// TestMessageLimit: MaxMessage counts for streams and datagrams alike (RFC 3261
// §21.5.7: 513), and one octet less passes.
func TestMessageLimit(t *testing.T) {
	const limit = 5000
	fits := message("fits", limit-len(message("fits", 1000))+1000)
	for _, network := range []string{"udp", "tcp"} {
		t.Run(network, func(t *testing.T) {
			g := start(t, func(c *Config) { c.MaxMessage = limit }, network+"://127.0.0.1:0")
			c := g.client(network, 0)
			c.Write(fits)
			want(t, "of the limit", (<-g.got).String(), string(fits))
			c.Write(message("large", limit))
			answer := readSome(t, c)
			if !strings.HasPrefix(answer, "SIP/2.0 513 Message Too Large: over 5000 octets\r\n") {
				t.Errorf("answer %q", answer)
			}
			if network == "tcp" {
				g.wantClosed(sip.CloseTooBig)
			}
		})
	}
}

// TestSendLimits: accepted connections get the queue and the patience that are
// configured, those to trunks a larger queue.
func TestSendLimits(t *testing.T) {
	g := start(t, func(c *Config) { c.SendQueue, c.WriteTime = 3000, 7*time.Second }, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 0))
	f := <-g.flows
	s := f.Conn.(*stream)
	want(t, "limits", s.sock.limits, socketLimits{3000, maxPendingWrites, 7 * time.Second, lingerTime})
	f.SetUpstream("trunk")
	for range 2 { // when the second is given on, its reader has seen to the first
		c.Write(message("b", 0))
		<-g.flows
	}
	want(t, "a trunk's limits", s.sock.limits, socketLimits{trunkShare * 3000, trunkWrites, 7 * time.Second, lingerTime})

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	dialled, err := reach(g, Hop{Addr: addrPort(ln.Addr()), Transport: sip.TCP}, 100)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "a dialled one's limits", dialled.Conn.(*stream).sock.limits, socketLimits{trunkShare * 3000, trunkWrites, 7 * time.Second, lingerTime})
}

// TestSendQueueCuts: a client that does not read is cut when its queue is full.
func TestSendQueueCuts(t *testing.T) {
	g := start(t, func(c *Config) { c.SendQueue = 3000 }, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 0))
	f, m := <-g.flows, message("b", 2000)
	for f.Send(m) == nil {
	}
	g.wantClosed(sip.CloseSlow)
	io.Copy(io.Discard, c)
}
