package registrar_test

import (
	"context"
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
