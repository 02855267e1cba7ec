//go:build linux

package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// A hop dies while the INVITE is there. As long as it has said nothing but 100, the next one
// has the call and the caller hears nothing of it.
func TestHopDiesDuringINVITE(t *testing.T) {
	for name, die := range map[string]func(one *phone){
		"before 100": func(one *phone) {},
		"after 100":  func(one *phone) { one.Reply(100, "", "INVITE") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			first, second := l.free(71), l.free(72)
			one := l.tcpPeer("one", first)
			l.server("hop", "", "udp", second)
			l.start(group("health: off", hop(first, "tcp"), hop(second, "udp")))
			alice := l.browser("alice")
			alice.Request("INVITE", "200")
			one.want("INVITE")
			die(one)
			one.wire.close()
			alice.want("180 INVITE")
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			l.hangUp(alice, second)
			l.over()
			alice.quiet()
		})
	}
}

// After 180 the callee may still answer: no other hop is asked, and the hop that comes back over a
// new connection has the call.
func TestHopReconnectsWhileItRings(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	one, two := l.tcpPeer("one", first), l.udpPeer("two", second)
	l.start(group("health: off", hop(first, "tcp"), hop(second, "udp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	invite := one.want("INVITE")
	one.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	one.wire.close()
	l.until("its connection is closed", func() bool { return l.g.Snapshot().Flows["tcp"] == 0 })
	alice.quiet()
	again := l.tcpCaller("again", l.free(71))
	again.wire.Write(string(invite.AppendReply(nil, &sip.Reply{Status: 200, ToTag: "one-1", Headers: []string{"Contact: <sip:pbx@" + first.String() + ";transport=tcp>"}})))
	alice.want("200 INVITE")
	two.quiet()
	alice.quiet()
}

// After the answer only the hop knows the call: the caller who hangs up hears that it is gone,
// nobody else is asked, and nothing of the call stays.
func TestHopDiesInACall(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	one, two := l.tcpPeer("one", first), l.udpPeer("two", second)
	l.start(group("health: off", hop(first, "tcp"), hop(second, "udp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	one.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	one.want("ACK")
	one.wire.close()
	l.until("its connection is closed", func() bool { return l.g.Snapshot().Flows["tcp"] == 0 })
	alice.InDialog("BYE")
	if m := alice.next("a refusal of BYE"); m.Status() < 400 {
		t.Errorf("%s to a BYE that nobody could get:\n%s", what(m), m)
	}
	l.over()
	two.quiet()
	alice.quiet()
}

// RFC 3261 §17.2.1: a caller over UDP who repeats its INVITE while hops are tried adds
// nothing to what they get.
func TestRetransmissionsDuringFailover(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second, from := l.free(71), l.free(72), l.free(73)
	one, two, caller := l.udpPeer("one", first), l.udpPeer("two", second), l.udpPeer("caller", from)
	l.start(fmt.Sprintf("upstreams:\n  pbx: { hops: [ %q, %q ], try_timeout: 500ms, health: off }\n  carrier: { hops: [ %q ], health: off }\n"+
		"routes: [ { match: \"^[0-9]+$\", from: carrier, to: pbx } ]\n", hop(first, "udp"), hop(second, "udp"), hop(from, "udp")))
	caller.Request("INVITE", l.uri("200"))
	one.want("INVITE")
	caller.Again()
	caller.Again()
	two.want("INVITE")
	caller.Again()
	two.Reply(180, "", "INVITE")
	caller.want("180 INVITE")
	caller.Again() // §17.2.1: has the 180 again
	two.Reply(200, "", "INVITE")
	caller.want("200 INVITE")
	caller.Again()
	caller.InDialog("ACK")
	two.want("ACK")
	caller.InDialog("BYE")
	two.want("BYE")
	two.Reply(200, "", "BYE")
	caller.want("200 BYE")
	l.over()
	for _, p := range []*phone{one, two, caller} {
		p.quiet()
	}
	if n := l.event("failover"); n != 1 {
		t.Errorf("%d failovers are counted, want 1", n)
	}
}

// The caller gives up while the connection to the second hop is being made: no INVITE leaves any more.
func TestCancelWhileNextHopHangs(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	hanging, third := l.free(72), l.free(73)
	l.deaf(hanging)
	three := l.udpPeer("three", third)
	l.start(group("health: off", hop(l.free(71), "tcp"), hop(hanging, "tcp"), hop(third, "udp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	l.until("the first hop has refused", func() bool { return l.event("failover") > 0 })
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	l.over()
	alice.quiet()
	three.quiet()
}

// A hop that was given up rings while the next one does: it alone is cancelled, and its ringing is
// not the caller's.
func TestLateRingingOfAnAbandonedHop(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	one, two := l.udpPeer("one", first), l.udpPeer("two", second)
	l.start(group("health: off", hop(first, "udp"), hop(second, "udp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	two.want("INVITE")
	two.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	one.Reply(183, "", "INVITE")
	one.want("CANCEL")
	one.Reply(487, "", "INVITE")
	one.want("ACK")
	two.Reply(200, "", "INVITE")
	if m := alice.want("200 INVITE"); m.ToTag() != "two-1" {
		t.Errorf("the 200 is %s's", m.ToTag())
	}
	alice.InDialog("ACK")
	two.want("ACK")
	alice.InDialog("BYE")
	two.want("BYE")
	two.Reply(200, "", "BYE")
	alice.want("200 BYE")
	l.over()
	for _, p := range []*phone{alice, one, two} {
		p.quiet()
	}
}

// All hops are down: 503 that says so and when to come back, and nobody is tried.
func TestAllHopsAreDown(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	l.start(group("health: { interval: 1s, down_interval: 1s, timeout: 1s, down_after: 1 }", hop(first, "tcp"), hop(second, "tcp")))
	alice := l.browser("alice")
	l.until("both hops are down", func() bool {
		return l.metric("ringway_upstream_up", first) == "0" && l.metric("ringway_upstream_up", second) == "0"
	})
	alice.Request("INVITE", "200")
	m := alice.want("503 INVITE")
	if got := m.Named("Retry-After"); got != "2" { // two answers are needed, one a second
		t.Errorf("Retry-After is %q, want 2", got)
	}
	if !strings.Contains(m.ReasonPhrase(), "upstream pbx: all 2 hops down") {
		t.Errorf("reason %q does not name the upstream", m.ReasonPhrase())
	}
	if n := l.event("failover"); n != 0 {
		t.Errorf("%d failovers, want none: nobody is to be asked", n)
	}
	alice.quiet()
}

// Kamailio is one of the hops: it has the call that another hop refuses; what stands behind it
// tells its health; when it dies the third hop has the calls.
func TestKamailioIsAHop(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at, pbx, third := l.free(72), l.free(73), l.free(74)
		l.server("hop", "", transport, pbx)
		l.server("hop", "", transport, third)
		k := l.kamailio(at, pbx, transport)
		l.start(group(quick, hop(l.free(71), "tcp"), hop(at, transport), hop(third, transport)))
		alice := l.browser("alice")
		l.probed(at)
		l.probed(third)
		if got := l.talk(alice); got != pbx {
			t.Errorf("%s has the call, want the server behind Kamailio", got)
		}
		k.kill()
		if got := l.talk(alice); got != third {
			t.Errorf("%s has the call after Kamailio died", got)
		}
		l.until("Kamailio is down", func() bool { return !l.up(at) })
		l.kamailio(at, pbx, transport)
		l.until("Kamailio is back", func() bool { return l.up(at) })
		if got := l.talk(alice); got != pbx {
			t.Errorf("%s has the call, want the server behind Kamailio", got)
		}
		l.over()
		alice.quiet()
	})
}

// RFC 5393 §4.2.2: both hops send our calls straight back. The first 482 is the answer; failover
// makes no second round of it.
func TestLoopingHops(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		first, second := l.free(71), l.free(72)
		l.start(strings.Replace(group("health: off", hop(first, transport), hop(second, transport)), "^[0-9]+$", ".*", 1))
		one := l.kamailio(first, first, transport, "-A", "LOOP")
		two := l.kamailio(second, second, transport, "-A", "LOOP")
		alice := l.browser("alice")
		alice.Request("INVITE", "200")
		alice.want("482 INVITE")
		alice.quiet()
		if n := strings.Count(one.out.String()+two.out.String(), "CALL "); n != 1 {
			t.Errorf("%d calls went to the partners, want 1", n)
		}
		if n := l.g.Snapshot().Requests["INVITE"]; n != 2 {
			t.Errorf("%d INVITEs reached us, want the caller's and the one that came back", n)
		}
	})
}
