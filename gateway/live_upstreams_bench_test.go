//go:build linux

package gateway_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// robot is a server in this process, over UDP, that answers INVITE with a status and everything else but ACK with 200.
func (l *live) robot(at netip.AddrPort, status int, headers ...string) {
	l.t.Helper()
	w := l.udpSocket(at)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			text, err := w.read()
			if err != nil {
				return
			}
			m, err := sip.Parse(text, sip.Datagram)
			if err != nil || !m.IsRequest() || m.Method() == "ACK" {
				continue
			}
			r := sip.Reply{Status: 200, ToTag: "robot", Headers: slices.Clone(headers)}
			if m.Method() == "INVITE" {
				r.Status = status
				r.Headers = append(r.Headers, "Contact: <sip:pbx@"+at.String()+">")
				for v := range m.Values(sip.RecordRoute) {
					r.Headers = append(r.Headers, "Record-Route: "+v)
				}
			}
			w.Write(string(m.AppendReply(nil, &r)))
		}
	}()
	l.t.Cleanup(func() { w.close(); <-done })
}

// setUp is how long a call takes from INVITE to 200.
func (l *live) setUp(alice *phone) time.Duration {
	start := time.Now()
	l.dial(alice)
	alice.want("200 INVITE")
	took := time.Since(start)
	alice.InDialog("ACK")
	l.hangUp(alice, netip.AddrPort{})
	return took
}

// quantile is one of times, which it sorts.
func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 3, 64)
}

// BenchmarkFailover prints what a first hop that takes no calls adds to a call's set-up, and what
// it adds once it is out of use. Every first try has a gateway of its own, which knows nothing.
func BenchmarkFailover(b *testing.B) {
	const silent, runs = "health: { interval: 1h, down_interval: 1h }", 40
	good := quantile(firsts(b, runs, silent, nil), 0.5)
	for _, c := range []struct {
		name, health string
		runs         int
		first        func(l *live) string
		before       int // calls before the one that counts
	}{
		{"refused", silent, runs, func(l *live) string { return hop(l.free(71), "tcp") }, 0},
		{"503", silent, runs, func(l *live) string { at := l.free(71); l.robot(at, 503); return hop(at, "udp") }, 0},
		{"503 with Retry-After", silent, runs, func(l *live) string { at := l.free(71); l.robot(at, 503, "Retry-After: 60"); return hop(at, "udp") }, 0},
		{"black hole", silent, 5, hole, 0},
		{"refused, down", silent, runs, func(l *live) string { return hop(l.free(71), "tcp") }, 1},
		{"503, down", "health: off", runs, func(l *live) string { at := l.free(71); l.robot(at, 503); return hop(at, "udp") }, 2},
		{"black hole, down", "health: off", 5, hole, 2},
	} {
		times := firsts(b, c.runs, c.health, c.first, c.before)
		fmt.Printf("{\"figure\":\"failover\",\"first_hop\":%q,\"runs\":%d,\"try_timeout_ms\":2000,\"set_up_ms\":%s,\"adds_ms_p50\":%s,\"adds_ms_p90\":%s,\"adds_ms_max\":%s}\n",
			c.name, c.runs, ms(good), ms(quantile(times, 0.5)-good), ms(quantile(times, 0.9)-good), ms(quantile(times, 1)-good))
	}
}

func hole(l *live) string {
	at := l.free(71)
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { c.Close() })
	return hop(at, "udp")
}

// firsts times calls, each through a new gateway with a first hop and a good one; before that many others.
func firsts(b *testing.B, runs int, health string, first func(l *live) string, before ...int) (times []time.Duration) {
	for range runs {
		l := newNet(b)
		at := l.free(72)
		l.robot(at, 200)
		hops := []string{hop(at, "udp")}
		if first != nil {
			hops = append([]string{first(l)}, hops...)
		}
		l.start(strings.Replace(group(health, hops...), "500ms", "2s", 1))
		alice := l.browser("alice")
		for range append(before, 0)[0] {
			l.setUp(alice)
		}
		times = append(times, l.setUp(alice))
		l.stop()
	}
	return times
}

// BenchmarkCallsInProgress prints the set-up time of calls from one upstream to another while up to 10,000 are in progress.
func BenchmarkCallsInProgress(b *testing.B) {
	for _, sel := range []string{"order", "least_busy"} {
		l := newNet(b)
		from, one, two := l.free(75), l.free(71), l.free(72)
		l.robot(one, 200)
		l.robot(two, 200)
		l.start(fmt.Sprintf("upstreams:\n  pbx: { hops: [ %q, %q ], select: %s }\n  carrier: { hops: [ %q ], health: off }\n"+
			"routes: [ { match: \"^[0-9]+$\", from: carrier, to: pbx } ]\n", hop(one, "udp"), hop(two, "udp"), sel, hop(from, "udp")))
		caller := &caller{wire: l.udpSocket(from), at: from, to: l.sip, t: b}
		b.Cleanup(caller.wire.close)
		const calls, block = 10000, 1000
		var times []time.Duration
		for i := range calls {
			times = append(times, caller.place(i))
			if len(times) == block {
				fmt.Printf("{\"figure\":\"calls_in_progress\",\"select\":%q,\"in_progress\":%d,\"calls_on_hops\":\"%s+%s\",\"set_up_ms_p50\":%s,\"set_up_ms_p90\":%s,\"set_up_ms_p99\":%s}\n",
					sel, l.g.Snapshot().Calls, l.metric("ringway_upstream_calls", one), l.metric("ringway_upstream_calls", two),
					ms(quantile(times, 0.5)), ms(quantile(times, 0.9)), ms(quantile(times, 0.99)))
				times = times[:0]
			}
		}
		l.stop()
	}
}

// caller places calls one after the other and ends none.
type caller struct {
	t    testing.TB
	wire *udpWire
	at   netip.AddrPort
	to   netip.AddrPort
}

// place sends INVITE and, to its 200, ACK. It returns the time between the first and the 200.
func (c *caller) place(n int) time.Duration {
	c.t.Helper()
	const offer = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"
	head := func(method, uri, to string, more string) string {
		return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK-%s-%d\r\nFrom: <sip:carrier@%s>;tag=c%d\r\nTo: %s\r\n"+
			"Call-ID: call-%d@%s\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\n%s", method, uri, c.at, method, n, c.at, n, to, n, c.at, method, more)
	}
	start := time.Now()
	c.wire.Write(head("INVITE", "sip:200@"+c.to.String(), "<sip:200@"+c.to.String()+">",
		fmt.Sprintf("Contact: <sip:carrier@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", c.at, len(offer), offer)))
	id := fmt.Sprintf("call-%d@%s", n, c.at)
	for {
		_ = c.wire.c.SetReadDeadline(time.Now().Add(patience))
		text, err := c.wire.read()
		if err != nil {
			c.t.Fatalf("call %d: %v", n, err)
		}
		m, err := sip.Parse(text, sip.Datagram)
		if err != nil || m.IsRequest() || m.CallID() != id || m.Status() < 200 {
			continue
		}
		took := time.Since(start)
		if m.Status() != 200 {
			c.t.Fatalf("call %d:\n%s", n, m)
		}
		contact, err := sip.ParseNameAddr(m.Value(sip.Contact))
		if err != nil {
			c.t.Fatal(err)
		}
		routes := slices.Collect(m.Values(sip.RecordRoute))
		slices.Reverse(routes)
		c.wire.Write(head("ACK", contact.URI, m.Value(sip.To), "Route: "+strings.Join(routes, ", ")+"\r\nContent-Length: 0\r\n\r\n"))
		return took
	}
}
