package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
	"github.com/ringway/ringway/sip/transport"
)

// What limits count by: an IPv4 address, the /64 of an IPv6 one (a host has all of it,
// RFC 6177), whatever form the address is written in.
func TestLimitsCountAddresses(t *testing.T) {
	const limit, all = 3, 100
	for _, c := range []struct {
		name   string
		same   []string // one more than the limit: the last is too many
		others []string // each is somebody else
	}{
		{"IPv4", []string{"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.1"}, []string{"192.0.2.2", "192.0.2.0", "::192.0.2.1"}},
		{"IPv4 in IPv6", []string{"192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1", "::ffff:192.0.2.1"}, []string{"::ffff:192.0.2.2"}},
		{"IPv6", []string{"2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::"},
			[]string{"2001:db8:0:2::1", "2001:db8::1", "2001:db9:0:1::1", "::1"}},
		{"link-local", []string{"fe80::1%eth0", "fe80::2%eth1", "fe80::3", "fe80::1"}, []string{"fe80:0:0:1::1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q transport.Quota
			for i, a := range c.same {
				if got, want := q.Take(netip.MustParseAddr(a), limit, all), i < limit; got != want {
					t.Errorf("number %d, %s: %v, want %v", i+1, a, got, want)
				}
			}
			for _, a := range c.others {
				if !q.Take(netip.MustParseAddr(a), limit, all) {
					t.Errorf("%s is counted with them", a)
				}
			}
			q.Release(netip.MustParseAddr(c.same[1]))
			if !q.Take(netip.MustParseAddr(c.same[2]), limit, all) {
				t.Error("a place that was given back is not free for its neighbour")
			}
		})
	}
}

// The same on real sockets, as far as a machine has addresses: ::1 is one peer, 127.0.0.1 another.
func TestLimitsCountIPv6Flows(t *testing.T) {
	at := freeOnBoth(t)
	cfg, err := gateway.Parse("x.yaml", fmt.Appendf(nil, "domain: example.com\nadmin: off\nlimits: { flows_per_address: 2 }\n"+
		"listen: [ \"ws://[::1]:%d/ws\", \"ws://127.0.0.1:%d/ws\" ]\n", at, at))
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-g.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	dial := func(host string) error {
		d := websocket.Dialer{Subprotocols: []string{"sip"}, HandshakeTimeout: 20 * time.Second}
		c, res, err := d.Dial(fmt.Sprintf("ws://%s:%d/ws", host, at), nil)
		if errors.Is(err, websocket.ErrBadHandshake) {
			return errors.New(http.StatusText(res.StatusCode))
		}
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return err
	}
	for _, c := range []struct {
		host string
		full bool
	}{{"[::1]", false}, {"[::1]", false}, {"[::1]", true}, {"127.0.0.1", false}, {"127.0.0.1", false}, {"127.0.0.1", true}} {
		if err := dial(c.host); (err != nil) != c.full || c.full && err.Error() != "Service Unavailable" {
			t.Errorf("%s: %v, want full %v", c.host, err, c.full)
		}
	}
}

// freeOnBoth is a port that nobody listens on, neither at ::1 nor at 127.0.0.1.
func freeOnBoth(t *testing.T) int {
	t.Helper()
	for range 100 {
		v6, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Skipf("no IPv6 here: %v", err)
		}
		port := v6.Addr().(*net.TCPAddr).Port
		v4, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		v6.Close()
		if err == nil {
			v4.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}
