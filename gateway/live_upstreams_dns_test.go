//go:build linux

package gateway_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
)

// named runs a gateway whose one hop is a name that a DNS server of the test knows. That it is on the loopback is
// the operator's word, in from: the DNS's is not believed.
func (l *live) named(d *dnstest.Server, hop string) {
	l.t.Helper()
	l.start(group(fmt.Sprintf("health: off, from: [ %s/24 ]", l.addr(0)), hop) + fmt.Sprintf("resolver: { servers: [ %q ], timeout: 500ms }\n", d.Addr()))
}

// knows waits until the upstream has exactly these addresses, in this order.
func (l *live) knows(want ...netip.AddrPort) {
	l.t.Helper()
	l.until(fmt.Sprintf("the upstream is at %v", want), func() bool {
		have := l.g.Snapshot().Upstreams
		if len(have) != len(want) {
			return false
		}
		for i := range want {
			if !strings.HasPrefix(have[i].Hop, want[i].String()) {
				return false
			}
		}
		return true
	})
}

// srv is an SRV record of _sip._udp.pbx.test for the test's address, and its A record.
func srv(priority, weight int, at netip.AddrPort) string {
	host := fmt.Sprintf("h%d.pbx.test", at.Addr().As4()[3])
	return fmt.Sprintf("_sip._udp.pbx.test 1 SRV %d %d %d %s\n%s 1 A %s\n", priority, weight, at.Port(), host, host, at.Addr())
}

// RFC 3263 §4: NAPTR says TCP, its SRV records where; a name that has none is looked up by SRV of
// the transport that is pinned, or by A and AAAA where it has a port.
func TestHopIsLocated(t *testing.T) {
	for name, c := range map[string]struct{ zone, hop string }{
		"NAPTR": {"pbx.test NAPTR 10 10 \"s\" \"SIP+D2T\" \"\" _t.pbx.test\npbx.test NAPTR 20 10 \"s\" \"SIP+D2U\" \"\" _u.pbx.test\n" +
			"_t.pbx.test SRV 1 1 PORT one.pbx.test\n_u.pbx.test SRV 1 1 9 nowhere.pbx.test\none.pbx.test A ADDR\n", "sip:pbx.test"},
		"SRV":      {"_sip._tcp.pbx.test SRV 1 1 PORT one.pbx.test\none.pbx.test A ADDR\n", "sip:pbx.test;transport=tcp"},
		"A":        {"pbx.test A ADDR\n", "sip:pbx.test:PORT;transport=tcp"},
		"CNAME":    {"pbx.test CNAME one.pbx.test\none.pbx.test A ADDR\n", "sip:pbx.test:PORT;transport=tcp"},
		"no NAPTR": {"_sip._tcp.pbx.test SRV 1 1 PORT one.pbx.test\none.pbx.test A ADDR\n", "sip:pbx.test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			at := l.free(71)
			fill := strings.NewReplacer("PORT", fmt.Sprint(at.Port()), "ADDR", at.Addr().String())
			d := dnstest.Start(t, fill.Replace(c.zone))
			l.server("hop", "", "tcp", at)
			l.named(d, fill.Replace(c.hop))
			alice := l.browser("alice")
			l.knows(at)
			if got := l.talk(alice); got != at {
				t.Errorf("%s has the call", got)
			}
			l.over()
			alice.quiet()
		})
	}
}

// RFC 2782, RFC 3263 §4.3: a call goes through the whole SRV list, priority by priority, until
// somebody takes it; whoever has said no is left out by the next.
func TestFailoverOverSRVRecords(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	refusing, busy, second, spare := l.free(71), l.free(72), l.free(73), l.free(74)
	d := dnstest.Start(t, srv(20, 1, second)+srv(30, 1, spare)+srv(10, 1, refusing)+srv(15, 1, busy))
	l.server("hop-503", "503 Busy\r\nRetry-After: 60\r\nX-Was:", "udp", busy)
	l.server("hop-503", "503 Busy\r\nRetry-After: 60\r\nX-Was:", "udp", refusing)
	l.server("hop", "", "udp", second)
	l.named(d, "sip:pbx.test;transport=udp")
	alice := l.browser("alice")
	l.knows(refusing, busy, second, spare)
	for i, want := range []int{2, 2} {
		if got := l.talk(alice); got != second {
			t.Errorf("%s has the call, want the third of four", got)
		}
		if n := l.event("failover"); n != want {
			t.Errorf("%d failovers after call %d, want %d", n, i+1, want)
		}
	}
	l.over()
	alice.quiet()
}

// RFC 2782: of one priority each has calls in proportion to its weight; none of higher number has any.
func TestSRVWeights(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	heavy, light, spare := l.free(71), l.free(72), l.free(73)
	d := dnstest.Start(t, srv(1, 90, heavy)+srv(1, 10, light)+srv(2, 100, spare))
	hops := []*sipp{l.server("hop", "", "udp", heavy), l.server("hop", "", "udp", light), l.server("hop", "", "udp", spare)}
	l.named(d, "sip:pbx.test;transport=udp")
	alice := l.browser("alice")
	l.until("the upstream has three addresses", func() bool { return len(l.g.Snapshot().Upstreams) == 3 })
	const calls = 120
	for range calls {
		l.talk(alice)
	}
	l.over()
	n := [3]int{}
	for i, h := range hops {
		n[i] = len(h.logged("INVITE"))
	}
	// The light one has 12 of 120 on average, deviation 3.3: less than 1 or more than 36 is one in 10^5.
	if n[0]+n[1] != calls || n[1] < 1 || n[1] > 36 || n[2] != 0 {
		t.Errorf("calls are shared %v, want about 108, 12 and none", n)
	}
	alice.quiet()
}

// The DNS says something else when the TTL is over: new calls go there, old ones end where they are.
func TestRecordChanges(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	first, second := l.free(71), l.free(72)
	d := dnstest.Start(t, srv(1, 1, first))
	l.server("hop", "", "udp", first)
	l.server("hop", "", "udp", second)
	l.named(d, "sip:pbx.test;transport=udp")
	alice, bob := l.browser("alice"), l.browser("bob")
	l.knows(first)
	if got := l.pickedUp(alice); got != first {
		t.Errorf("%s has the call", got)
	}
	d.Zone(srv(1, 1, second))
	l.knows(second)
	if got := l.talk(bob); got != second {
		t.Errorf("%s has the call after the record changed", got)
	}
	l.hangUp(alice, first)
	l.over()
	alice.quiet()
	bob.quiet()
}

// RFC 8767: while the DNS is out the last answer serves, for as long as it takes; also where the
// name is suddenly none. When it is back its new answer counts.
func TestDNSOutage(t *testing.T) {
	for name, mode := range map[string]dnstest.Mode{
		"SERVFAIL": dnstest.ServFail, "REFUSED": dnstest.Refused, "silence": dnstest.Silence, "NXDOMAIN": dnstest.NXDomain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			first, second := l.free(71), l.free(72)
			d := dnstest.Start(t, srv(1, 1, first))
			l.server("hop", "", "udp", first)
			l.server("hop", "", "udp", second)
			l.named(d, "sip:pbx.test;transport=udp")
			alice := l.browser("alice")
			l.knows(first)
			d.Fail(mode)
			d.Await("_sip._udp.pbx.test SRV", d.Asked("_sip._udp.pbx.test SRV")+1)
			if got := l.talk(alice); got != first {
				t.Errorf("%s has the call during the outage", got)
			}
			d.Zone(srv(1, 1, second))
			d.Heal()
			l.knows(second)
			if got := l.talk(alice); got != second {
				t.Errorf("%s has the call after the outage", got)
			}
			l.over()
			alice.quiet()
		})
	}
}

// A name that never was: 503 that says so and when to come back, and no other wait than the caller's.
func TestHopHasNoAddress(t *testing.T) {
	for name, mode := range map[string]dnstest.Mode{"NXDOMAIN": dnstest.NXDomain, "silence": dnstest.Silence} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			d := dnstest.Start(t, "")
			d.Fail(mode)
			l.named(d, "sip:pbx.test")
			d.Await("*", 1)
			alice := l.browser("alice")
			alice.Request("INVITE", "200")
			m := alice.want("503 INVITE")
			if m.Named("Retry-After") != "5" || !strings.Contains(m.ReasonPhrase(), "upstream pbx: no address is known") {
				t.Errorf("the refusal does not say why and when to come back:\n%s", m)
			}
			alice.quiet()
		})
	}
}
