package gateway

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// sink is a connection that takes everything and keeps the last.
type sink struct {
	info sip.ConnInfo
	last []byte
}

func (s *sink) Send(b []byte) error   { s.last = append(s.last[:0], b...); return nil }
func (s *sink) Info() *sip.ConnInfo   { return &s.info }
func (s *sink) Close(sip.CloseReason) {}

// benchPhone is a browser that registers as JsSIP does: each REGISTER is challenged.
type benchPhone struct {
	sink
	flow  *flow.Flow
	user  string
	realm string
	cseq  int
}

const benchUserAgent = "Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY,SUBSCRIBE\r\n" +
	"Supported: path,gruu,outbound\r\nUser-Agent: JsSIP 3.10.1\r\nContent-Length: 0\r\n\r\n"

func (p *benchPhone) register(authorization string) string {
	p.cseq++
	return fmt.Sprintf("REGISTER sip:%s SIP/2.0\r\nVia: SIP/2.0/WS %s7k3j2h1g.invalid;branch=z9hG4bK%s%d\r\nMax-Forwards: 69\r\n"+
		"To: <sip:%[2]s@%[1]s>\r\nFrom: \"%[2]s\" <sip:%[2]s@%[1]s>;tag=t%[2]s\r\nCall-ID: call-%[2]s\r\nCSeq: %[4]d REGISTER\r\n%[5]s"+
		"Contact: <sip:%[2]s@%[2]s7k3j2h1g.invalid;transport=ws>;+sip.ice;reg-id=1;"+
		"+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-%012[2]s>\";expires=600\r\nExpires: 600\r\n%[6]s",
		p.realm, p.user, p.user, p.cseq, authorization, benchUserAgent)
}

// answer is the Authorization line for the challenge that came last.
func (p *benchPhone) answer(b *testing.B, uri string) string {
	_, value, ok := strings.Cut(string(p.last), "WWW-Authenticate: ")
	value, _, _ = strings.Cut(value, "\r\n")
	c, err := digest.ParseChallenge(value)
	if !ok || err != nil {
		b.Fatalf("no challenge but %s", p.last)
	}
	a, err := digest.Answer(&c, p.user, "secret", "REGISTER", uri, "00000001", "c0ffee")
	if err != nil {
		b.Fatal(err)
	}
	return "Authorization: " + a + "\r\n"
}

// BenchmarkRegister is a challenged refresh, two requests, of 2,000 phones in
// turn, so that no phone's state is in the caches: all but frames and sockets.
func BenchmarkRegister(b *testing.B) {
	const phones, realm = 2000, "bench.invalid"
	cfg := Default
	cfg.Domains = []Domain{{Name: realm}}
	all := make([]*benchPhone, phones)
	for i := range all {
		p := &benchPhone{user: "u" + strconv.Itoa(100000+i), realm: realm}
		cfg.Users = append(cfg.Users, digest.User{Name: p.user, Realm: realm, MD5: digest.HA1(digest.MD5, p.user, realm, "secret")})
		all[i] = p
	}
	g := &Gateway{}
	g.network = (*network)(g)
	if err := g.wire(&cfg, zerolog.New(io.Discard).Level(zerolog.InfoLevel)); err != nil {
		b.Fatal(err)
	}
	for i, p := range all {
		p.info = sip.ConnInfo{Transport: sip.WS, Local: netip.MustParseAddrPort("192.0.2.1:80"), Advertise: "192.0.2.1:80",
			Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 40000)}
		p.flow = g.flows.Open(p)
	}
	texts := make([]string, phones)
	var used time.Duration
	cpu := func() time.Duration { // the machine may have other work
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	round := func(make func(p *benchPhone) string, status string) {
		b.StopTimer()
		for i, p := range all {
			texts[i] = make(p)
		}
		b.StartTimer()
		c0 := cpu()
		for i, p := range all {
			m, err := sip.Parse(strings.Clone(texts[i]), sip.Frame)
			if err != nil {
				b.Fatal(err)
			}
			g.receive(m, p.flow)
		}
		used += cpu() - c0
		b.StopTimer()
		for _, p := range all {
			if !strings.HasPrefix(string(p.last), status) {
				b.Fatalf("%s instead of %s", p.last, status)
			}
		}
	}
	b.ReportAllocs()
	rounds := 0
	for n := 0; n < b.N; n += phones {
		round(func(p *benchPhone) string { return p.register("") }, "SIP/2.0 401 ")
		round(func(p *benchPhone) string { return p.register(p.answer(b, "sip:"+realm)) }, "SIP/2.0 200 ")
		rounds++
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(rounds*phones), "cpu-ns/op")
}
