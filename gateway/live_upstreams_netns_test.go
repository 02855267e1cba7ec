//go:build linux

package gateway_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// away is a network of two hosts: ours, which is this machine, and another, which is a network
// namespace. What is done to the link between them only the kernel can do.
type away struct {
	l           *live
	ns, link    string
	ours, other netip.Addr
}

// elsewhere makes the other host, and has the gateway listen at ours.
func (l *live) elsewhere() *away {
	l.t.Helper()
	id := fmt.Sprintf("%d-%d", os.Getpid()%100000, l.net)
	third := byte(os.Getpid() + 31*l.net) // RFC 2544's network; another run of the tests has another part of it
	a := &away{
		l: l, ns: "ringway-" + id, link: "rw" + id,
		ours: netip.AddrFrom4([4]byte{198, 18, third, 1}), other: netip.AddrFrom4([4]byte{198, 18, third, 2}),
	}
	if out, err := exec.Command("ip", "netns", "add", a.ns).CombinedOutput(); err != nil {
		l.t.Skipf("SKIPPED: no network namespace can be made here (%v: %s): UNREACHABLE HOSTS ARE NOT TESTED", err, out)
	}
	l.t.Cleanup(func() {
		_ = exec.Command("ip", "netns", "del", a.ns).Run()
		_ = exec.Command("ip", "route", "del", "unreachable", a.other.String()).Run() // a test that failed leaves it
	})
	peer := a.link + "p"
	a.ip("link", "add", a.link, "type", "veth", "peer", "name", peer, "netns", a.ns)
	a.ip("addr", "add", a.ours.String()+"/24", "dev", a.link)
	a.ip("link", "set", a.link, "up")
	a.ip("-n", a.ns, "addr", "add", a.other.String()+"/24", "dev", peer)
	a.ip("-n", a.ns, "link", "set", peer, "up")
	port := l.sip.Port()
	l.away = netip.AddrPortFrom(a.ours, port)
	l.more = append(l.more, "udp://"+l.away.String(), "tcp://"+l.away.String())
	return a
}

func (a *away) ip(args ...string) {
	a.l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		a.l.t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// in runs f on a thread that is in the other host: a socket that f opens stays there. The thread comes
// home and lives on: with it would end the peers that it started (Pdeathsig is of a thread).
func (a *away) in(f func()) {
	a.l.t.Helper()
	there, err := os.Open("/run/netns/" + a.ns)
	if err != nil {
		a.l.t.Fatal(err)
	}
	defer there.Close()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		a.l.t.Fatal(err)
	}
	defer home.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		a.l.t.Fatal(err)
	}
	defer func() {
		if err := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); err != nil {
			panic(err) // nobody may go on with a thread that is elsewhere
		}
	}()
	f()
}

// A host that goes away in each of the ways a network has: nobody answers ARP, the router says that
// there is no way, packets vanish. Calls go to the next hop within try_timeout, the host is out of
// use by its probes, and back when the way is.
func TestUnreachableHost(t *testing.T) {
	for name, c := range map[string]struct{ gone, back func(a *away) }{
		"host is down": {
			func(a *away) {
				a.ip("-n", a.ns, "link", "set", a.link+"p", "arp", "off")
				a.ip("neigh", "flush", "dev", a.link)
			},
			func(a *away) {
				a.ip("-n", a.ns, "link", "set", a.link+"p", "arp", "on")
				a.ip("neigh", "flush", "dev", a.link)
			},
		},
		"no route": {
			func(a *away) { a.ip("route", "add", "unreachable", a.other.String()) },
			func(a *away) { a.ip("route", "del", "unreachable", a.other.String()) },
		},
		"black hole": {
			func(a *away) { a.ip("-n", a.ns, "route", "add", "blackhole", a.ours.String()) },
			func(a *away) { a.ip("-n", a.ns, "route", "del", "blackhole", a.ours.String()) },
		},
		"cable": {
			func(a *away) { a.ip("-n", a.ns, "link", "set", a.link+"p", "down") },
			func(a *away) { a.ip("-n", a.ns, "link", "set", a.link+"p", "up") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			a := l.elsewhere()
			first, second := netip.AddrPortFrom(a.other, 5060), l.free(72)
			l.server("hop", "", "udp", second)
			var w *udpWire
			a.in(func() { w = l.udpSocket(first) })
			pbx := l.play("pbx", siptest.UAOptions{Transport: sip.UDP, AOR: "pbx@" + first.String()}, &alive{wire: w}, first)
			l.start(group(quick, hop(first, "udp"), hop(second, "udp")))
			alice := l.browser("alice")
			l.probed(first)
			l.call(alice, pbx)
			c.gone(a)
			if got := l.talk(alice); got != second {
				t.Errorf("%s has the call while the first hop cannot be reached", got)
			}
			l.until("the first hop is down", func() bool { return !l.up(first) })
			before := l.event("failover")
			if got := l.talk(alice); got != second || l.event("failover") != before {
				t.Errorf("%s has the call, %d hops were tried before", got, l.event("failover")-before)
			}
			c.back(a)
			l.until("the first hop is up", func() bool { return l.up(first) })
			pbx.forget()
			l.call(alice, pbx)
			l.over()
			alice.quiet()
		})
	}
}

// forget passes over what has come, and what comes of it again.
func (p *phone) forget() {
	for _, s := range append(p.inbox, p.Seen()...) {
		p.texts[s.Text] = true
	}
	p.inbox = nil
}

// call is a whole call of alice's to a scripted server.
func (l *live) call(alice, pbx *phone) {
	l.t.Helper()
	alice.Request("INVITE", "200")
	pbx.want("INVITE")
	pbx.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	pbx.want("ACK")
	alice.InDialog("BYE")
	pbx.want("BYE")
	pbx.Reply(200, "", "BYE")
	alice.want("200 BYE")
}
