package dnstest

import (
	"testing"

	"github.com/miekg/dns"
)

func TestNarrowestFailureCounts(t *testing.T) {
	d := New(t, `
		$TTL 30
		a.e.com A 10.0.0.1
		a.e.com A 10.0.0.2
		e.com   SOA ns.e.com. root.e.com. 1 1 1 1 1`)
	ask := func(name string, qtype uint16) *dns.Msg {
		t.Helper()
		a, err := d.Exchange(t.Context(), "", new(dns.Msg).SetQuestion(name, qtype))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask("A.e.com.", dns.TypeA); len(a.Answer) != 2 || a.Answer[1].Header().Ttl != 30 {
		t.Errorf("%v", a)
	}
	if a := ask("e.com.", dns.TypeA); a.Rcode != dns.RcodeSuccess || len(a.Answer) != 0 || len(a.Ns) != 1 {
		t.Errorf("no data: %v", a)
	}
	if a := ask("b.e.com.", dns.TypeA); a.Rcode != dns.RcodeNameError || len(a.Ns) != 1 {
		t.Errorf("no name: %v", a)
	}
	d.Fail(ServFail)
	d.Fail(Refused, "* A")
	d.Fail(NXDomain, "a.e.com")
	d.Fail(OK, "a.e.com A")
	for _, c := range []struct {
		name  string
		qtype uint16
		want  int
	}{
		{"x.", dns.TypeSRV, dns.RcodeServerFailure}, {"x.", dns.TypeA, dns.RcodeRefused},
		{"a.e.com.", dns.TypeSRV, dns.RcodeNameError}, {"a.e.com.", dns.TypeA, dns.RcodeSuccess},
	} {
		if a := ask(c.name, c.qtype); a.Rcode != c.want {
			t.Errorf("%s %d: %s", c.name, c.qtype, dns.RcodeToString[a.Rcode])
		}
	}
	if all, typed := d.Asked("*"), d.Asked("a.e.com A"); all != 7 || typed != 2 {
		t.Errorf("asked %d and %d times", all, typed)
	}
}

func TestAwait(t *testing.T) {
	d := Start(t, "a.e.com A 10.0.0.1")
	go func() {
		for range 3 {
			_, _ = dns.Exchange(new(dns.Msg).SetQuestion("a.e.com.", dns.TypeA), d.Addr())
		}
	}()
	d.Await("a.e.com A", 3)
}
