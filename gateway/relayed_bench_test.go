package gateway

import (
	"io"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// oneHop is a network with one registrar, which keeps what it is sent.
type oneHop struct {
	flow *flow.Flow
	got  []string
	info sip.ConnInfo
}

func (h *oneHop) Send(b []byte) error   { h.got = append(h.got, string(b)); return nil }
func (h *oneHop) Info() *sip.ConnInfo   { return &h.info }
func (h *oneHop) Close(sip.CloseReason) {}

func (h *oneHop) Reach(_ proxy.Hop, _ int, done func(*flow.Flow, error)) { done(h.flow, nil) }

func (h *oneHop) Ping(_ *flow.Flow, _ time.Duration, done func(bool)) { done(true) }

// BenchmarkRelayedRegister is a refresh of 2,000 browsers whose users a PBX keeps: REGISTER there with a Path, 200 back.
// All but frames and sockets, and what the PBX does.
func BenchmarkRelayedRegister(b *testing.B) {
	for _, rule := range []struct {
		name string
		rule trunk.ContactRule
	}{{"path", trunk.ContactPath}, {"alias", trunk.ContactAlias}} {
		b.Run(rule.name, func(b *testing.B) { benchRelayed(b, rule.rule) })
	}
}

func benchRelayed(b *testing.B, rule trunk.ContactRule) {
	const phones, realm = 2000, "bench.invalid"
	cfg := Default
	cfg.Domains = []Domain{{Name: realm, Registrar: "pbx"}}
	group := trunk.Defaults()
	hop, err := trunk.ParseHop("sip:203.0.113.1:5060;transport=tcp")
	if err != nil {
		b.Fatal(err)
	}
	group.Name, group.Hops, group.Contact = "pbx", []trunk.Hop{hop}, rule
	cfg.Upstreams = []trunk.Group{group}
	g, pbx := &Gateway{}, &oneHop{info: sip.ConnInfo{
		Transport: sip.TCP, Advertise: "192.0.2.1:5060", Remote: netip.MustParseAddrPort("203.0.113.1:5060"), Dialled: true,
	}}
	g.network = pbx
	if err := g.wire(&cfg, zerolog.New(io.Discard).Level(zerolog.InfoLevel)); err != nil {
		b.Fatal(err)
	}
	pbx.flow = g.flows.Open(pbx)
	pbx.flow.SetUpstream("pbx")
	all := make([]*benchPhone, phones)
	for i := range all {
		p := &benchPhone{user: "u" + strconv.Itoa(100000+i), realm: realm}
		p.info = sip.ConnInfo{Transport: sip.WS, Local: netip.MustParseAddrPort("192.0.2.1:80"), Advertise: "192.0.2.1:80",
			Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 40000)}
		p.flow = g.flows.Open(p)
		all[i] = p
	}
	var used time.Duration
	receive := func(texts []string, from func(i int) *flow.Flow) {
		b.StartTimer()
		c0 := cpuTime()
		for i, text := range texts {
			m, err := sip.Parse(strings.Clone(text), sip.Frame)
			if err != nil {
				b.Fatal(err)
			}
			g.receive(m, from(i))
		}
		used += cpuTime() - c0
		b.StopTimer()
	}
	b.ReportAllocs()
	b.StopTimer()
	rounds := 0
	texts := make([]string, phones)
	for n := 0; n < b.N; n += phones {
		for i, p := range all {
			texts[i] = p.register("Authorization: Digest username=\"" + p.user + "\", realm=\"asterisk\", nonce=\"n\", uri=\"sip:" + realm + "\", response=\"0\"\r\n")
		}
		pbx.got = pbx.got[:0]
		receive(texts, func(i int) *flow.Flow { return all[i].flow })
		if len(pbx.got) != phones {
			b.Fatalf("the PBX got %d", len(pbx.got))
		}
		answers := make([]string, phones)
		for i, text := range pbx.got {
			m, err := sip.Parse(text, sip.Stream)
			if err != nil {
				b.Fatal(err)
			}
			answers[i] = string(m.AppendReply(nil, &sip.Reply{Status: 200, Headers: []string{"Contact: " + m.Value(sip.Contact)}}))
		}
		receive(answers, func(int) *flow.Flow { return pbx.flow })
		for _, p := range all {
			if s := string(p.last); !strings.HasPrefix(s, "SIP/2.0 200 ") || !strings.Contains(s, "invalid;transport=ws>") || !strings.Contains(s, ";expires=120") {
				b.Fatalf("the browser got %s", s)
			}
		}
		rounds++
	}
	if g.relayed.Len() != phones {
		b.Fatalf("%d bindings", g.relayed.Len())
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(rounds*phones), "cpu-ns/op")
}

// cpuTime is what this process has used: the machine may have other work.
func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
