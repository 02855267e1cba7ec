package locate

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
)

// asking makes a resolver that asks the servers over sockets.
func asking(t *testing.T, servers ...string) *Resolver {
	t.Helper()
	return closed(t, Config{Servers: servers, HostsFile: "testdata/none"})
}

func TestSocketsAndRealServer(t *testing.T) {
	d := dnstest.Start(t, exampleZone)
	r := asking(t, d.Addr())
	expect(t, r, Target{Host: "example.com"}, "0/1 192.0.2.1:5061 tls server1.example.com")
	expect(t, r, Target{Host: "plain.example.com"}, "0/0 192.0.2.9:5060  plain.example.com\n0/0 [2001:db8::9]:5060  plain.example.com")
}

// TestFailuresOverSockets: what a server does, and what the error says of it.
func TestFailuresOverSockets(t *testing.T) {
	for mode, want := range map[dnstest.Mode]string{
		dnstest.ServFail: "answered SERVFAIL", dnstest.Refused: "answered REFUSED", dnstest.NotImp: "answered NOTIMP", dnstest.Lame: "refers elsewhere",
		dnstest.Silence: "no answer in 500ms", dnstest.WrongID: "no answer in 500ms", dnstest.WrongName: "no answer in 500ms",
		dnstest.Garbage: "no answer in 500ms", dnstest.HangUp: "EOF", dnstest.NXDomain: "no such name",
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			d := dnstest.Start(t, pbx1)
			d.Fail(mode)
			patience := 2 * time.Second
			if strings.HasPrefix(want, "no answer") {
				patience = 500 * time.Millisecond // for silence a slow machine makes no difference
			}
			r := closed(t, Config{Servers: []string{d.Addr()}, HostsFile: "testdata/none", Timeout: patience})
			if res := expect(t, r, pbx, ""); res.Err == nil || !strings.Contains(res.Err.Error(), want) {
				t.Errorf("err %v, want %q", res.Err, want)
			}
			strays := mode == dnstest.WrongID || mode == dnstest.WrongName || mode == dnstest.Garbage
			if c := r.Counters(); strays != (c.Strays > 0) || (mode == dnstest.HangUp) != (c.Truncated > 0) {
				t.Errorf("%+v", c)
			}
			// Another server makes up for it, unless it was an answer.
			if mode != dnstest.NXDomain {
				r = asking(t, d.Addr(), dnstest.Start(t, pbx1).Addr())
				expect(t, r, pbx, first)
			}
		})
	}
}

func TestUnreachableServer(t *testing.T) {
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	r := asking(t, p.LocalAddr().String(), "nonsense", dnstest.Start(t, pbx1).Addr())
	expect(t, r, pbx, first)
	if c := r.Counters(); c.Errors == 0 {
		t.Errorf("%+v", c)
	}
	if res := expect(t, asking(t, "nonsense"), pbx, ""); !strings.Contains(fmt.Sprint(res.Err), "server nonsense") {
		t.Errorf("err %v", res.Err)
	}
}

func TestTruncatedIsAskedOverTCP_RFC7766_5(t *testing.T) {
	d := dnstest.Start(t, pbx1)
	d.Fail(dnstest.Truncate)
	r := asking(t, d.Addr())
	expect(t, r, pbx, first)
	if c := r.Counters(); c.Truncated != 2 || d.Asked("pbx.e.com A") != 2 {
		t.Errorf("%+v, asked %d times", c, d.Asked("pbx.e.com A"))
	}
}

func TestEDNS0_RFC6891(t *testing.T) {
	d := dnstest.Start(t, pbx1)
	sizes := make(chan uint16, 10)
	d.Craft(func(q, _ *dns.Msg) {
		if opt := q.IsEdns0(); opt != nil {
			sizes <- opt.UDPSize()
		} else {
			sizes <- 0
		}
	})
	expect(t, asking(t, d.Addr()), pbx, first)
	if size := <-sizes; size != udpSize {
		t.Errorf("asked with a buffer of %d", size)
	}
	<-sizes
	d.Fail(dnstest.NoEDNS) // §7: FORMERR means to ask without
	expect(t, asking(t, d.Addr()), pbx, first)
	if size := <-sizes; size != 0 {
		t.Errorf("asked again with a buffer of %d", size)
	}
}

// TestGuessesAreDropped: datagrams with another id or question come first, and do not
// end the wait for the true one.
func TestGuessesAreDropped_RFC5452_9_1(t *testing.T) {
	r := asking(t, guesser(t, 20))
	if res := expect(t, r, pbx, first); res.Err != nil {
		t.Error(res.Err)
	}
	if c := r.Counters(); c.Strays < 40 {
		t.Errorf("%+v", c)
	}
	// A flood of them ends it.
	r = asking(t, guesser(t, maxStrays))
	if res := expect(t, r, pbx, ""); !strings.Contains(fmt.Sprint(res.Err), errFlooded.Error()) && !strings.Contains(fmt.Sprint(res.Err), "no answer") {
		t.Error(res.Err)
	}
}

// guesser is a server that sends n false answers before each true one.
func guesser(t *testing.T, n int) (addr string) {
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { p.Close(); <-done })
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			size, from, err := p.ReadFrom(buf)
			if err != nil {
				return
			}
			var q dns.Msg
			if q.Unpack(buf[:size]) != nil {
				continue
			}
			send := func(id uint16, name, addr string) {
				a := new(dns.Msg)
				a.SetReply(&q)
				a.Id, a.Authoritative = id, true
				a.Question = slices.Clone(q.Question)
				a.Question[0].Name = name
				if rr, err := dns.NewRR(name + " 60 A " + addr); err == nil && q.Question[0].Qtype == dns.TypeA {
					a.Answer = []dns.RR{rr}
				}
				wire, _ := a.Pack()
				_, _ = p.WriteTo(wire, from)
			}
			name := q.Question[0].Name
			for i := range n {
				switch i % 4 {
				case 0:
					send(q.Id+uint16(i)+1, name, "66.6.6.6")
				case 1:
					send(q.Id, "other."+name, "66.6.6.6")
				case 2:
					_, _ = p.WriteTo(buf[:size], from) // the question itself, sent back
				case 3:
					_, _ = p.WriteTo(buf[:5], from)
				}
			}
			send(q.Id, name, "10.0.0.1")
		}
	}()
	return p.LocalAddr().String()
}

// TestIDsAreRandom: two questions share neither id nor port, other than by chance.
func TestIDsAreRandom_RFC5452_9_2(t *testing.T) {
	d := dnstest.Start(t, soa)
	ids := map[uint16]bool{}
	seen := make(chan uint16, 200)
	d.Craft(func(q, _ *dns.Msg) { seen <- q.Id })
	r := asking(t, d.Addr())
	for i := range 50 {
		if res := r.Locate(t.Context(), Target{Host: fmt.Sprintf("h%d.e.com", i), Port: 5060}); !errors.Is(res.Err, ErrNone) {
			t.Fatal(res.Err)
		}
	}
	steps := map[uint16]int{}
	var last uint16
	for len(seen) > 0 {
		id := <-seen
		ids[id] = true
		steps[id-last]++
		last = id
	}
	if len(ids) < 90 {
		t.Errorf("%d ids in 100 questions", len(ids))
	}
	for step, n := range steps {
		if n > 10 {
			t.Errorf("ids go in steps of %d", step)
		}
	}
}
