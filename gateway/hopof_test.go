package gateway

import (
	"net/netip"
	"testing"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
)

// attack: a user in a call with a PBX writes an address of the PBX's `from` network, or of another upstream, into the
// Request-URI (RFC 3261 §12.2.1.1 makes it the remote target): only hops are dialled.
func TestHopOfIsAHopOfThatUpstream(t *testing.T) {
	hop := func(uri string) trunk.Hop {
		h, err := trunk.ParseHop(uri)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	groups := []trunk.Group{
		{Name: "pbx", Hops: []trunk.Hop{hop("sip:192.0.2.10"), hop("sip:192.0.2.11:5070;transport=udp"), hop("sip:[2001:db8::10]")},
			From: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24")}},
		{Name: "other", Hops: []trunk.Hop{hop("sip:192.0.2.20"), hop("sip:192.0.2.11:5090")}},
	}
	id := &identity{trunks: trunk.NewSet(trunk.Config{Groups: groups})}
	at := func(addr string, tr sip.Transport) proxy.Hop {
		return proxy.Hop{Addr: netip.MustParseAddrPort(addr), Transport: tr}
	}
	beside := func(addr string, tr sip.Transport) proxy.Hop {
		return proxy.Hop{Addr: netip.MustParseAddrPort(addr), Transport: tr, Beside: true}
	}
	for _, c := range []struct {
		upstream, uri string
		want          proxy.Hop // zero: not its hop
	}{
		{"pbx", "sip:x@192.0.2.10", at("192.0.2.10:5060", 0)},
		{"pbx", "sip:x@192.0.2.10:6060;transport=tcp", beside("192.0.2.10:6060", sip.TCP)},
		{"pbx", "sip:x@192.0.2.11:5062;transport=ws", beside("192.0.2.11:5062", 0)},
		{"pbx", "sip:x@[2001:db8::10]", at("[2001:db8::10]:5060", 0)},
		{"pbx", "sip:x@[::ffff:192.0.2.10]", at("192.0.2.10:5060", 0)},
		{"pbx", "sip:x@192.0.2.10;transport=tcp", at("192.0.2.10:5060", sip.TCP)},
		{"pbx", "sip:x@192.0.2.10;transport=tls", beside("192.0.2.10:5061", sip.TLS)},
		{"pbx", "sip:x@192.0.2.10:5060;transport=tls", beside("192.0.2.10:5060", sip.TLS)},
		{"pbx", "sips:x@192.0.2.10", beside("192.0.2.10:5061", sip.TLS)},
		{"pbx", "sip:x@192.0.2.11:5070", at("192.0.2.11:5070", sip.UDP)},
		{"pbx", "sip:x@192.0.2.11:5070;transport=tcp", beside("192.0.2.11:5070", sip.TCP)},
		{"pbx", "sip:x@10.1.2.3:22;transport=tcp", proxy.Hop{}},
		{"pbx", "sip:x@10.1.2.3", proxy.Hop{}},
		{"pbx", "sip:x@192.0.2.12", proxy.Hop{}},
		{"pbx", "sip:x@192.0.2.20", proxy.Hop{}},
		{"pbx", "sip:x@pbx.example.net", proxy.Hop{}},
		{"other", "sip:x@192.0.2.10", proxy.Hop{}},
		{"other", "sip:x@192.0.2.20", at("192.0.2.20:5060", 0)},
		{"other", "sip:x@192.0.2.11", beside("192.0.2.11:5060", 0)}, // a host that two upstreams share is of both
		{"nobody", "sip:x@192.0.2.10", proxy.Hop{}},
		{"", "sip:x@198.51.100.1", proxy.Hop{}},
	} {
		u, err := sip.ParseURI(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := id.HopOf(c.upstream, &u)
		if got.Addr != c.want.Addr || got.Transport != c.want.Transport || got.Beside != c.want.Beside || got.Beside == (got.Peer != nil) && ok || ok != (c.want != proxy.Hop{}) {
			t.Errorf("%s: %s leads to %v (%v), want %v", c.upstream, c.uri, got, ok, c.want)
		}
	}
}
