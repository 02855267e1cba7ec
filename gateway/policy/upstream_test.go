package policy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// byPassword is one upstream that is known by the credentials of "trunk", from 192.0.2.0/24.
type byPassword struct{}

func (byPassword) ByUser(user string) string {
	if user == "trunk" {
		return "carrier"
	}
	return ""
}
func (byPassword) Challenged(up string) bool { return up == "carrier" }
func (byPassword) MayCall(addr netip.AddrPort) bool {
	return netip.MustParsePrefix("192.0.2.0/24").Contains(addr.Addr())
}

func upstreamRoom(t *testing.T) *room {
	r := newRoom(t)
	r.id.Upstreams = byPassword{}
	r.source.Challenged = byPassword{}.Challenged
	var users []digest.User
	for _, name := range []string{"alice", "bob", "trunk"} {
		users = append(users, digest.User{Name: name, Realm: "example.org", MD5: digest.HA1(digest.MD5, name, "example.org", "pw")})
	}
	var err error
	if r.id.Digest.Users, err = digest.NewTable(users); err != nil {
		t.Fatal(err)
	}
	return r
}

const foreignCaller = "<sip:+4930123@carrier.example>"

// An upstream with credentials is challenged instead of believed by its address, whatever
// its From is; once it has proved itself it is that upstream.
func TestUpstreamByPassword(t *testing.T) {
	for _, caller := range []string{foreignCaller, "<sip:100@example.org>", `"Anonymous" <sip:anonymous@anonymous.invalid>`} {
		for _, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
			r := upstreamRoom(t)
			f, _ := r.open(tr, "192.0.2.77:5060")
			r.source.Mark(f)
			e := r.want(407, r.request("INVITE", "", caller, bob), f)
			if f.Proven() {
				t.Fatalf("%v %s: known before it has proved anything", tr, caller)
			}
			r.want(407, r.request("INVITE", "", caller, bob, r.answer(e, "trunk", "no", "INVITE", "sip:bob@example.org")), f)
			e = r.want(407, r.request("INVITE", "", caller, bob), f)
			r.want(0, r.request("INVITE", "", caller, bob, r.answer(e, "trunk", "pw", "INVITE", "sip:bob@example.org")), f)
			if f.Upstream() != "carrier" || len(f.AORs()) != 0 {
				t.Errorf("%v %s: upstream %q, AORs %q", tr, caller, f.Upstream(), f.AORs())
			}
			r.source.Mark(f) // the next message: it stays what it has proved
			if f.Upstream() != "carrier" {
				t.Errorf("%v: forgotten", tr)
			}
			again := 0 // a connection is known now; a datagram may be anybody's
			if tr == sip.UDP {
				again = 407
			}
			r.want(again, r.request("INVITE", "", caller, bob), f)
		}
	}
}

// Who is none: a user with somebody else's From, an unknown source, the upstream's own
// credentials where no upstream can be.
func TestUpstreamByPasswordRefused(t *testing.T) {
	r := upstreamRoom(t)
	f, _ := r.open(sip.TCP, "192.0.2.77:5060")
	e := r.want(407, r.request("INVITE", "", foreignCaller, bob), f)
	r.want(403, r.request("INVITE", "", foreignCaller, bob, r.answer(e, "alice", "pw", "INVITE", "sip:bob@example.org")), f)
	udp, _ := r.open(sip.UDP, "198.51.100.7:5060")
	r.want(403, r.request("INVITE", "", foreignCaller, bob), udp)

	web := r.ws()
	e = r.want(407, r.request("INVITE", "", alice, bob), web)
	r.want(403, r.request("INVITE", "", alice, bob, r.answer(e, "trunk", "pw", "INVITE", "sip:bob@example.org")), web)
	e = r.want(407, r.request("BYE", "", "<sip:trunk@example.org>", bob), web)
	r.want(403, r.request("BYE", "", "<sip:trunk@example.org>", bob, r.answer(e, "trunk", "pw", "BYE", "sip:bob@example.org")), web)
	e = r.want(401, r.request("REGISTER", "", "<sip:trunk@example.org>", "<sip:trunk@example.org>"), f)
	r.want(403, r.request("REGISTER", "", "<sip:trunk@example.org>", "<sip:trunk@example.org>",
		r.answer(e, "trunk", "pw", "REGISTER", "sip:example.org")), f)
	for _, one := range []interface{ Upstream() string }{f, udp, web} {
		if one.Upstream() != "" {
			t.Errorf("somebody is upstream %q", one.Upstream())
		}
	}
}

// A request within a dialog that has to prove who sends it can be the upstream's, too.
func TestUpstreamProvesInDialog(t *testing.T) {
	r := upstreamRoom(t)
	f, _ := r.open(sip.UDP, "192.0.2.77:5060")
	bye := func(lines ...string) *sip.Message { return r.request("BYE", "", foreignCaller, bob, lines...) }
	e := sip.AsStatus(r.id.Prove(bye(), f))
	if err := r.id.Prove(bye(r.answer(e, "trunk", "pw", "BYE", "sip:bob@example.org")), f); err != nil || f.Upstream() != "carrier" {
		t.Errorf("%v, upstream %q", err, f.Upstream())
	}
	web := r.ws()
	e = sip.AsStatus(r.id.Prove(bye(), web))
	if err := r.id.Prove(bye(r.answer(e, "trunk", "pw", "BYE", "sip:bob@example.org")), web); err == nil || web.Upstream() != "" {
		t.Errorf("a WebSocket is upstream %q", web.Upstream())
	}
}

// A TLS client certificate says more than an address.
func TestUpstreamByCertificate(t *testing.T) {
	r := newRoom(t)
	r.source.ByCertificate = func(name string) string {
		if strings.EqualFold(name, "pbx2.example.net") {
			return "pbx2"
		}
		return ""
	}
	for _, c := range []struct {
		remote string
		names  []string
		want   string
	}{
		{"198.51.100.1:4000", []string{"x.example.net", "PBX2.example.net"}, "pbx2"},
		{"198.51.100.1:4000", []string{"x.example.net"}, ""},
		{"198.51.100.1:4000", nil, ""},
		{"192.0.2.50:4000", []string{"pbx2.example.net"}, "pbx2"}, // by its address another
		{"192.0.2.50:4000", []string{"x.example.net"}, "pbx"},
	} {
		f, conn := r.open(sip.TLS, c.remote)
		conn.info.Names = slices.Clone(c.names)
		r.source.Mark(f)
		if f.Upstream() != c.want {
			t.Errorf("%s %q is %q, want %q", c.remote, c.names, f.Upstream(), c.want)
		}
	}
	f, conn := r.open(sip.WSS, "198.51.100.1:4000")
	conn.info.Names = []string{"pbx2.example.net"}
	if r.source.Mark(f); f.Upstream() != "" {
		t.Error("a WebSocket is an upstream")
	}
}
