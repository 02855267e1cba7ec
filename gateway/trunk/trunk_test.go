package trunk

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ringway/ringway/sip"
)

var byValue = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})

func hop(t *testing.T, uri string) Hop {
	t.Helper()
	h, err := ParseHop(uri)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// RFC 3261 §19.1.2: the port of an address is 5060, with TLS 5061, unless the URI says it;
// that of a name is for DNS to say (RFC 3263 §4.2).
func TestParseHop(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		uri    string
		want   Hop
		string string
	}{
		{"sip:10.0.0.5", Hop{Host: "10.0.0.5", Port: 5060, Addr: addr("10.0.0.5")}, "10.0.0.5:5060"},
		{"sip:10.0.0.5:5080;transport=tcp", Hop{Host: "10.0.0.5", Port: 5080, Transport: sip.TCP, Addr: addr("10.0.0.5")}, "10.0.0.5:5080/tcp"},
		{"SIP:PBX.Example.COM.;Transport=UDP", Hop{Host: "pbx.example.com", Transport: sip.UDP}, "pbx.example.com/udp"},
		{"sip:pbx;transport=tls", Hop{Host: "pbx", Transport: sip.TLS}, "pbx/tls"},
		{"sips:[2001:db8::5]", Hop{Host: "2001:db8::5", Port: 5061, Transport: sip.TLS, Addr: addr("2001:db8::5")}, "[2001:db8::5]:5061/tls"},
		{"sips:pbx:5060;transport=tcp", Hop{Host: "pbx", Port: 5060, Transport: sip.TLS}, "pbx:5060/tls"},
		{"sip:[::ffff:10.0.0.5]", Hop{Host: "10.0.0.5", Port: 5060, Addr: addr("10.0.0.5")}, "10.0.0.5:5060"},
	} {
		c.want.URI, c.want.Weight = c.uri, 1
		got := hop(t, c.uri)
		if diff := cmp.Diff(c.want, got, byValue); diff != "" {
			t.Errorf("ParseHop(%q) (-want +got):\n%s", c.uri, diff)
		}
		if got.String() != c.string {
			t.Errorf("ParseHop(%q).String() = %s, want %s", c.uri, got.String(), c.string)
		}
	}
	for _, bad := range []string{"", "10.0.0.5", "sip:", "tel:123", "sip:a@b", "sip:b;transport=ws", "sip:b;transport", "sip:b;lr",
		"sips:b;transport=udp", "sip:0.0.0.0", "sip:[::]", "sip:224.0.0.1", "sip:b?Subject=x", "sip:10.0.0.500", "sip:[10.0.0.5]"} {
		if h, err := ParseHop(bad); err == nil {
			t.Errorf("ParseHop(%q) = %+v, want an error", bad, h)
		}
	}
}
