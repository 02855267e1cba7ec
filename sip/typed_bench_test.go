package sip

import "testing"

// Typed values of a JsSIP INVITE. All but AOR are to cost no allocation.
const (
	benchURI  = "sip:q3k5m2@df7jal23ls0d.invalid;transport=ws;ob"
	benchFrom = `"Alice Example" <sip:alice@example.org>;tag=r7u4k0a9qs`
	benchVia  = "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK8294058;rport"
)

func BenchmarkParseURI(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseURI(benchURI); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseNameAddr(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		a, err := ParseNameAddr(benchFrom)
		if err != nil || a.Tag() == "" {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseVia(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseVia(benchVia); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendAOR(b *testing.B) {
	u, _ := ParseURI("sip:alice@Example.org:5060;transport=ws")
	var room [64]byte
	b.ReportAllocs()
	for b.Loop() {
		u.AppendAOR(room[:0])
	}
}

func TestTypedValuesDoNotAllocate(t *testing.T) {
	u, _ := ParseURI(benchURI)
	if n := testing.AllocsPerRun(100, func() {
		ParseURI(benchURI)
		ParseURI("sip:a@[2001:db8::1]:5060")
		a, _ := ParseNameAddr(benchFrom)
		a.Tag()
		ParseVia(benchVia)
		u.Equal(&u)
		u.HostPort()
		for v := range SplitList(`<sip:a>, <sip:b>;q=0.5`) {
			_ = v
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
