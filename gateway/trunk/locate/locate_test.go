package locate

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
	"github.com/ringway/ringway/sip"
)

// over makes a resolver that asks d without sockets and reads no file of the machine.
func over(t *testing.T, d *dnstest.Server) *Resolver {
	t.Helper()
	return closed(t, Config{Servers: []string{"192.0.2.53"}, HostsFile: "testdata/none", Exchange: d.Exchange})
}

// closed makes a resolver that ends with the test.
func closed(t *testing.T, cfg Config) *Resolver {
	t.Helper()
	r := New(cfg)
	t.Cleanup(r.Close)
	return r
}

// show writes servers as "priority/weight address transport name".
func show(servers []Server) string {
	var out []string
	for _, s := range servers {
		out = append(out, fmt.Sprintf("%d/%d %s %s %s", s.Priority, s.Weight, s.Addr, strings.ToLower(s.Transport.String()), s.Name))
	}
	return strings.Join(out, "\n")
}

// expect locates t and compares what came; the lines of want are trimmed.
func expect(t *testing.T, r *Resolver, target Target, want string) Result {
	t.Helper()
	res := r.Locate(t.Context(), target)
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(want), "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	if got := show(res.Servers); got != strings.Join(lines, "\n") {
		t.Errorf("%+v:\n%s\nwant\n%s\n(err: %v)", target, got, strings.Join(lines, "\n"), res.Err)
	}
	return res
}

// The zone of RFC 3263 §4.1's example, with the addresses it leaves out.
const exampleZone = `
	example.com.            NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.example.com.
	example.com.            NAPTR 90 50 "s" "SIP+D2T"  "" _sip._tcp.example.com.
	example.com.            NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.example.com.
	_sips._tcp.example.com. SRV 0 1 5061 server1.example.com.
	_sip._tcp.example.com.  SRV 0 1 5060 server1.example.com.
	_sip._tcp.example.com.  SRV 1 2 5080 server2.example.com.
	_sip._udp.example.com.  SRV 0 1 5060 server2.example.com.
	server1.example.com.    A 192.0.2.1
	server2.example.com.    A 192.0.2.2
	server2.example.com.    AAAA 2001:db8::2
	example.com.            A 192.0.2.80
	plain.example.com.      A 192.0.2.9
	plain.example.com.      AAAA 2001:db8::9
`

func TestLocate_RFC3263_4(t *testing.T) {
	r := over(t, dnstest.New(t, exampleZone))
	for _, c := range []struct {
		name   string
		target Target
		want   string
	}{
		{"4.1 a numeric host needs no DNS", Target{Host: "192.0.2.7"}, "0/0 192.0.2.7:5060  192.0.2.7"},
		{"4.1 sips to a numeric host is TLS", Target{Host: "192.0.2.7", Secure: true}, "0/0 192.0.2.7:5061 tls 192.0.2.7"},
		{"4.1 numeric host and port", Target{Host: "[2001:db8::7]", Port: 5080, Transport: sip.TCP}, "0/0 [2001:db8::7]:5080 tcp 2001:db8::7"},
		{"4.1 a port means A and AAAA only", Target{Host: "example.com", Port: 5070}, "0/0 192.0.2.80:5070  example.com"},
		{"4.1 lowest NAPTR order that we speak", Target{Host: "example.com"}, "0/1 192.0.2.1:5061 tls server1.example.com"},
		{"4.1 sips takes SIPS+D2T", Target{Host: "example.com", Secure: true}, "0/1 192.0.2.1:5061 tls server1.example.com"},
		{"4.1 a pinned transport passes NAPTR over", Target{Host: "Example.COM.", Transport: sip.TCP}, `
			0/1 192.0.2.1:5060 tcp server1.example.com
			1/2 192.0.2.2:5080 tcp server2.example.com
			1/2 [2001:db8::2]:5080 tcp server2.example.com`},
		{"4.2 transport=tcp on sips is TLS", Target{Host: "example.com", Transport: sip.TCP, Secure: true}, "0/1 192.0.2.1:5061 tls server1.example.com"},
		{"4.2 no SRV: A and AAAA at the default port", Target{Host: "plain.example.com"}, `
			0/0 192.0.2.9:5060  plain.example.com
			0/0 [2001:db8::9]:5060  plain.example.com`},
		{"4.2 no SRV, TLS", Target{Host: "plain.example.com", Transport: sip.TLS}, `
			0/0 192.0.2.9:5061 tls plain.example.com
			0/0 [2001:db8::9]:5061 tls plain.example.com`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if res := expect(t, r, c.target, c.want); res.Err != nil || res.Stale || res.Fresh <= 0 {
				t.Errorf("err %v, stale %t, fresh %v", res.Err, res.Stale, res.Fresh)
			}
		})
	}
}

func TestBadTargetsAreNamed(t *testing.T) {
	d := dnstest.New(t, exampleZone)
	r := over(t, d)
	for _, c := range []struct {
		target Target
		want   string
	}{
		{Target{Host: ""}, `"" is neither`}, {Target{Host: "exa mple.com"}, "neither"}, {Target{Host: "10.0.0"}, "neither"},
		{Target{Host: "a..b"}, "neither"}, {Target{Host: strings.Repeat("a", 64) + ".com"}, "neither"},
		{Target{Host: strings.Repeat("a.", 127) + "com"}, "neither"}, {Target{Host: "[2001:db8::1"}, "neither"},
		{Target{Host: "0.0.0.0"}, "no address of a server"}, {Target{Host: "224.0.1.75"}, "no address of a server"},
		{Target{Host: "example.com", Transport: sip.WSS}, "udp, tcp or tls"}, {Target{Host: "example.com", Transport: 99}, "udp, tcp or tls"},
		{Target{Host: "example.com", Transport: sip.UDP, Secure: true}, "contradict"},
		{Target{Host: "phone.invalid", Port: 5060}, "no such name"},
	} {
		res := r.Locate(t.Context(), c.target)
		if len(res.Servers) > 0 || res.Err == nil || !strings.Contains(res.Err.Error(), c.want) {
			t.Errorf("%+v: %d servers, err %v; want %q", c.target, len(res.Servers), res.Err, c.want)
		}
	}
	if n := d.Asked("*"); n > 0 {
		t.Errorf("%d questions for nonsense", n)
	}
}

func TestNAPTRSelection_RFC3403_4_1(t *testing.T) {
	for _, c := range []struct{ name, naptr, want string }{
		{"preference among equal orders, all of them usable", `
			e.com NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.e.com
			e.com NAPTR 10 10 "s" "SIP+D2T" "" _sip._tcp.e.com`, "0/0 10.0.0.2:5060 tcp t.e.com\n1/0 10.0.0.1:5060 udp u.e.com"},
		{"order before preference", `
			e.com NAPTR 20 1 "s" "SIP+D2T" "" _sip._tcp.e.com
			e.com NAPTR 10 9 "s" "SIP+D2U" "" _sip._udp.e.com`, "0/0 10.0.0.1:5060 udp u.e.com"},
		{"unknown services do not settle the order", `
			e.com NAPTR 1 1 "s" "SIP+D2S" "" _sip._sctp.e.com
			e.com NAPTR 1 2 "u" "E2U+sip" "!^.*$!sip:info@e.com!" .
			e.com NAPTR 9 9 "S" "sip+d2t" "" _sip._tcp.e.com`, "0/0 10.0.0.2:5060 tcp t.e.com"},
		{"other flags, expressions and no replacement are no service", `
			e.com NAPTR 1 1 "a" "SIP+D2T" "" t.e.com
			e.com NAPTR 1 2 "s" "SIP+D2T" "!a!b!" .
			e.com NAPTR 1 3 "s" "SIP+D2T" "" .
			e.com NAPTR 9 9 "s" "SIP+D2U" "" _sip._udp.e.com`, "0/0 10.0.0.1:5060 udp u.e.com"},
		{"none of ours: the default SRV names (RFC 3263 4.1)", `
			e.com NAPTR 1 1 "s" "SIP+D2S" "" _sip._sctp.e.com`, "0/0 10.0.0.1:5060 udp u.e.com\n1/0 10.0.0.2:5060 tcp t.e.com"},
		{"a replacement without SRV: the default names", `
			e.com NAPTR 1 1 "s" "SIP+D2T" "" _nothing.e.com`, "0/0 10.0.0.1:5060 udp u.e.com\n1/0 10.0.0.2:5060 tcp t.e.com"},
		{"a replacement in another domain (RFC 3263 4.1)", `
			e.com NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp.host.net
			_sip._tcp.host.net SRV 0 0 5066 t.e.com`, "0/0 10.0.0.2:5066 tcp t.e.com"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := over(t, dnstest.New(t, c.naptr+`
				_sip._udp.e.com SRV 0 0 5060 u.e.com
				_sip._tcp.e.com SRV 0 0 5060 t.e.com
				u.e.com A 10.0.0.1
				t.e.com A 10.0.0.2`))
			expect(t, r, Target{Host: "e.com"}, c.want)
		})
	}
}

func TestSecureNeverFallsToClear_RFC3263_4_1(t *testing.T) {
	r := over(t, dnstest.New(t, `
		e.com NAPTR 1 1 "s" "SIP+D2T" "" _sip._tcp.e.com
		_sip._tcp.e.com SRV 0 0 5060 t.e.com
		_sip._udp.e.com SRV 0 0 5060 t.e.com
		t.e.com A 10.0.0.2
		e.com A 10.0.0.3`))
	expect(t, r, Target{Host: "e.com", Secure: true}, "0/0 10.0.0.3:5061 tls e.com")
}

func TestSRV_RFC2782(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		target     Target
		want       string
		err        error
	}{
		{"priorities in order, whatever the order of the answer", `
			_sip._tcp.e.com SRV 20 0 5060 b.e.com
			_sip._tcp.e.com SRV 10 5 5060 a.e.com
			_sip._tcp.e.com SRV 10 7 5061 c.e.com
			a.e.com A 10.0.0.1
			b.e.com A 10.0.0.2
			c.e.com A 10.0.0.3`, Target{Host: "e.com", Transport: sip.TCP}, `
			0/7 10.0.0.3:5061 tcp c.e.com
			0/5 10.0.0.1:5060 tcp a.e.com
			1/0 10.0.0.2:5060 tcp b.e.com`, nil},
		{"a target without address is passed over", `
			_sip._udp.e.com SRV 0 0 5060 gone.e.com
			_sip._udp.e.com SRV 1 0 5060 a.e.com
			a.e.com A 10.0.0.1
			e.com A 10.0.0.9`, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.1:5060 udp a.e.com", nil},
		{"SRV without any address is no reason to ask for A of the domain (RFC 3263 4.2)", `
			_sip._udp.e.com SRV 0 0 5060 gone.e.com
			e.com A 10.0.0.9`, Target{Host: "e.com", Transport: sip.UDP}, "", ErrNone},
		{"target . means not offered", `
			_sip._udp.e.com SRV 0 0 0 .
			e.com A 10.0.0.9`, Target{Host: "e.com", Transport: sip.UDP}, "", ErrNotOffered},
		{"target . for one transport leaves the other", `
			_sip._udp.e.com SRV 0 0 0 .
			_sip._tcp.e.com SRV 0 0 5060 a.e.com
			a.e.com A 10.0.0.1
			e.com A 10.0.0.9`, Target{Host: "e.com"}, "0/0 10.0.0.1:5060 tcp a.e.com", nil},
		{"UDP and TCP at one address are one server, by size (RFC 3261 18.1.1)", `
			_sip._udp.e.com SRV 0 0 5060 a.e.com
			_sip._tcp.e.com SRV 0 0 5060 a.e.com
			_sip._tcp.e.com SRV 1 0 5060 b.e.com
			_sips._tcp.e.com SRV 0 0 5060 a.e.com
			a.e.com A 10.0.0.1
			b.e.com A 10.0.0.2`, Target{Host: "e.com"}, `
			0/0 10.0.0.1:5060  a.e.com
			1/0 10.0.0.2:5060 tcp b.e.com
			2/0 10.0.0.1:5060 tls a.e.com`, nil},
		{"port 0 and targets that are no host are passed over", `
			_sip._udp.e.com SRV 0 0 0 a.e.com
			_sip._udp.e.com SRV 1 0 5060 a\032b.e.com
			_sip._udp.e.com SRV 2 0 5060 10.0.0.7.
			_sip._udp.e.com SRV 3 0 5060 a.e.com
			a.e.com A 10.0.0.1`, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.1:5060 udp a.e.com", nil},
		{"an alias as target is followed all the same", `
			_sip._udp.e.com SRV 0 0 5060 a.e.com
			a.e.com CNAME b.e.com
			b.e.com A 10.0.0.1`, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.1:5060 udp a.e.com", nil},
		{"addresses that no server has", `
			a.e.com A 0.0.0.0
			a.e.com A 224.0.0.1
			a.e.com A 255.255.255.255
			a.e.com AAAA fe80::1
			a.e.com AAAA ::
			a.e.com AAAA ::ffff:10.0.0.1`, Target{Host: "a.e.com", Port: 5060}, "0/0 10.0.0.1:5060  a.e.com", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := expect(t, over(t, dnstest.New(t, c.zone)), c.target, c.want)
			if !errors.Is(res.Err, c.err) || (c.err == nil) != (res.Err == nil) {
				t.Errorf("err %v, want %v", res.Err, c.err)
			}
		})
	}
}

func TestAliases_RFC1034_3_6_2(t *testing.T) {
	var chain strings.Builder
	for i := range 12 {
		fmt.Fprintf(&chain, "c%d.e.com CNAME c%d.e.com\n", i, i+1)
	}
	d := dnstest.New(t, chain.String()+`
		c12.e.com A 10.0.0.1
		loop1.e.com CNAME loop2.e.com
		loop2.e.com CNAME loop1.e.com
		self.e.com CNAME self.e.com
		dangling.e.com CNAME nowhere.e.com
		bad.e.com CNAME a\046b.e.com`)
	r := over(t, d)
	for host, want := range map[string]string{
		"c6.e.com": "0/0 10.0.0.1:5060  c6.e.com", "c0.e.com": "", "loop1.e.com": "", "self.e.com": "", "dangling.e.com": "", "bad.e.com": "",
	} {
		res := expect(t, r, Target{Host: host, Port: 5060}, want)
		if loops := host[0] == 'l' || host[0] == 's' || host == "c0.e.com"; loops != errors.Is(res.Err, errLoop) {
			t.Errorf("%s: err %v", host, res.Err)
		}
	}
	if n := d.Asked("*"); n > 60 {
		t.Errorf("%d questions", n)
	}
}

// TestAliasWithoutItsAddress: a server that has authority for the alias only leaves the rest to us.
func TestAliasWithoutItsAddress_RFC1034_5_3_3(t *testing.T) {
	d := dnstest.New(t, `
		pbx.e.com 30 CNAME a.host.net
		a.host.net 600 A 10.0.0.1
		a.host.net 600 AAAA 2001:db8::1
		ring1.e.com CNAME ring2.e.com
		ring2.e.com CNAME ring1.e.com
		odd.e.com CNAME a\046b.e.com`)
	d.Craft(func(q, a *dns.Msg) { // only the records of the very name
		var own []dns.RR
		for _, rr := range a.Answer {
			if rr.Header().Name == q.Question[0].Name {
				own = append(own, rr)
			}
		}
		a.Answer, a.Rcode = own, dns.RcodeSuccess
	})
	r := over(t, d)
	if res := expect(t, r, Target{Host: "pbx.e.com", Port: 5060}, "0/0 10.0.0.1:5060  pbx.e.com\n0/0 [2001:db8::1]:5060  pbx.e.com"); res.Fresh > 30*time.Second {
		t.Errorf("fresh for %v: the alias holds 30s", res.Fresh)
	}
	if res := expect(t, r, Target{Host: "ring1.e.com", Port: 5060}, ""); !errors.Is(res.Err, errLoop) {
		t.Errorf("err %v", res.Err)
	}
	if res := expect(t, r, Target{Host: "odd.e.com", Port: 5060}, ""); !strings.Contains(fmt.Sprint(res.Err), "alias of no host") {
		t.Errorf("err %v", res.Err)
	}
}

func TestForeignRecordsDoNotPoison_RFC5452(t *testing.T) {
	d := dnstest.New(t, `
		_sip._udp.e.com SRV 0 0 5060 a.e.com
		a.e.com A 10.0.0.1
		victim.net A 10.0.0.2`)
	bad := func(name string) dns.RR {
		rr, err := dns.NewRR(name + " 3600 A 66.6.6.6")
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	d.Craft(func(q, a *dns.Msg) {
		a.Answer = append(a.Answer, bad("victim.net."), bad("b.e.com."))
		a.Extra = append(a.Extra, bad("a.e.com."), bad("victim.net."))
		a.Ns = append(a.Ns, bad("victim.net."))
		chaos := bad(q.Question[0].Name)
		chaos.Header().Class = dns.ClassCHAOS
		a.Answer = append(a.Answer, chaos)
	})
	r := over(t, d)
	expect(t, r, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.1:5060 udp a.e.com")
	d.Craft(nil)
	expect(t, r, Target{Host: "victim.net", Port: 5060}, "0/0 10.0.0.2:5060  victim.net")
	if d.Asked("victim.net A") != 1 {
		t.Error("an answer to another question was believed")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	var zone strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&zone, "a.e.com A 10.1.%d.%d\n", i/250, i%250+1)
		fmt.Fprintf(&zone, "_sip._tcp.e.com SRV %d 0 5060 t%d.e.com\n", 1000-i, i)
		fmt.Fprintf(&zone, "t%d.e.com A 10.2.%d.%d\n", i, i/250, i%250+1)
		fmt.Fprintf(&zone, "e.com NAPTR %d 1 \"s\" \"SIP+D2S\" \"\" _sip._sctp.e.com\n", i)
	}
	for i := range 40 {
		fmt.Fprintf(&zone, "_sip._tcp.fair.com SRV %d 0 5060 a.e.com\n_sip._tcp.fair.com SRV 9 0 5060 t%d.e.com\n", i/40, i)
	}
	d := dnstest.Start(t, zone.String())
	r := asking(t, d.Addr())
	if res := r.Locate(t.Context(), Target{Host: "a.e.com", Port: 5060}); len(res.Servers) != maxServersFound || res.Err != nil {
		t.Errorf("%d servers, err %v", len(res.Servers), res.Err)
	}
	res := r.Locate(t.Context(), Target{Host: "e.com"})
	if len(res.Servers) != maxSRVs || res.Servers[0].Name != "t999.e.com" || res.Err != nil {
		t.Errorf("%d servers, err %v:\n%s", len(res.Servers), res.Err, show(res.Servers))
	}
	if n := d.Asked("t0.e.com"); n > 0 {
		t.Error("a target that is cut off was asked for")
	}
	names := map[string]bool{}
	for _, s := range r.Locate(t.Context(), Target{Host: "fair.com", Transport: sip.TCP}).Servers {
		names[s.Name] = true
	}
	if len(names) < maxSRVs {
		t.Errorf("one target's addresses leave room for %d names only", len(names))
	}
	if r.Counters().Truncated == 0 {
		t.Error("nothing was truncated: the test shows nothing of TCP")
	}
}

func TestTargetsAskedForAreBounded(t *testing.T) {
	var zone strings.Builder
	for i := range maxSRVs {
		fmt.Fprintf(&zone, "_sip._udp.e.com SRV 0 0 5060 u%d.e.com\n_sip._tcp.e.com SRV 0 0 5060 t%d.e.com\n", i, i)
		fmt.Fprintf(&zone, "u%d.e.com A 10.0.0.%d\nt%d.e.com A 10.0.1.%d\n", i, i+1, i, i+1)
	}
	d := dnstest.New(t, zone.String())
	res := over(t, d).Locate(t.Context(), Target{Host: "e.com"})
	if n := d.Asked("* A"); n != maxSRVs || len(res.Servers) != maxSRVs {
		t.Errorf("%d questions, %d servers", n, len(res.Servers))
	}
}

func TestServersAreBounded(t *testing.T) {
	var offers []offer
	addrs := map[string][]netip.Addr{"a.": {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")}}
	for _, transport := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		o := offer{transport: transport}
		for i := range maxSRVs {
			o.srvs = append(o.srvs, srv{target: "a.", port: uint16(transport)*1000 + uint16(i)})
		}
		offers = append(offers, o)
	}
	if n := len(rank(offers, addrs)); n != maxServersFound {
		t.Errorf("%d servers", n)
	}
}

// TestOneAnswerIsBounded: what is kept of one answer are the records to try first.
func TestOneAnswerIsBounded(t *testing.T) {
	for _, c := range []struct {
		qtype  uint16
		record string // with the place of a number
		kept   func(a *answer) (n int, first string)
		n      int
		first  string
	}{
		{dns.TypeA, "e.com. A 10.0.0.%d", func(a *answer) (int, string) { return len(a.addrs), a.addrs[0].String() }, maxAddrs, "10.0.0.1"},
		{dns.TypeSRV, "e.com. SRV %d 0 5060 a.com.", func(a *answer) (int, string) { return len(a.srvs), fmt.Sprint(a.srvs[0].priority) }, maxSRVs, "1"},
		{dns.TypeNAPTR, `e.com. NAPTR %d 0 "s" "SIP+D2U" "" a.com.`, func(a *answer) (int, string) { return len(a.naptrs), fmt.Sprint(a.naptrs[0].order) }, maxNAPTRs, "1"},
	} {
		m := new(dns.Msg).SetQuestion("e.com.", c.qtype)
		for i := range 200 {
			rr, err := dns.NewRR(fmt.Sprintf(c.record, 200-i))
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, rr, rr)
		}
		got, err := read(m, "e.com.", c.qtype)
		if err != nil {
			t.Fatal(err)
		}
		if n, first := c.kept(got); n != c.n || first != c.first {
			t.Errorf("%s: %d kept, first %s", c.record, n, first)
		}
	}
}

func TestHostsFileComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "hosts")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("10.0.0.5 PBX pbx.local # the office\n2001:db8::5\tpbx\n0.0.0.0 blocked\nnonsense x\n::1 ip6-localhost\n10.0.0.6 a.e.com\n")
		d := dnstest.New(t, "_sip._udp.pbx SRV 0 0 5070 other.net\nblocked A 10.0.0.8\n_sip._udp.e.com SRV 0 0 5060 a.e.com")
		r := closed(t, Config{Servers: []string{"192.0.2.53"}, HostsFile: path, Exchange: d.Exchange})
		res := expect(t, r, Target{Host: "pbx"}, "0/0 10.0.0.5:5060  pbx\n0/0 [2001:db8::5]:5060  pbx")
		expect(t, r, Target{Host: "localhost", Port: 5062}, "0/0 127.0.0.1:5062  localhost\n0/0 [::1]:5062  localhost")
		if n := d.Asked("*"); n > 0 {
			t.Errorf("%d questions for names of the hosts file", n)
		}
		expect(t, r, Target{Host: "blocked", Port: 5060}, "0/0 10.0.0.8:5060  blocked")
		expect(t, r, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.6:5060 udp a.e.com")
		if res.Fresh != fileTTL {
			t.Errorf("fresh for %v", res.Fresh)
		}
		write("10.0.0.55 pbx\n")
		time.Sleep(res.Fresh)
		expect(t, r, Target{Host: "pbx"}, "0/0 10.0.0.55:5060  pbx")
	})
}

func TestSearchListOfTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(path, []byte("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.local b.local\noptions ndots:1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d := dnstest.New(t, "pbx.b.local A 10.0.0.5\npbx.other A 10.0.0.6\npbx.other.a.local A 10.0.0.7\n_sip._udp.b.local A 10.0.0.8")
		r := closed(t, Config{ResolvConf: path, HostsFile: "testdata/none", Exchange: d.Exchange})
		expect(t, r, Target{Host: "pbx"}, "0/0 10.0.0.5:5060  pbx")
		expect(t, r, Target{Host: "pbx.other"}, "0/0 10.0.0.6:5060  pbx.other")
		expect(t, r, Target{Host: "pbx.", Port: 5060}, "")
		if got := strings.Join(r.ask.servers.order(), " "); got != "192.0.2.53:53 [2001:db8::53]:53" {
			t.Errorf("servers %s", got)
		}
		time.Sleep(fileTTL)
		if err := os.WriteFile(path, []byte("# nothing\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(r.ask.servers.order(), " "); got != "127.0.0.1:53 [::1]:53" {
			t.Errorf("servers without nameserver lines: %s", got)
		}
	})
}

func TestParseServer(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.53": "10.0.0.53:53", "10.0.0.53:5353": "10.0.0.53:5353", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:54": "[2001:db8::1]:54", "dns.e.com": "", "": "", "10.0.0.53:0": "", "10.0.0.53:": "",
	} {
		got, err := ParseServer(text)
		if want == "" && err == nil || want != "" && (err != nil || got != netip.MustParseAddrPort(want)) {
			t.Errorf("%q: %v, %v; want %s", text, got, err, want)
		}
	}
}
