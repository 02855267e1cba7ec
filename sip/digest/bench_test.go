package digest

import (
	"testing"
)

func benchVerify(b *testing.B, alg Algorithm) {
	r := newRoom(b)
	v := r.answer(r.challenge(7, alg), "alice", "alice-pw", "00000001")
	rq := &Request{"example.org", "REGISTER", "sip:example.org", 7}
	b.ReportAllocs()
	for b.Loop() {
		c, err := ParseCredentials(v)
		if err != nil {
			b.Fatal(err)
		}
		if out, err := r.a.Verify(&c, rq, r.users); out == BadCredentials || out == Malformed {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyMD5(b *testing.B)    { benchVerify(b, MD5) }
func BenchmarkVerifySHA256(b *testing.B) { benchVerify(b, SHA256) }

func BenchmarkParseCredentials(b *testing.B) {
	r := newRoom(b)
	v := r.answer(r.challenge(7, MD5), "alice", "alice-pw", "00000001")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseCredentials(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChallenge(b *testing.B) {
	r := newRoom(b)
	algs := []Algorithm{MD5, SHA256}
	b.ReportAllocs()
	for b.Loop() {
		r.a.Challenge("WWW-Authenticate: ", "example.org", 7, false, algs)
	}
}
