package locate

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func at(priority, weight uint16, name string, last byte) Server {
	return Server{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 5060), Priority: priority, Weight: weight, Name: name}
}

// TestOrderFollowsTheRunningSum_RFC2782: the number that chance yields, and who it selects.
func TestOrderFollowsTheRunningSum_RFC2782(t *testing.T) {
	servers := []Server{at(0, 60, "a", 1), at(0, 20, "b", 2), at(0, 20, "b", 3), at(0, 0, "z", 4), at(1, 1, "c", 5)}
	names := func(list []Server) (s string) {
		for _, v := range list {
			s += v.Name
		}
		return s
	}
	for _, c := range []struct {
		draws  []int
		limits []int // n of each intn call: the sum of weights left, and one
		want   string
	}{
		{[]int{0, 0, 0, 0}, []int{81, 81, 21, 2}, "zabbc"},
		{[]int{1, 1, 0, 0}, []int{81, 21, 1, 2}, "abbzc"},
		{[]int{60, 0, 0, 1}, []int{81, 21, 21, 2}, "azbbc"},
		{[]int{61, 60, 0, 1}, []int{81, 61, 1, 2}, "bbazc"},
		{[]int{80, 0, 60, 1}, []int{81, 61, 61, 2}, "bbzac"},
	} {
		var limits []int
		draws := c.draws
		got := Order(nil, servers, func(n int) int {
			limits = append(limits, n)
			d := draws[0]
			draws = draws[1:]
			return d
		})
		if names(got) != c.want || !slices.Equal(limits, c.limits) {
			t.Errorf("draws %v: %s with limits %v, want %s with %v", c.draws, names(got), limits, c.want, c.limits)
		}
	}
	if names(servers) != "abbzc" {
		t.Errorf("the servers themselves were reordered: %s", names(servers))
	}
}

func TestOrderSharesByWeight_RFC2782(t *testing.T) {
	servers := []Server{at(0, 10, "a", 1), at(0, 30, "b", 2), at(0, 60, "c", 3), at(0, 0, "z", 4), at(7, 65535, "d", 5)}
	rng := rand.New(rand.NewPCG(1, 2))
	firsts := map[string]int{}
	dst := make([]Server, 0, 8)
	for range 10000 {
		dst = Order(dst[:0], servers, rng.IntN)
		firsts[dst[0].Name]++
		if dst[4].Name != "d" {
			t.Fatal("a later priority came first")
		}
	}
	for name, want := range map[string]int{"a": 1000, "b": 3000, "c": 6000, "z": 100} {
		if got := firsts[name]; got < want*8/10-30 || got > want*12/10+30 {
			t.Errorf("%s was first %d times of 10000, want about %d", name, got, want)
		}
	}
}

func TestOrderKeepsEveryServer(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var servers []Server
		priority := uint16(0)
		for i := range rng.IntN(12) {
			priority += uint16(rng.IntN(2))
			servers = append(servers, at(priority, uint16(rng.IntN(3)*rng.IntN(40000)), string(rune('a'+rng.IntN(4))), byte(i)))
		}
		got := Order([]Server{at(0, 0, "kept", 99)}, servers, rng.IntN)
		if got[0].Name != "kept" || len(got) != len(servers)+1 {
			t.Fatalf("%v of %v", got, servers)
		}
		got = got[1:]
		if !slices.IsSortedFunc(got, func(a, b Server) int { return int(a.Priority) - int(b.Priority) }) {
			t.Fatalf("priorities: %v", got)
		}
		for _, s := range servers {
			if !slices.Contains(got, s) {
				t.Fatalf("%v is lost: %v", s, got)
			}
		}
	}
}
