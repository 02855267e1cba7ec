package gateway_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
)

// The hostile client: each test has a gateway on a loopback network of its own, two
// users who go on calling each other, and an attacker at another address.

// hostilePatience is for what must come; nothing takes so long unless it never comes.
const hostilePatience = 20 * time.Second

// Hosts of the test's network.
const (
	ourHost, victimHost, attackerHost = 1, 10, 66
	otherHost, pbxHost                = 67, 80
)

type hostileRig struct {
	t          *testing.T
	g          *gateway.Gateway
	net        byte
	ws, sip    netip.AddrPort
	alice, bob *hostilePeer
	stop       func()
}

var hostileNetworks, hostileIDs atomic.Int32

// newHostileRig runs a gateway with more configuration and registers alice and bob.
func newHostileRig(t *testing.T, more string) *hostileRig {
	t.Helper()
	r := &hostileRig{t: t, net: byte(hostileNetworks.Add(1))}
	for r.ws, r.sip = r.freePort(), r.freePort(); r.ws == r.sip; {
		r.sip = r.freePort()
	}
	text := fmt.Sprintf("domains: { example.com: { aliases: [ sip.example.com ] }, other.example: {} }\nadmin: off\n"+
		"listen: [ \"ws://%s/ws\", \"udp://%s\", \"tcp://%s\" ]\n"+
		"upstreams: { pbx: { hops: [ \"sip:%s:5080;transport=udp\" ], health: off } }\nroutes: [ { match: \"^[1-8][0-9]+$\", to: pbx } ]\n"+
		"users_file: users\n%s", r.ws, r.sip, r.sip, r.addr(pbxHost), more)
	dir := t.TempDir()
	var users strings.Builder
	for _, u := range []string{"alice", "bob", "mallory", "eve", "dave"} {
		md5, sha256 := gateway.HashUser(u, "example.com", "pw-"+u) // of both, so that two challenges are sent
		fmt.Fprintf(&users, "%s:example.com:%s\n%s:example.com:%s\n", u, md5, u, sha256)
	}
	md5, sha256 := gateway.HashUser("alice", "other.example", "pw-other")
	fmt.Fprintf(&users, "alice:other.example:%s\nalice:other.example:%s\n", md5, sha256)
	writeHostile(t, dir+"/users", users.String())
	cfg, err := gateway.Parse(dir+"/hostile.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if r.g, err = gateway.New(cfg, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.g.Run(ctx) }()
	select {
	case <-r.g.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("the gateway does not start: %v", err)
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if n := r.g.Snapshot().Panics; n > 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	r.alice, r.bob = r.wsFrom(victimHost), r.wsFrom(victimHost+1)
	r.alice.register("alice")
	r.bob.register("bob")
	return r
}

func (r *hostileRig) addr(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 66, r.net, host})
}

// freePort is one that neither UDP nor TCP uses at the gateway's address.
func (r *hostileRig) freePort() netip.AddrPort {
	for range 100 {
		l, err := net.Listen("tcp", netip.AddrPortFrom(r.addr(ourHost), 0).String())
		if err != nil {
			r.t.Fatal(err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		l.Close()
		if err == nil {
			u.Close()
			return at
		}
	}
	r.t.Fatal("no free port")
	return netip.AddrPort{}
}

func md5hex(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

// alive makes sure that others still call each other, and that nothing else reached them.
func (r *hostileRig) alive(t *testing.T) {
	t.Helper()
	r.alice.t, r.bob.t = t, t
	r.ring(r.alice, r.bob, "sip:bob@example.com").answer().hangUp()
}

// until waits for a condition that nothing tells of.
func (r *hostileRig) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(hostilePatience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("after %v it is not so that %s", hostilePatience, what)
		}
	}
}

func writeHostile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
