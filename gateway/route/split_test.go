package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/ringway/ringway/sip"
)

// sender is one of many that rules may name: transports, upstreams, and networks within networks.
func sender(r *rand.Rand) Peer {
	switch r.IntN(4) {
	case 0:
		return Peer{Transport: pick(r, []sip.Transport{sip.WS, sip.WSS, sip.UDP, sip.TCP, sip.TLS})}
	case 1:
		return Peer{Upstream: pick(r, someUpstreams)}
	case 2:
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(3)), byte(r.IntN(256)), byte(r.IntN(256))})
		return Peer{Net: netip.PrefixFrom(a, r.IntN(33)).Masked()}
	}
	a := netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:%x::%x", r.IntN(3), r.IntN(3)<<12, r.IntN(3)))
	return Peer{Net: netip.PrefixFrom(a, r.IntN(129)).Masked()}
}

var manyMethods = []string{"INVITE", "MESSAGE", "OPTIONS", "SUBSCRIBE", "REFER", "PING"}

// likeOthers is one of many rules with the same few conditions on the user, and others on who sends what.
func likeOthers(r *rand.Rand) Rule {
	rule := Rule{To: "pbx", Match: Match{User: pick(r, []string{"", "", "^0", `\b0`}), Prefix: pick(r, []string{"", "0"}), Domain: pick(r, []string{"", "", "", "example.com"})}}
	for range r.IntN(4) {
		rule.Match.Source = append(rule.Match.Source, sender(r))
	}
	for range r.IntN(3) {
		rule.Match.Method = append(rule.Match.Method, pick(r, manyMethods))
	}
	if r.IntN(2) == 0 {
		rule.Match.Header = []HeaderMatch{{"X-Class", pick(r, []string{"", "gold", "^none$", "^no$"})}}
	}
	for range r.IntN(4) / 2 {
		rule.From = append(rule.From, pick(r, []string{"pbx", "carrier", Users}))
	}
	return rule
}

// TestSplitKeepsTheOrder: long lists of rules for the same users decide as one that asks rule by rule does.
func TestSplitKeepsTheOrder(t *testing.T) {
	hits, splits := 0, 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 5))
		rules := make([]Rule, 30+r.IntN(170))
		for i := range rules {
			rules[i] = likeOthers(r)
			if i < len(rules)/2 && len(rules[i].Match.Header) > 0 {
				rules[i].Match.Header[0].Pattern = "^none$" // so that not the first rules take all
			} else if i < len(rules)/2 {
				rules[i].Match.Header = []HeaderMatch{{"X-Class", "^none$"}}
			}
		}
		table, _ := Compile(rules)
		splits += len(table.users.splits)
		for range 60 {
			f := randomFacts(r)
			f.User, f.Method = pick(r, []string{"0", "030", "x", "a 0"}), pick(r, append(manyMethods, "PONG"))
			if r.IntN(2) == 0 {
				p := sender(r)
				if f.Source.Addr = p.Net.Addr(); p.Net.IsValid() && f.Source.Addr.Is4() && r.IntN(2) == 0 {
					f.Source.Addr = netip.AddrFrom16(f.Source.Addr.As16()) // as a socket of both families has it
				}
			}
			got := -1
			if d := table.Decide(f); d != nil {
				got = d.Index
			}
			plainly := *f
			plainly.Source.Addr = f.Source.Addr.Unmap()
			if want := naiveDecide(rules, &plainly); got != want {
				t.Fatalf("seed %d: %+v\ngoes by rule %d, want %d: %s", seed, f, got, want, describe(rules, want))
			} else if want > splitOver {
				hits++
			}
		}
	}
	if hits < 300 || splits < 40 {
		t.Errorf("only %d requests got far, %d lists were split; the rules are too dull", hits, splits)
	}
}

// A source is found among networks of every length as netip finds it.
func TestNetworkOf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 6))
	for range 20000 {
		p, q := sender(r).Net, sender(r).Net
		if !p.IsValid() || !q.IsValid() || p.Addr().Is4() != q.Addr().Is4() {
			continue
		}
		if got := networkOf(q.Addr(), p.Bits()) == networkOf(p.Addr(), p.Bits()); got != p.Contains(q.Addr()) {
			t.Fatalf("%s in %s: %v", q.Addr(), p, got)
		}
	}
	if networkOf(netip.MustParseAddr("0.0.0.0"), 0) == networkOf(netip.MustParseAddr("::"), 0) {
		t.Error("an IPv6 network has IPv4 addresses")
	}
}

// A request from within more networks than are looked at decides all the same.
func TestManyNetworksAround(t *testing.T) {
	var rules []Rule
	for bits := 32; bits >= 0; bits-- {
		rules = append(rules, Rule{To: "pbx", Match: Match{Method: []string{"MESSAGE"}, Source: []Peer{{Net: netip.PrefixFrom(netip.MustParseAddr("10.1.2.3"), bits).Masked()}}}})
	}
	rules = append(rules, Rule{To: "pbx"})
	table, _ := Compile(rules)
	f := &Facts{Method: "INVITE", User: "1", Source: Source{Addr: netip.MustParseAddr("10.1.2.3")}}
	if d := table.Decide(f); d == nil || d.Index != 33 {
		t.Errorf("goes by %v", d)
	}
	f.Method = "MESSAGE"
	if d := table.Decide(f); d == nil || d.Index != 0 || slices.Contains(d.Match.Method, "INVITE") {
		t.Errorf("goes by %v", d)
	}
}

// More lists than most requests have: each beginning of the number has rules of its own, in a domain and in any.
func TestDecideAmongManyLists(t *testing.T) {
	const number = "+493012345678901"
	var rules []Rule
	for n := 1; n <= len(number); n++ {
		for _, domain := range []string{"", "example.com"} {
			for i := range 2 * splitOver {
				m := Match{Prefix: number[:n], Domain: domain, Method: []string{"MESSAGE"}}
				if i%2 == 0 {
					m.Method, m.Header = []string{"INVITE"}, []HeaderMatch{{"X-Class", "gold"}}
				}
				rules = append(rules, Rule{To: "pbx", Match: m})
			}
		}
	}
	for _, last := range []Match{{Prefix: "+49"}, {Prefix: number}, {Prefix: number[:9], Domain: "example.com"}} {
		table, _ := Compile(append(rules[:len(rules):len(rules)], Rule{To: "pbx", Match: last}))
		f := &Facts{Method: "INVITE", Domain: "example.com", User: number, Source: Source{Transport: sip.WSS}}
		if r := table.Decide(f); r == nil || r.Index != len(rules) {
			t.Errorf("%+v: %+v", last, r)
		}
		if n := testing.AllocsPerRun(10, func() { table.Decide(f) }); n != 0 {
			t.Errorf("%+v: %v allocations", last, n)
		}
		f.Domain = "example.net"
		if r := table.Decide(f); (r == nil) != (last.Domain != "") {
			t.Errorf("elsewhere, %+v: %+v", last, r)
		}
	}
}
