package trunk

import (
	"context"
	"net/netip"
	"testing"

	"github.com/ringway/ringway/gateway/trunk/locate"
)

// attack: who answers for the name of one upstream says the address of another, of a stranger on this machine, or of the
// gateway itself. The name's upstream stands first in the file.
func TestLookedUpAddressTakesNobodysIdentity(t *testing.T) {
	z, told := &zone{}, []Withheld(nil)
	z.set(map[string][]string{"carrier.example": {"10.0.0.5", "10.1.0.7", "127.0.0.1", "169.254.1.1", "fe80::1", "::1", "192.0.2.1", "192.0.2.9"}})
	s := NewSet(Config{Locator: z, Groups: []Group{
		{Name: "carrier", Hops: []Hop{hop(t, "sip:carrier.example:5060")}},
		{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.5")}, From: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		{Name: "late", Hops: []Hop{hop(t, "sip:127.0.0.9")}},
	}, Own: func(a netip.AddrPort) bool { return a == netip.MustParseAddrPort("192.0.2.1:5060") }, Withheld: func(w Withheld) { told = append(told, w) }})
	for range 3 {
		s.Refresh(t.Context())
		s.publish()
	}
	for addr, want := range map[string]string{
		"10.0.0.5": "pbx", "10.1.0.7": "pbx", "127.0.0.1": "", "169.254.1.1": "", "fe80::1": "", "::1": "", "192.0.2.1": "", "192.0.2.9": "carrier",
		"127.0.0.9": "late", // as the operator wrote it
	} {
		if got := s.UpstreamOf(netip.AddrPortFrom(netip.MustParseAddr(addr), 5060)); got != want {
			t.Errorf("UpstreamOf(%s) = %q, want %q", addr, got, want)
		}
	}
	if n := len(s.Targets("carrier")); n != 8 {
		t.Errorf("calls go to %d addresses, want all 8", n)
	}
	if len(told) != 7 || s.Conflicts() != 7 {
		t.Errorf("told of %v, %d counted; want 7, each once", told, s.Conflicts())
	}
}

// hosts(5) is written by who writes the configuration: a PBX on this machine may be named there.
func TestHostsFileIsTheOperatorsWord(t *testing.T) {
	s := NewSet(Config{Locator: local{}, Groups: []Group{{Name: "pbx", Hops: []Hop{hop(t, "sip:pbx.example:5060")}}}})
	s.Refresh(t.Context())
	if got := s.UpstreamOf(netip.MustParseAddrPort("127.0.0.1:5060")); got != "pbx" {
		t.Errorf("the hosts file's 127.0.0.1 is %q, want pbx", got)
	}
}

// local answers as a hosts file does.
type local struct{}

func (local) Locate(context.Context, locate.Target) locate.Result {
	return locate.Result{Servers: []locate.Server{{Addr: netip.MustParseAddrPort("127.0.0.1:5060"), Name: "pbx.example", Local: true}}, Fresh: fresh}
}
