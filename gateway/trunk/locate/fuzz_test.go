package locate

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
)

// FuzzAnswer reads whatever a server may send: no panic, and nothing is kept that is not
// bounded and usable.
func FuzzAnswer(f *testing.F) {
	d := dnstest.New(f, exampleZone+"alias.example.com CNAME plain.example.com\nloop.example.com CNAME loop.example.com\n")
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeNAPTR}
	for _, name := range []string{"example.com.", "_sip._tcp.example.com.", "plain.example.com.", "alias.example.com.", "loop.example.com.", "none.example.com."} {
		for _, qtype := range types {
			q := new(dns.Msg).SetQuestion(name, qtype)
			if a, err := d.Exchange(f.Context(), "", q); err == nil {
				wire, _ := a.Pack()
				f.Add(wire)
			}
		}
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var m dns.Msg
		if m.Unpack(wire) != nil || len(m.Question) != 1 {
			return
		}
		q := new(dns.Msg)
		q.Id, q.Question = m.Id, m.Question
		if !answersTo(q, &m) {
			return
		}
		for _, qtype := range types {
			got, err := read(&m, m.Question[0].Name, qtype)
			if err == nil {
				check(t, got)
			}
		}
	})
}

func check(t *testing.T, got *answer) {
	t.Helper()
	if got.ttl < 0 || got.alias != "" && (got.found() || got.none) || got.none && got.found() ||
		!got.none && !got.found() && got.alias == "" {
		t.Fatalf("%+v", got)
	}
	if len(got.addrs) > maxAddrs || len(got.srvs) > maxSRVs || len(got.naptrs) > maxNAPTRs {
		t.Fatalf("%d addresses, %d SRV, %d NAPTR", len(got.addrs), len(got.srvs), len(got.naptrs))
	}
	names := []string{}
	addrs := map[string][]netip.Addr{}
	for _, s := range got.srvs {
		if s.target != "" {
			names = append(names, s.target)
			addrs[s.target] = []netip.Addr{netip.IPv6Loopback()}
		}
	}
	for _, n := range got.naptrs {
		names = append(names, n.replacement)
	}
	for _, n := range names {
		if again, ok := hostName(n); !ok || again != n {
			t.Fatalf("name %q", n)
		}
	}
	for _, a := range got.addrs {
		if !reachable(a) {
			t.Fatalf("address %s", a)
		}
	}
	for i, s := range rank([]offer{{1, got.srvs}, {2, got.srvs}}, addrs) {
		if s.Addr.Port() == 0 || i > maxServersFound {
			t.Fatalf("server %v", s)
		}
	}
	choose(got.naptrs, 0)
}
