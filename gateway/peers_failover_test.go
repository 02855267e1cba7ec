//go:build linux

package gateway_test

import (
	"net"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// tries is pbxes with a short try_timeout.
func tries(hops ...string) string {
	return strings.Replace(pbxes(hops...), " ] } }", " ], try_timeout: 300ms } }", 1)
}

// A hop that refuses, that answers 503 or that says nothing gives way to the next,
// and only the one that works has a call.
func TestNextHopIsTried(t *testing.T) {
	for name, first := range map[string]func(l *live) (uri string, after func()){
		"TCP refused": func(l *live) (string, func()) { return hop(l.free(71), "tcp"), func() {} },
		"503": func(l *live) (string, func()) {
			at := l.free(71)
			s := l.sipp(call{scenario: "uas-reject", at: at, transport: "udp", status: "503"})
			return hop(at, "udp"), s.succeeds
		},
		"503 over TCP": func(l *live) (string, func()) {
			at := l.free(71)
			s := l.sipp(call{scenario: "uas-reject", at: at, transport: "tcp", status: "503"})
			return hop(at, "tcp"), s.succeeds
		},
		"black hole": func(l *live) (string, func()) {
			at := l.free(71)
			hole, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
			if err != nil {
				l.t.Fatal(err)
			}
			l.t.Cleanup(func() { hole.Close() })
			return hop(at, "udp"), func() {}
		},
		"silent over TCP": func(l *live) (string, func()) {
			at := l.free(71)
			p := l.tcpPeer("silent", at)
			return hop(at, "tcp"), func() { p.want("INVITE"); p.quiet() } // without a provisional no CANCEL (RFC 3261 §9.1)
		},
		"nobody there": func(l *live) (string, func()) { return hop(l.free(71), "udp"), func() {} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program(t, "sipp", "sip-tester")
			l := newNet(t)
			uri, after := first(l)
			at := l.free(72)
			l.start(tries(uri, hop(at, "udp")))
			pbx := l.sipp(call{scenario: "uas", at: at, transport: "udp"})
			alice := l.browser("alice")
			alice.Request("INVITE", "200", body(sdp("offer", 600)))
			alice.want("180 INVITE")
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			alice.InDialog("BYE")
			alice.want("200 BYE")
			pbx.succeeds()
			after()
			l.over()
			alice.quiet()
			if n := l.event("failover"); n != 1 {
				t.Errorf("%d failovers are counted, want 1", n)
			}
		})
	}
}

// Three hops, each bad in its own way, and a good one; the SDP is large, so that
// the way is chosen and spliced anew for each.
func TestEveryHopIsTriedInOrder(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	refusing, busy, hole, good := l.free(71), l.free(72), l.free(73), l.free(74)
	l.start(tries(hop(refusing, "tcp"), hop(busy, ""), hop(hole, "udp"), hop(good, "")))
	two, three, four := l.tcpPeer("two", busy), l.udpPeer("three", hole), l.udpPeer("four", good)
	alice := l.browser("alice")
	offer := sdp("offer", 9000)
	alice.Request("INVITE", "200", body(offer))
	two.wantBody("INVITE", offer)
	two.Reply(503, "", "INVITE", "Retry-After: 10")
	two.want("ACK")
	three.wantBody("INVITE", offer)
	four.wantBody("INVITE", offer)
	four.Reply(200, "", "INVITE", body(sdp("answer", 600)))
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	four.want("ACK")
	alice.InDialog("BYE")
	four.want("BYE")
	four.Reply(200, "", "BYE")
	alice.want("200 BYE")
	for _, p := range []*phone{two, four, alice} {
		p.quiet()
	}
	l.over()
}

// When none is left the caller hears so.
func TestNoHopIsLeft(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	l.start(tries(hop(l.free(71), "tcp"), hop(l.free(72), "tcp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	alice.want("503 INVITE")
	alice.quiet()
}

// The caller gives up while the first hop is silent: no second one is tried.
func TestCancelDuringFailover(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	l.start(tries(hop(first, "udp"), hop(second, "udp")))
	one, two := l.udpPeer("one", first), l.udpPeer("two", second)
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	two.quiet()
	one.Reply(180, "", "INVITE") // late: now it can be cancelled, and is
	one.want("CANCEL")
	one.Reply(487, "", "INVITE")
	one.want("ACK")
	l.over()
	alice.quiet()
	one.quiet()
	two.quiet()
}

// The caller gives up while the second hop rings, the first is forgotten but not gone.
func TestCancelAfterFailover(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	l.start(tries(hop(first, "udp"), hop(second, "udp")))
	one, two := l.udpPeer("one", first), l.udpPeer("two", second)
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	two.want("INVITE")
	two.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	alice.Cancel()
	alice.want("200 CANCEL")
	two.want("CANCEL")
	two.Reply(487, "", "INVITE")
	two.want("ACK")
	alice.want("487 INVITE")
	one.Reply(180, "", "INVITE")
	one.want("CANCEL")
	one.Reply(487, "", "INVITE")
	one.want("ACK")
	l.over()
	for _, p := range []*phone{alice, one, two} {
		p.quiet()
	}
}

// A hop that failover had given up answers after another has won: we acknowledge
// and end its call, and the caller never hears of it.
func TestLateAnswerOfAnAbandonedHop(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	l.start(tries(hop(first, "udp"), hop(second, "udp")))
	one, two := l.udpPeer("one", first), l.udpPeer("two", second)
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	two.want("INVITE")
	two.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	two.want("ACK")
	one.Reply(200, "", "INVITE")
	for _, want := range []string{"ACK", "BYE"} {
		m := one.want(want)
		if m.RequestURI() != "sip:pbx@"+first.String() || m.ToTag() != "one-1" || m.FromTag() != "alice-1" {
			t.Errorf("%s is not within the ghost's dialog:\n%s", want, m)
		}
	}
	one.Reply(200, "", "BYE")
	one.Again() // a BYE's 200 twice does no harm
	alice.InDialog("BYE")
	two.want("BYE")
	two.Reply(200, "", "BYE")
	alice.want("200 BYE")
	l.over()
	for _, p := range []*phone{alice, one, two} {
		p.quiet()
	}
	if n := l.event("ghost_answer"); n != 1 {
		t.Errorf("%d late answers are counted, want 1", n)
	}
}

// It answers first, while the next hop rings: then it is the callee after all.
func TestLateAnswerOfAnAbandonedHopWins(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	l.start(tries(hop(first, "udp"), hop(second, "udp")))
	one, two := l.udpPeer("one", first), l.udpPeer("two", second)
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	two.want("INVITE")
	two.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	one.Reply(200, "", "INVITE")
	if m := alice.want("200 INVITE"); m.ToTag() != "one-1" {
		t.Errorf("the 200 is %s's", m.ToTag())
	}
	m := two.want("CANCEL")
	if !strings.Contains(m.Value(sip.Reason), "cause=200") {
		t.Errorf("Reason is %q (RFC 3326 §2)", m.Value(sip.Reason))
	}
	two.Reply(487, "", "INVITE")
	two.want("ACK")
	alice.InDialog("ACK")
	one.want("ACK")
	one.InDialog("BYE")
	alice.want("BYE")
	alice.Reply(200, "", "BYE")
	one.want("200 BYE")
	l.over()
	for _, p := range []*phone{alice, one, two} {
		p.quiet()
	}
}
