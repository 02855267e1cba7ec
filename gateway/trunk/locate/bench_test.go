package locate

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
)

// warm is a resolver that has just located target.
func warm(tb testing.TB, target Target) *Resolver {
	d := dnstest.New(tb, exampleZone)
	r := New(Config{Servers: []string{"192.0.2.53"}, HostsFile: "testdata/none", Exchange: d.Exchange})
	tb.Cleanup(r.Close)
	if res := r.Locate(context.Background(), target); len(res.Servers) == 0 {
		tb.Fatal(res.Err)
	}
	return r
}

var benchTarget = Target{Host: "example.com"}

func BenchmarkLocateWarm(b *testing.B) {
	r := warm(b, benchTarget)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if res := r.Locate(ctx, benchTarget); len(res.Servers) == 0 {
			b.Fatal(res.Err)
		}
	}
}

func BenchmarkLocateWarmParallel(b *testing.B) {
	r := warm(b, benchTarget)
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Locate(ctx, benchTarget)
		}
	})
}

func BenchmarkOrder(b *testing.B) {
	var servers []Server
	for i := range 16 {
		servers = append(servers, at(uint16(i/8), uint16(i*10), string(rune('a'+i)), byte(i+1)))
	}
	dst := make([]Server, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		dst = Order(dst[:0], servers, rand.IntN)
	}
}

func TestLocateWarmDoesNotAllocate(t *testing.T) {
	r := warm(t, benchTarget)
	dst := make([]Server, 0, maxServersFound)
	if n := testing.AllocsPerRun(100, func() {
		dst = Order(dst[:0], r.Locate(context.Background(), benchTarget).Servers, rand.IntN)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
