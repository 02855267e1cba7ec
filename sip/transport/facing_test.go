package transport

import (
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ringway/ringway/sip"
)

// RFC 3261 §18.1.1: the sent-by is where responses find us. An address of ours that could not be found out once (all
// file descriptors in use) is found out with the next message, instead of 0.0.0.0 for good.
func TestAdvertisedAddressIsFoundOutAgain(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	g := start(t, func(c *Config) {
		c.facing = func(a netip.AddrPort) netip.Addr {
			if broken.Load() {
				return netip.Addr{}
			}
			return facing(a)
		}
	}, "udp://0.0.0.0:0", "udp://127.0.0.1:0")
	c, err := net.Dial("udp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), g.Addr(0).Port()).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer := addrPort(c.LocalAddr())
	next := func() *sip.ConnInfo {
		c.Write(message("a", 0))
		<-g.got
		return (<-g.flows).Info()
	}
	if a := next().Advertise; !strings.HasPrefix(a, "0.0.0.0:") {
		t.Fatalf("nothing is known of our address, and it is %s", a)
	}
	g.hops.route(peer)
	broken.Store(false)
	if a := next().Advertise; !strings.HasPrefix(a, "127.0.0.1:") {
		t.Errorf("advertised: %s for good", a)
	}
	if a := g.hops.route(peer).udp.local; a != g.Addr(1) {
		t.Errorf("the way back is by %s for good, want %s", a, g.Addr(1))
	}
	broken.Store(true)
	if a := next().Advertise; !strings.HasPrefix(a, "127.0.0.1:") {
		t.Errorf("advertised: %s, what was known is forgotten", a)
	}
}
