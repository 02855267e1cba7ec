//go:build linux

package gateway_test

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// Calls come from an upstream's addresses only; from elsewhere nobody reaches a
// user without a password.
func TestStrangerIsRefused(t *testing.T) {
	t.Parallel()
	l := newNet(t).start(pbxes("sip:127.70.0.99:5060"))
	alice := l.browser("alice")
	at := l.free(72)
	stranger := l.udpPeer("stranger", at)
	for _, c := range []struct{ from, to, want string }{
		{"", l.uri("alice"), "403 INVITE"},
		{"", "sip:nobody@example.com", "403 INVITE"}, // and learns nobody's name
		{"", "sip:200@example.com", "403 INVITE"},    // no relay to the PBX either
		{"From: <sip:bob@example.com>;tag=b", l.uri("alice"), "407 INVITE"},
	} {
		headers := []string{}
		if c.from != "" {
			headers = append(headers, c.from)
		}
		stranger.Request("INVITE", c.to, headers...)
		if got := what(stranger.next(c.want)); got != c.want {
			t.Errorf("%q to %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
	alice.quiet()
}

// The same with SIPp, whose calls fail with the status it is given.
func TestSIPpFromAWrongSource(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t).start(pbxes("sip:127.70.0.99:5060"))
		alice := l.browser("alice")
		l.sipp(call{scenario: "uac-refused", at: l.free(72), transport: transport, to: l.sip, user: "alice", status: "403"}).succeeds()
		alice.quiet()
	})
}

// What an upstream is told of users who are away, unknown or elsewhere.
func TestSIPpIsRefused(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		for user, status := range map[string]string{
			"carol": "480", "nobody": "404",
			"200": "404", // its own number: never back to where it came from
		} {
			l.sipp(call{scenario: "uac-refused", at: l.free(71), transport: transport, to: l.sip, user: user, status: status}).succeeds()
		}
	})
}

// An upstream's calls to other domains end here: 403.
func TestUpstreamReachesNoForeignDomain(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	at := l.free(71)
	l.start(pbxes(hop(at, "udp")))
	pbx := l.udpPeer("pbx", at)
	for _, uri := range []string{"sip:alice@example.org", "sip:alice@192.0.2.7", "sip:200@" + at.String()} {
		pbx.Request("INVITE", uri)
		pbx.want("403 INVITE")
	}
	pbx.quiet()
}

// A PBX's qualify: OPTIONS to the server and to its users, whom it need not wake.
func TestUpstreamPingsWithOptions(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		alice := l.browser("alice")
		l.sipp(call{scenario: "uac-options", at: l.free(71), transport: transport, to: l.sip, user: "alice", status: "200"}).succeeds()
		l.sipp(call{scenario: "uac-options", at: l.free(71), transport: transport, to: l.sip, user: "carol", status: "480"}).succeeds()
		l.sipp(call{scenario: "uac-options", at: l.free(71), transport: transport, to: l.sip, user: "nobody", status: "404"}).succeeds()
		alice.quiet()
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, "udp")))
		pbx := l.udpPeer("pbx", at)
		for _, uri := range []string{"sip:example.com", "sip:" + l.sip.String(), "sip:" + l.sip.Addr().String()} {
			pbx.Request("OPTIONS", uri)
			if m := pbx.want("200 OPTIONS"); m.Named("Allow") == "" {
				t.Errorf("OPTIONS %s: no Allow (RFC 3261 §11.2)\n%s", uri, m)
			}
		}
	})
}

// RFC 3261 §18.1.1: what is large goes by TCP; where TCP is refused or hangs, by UDP
// in fragments, and so for the next ten minutes. The SDP comes whole each time, both ways.
func TestLargeSDP(t *testing.T) {
	for name, listen := range map[string]func(l *live, at netip.AddrPort) *phone{
		"TCP":         func(l *live, at netip.AddrPort) *phone { return l.tcpPeer("pbx", at) },
		"TCP refused": func(*live, netip.AddrPort) *phone { return nil },
		"TCP hangs":   func(l *live, at netip.AddrPort) *phone { l.deaf(at); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			at := l.free(71)
			l.start(pbxes(hop(at, "")))
			byUDP, byTCP := l.udpPeer("pbx", at), listen(l, at)
			pbx, via := byUDP, "UDP"
			if byTCP != nil {
				pbx, via = byTCP, "TCP"
			}
			alice := l.browser("alice")
			l.largeCall(alice, pbx, via)
			if name == "TCP refused" { // remembered: nobody is asked again
				byTCP = l.tcpPeer("too late", at)
			}
			l.largeCall(alice, pbx, via)
			byUDP.quiet()
			if n := l.g.Snapshot().Fragmented; (n > 0) != (via == "UDP") {
				t.Errorf("%d fragmented datagrams are counted over %s", n, via)
			}
			if name == "TCP refused" && len(byTCP.Seen()) > 0 {
				t.Error("the second call went by TCP, which had been refused")
			}
		})
	}
}

func (l *live) largeCall(alice, pbx *phone, via string) {
	l.t.Helper()
	offer, answer := sdp("offer", 23000), sdp("answer", 9000)
	alice.Request("INVITE", "200", body(offer))
	m := pbx.wantBody("INVITE", offer)
	if got := m.TopVia().Transport; got != via {
		l.t.Errorf("Via names %s, want %s", got, via)
	}
	pbx.Reply(200, "", "INVITE", body(answer))
	alice.wantBody("200 INVITE", answer)
	alice.InDialog("ACK")
	pbx.want("ACK")
	pbx.InDialog("BYE")
	alice.want("BYE")
	alice.Reply(200, "", "BYE")
	pbx.want("200 BYE")
	l.over()
	alice.quiet()
}

// deaf is a TCP port at which connecting hangs: its queue is full and nobody accepts.
func (l *live) deaf(at netip.AddrPort) {
	l.t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		l.t.Cleanup(func() { syscall.Close(fd) })
		err = syscall.Bind(fd, &syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())})
	}
	if err == nil {
		err = syscall.Listen(fd, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	for range 8 {
		c, err := net.DialTimeout("tcp", at.String(), 100*time.Millisecond)
		if err != nil {
			return // it hangs
		}
		l.t.Cleanup(func() { c.Close() })
	}
	l.t.Fatal("the queue does not fill")
}
