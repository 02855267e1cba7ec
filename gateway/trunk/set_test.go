package trunk

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/gateway/trunk/locate"
)

// zone answers look-ups from a table that tests change between them: a name to its
// addresses, or to none.
type zone struct {
	addrs  atomic.Pointer[map[string][]string]
	asked  atomic.Int32
	closed atomic.Bool
}

var errRefused = errors.New("connection refused")

var errNoSuchHost = errors.New("no such host")

const fresh = 30 * time.Second

func (z *zone) set(m map[string][]string) { z.addrs.Store(&m) }

func (z *zone) Locate(_ context.Context, want locate.Target) (r locate.Result) {
	z.asked.Add(1)
	r.Fresh = fresh
	list := (*z.addrs.Load())[want.Host]
	if list == nil {
		return locate.Result{Fresh: 2 * time.Second, Err: errNoSuchHost}
	}
	for _, s := range list {
		port := want.Port
		if port == 0 {
			port = 5060
		}
		r.Servers = append(r.Servers, locate.Server{Addr: netip.AddrPortFrom(netip.MustParseAddr(s), port), Transport: want.Transport, Name: want.Host})
	}
	return r
}

func (z *zone) Close() { z.closed.Store(true) }

func testSet(t *testing.T, z *zone) *Set {
	prefix := netip.MustParsePrefix
	return NewSet(Config{Locator: z, Groups: []Group{
		{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.5"), hop(t, "sip:PBX.example.com:5070")}, From: []netip.Prefix{prefix("10.1.0.0/16")}},
		{Name: "carrier", Hops: []Hop{hop(t, "sips:[2001:db8::9]")}, From: []netip.Prefix{prefix("10.1.2.0/24"), prefix("2001:db8:1::/48")}},
	}})
}

func TestUpstreamOf(t *testing.T) {
	z := &zone{}
	z.set(map[string][]string{"pbx.example.com": {"::ffff:192.0.2.7", "192.0.2.8", "0.0.0.0"}})
	s := testSet(t, z)
	s.Refresh(t.Context())
	for addr, want := range map[string]string{
		"10.0.0.5": "pbx", "::ffff:10.0.0.5": "pbx", "192.0.2.7": "pbx", "192.0.2.8": "pbx", "10.1.9.1": "pbx",
		"10.1.2.1":    "carrier", // the narrower network
		"2001:db8::9": "carrier", "2001:db8:1::1": "carrier", "2001:db8:1::1%eth0": "carrier",
		"10.0.0.6": "", "0.0.0.0": "", "2001:db8::8": "", "10.2.0.1": "",
	} {
		if got := s.UpstreamOf(netip.AddrPortFrom(netip.MustParseAddr(addr), 40000)); got != want {
			t.Errorf("UpstreamOf(%s) = %q, want %q", addr, got, want)
		}
	}
	if got := s.UpstreamOf(netip.AddrPort{}); got != "" {
		t.Errorf("UpstreamOf of no address = %q", got)
	}
}

func TestByHost(t *testing.T) {
	z := &zone{}
	z.set(map[string][]string{"pbx.example.com": {"192.0.2.7"}})
	s := testSet(t, z)
	s.Refresh(t.Context())
	for host, want := range map[string]string{
		"10.0.0.5": "pbx", "pbx.example.com": "pbx", "Pbx.Example.Com.": "pbx", "192.0.2.7": "pbx",
		"[2001:db8::9]": "carrier", "2001:DB8:0::9": "carrier",
		"10.1.2.1": "", "example.com": "", "": "", "[]": "", // from: says who may call, not where to call
	} {
		if got, ok := s.ByHost(host); got != want || ok != (want != "") {
			t.Errorf("ByHost(%q) = %q, %v, want %q", host, got, ok, want)
		}
	}
}

func addrs(ts []Target) (out []string) {
	for _, t := range ts {
		out = append(out, t.Addr.String())
	}
	return out
}

// A name is looked up when its answer expires; when that fails, the last known
// addresses stay (issue: a DNS outage serves the last known answer).
func TestRunKeepsLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{}
		z.set(nil)
		s := testSet(t, z)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		step := func(wait time.Duration, want ...string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got := addrs(s.Targets("pbx")); !slices.Equal(got, append([]string{"10.0.0.5:5060"}, want...)) {
				t.Errorf("Targets = %v, want 10.0.0.5:5060 and %v", got, want)
			}
		}
		step(0)
		if s.Unresolved()["pbx.example.com"] == nil {
			t.Error("a failed look-up is not told")
		}
		z.set(map[string][]string{"pbx.example.com": {"192.0.2.7"}})
		step(2*time.Second, "192.0.2.7:5070")
		z.set(map[string][]string{"pbx.example.com": {"192.0.2.7", "192.0.2.8"}})
		step(2*time.Second, "192.0.2.7:5070") // fresh: not asked
		step(fresh, "192.0.2.7:5070", "192.0.2.8:5070")
		if len(s.Unresolved()) != 0 {
			t.Error("an old failure is told")
		}
		z.set(nil)
		step(fresh, "192.0.2.7:5070", "192.0.2.8:5070")
		if s.Unresolved()["pbx.example.com"] == nil {
			t.Error("a failed look-up is not told")
		}
		z.set(map[string][]string{"pbx.example.com": {"0.0.0.0"}})
		step(fresh, "192.0.2.7:5070", "192.0.2.8:5070")
		asked := z.asked.Load()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || !z.closed.Load() {
			t.Errorf("Run = %v, locator closed: %v", err, z.closed.Load())
		}
		time.Sleep(time.Hour)
		if z.asked.Load() != asked {
			t.Error("looks up after Run has ended")
		}
	})
}

// What is known of an address outlives a look-up that gives it again, and a call that
// is there keeps its place while the address is away.
func TestPeersOutliveLookUps(t *testing.T) {
	z := &zone{}
	z.set(map[string][]string{"pbx.example.com": {"192.0.2.7", "192.0.2.8"}})
	s := testSet(t, z)
	s.Refresh(t.Context())
	find := func(addr string) *Peer { return s.Find("pbx", netip.MustParseAddrPort(addr), 0).Peer }
	seven, eight := find("192.0.2.7:5070"), find("192.0.2.8:5070")
	seven.Lost(errRefused, true)
	eight.Began()
	z.set(map[string][]string{"pbx.example.com": {"192.0.2.9", "192.0.2.7"}})
	s.Refresh(t.Context())
	if find("192.0.2.7:5070") != seven {
		t.Error("a look-up forgets who is down")
	}
	if got, _ := s.Select(nil, "pbx", ""); !slices.Equal(addrs(got), []string{"10.0.0.5:5060", "192.0.2.9:5070"}) {
		t.Errorf("Select = %v", addrs(got))
	}
	z.set(map[string][]string{"pbx.example.com": {"192.0.2.8"}})
	s.Refresh(t.Context())
	if find("192.0.2.8:5070") != eight || s.State()[1].Calls != 1 {
		t.Error("a call in progress is forgotten")
	}
	z.set(map[string][]string{"pbx.example.com": {"192.0.2.7"}})
	s.Refresh(t.Context())
	if find("192.0.2.7:5070") == seven {
		t.Error("an address that was away is still what it was")
	}
}

func TestNumericHopsAskNoLocator(t *testing.T) {
	s := NewSet(Config{Groups: []Group{{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.5")}}}})
	if got := addrs(s.Targets("pbx")); !slices.Equal(got, []string{"10.0.0.5:5060"}) {
		t.Errorf("Targets before Run = %v", got)
	}
	s.Refresh(t.Context())
	if s.Group("pbx") == nil || s.Group("other") != nil || s.Targets("other") != nil {
		t.Error("Group and Targets know the wrong names")
	}
}

func BenchmarkUpstreamOf(b *testing.B) {
	var groups []Group
	for range 20 {
		groups = append(groups, Group{Name: "x", From: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}})
	}
	s, a := NewSet(Config{Groups: groups}), netip.MustParseAddrPort("192.0.2.1:5060")
	b.ReportAllocs()
	for b.Loop() {
		s.UpstreamOf(a)
	}
}
