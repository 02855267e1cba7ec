package flow

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
)

// adoptAt adopts the peer n of network b: 65,536 networks of as many peers.
func adoptAt(tab *Table, b, n int) *Flow {
	return tab.Adopt(tab.Datagram(udp(fmt.Sprintf("10.%d.%d.1:%d", b>>8, b&255, n))))
}

// attack: one account that authenticates from port after port keeps nobody out: of one address it is remembered so often and
// no more, its own oldest going first (IPv6: of one /64).
func TestManyPortsOfOneAddressHarmOnlyThemselves(t *testing.T) {
	tab := NewTable()
	phone := tab.Adopt(tab.Datagram(udp("198.51.100.1:5060")))
	other := tab.Adopt(tab.Datagram(udp("10.0.0.1:1")))
	tab.Bind(other, n1)
	first := adoptAt(tab, 0, 1000)
	for i := range 10_000 {
		if adoptAt(tab, 0, 1001+i) == nil {
			t.Fatalf("port %d is refused", i)
		}
	}
	for i := range 2_000 {
		tab.Adopt(tab.Datagram(udp(fmt.Sprintf("[2001:db8::%x]:5060", i+1))))
	}
	if open, _ := tab.Count(sip.UDP); open != 2+2*maxOfAddress || tab.Len() != int(open) {
		t.Errorf("%d UDP peers are listed, want %d", open, 2+2*maxOfAddress)
	}
	if !phone.Live() || !other.Live() || first.Live() || tab.ByID(first.ID) != nil {
		t.Error("another address's peer is forgotten, or the oldest of this one is not")
	}
}

// attack: when the table is full of peers without a binding the longest silent of them goes; those with a binding
// (RFC 3261 §10: they have to be reached) do not count, and registration stays open.
func TestFullTableForgetsTheLongestSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := NewTable()
		const full = 2000
		tab.udp.max = full
		bound, talks, silent := adoptAt(tab, 0, 1), adoptAt(tab, 1, 1), adoptAt(tab, 2, 1)
		tab.Bind(bound, n1)
		for i := range full - 2 {
			adoptAt(tab, 3+i%1000, 1+i/1000)
		}
		time.Sleep(time.Minute)
		tab.Datagram(talks)
		if open, _ := tab.Count(sip.UDP); open != full+1 || !silent.Live() {
			t.Fatalf("%d are listed", open)
		}
		late := adoptAt(tab, 2000, 1)
		if late == nil || silent.Live() || !bound.Live() || !talks.Live() {
			t.Errorf("late %v, silent %v, bound %v, talking %v", late != nil, silent.Live(), bound.Live(), talks.Live())
		}
		for i := range 3 * full { // and none of it costs the bound one
			adoptAt(tab, 3000+i%1000, 1+i/1000)
		}
		if open, _ := tab.Count(sip.UDP); open != full+1 || tab.ByName(n1) != bound {
			t.Errorf("%d are listed in the end", open)
		}
	})
}

// A phone whose NAT gives it another port with each registration leaves its former selves behind; they go after an hour
// of silence, also when nobody lacks the room.
func TestFormerPortsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := NewTable()
		talker := tab.Adopt(tab.Datagram(udp("192.0.2.1:5060")))
		var most uint64
		for i := range 5000 {
			f := adoptAt(tab, 0, 1+i)
			tab.Bind(f, n1)
			tab.Datagram(talker)
			if tab.ByName(n1) != f || !f.Live() {
				t.Fatal("the newest is not listed")
			}
			open, _ := tab.Count(sip.UDP)
			most = max(most, open)
			time.Sleep(time.Minute)
		}
		if most > 65 {
			t.Errorf("%d were listed at once, want the 60 of an hour", most)
		}
		if !talker.Live() {
			t.Error("who talks is forgotten")
		}
		tab.Unbind(tab.ByName(n1), n1)
		time.Sleep(unboundIdle + time.Minute)
		for range 10 {
			adoptAt(tab, 1, 1)
			tab.udp.Lock()
			tab.sweepLocked(time.Now().Unix())
			tab.udp.Unlock()
		}
		if open, _ := tab.Count(sip.UDP); open != 1 {
			t.Errorf("%d are left after an hour of silence", open)
		}
		if n := len(tab.udp.all) + tab.udp.unbound.Len() + len(tab.udp.of); n != 3 {
			t.Errorf("%d entries are left of 1", n)
		}
	})
}

// Bound, taken over, bound again and unbound, a peer is in the list of those that may go exactly when it speaks for nobody.
func TestPeersAreListedByBinding(t *testing.T) {
	tab := NewTable()
	a, b := adoptAt(tab, 0, 1), adoptAt(tab, 0, 2)
	want := func(unbound int) {
		t.Helper()
		if n := tab.udp.unbound.Len(); n != unbound {
			t.Errorf("%d may go, want %d", n, unbound)
		}
	}
	want(2)
	tab.Bind(a, n1)
	tab.Bind(a, n2)
	want(1)
	tab.Bind(b, n1)
	want(0)
	tab.Bind(b, n2) // nothing is left to a
	want(1)
	tab.Unbind(a, n2)
	want(1)
	tab.Unbind(b, n1)
	want(1)
	tab.Unbind(b, n2)
	want(2)
}

// A PBX that calls from beside its hops is reached by its flow only: it is remembered through a long silent call, and
// keeps nobody from being forgotten.
func TestUpstreamsAreRememberedLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tab := NewTable()
		pbx := tab.Adopt(tab.Datagram(udp("192.0.2.1:5060")))
		pbx.SetUpstream("pbx")
		silent := adoptAt(tab, 0, 1)
		time.Sleep(11 * time.Hour)
		adoptAt(tab, 1, 1)
		if !pbx.Live() || silent.Live() {
			t.Errorf("after 11 h: upstream %v, other %v", pbx.Live(), silent.Live())
		}
		time.Sleep(2 * time.Hour)
		adoptAt(tab, 1, 2)
		adoptAt(tab, 1, 3)
		if open, _ := tab.Count(sip.UDP); pbx.Live() || open != 2 {
			t.Errorf("after 13 h: upstream %v, %d listed", pbx.Live(), open)
		}
	})
}
