//go:build !race

package digest

import "testing"

// Under the race detector sync.Pool loses things on purpose.
func TestVerifyDoesNotAllocate(t *testing.T) {
	r := newRoom(t)
	v := r.answer(r.challenge(7, SHA256), "alice", "alice-pw", "00000001")
	w := r.answer(r.challenge(7, MD5), "nobody", "x", "00000001")
	rq := &Request{"example.org", "REGISTER", "sip:example.org", 7}
	if n := testing.AllocsPerRun(100, func() {
		for _, v := range [...]string{v, w} {
			c, _ := ParseCredentials(v)
			r.a.Verify(&c, rq, r.users)
		}
	}); n >= 1 {
		t.Errorf("%v allocations", n)
	}
}
