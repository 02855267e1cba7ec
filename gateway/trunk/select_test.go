package trunk

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringway/ringway/gateway/trunk/locate"
	"github.com/ringway/ringway/sip"
)

// server is "address[:port] priority weight name".
func server(t *testing.T, text string) (s locate.Server) {
	t.Helper()
	var addr string
	if _, err := fmt.Sscan(text, &addr, &s.Priority, &s.Weight, &s.Name); err != nil {
		t.Fatal(text, err)
	}
	if !strings.Contains(addr, ":") {
		addr += ":5060"
	}
	s.Addr = netip.MustParseAddrPort(addr)
	return s
}

// The tiers of a group: priority, spares last, and what DNS says within a hop (RFC 2782).
func TestLineUp(t *testing.T) {
	weigh := func(h Hop, priority, weight int) Hop { h.Priority, h.Weight = priority, weight; return h }
	known := map[string][]string{
		"srv":   {"10.1.0.1 0 10 a", "10.1.0.2 0 30 b", "10.1.0.3 0 30 b", "10.1.0.4 1 0 c"},
		"twice": {"10.0.0.1 0 0 twice", "10.2.0.2 0 0 twice"},
	}
	for _, c := range []struct {
		name string
		sel  Selection
		hops []Hop
		want []string // tier, record, address, weight, each
	}{
		{"order: hop by hop", Order, []Hop{hop(t, "sip:10.0.0.2"), hop(t, "sip:10.0.0.1")},
			[]string{"0 1 10.0.0.2:5060 1 1", "1 2 10.0.0.1:5060 1 1"}},
		{"others: one tier", RoundRobin, []Hop{hop(t, "sip:10.0.0.2"), hop(t, "sip:10.0.0.1")},
			[]string{"0 1 10.0.0.2:5060 1 1", "0 2 10.0.0.1:5060 1 1"}},
		{"the lower priority first, whatever the file", Weighted, []Hop{weigh(hop(t, "sip:10.0.0.2"), 5, 1), weigh(hop(t, "sip:10.0.0.1"), -1, 7)},
			[]string{"0 2 10.0.0.1:5060 7 7", "1 1 10.0.0.2:5060 1 1"}},
		{"weight 0 after the others of its priority", LeastBusy,
			[]Hop{weigh(hop(t, "sip:10.0.0.1"), 0, 0), weigh(hop(t, "sip:10.0.0.2"), 0, 3), weigh(hop(t, "sip:10.0.0.3"), 1, 1)},
			[]string{"0 2 10.0.0.2:5060 3 3", "1 1 10.0.0.1:5060 1 1", "2 3 10.0.0.3:5060 1 1"}},
		{"weight 0 in the order of the file too", Order, []Hop{weigh(hop(t, "sip:10.0.0.1"), 0, 0), hop(t, "sip:10.0.0.2")},
			[]string{"0 2 10.0.0.2:5060 1 1", "1 1 10.0.0.1:5060 1 1"}},
		{"order: all of a hop's servers before the next hop's", Order, []Hop{hop(t, "sip:srv"), hop(t, "sip:10.0.0.9")},
			[]string{"0 1 10.1.0.1:5060 0.25 0.25", "0 2 10.1.0.2:5060 0.75 0.375", "0 2 10.1.0.3:5060 0.75 0.375", "1 3 10.1.0.4:5060 1 1", "2 4 10.0.0.9:5060 1 1"}},
		{"others: a hop's weight is shared by its best servers", HashCallID, []Hop{weigh(hop(t, "sip:srv"), 0, 4), hop(t, "sip:10.0.0.9")},
			[]string{"0 1 10.1.0.1:5060 1 1", "0 2 10.1.0.2:5060 3 1.5", "0 2 10.1.0.3:5060 3 1.5", "0 4 10.0.0.9:5060 1 1", "1 3 10.1.0.4:5060 4 4"}},
		{"no address twice", Order, []Hop{hop(t, "sip:10.0.0.1"), hop(t, "sip:twice"), hop(t, "sip:10.0.0.1;transport=tcp"), hop(t, "sip:nowhere")},
			[]string{"0 1 10.0.0.1:5060 1 1", "1 2 10.2.0.2:5060 1 0.5", "2 3 10.0.0.1:5060/tcp 1 1"}},
	} {
		g := &Group{Name: "pbx", Hops: c.hops, Select: c.sel}
		var got []string
		for _, target := range lineUp(g, func(i int) (all []locate.Server) {
			h := &g.Hops[i]
			if h.Addr.IsValid() {
				return []locate.Server{{Addr: netip.AddrPortFrom(h.Addr, h.Port), Transport: h.Transport, Name: h.Host}}
			}
			for _, text := range known[h.Host] {
				all = append(all, server(t, text))
			}
			return all
		}) {
			addr, _, _ := strings.Cut(target.String(), " ")
			got = append(got, fmt.Sprint(target.tier, " ", target.record, " ", addr, " ", target.weight, " ", target.each))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// tier makes targets "tier/record/weight/calls" with the addresses 10.0.0.1 and so on.
func tier(t *testing.T, texts ...string) (ts []Target) {
	t.Helper()
	for i, text := range texts {
		target := Target{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 5060), Peer: &Peer{}}
		var calls int64
		if _, err := fmt.Sscanf(text, "%d/%d/%g/%d", &target.tier, &target.record, &target.weight, &calls); err != nil {
			t.Fatal(text, err)
		}
		target.each = target.weight
		target.Peer.calls.Store(calls)
		ts = append(ts, target)
	}
	return ts
}

// arranged is what arrange makes of ts.
func arranged(sel Selection, ts []Target, turn uint64, callID string, random func() float64) (out []Target) {
	var cs []candidate
	for i := range ts {
		cs = append(cs, candidate{Target: &ts[i]})
	}
	arrange(sel, cs, turn, callID, random)
	for _, c := range cs {
		out = append(out, *c.Target)
	}
	return out
}

// last is the final octet of each target's address.
func last(ts []Target) string {
	var out []string
	for _, t := range ts {
		a := t.Addr.Addr().As4()
		out = append(out, fmt.Sprint(a[3]))
	}
	return strings.Join(out, " ")
}

func TestArrange(t *testing.T) {
	for _, c := range []struct {
		name    string
		sel     Selection
		turn    uint64
		random  []float64 // one draw a record
		targets []string
		want    string
	}{
		{"order stays", Order, 3, nil, []string{"0/1/1/9", "1/2/1/0", "2/3/1/0"}, "1 2 3"},
		{"order draws among SRV records", Order, 0, []float64{.9, .5}, []string{"0/1/1/0", "0/2/1/0", "1/3/1/0"}, "2 1 3"},
		{"the addresses of a record stay together", Order, 0, []float64{.9, .5}, []string{"0/1/1/0", "0/2/1/0", "0/2/1/0"}, "2 3 1"},
		{"weighted: the larger weight wins an equal draw", Weighted, 0, []float64{.5, .5, .5}, []string{"0/1/1/0", "0/2/8/0", "0/3/2/0"}, "2 3 1"},
		{"weighted: but not every draw", Weighted, 0, []float64{.1, .9, .5}, []string{"0/1/1/0", "0/2/8/0", "0/3/2/0"}, "1 2 3"},
		{"tiers never mix", Weighted, 0, []float64{.9, .5, .9, .1}, []string{"0/1/1/0", "0/2/1/0", "1/3/1/0", "1/4/99/0"}, "2 1 4 3"},
		{"round robin, first", RoundRobin, 0, nil, []string{"0/1/1/0", "0/2/1/0", "0/3/1/0"}, "1 2 3"},
		{"round robin, second", RoundRobin, 1, nil, []string{"0/1/1/0", "0/2/1/0", "0/3/1/0"}, "2 3 1"},
		{"round robin, later", RoundRobin, 3_000_002, nil, []string{"0/1/1/0", "0/2/1/0", "0/3/1/0"}, "3 1 2"},
		{"least busy", LeastBusy, 0, nil, []string{"0/1/1/5", "0/2/1/3", "0/3/1/4"}, "2 3 1"},
		{"least busy for its weight", LeastBusy, 0, nil, []string{"0/1/10/5", "0/2/1/3", "0/3/1/1"}, "1 3 2"},
		{"least busy: equals take turns", LeastBusy, 2, nil, []string{"0/1/1/3", "0/2/1/3", "0/3/1/3", "1/4/1/0"}, "3 1 2 4"},
	} {
		ts := tier(t, c.targets...)
		draws := c.random
		ts = arranged(c.sel, ts, c.turn, "call", func() float64 {
			if draws == nil {
				return 0.5
			}
			u := draws[0]
			draws = draws[1:]
			return u
		})
		if got := last(ts); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// RFC 2782: over many calls each gets its part, and what is left shares the calls of
// who is out.
func TestWeightedShares(t *testing.T) {
	first := map[byte]int{}
	second := map[byte]int{}
	rng := uint64(1)
	random := func() float64 { // any generator will do, the same each time
		rng ^= rng << 13
		rng ^= rng >> 7
		rng ^= rng << 17
		return float64(rng>>11) / (1 << 53)
	}
	three := tier(t, "0/1/1/0", "0/2/2/0", "0/3/3/0")
	const n = 60_000
	for range n {
		ts := arranged(Weighted, three, 0, "", random)
		first[ts[0].Addr.Addr().As4()[3]]++
		if ts[0].Addr.Addr().As4()[3] == 3 {
			second[ts[1].Addr.Addr().As4()[3]]++
		}
	}
	near := func(what string, got int, want float64) {
		t.Helper()
		if math.Abs(float64(got)-want) > 0.05*want {
			t.Errorf("%s: %d, want about %.0f", what, got, want)
		}
	}
	near("first 1", first[1], n/6.)
	near("first 2", first[2], n/3.)
	near("first 3", first[3], n/2.)
	near("2 after 3", second[2], n/2*2/3.)
}

// A call keeps its hop, in every process; a hop that goes moves its own calls only.
func TestHashCallID(t *testing.T) {
	first := map[string]int{}
	three := tier(t, "0/1/1/0", "0/2/1/0", "0/3/1/0")
	for i := range 9_000 {
		call := fmt.Sprintf("%d@example.com", i)
		all := arranged(HashCallID, three, uint64(i), call, nil)
		without := slices.DeleteFunc(slices.Clone(three), func(o Target) bool { return o.Addr == all[2].Addr })
		without = arranged(HashCallID, without, 0, call, nil)
		if last(without) != last(all[:2]) {
			t.Fatalf("%s: %s, without the last %s", call, last(all), last(without))
		}
		first[last(all[:1])]++
	}
	for who, n := range first {
		if n < 2_800 || n > 3_200 {
			t.Errorf("%s gets %d of 9000", who, n)
		}
	}
	all := arranged(HashCallID, three, 0, "a84b4c76e66710@pc33.example.com", nil)
	if got := last(all); got != "1 3 2" {
		t.Errorf("the hash has changed: %s", got) // two gateways of different versions would disagree
	}
}

// Select leaves out who is down, drained or busy, and says when to come back if that is everybody.
func TestSelectHealthy(t *testing.T) {
	s := NewSet(Config{Groups: []Group{
		{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1"), hop(t, "sip:10.0.0.2;transport=tcp"), hop(t, "sip:10.0.0.3")}},
		{Name: "later", Hops: []Hop{hop(t, "sip:nowhere.example.com")}},
	}})
	check := func(group, want string, retryAfter time.Duration) {
		t.Helper()
		got, wait := s.Select(nil, group, "call")
		if last(got) != want || wait > retryAfter || wait < retryAfter-time.Second {
			t.Errorf("Select(%s) = %q, %v, want %q, %v", group, last(got), wait, want, retryAfter)
		}
	}
	find := func(addr string) *Peer { return s.Find("pbx", netip.MustParseAddrPort(addr), 0).Peer }
	check("pbx", "1 2 3", 0)
	check("later", "", retryUnresolved)
	check("unknown", "", retryUnresolved)
	find("10.0.0.1:5060").Lost(errRefused, true)
	check("pbx", "2 3", 0)
	if n := s.Drain("pbx", netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), 0)); n != 1 {
		t.Errorf("drained %d", n)
	}
	check("pbx", "3", 0)
	for callee := range uint64(2) {
		find("10.0.0.3:5060").Heard(503, 30*time.Second, callee)
	}
	check("pbx", "", 10*time.Second) // 10.0.0.1 answers two probes by then
	s.Drain("pbx", netip.MustParseAddrPort("10.0.0.1:5060"))
	check("pbx", "", 30*time.Second)
	s.Enable("pbx", netip.MustParseAddrPort("10.0.0.2:5060"))
	check("pbx", "2", 0)
	if got := s.Find("pbx", netip.MustParseAddrPort("10.0.0.2:5060"), sip.UDP); got != nil {
		t.Errorf("a hop pinned to TCP is found for UDP: %v", got)
	}
}

func TestSelectAllocates(t *testing.T) {
	for _, sel := range []Selection{Order, Weighted, RoundRobin, LeastBusy, HashCallID} {
		s := manyHops(t, 3, sel)
		room := make([]Target, 0, 3)
		if n := testing.AllocsPerRun(100, func() { s.Select(room, "pbx", "call") }); n != 0 {
			t.Errorf("%v: %v allocations a call", sel, n)
		}
	}
}

func manyHops(t testing.TB, n int, sel Selection) *Set {
	g := Group{Name: "pbx", Select: sel}
	for i := range n {
		h, err := ParseHop(fmt.Sprintf("sip:10.0.%d.%d", i/250, i%250+1))
		if err != nil {
			t.Fatal(err)
		}
		g.Hops = append(g.Hops, h)
	}
	return NewSet(Config{Groups: []Group{g}})
}

func BenchmarkSelect(b *testing.B) {
	for _, n := range []int{3, 100} {
		for _, sel := range []Selection{Order, Weighted, RoundRobin, LeastBusy, HashCallID} {
			b.Run(fmt.Sprintf("%d/%v", n, sel), func(b *testing.B) {
				s, room := manyHops(b, n, sel), make([]Target, 0, n)
				b.ReportAllocs()
				for b.Loop() {
					s.Select(room, "pbx", "a84b4c76e66710@pc33.example.com")
				}
			})
		}
	}
}
