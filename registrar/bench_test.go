package registrar_test

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
)

func benchRefresh(b *testing.B, lines []string) {
	w := newWorld(b, func(c *registrar.Config) { c.OnEvent = func(registrar.Event) {} })
	f := w.ws()
	// Two Call-IDs in turn: so CSeq need not rise, and two requests do for any b.N.
	reqs := []*sip.Message{w.request(append(lines, "Call-ID: one")...), w.request(append(lines, "Call-ID: two")...)}
	ctx := context.Background()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := w.reg.Register(ctx, reqs[i&1], f, alice); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func without(lines []string, name string) []string {
	var out []string
	for _, l := range lines {
		if !strings.HasPrefix(l, name+":") {
			out = append(out, l)
		}
	}
	return out
}

func BenchmarkRefreshJsSIP(b *testing.B) { benchRefresh(b, without(jssip(jssipContact), "Call-ID")) }
func BenchmarkRefreshPlain(b *testing.B) {
	benchRefresh(b, []string{"Contact: <sip:a@10.0.0.1:5060>;expires=600"})
}

func BenchmarkFetch(b *testing.B) {
	w := newWorld(b)
	f := w.ws()
	w.ok(f, jssip(jssipContact)...)
	req := w.request()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.reg.Register(b.Context(), req, f, alice); err != nil {
			b.Fatal(err)
		}
	}
}

func benchWorld(b *testing.B, users int) *world {
	w := newWorld(b)
	for i := range users {
		n := strconv.Itoa(i)
		w.okAs("u"+n+"@example.com", w.ws(), "Contact: <sip:u"+n+"@h"+n+".invalid;transport=ws>"+urn1, gruu)
	}
	return w
}

func BenchmarkLookup(b *testing.B) {
	w := benchWorld(b, 10000)
	b.ReportAllocs()
	for b.Loop() {
		if list, err := w.reg.Lookup(b.Context(), "u5000@example.com"); err != nil || len(list) != 1 {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookupContact(b *testing.B) {
	w := benchWorld(b, 10000)
	b.ReportAllocs()
	for b.Loop() {
		if list, err := w.reg.LookupContact(b.Context(), "sip:u5000@h5000.invalid;transport=ws"); err != nil || len(list) != 1 {
			b.Fatal(err)
		}
	}
}

// BenchmarkHeld tells what a registered JsSIP holds in store, index and deadlines.
func BenchmarkHeld(b *testing.B) {
	const users = 10000
	for b.Loop() {
		w := newWorld(b, func(c *registrar.Config) { c.OnEvent = nil })
		f := w.ws() // flows are counted elsewhere
		reqs := make([]*sip.Message, users)
		for i := range reqs {
			contact := strings.ReplaceAll(jssipContact, "7vq3kl0d", "u"+strconv.Itoa(i))
			reqs[i] = w.request(without(jssip(contact), "Via")...)
		}
		before := heap()
		for i := range users {
			if _, err := w.reg.Register(b.Context(), reqs[i], f, "u"+strconv.Itoa(i)+"@example.com"); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/users, "B/binding")
		runtime.KeepAlive(w)
		runtime.KeepAlive(reqs)
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
