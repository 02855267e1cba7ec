//go:build linux

package gateway_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// free6 is a port of ::1 that neither UDP nor TCP uses.
func (l *live) free6() netip.AddrPort {
	l.t.Helper()
	for range 100 {
		u, err := net.ListenPacket("udp", "[::1]:0")
		if err != nil {
			l.t.Skipf("SKIPPED: no IPv6 on loopback (%v): NOTHING HERE IS TESTED", err)
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

// six adds listeners on ::1 to the gateway.
func (l *live) six() netip.AddrPort {
	l.sip6 = l.free6()
	l.more = append(l.more, "udp://"+l.sip6.String(), "tcp://"+l.sip6.String())
	return l.sip6
}

// A hop at ::1 has calls and is hung up on; it calls, too; probes reach it. As an address, and by AAAA.
func TestHopOverIPv6(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		for _, by := range []string{"address", "AAAA"} {
			t.Run(by, func(t *testing.T) {
				t.Parallel()
				l := newNet(t)
				ours, at := l.six(), l.free6()
				options, uri, resolver := quick, hop(at, transport), ""
				if by == "AAAA" {
					d := dnstest.Start(t, "pbx.test AAAA ::1\n")
					uri = fmt.Sprintf("sip:pbx.test:%d;transport=%s", at.Port(), transport)
					resolver = fmt.Sprintf("resolver: { servers: [ %q ] }\n", d.Addr())
					options += `, from: [ "::1" ]` // who has a loopback address is not DNS's to say
				}
				pbx := l.udpHop
				if transport == "tcp" {
					pbx = l.tcpHop
				}
				p, a := pbx("pbx", at)
				l.start(group(options, uri) + resolver)
				alice := l.browser("alice")
				l.probed(at)
				alice.Request("INVITE", "200", body(sdp("offer", 600)))
				m := p.want("INVITE")
				if got := m.TopVia().Host; got != "[::1]" {
					t.Errorf("our Via names %s, want [::1]", got)
				}
				p.Reply(200, "", "INVITE")
				alice.want("200 INVITE")
				alice.InDialog("ACK")
				p.want("ACK")
				p.InDialog("BYE")
				alice.want("BYE")
				alice.Reply(200, "", "BYE")
				p.want("200 BYE")
				if a.probes.Load() == 0 {
					t.Error("no probe came")
				}
				l.over()
				l.calledOverIPv6(alice, ours, transport)
			})
		}
	})
}

// calledOverIPv6 is a call from ::1, which is the upstream's.
func (l *live) calledOverIPv6(alice *phone, ours netip.AddrPort, transport string) {
	l.t.Helper()
	at := l.free6()
	opt := siptest.UAOptions{Transport: sip.UDP, AOR: "pbx@" + at.String()}
	var w wire
	if transport == "tcp" {
		opt.Transport = sip.TCP
		c, err := net.Dial("tcp", ours.String())
		if err != nil {
			l.t.Fatal(err)
		}
		w = newTCPWire(c)
	} else {
		w = l.udpSocket(at)
	}
	caller := l.play("caller", opt, w, at)
	caller.Request("INVITE", "sip:alice@"+ours.String())
	alice.want("INVITE")
	alice.Reply(180, "", "INVITE")
	caller.want("180 INVITE")
	alice.Reply(200, "", "INVITE")
	caller.want("200 INVITE")
	caller.InDialog("ACK")
	alice.want("ACK")
	caller.InDialog("BYE")
	alice.want("BYE")
	alice.Reply(200, "", "BYE")
	caller.want("200 BYE")
	l.over()
	alice.quiet()
}

// RFC 3263 §4.2, RFC 6157: a name has both; when nobody is at the one family the other has the call.
func TestFailoverFromIPv6ToIPv4(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	l.six()
	at := l.free(71)
	d := dnstest.Start(t, fmt.Sprintf("pbx.test AAAA ::1\npbx.test A %s\n", at.Addr()))
	l.server("hop", "", "tcp", at)
	l.start(group("health: off", fmt.Sprintf("sip:pbx.test:%d;transport=tcp", at.Port())) + fmt.Sprintf("resolver: { servers: [ %q ] }\n", d.Addr()))
	alice := l.browser("alice")
	l.until("both addresses are known", func() bool { return len(l.g.Snapshot().Upstreams) == 2 })
	for range 2 {
		if got := l.talk(alice); got != at {
			t.Errorf("%s has the call", got)
		}
	}
	if n := l.event("failover"); n > 1 {
		t.Errorf("%d failovers, want that of the first call at most", n)
	}
	l.over()
	alice.quiet()
}
