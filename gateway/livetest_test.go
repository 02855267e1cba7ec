//go:build linux

// All of 127.0.0.0/8 is this machine, and /proc tells who listens: on Linux only.

package gateway_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
)

// patience is how long a test waits for what must come; nothing takes so long
// unless it never comes.
const patience = 15 * time.Second

// password is every test user's.
const password = "secret"

// live is a whole gateway on real sockets of a loopback network of its own.
type live struct {
	t    testing.TB
	g    *gateway.Gateway
	net  int            // in the second and third octet of its addresses
	sip  netip.AddrPort // UDP and TCP
	ws   netip.AddrPort
	sip6 netip.AddrPort // the same over IPv6, where a test listens there
	away netip.AddrPort // and towards another host
	more []string       // URLs of further listeners
	log  *logs
	stop func()

	dialled int // numbers that phones have called
}

// logs is what the gateway said, for a test that fails.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

var networks atomic.Int32

// newNet reserves a loopback network: its addresses are nobody else's.
func newNet(t testing.TB) *live {
	l := &live{t: t, net: int(networks.Add(1)), log: &logs{}}
	l.sip, l.ws = l.free(70), l.free(70)
	return l
}

// addr is an address of the test's network; 70 is the gateway's.
func (l *live) addr(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(70 - l.net>>8), byte(l.net), byte(host)})
}

// free is a port that neither UDP nor TCP uses at an address.
func (l *live) free(host int) netip.AddrPort {
	l.t.Helper()
	for range 100 {
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(l.addr(host), 0)))
		if err != nil {
			l.t.Fatal(err)
		}
		at := u.LocalAddr().(*net.UDPAddr).AddrPort()
		tcp, err := net.Listen("tcp", at.String())
		u.Close()
		if err == nil {
			tcp.Close()
			return at
		}
	}
	l.t.Fatal("no free port")
	return netip.AddrPort{}
}

// pbxes is configuration: hops, and who dials numbers gets there.
func pbxes(hops ...string) string {
	return "upstreams: { pbx: { hops: [ \"" + strings.Join(hops, `", "`) + "\" ], health: off } }\nroutes: [ { match: \"^[0-9]+$\", to: pbx } ]\n"
}

// hop is a hop's URI; transport "" pins none.
func hop(at netip.AddrPort, transport string) string {
	if transport != "" {
		transport = ";transport=" + transport
	}
	return "sip:" + at.String() + transport
}

// start runs the gateway with more configuration until the test ends.
func (l *live) start(more string) *live {
	t := l.t
	t.Helper()
	var users strings.Builder
	for _, u := range []string{"alice", "bob", "carol", "desk"} {
		fmt.Fprintf(&users, "  %s: { password: %s }\n", u, password)
	}
	return l.boot(fmt.Sprintf(
		"domain: example.com\nadmin: off\nlisten: [ \"ws://%s/ws\", \"udp://%s\", \"%s\" ]\nusers:\n%s%s",
		l.ws, l.sip, strings.Join(append([]string{"tcp://" + l.sip.String()}, l.more...), `", "`), users.String(), more))
}

// relays runs the gateway in front of a registrar that keeps a domain's users, with more about it: "key: value, ".
func (l *live) relays(domain, hop, more string) *live {
	return l.boot(fmt.Sprintf("admin: off\nlisten: [ \"ws://%s/ws\", \"udp://%[2]s\", \"tcp://%[2]s\" ]\n"+
		"domains: { %s: { registrar: pbx } }\nupstreams: { pbx: { hops: [ %q ], %s health: off } }\n", l.ws, l.sip, domain, hop, more))
}

// boot runs the gateway with a configuration until the test ends.
func (l *live) boot(yaml string) *live {
	t := l.t
	t.Helper()
	cfg, err := gateway.Parse("live.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if l.g, err = gateway.New(cfg, zerolog.New(l.log).Level(zerolog.DebugLevel)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.g.Run(ctx) }()
	select {
	case <-l.g.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("the gateway does not start: %v", err)
	}
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	t.Cleanup(func() {
		l.stop()
		if n := l.g.Snapshot().Panics; n > 0 {
			t.Errorf("%d handlers panicked", n)
		}
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", l.log)
		}
	})
	return l
}

// uri is a user at the gateway's address, as a PBX dials it.
func (l *live) uri(user string) string { return "sip:" + user + "@" + l.sip.String() }

// until waits for a condition that nothing tells of.
func (l *live) until(what string, holds func() bool) {
	l.t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit.C:
			l.t.Fatalf("after %v it is not so that %s", patience, what)
		}
	}
}

// over waits until no call is left in the call table.
func (l *live) over() {
	l.t.Helper()
	l.until("no call is left", func() bool { return l.g.Snapshot().Calls == 0 })
}

// event is a counter of the gateway's.
func (l *live) event(name string) int { return int(l.g.Snapshot().Events[name]) }
