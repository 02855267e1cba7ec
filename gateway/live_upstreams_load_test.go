//go:build linux

package gateway_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// crash is what became of calls during which one of three hops was killed.
type crash struct {
	Figure    string `json:"figure"`
	Transport string `json:"transport"`
	Calls     int    `json:"calls"`
	Rate      int    `json:"rate_per_s"`
	Lost      int    `json:"lost"`       // not answered
	Twice     int    `json:"duplicated"` // two callees had it that both lived on
	Killed    int    `json:"calls_of_killed"`
	Cut       int    `json:"rang_at_killed"` // and were not answered yet: the issue excepts them
	Failovers int    `json:"failovers"`
	Downs     string `json:"downs_of_killed"`
}

func (c crash) String() string {
	b, _ := json.Marshal(c)
	return string(b)
}

// crashed places calls from one upstream to another of three hops at 50 a second, and kills
// the second when it has had a ninth of them.
func crashed(t testing.TB, transport string, calls int) crash {
	program(t, "sipp", "sip-tester")
	l := newNet(t)
	one, two, three, from := l.free(71), l.free(72), l.free(73), l.free(75)
	hops := []*sipp{l.server("hop", "", transport, one), l.server("hop", "", transport, two), l.server("hop", "", transport, three)}
	l.start(fmt.Sprintf("upstreams:\n  pbx: { hops: [ %q, %q, %q ], select: round_robin }\n  carrier: { hops: [ %q ], health: off }\n"+
		"routes: [ { match: \"^[0-9]+$\", from: carrier, to: pbx } ]\n", hop(one, transport), hop(two, transport), hop(three, transport), hop(from, "udp")))
	const rate = 50
	caller := l.sipp(call{scenario: "uac-load", at: from, transport: "udp", to: l.sip, user: "200", more: []string{
		"-m", fmt.Sprint(calls), "-r", fmt.Sprint(rate), "-l", "1000", "-d", "1000", "-timeout", "300s", "-default_behaviors", "none", "-deadcall_wait", "0", "-trace_logs", "-log_file", "calls",
	}})
	l.until("the second hop has had some calls", func() bool { return len(hops[1].logged("INVITE")) >= calls/9 })
	hops[1].kill()
	caller.ends(calls)
	c := crash{
		Figure: "hop_killed", Transport: transport, Calls: calls, Rate: rate, Killed: len(hops[1].logged("INVITE")),
		Failovers: l.event("failover"), Downs: l.metric("ringway_upstream_downs_total", two),
	}
	answered := caller.logged("ANSWERED")
	for _, id := range caller.logged("RANG") {
		switch {
		case slices.Contains(answered, id):
		case slices.Contains(hops[1].logged("INVITE"), id):
			c.Cut++
		}
	}
	c.Lost = calls - len(answered) - c.Cut
	had := map[string]bool{}
	for _, id := range append(hops[0].logged("INVITE"), hops[2].logged("INVITE")...) {
		if had[id] {
			c.Twice++
		}
		had[id] = true
	}
	return c
}

// One of three hops is killed while calls come at 50 a second: every call is answered, and by no
// two who live on. BenchmarkHopIsKilled does it with 1,000 calls.
func TestHopIsKilled(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			if c := crashed(t, transport, 200); c.Lost > 0 || c.Twice > 0 {
				t.Errorf("want 0 lost and 0 duplicated: %s", c)
			}
		})
	}
}

func BenchmarkHopIsKilled(b *testing.B) {
	for _, transport := range []string{"udp", "tcp"} {
		c := crashed(b, transport, 1000)
		fmt.Println(c)
		if c.Lost > 0 || c.Twice > 0 {
			b.Error("want 0 lost and 0 duplicated")
		}
	}
}
