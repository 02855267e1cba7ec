package proxy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/ringway/ringway/sip"
)

// RFC 3261 §12.2.1.1, §22.2: whatever is sent once more, in whatever order, no number leaves twice, none is below one that
// left before (but at another server), and each number of the sender's is found again as it left last.
func TestNumbersAgainstModel(t *testing.T) {
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 7))
		base := random.Uint32N(3)
		m := numbering{base: base}
		last, high := map[uint32]uint32{}, uint32(0)
		n := random.Uint32N(5)
		challenged := 0
		for range 60 {
			switch some := len(last) > 0; {
			case some && random.IntN(3) == 0 && challenged < maxSteps/3: // one of the newest
				old := n - random.Uint32N(min(n, 4)+1)
				if _, sent := last[old]; !sent {
					continue
				}
				challenged++
				got := m.again(old)
				if got <= high {
					t.Fatalf("seed %d: %d leaves again as %d after %d", seed, old, got, high)
				}
				last[old], high = got, got
			case some && random.IntN(6) == 0: // to another server
				if got := m.first(n); got != last[n] {
					t.Fatalf("seed %d: %d leaves as %d elsewhere, here as %d", seed, n, got, last[n])
				}
			default:
				n += 1 + random.Uint32N(2)
				got := m.first(n)
				if len(last) > 0 && got <= high || got < n {
					t.Fatalf("seed %d: %d leaves as %d after %d", seed, n, got, high)
				}
				last[n], high = got, got
			}
			for old, want := range last {
				if got := m.left(old); got != want {
					t.Fatalf("seed %d: %d left as %d, found as %d, %v", seed, old, want, got, m.steps)
				}
			}
		}
		if !slices.IsSortedFunc(m.steps, func(a, b step) int { return int(a.from) - int(b.from) }) || len(m.steps) > maxSteps {
			t.Fatalf("seed %d: %v", seed, m.steps)
		}
	}
}

// What is remembered is bounded, and still nothing leaves below what has left.
func TestNumbersAreBounded(t *testing.T) {
	var m numbering
	high := uint32(0)
	for n := uint32(1); n < 10_000; n++ {
		for _, got := range [...]uint32{m.first(n), m.again(n)} {
			if got <= high {
				t.Fatalf("%d leaves as %d after %d", n, got, high)
			}
			high = got
		}
	}
	if len(m.steps) != maxSteps || m.left(9_999) != high || m.left(9_998) != high-2 {
		t.Errorf("%d steps, %d and %d left", len(m.steps), m.left(9_999), m.left(9_998))
	}
}

// RFC 3262 §7.2, RFC 3261 §13.2.2.4: the INVITE was not challenged, its PRACK is; RAck and ACK have the number of the INVITE.
func TestPrackAloneIsChallenged(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1", "Supported: 100rel")
		inv := pbx.numbered("INVITE", 1)
		pbx.answer(inv, 183, "Require: 100rel", "RSeq: 1")
		from := alice.uac(alice.numbered("183", 1))
		for i, step := range []struct{ rseq, first uint32 }{{1, 2}, {2, 4}} {
			from.send("PRACK", fmt.Sprintf("RAck: %d 1 INVITE", step.rseq))
			pbx.challenge(pbx.numbered("PRACK", step.first), "n1")
			prack := pbx.answering(pbx.numbered("PRACK", step.first+1), "n1")
			if got, want := prack.Value(sip.RAck), fmt.Sprintf("%d 1 INVITE", step.rseq); got != want {
				t.Errorf("RAck: %s, want %s", got, want)
			}
			pbx.answer(prack, 200)
			alice.numbered("200", uint32(i)+2)
			pbx.answer(inv, 183, "Require: 100rel", "RSeq: 2")
			alice.numbered("183", 1)
		}
		from.send("UPDATE") // as an answer's second offer
		pbx.challenge(pbx.numbered("UPDATE", 6), "n2")
		pbx.answer(pbx.answering(pbx.numbered("UPDATE", 7), "n2"), 200)
		alice.numbered("200", 4)
		pbx.answer(inv, 200)
		alice.numbered("200", 1)
		ack := *from
		ack.cseq = 1
		ack.send("ACK")
		if m := pbx.numbered("ACK", 1); m.Has(sip.ProxyAuthorization) { // §22.1: those of its INVITE, which had none
			t.Errorf("%s", m)
		}
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 8), 200)
		alice.numbered("200", 5)
		r.clean()
		r.noShifts()
	})
}

// RFC 3261 §13.2.2.4, §14.1: a re-INVITE that is not challenged, an INFO within it that is, and then the ACK.
func TestInfoWithinReinviteIsChallenged(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		from, _ := r.call(alice, pbx, "200", "c1")
		from.send("INVITE")
		re := pbx.numbered("INVITE", 2)
		from.send("INFO")
		info := pbx.numbered("INFO", 3)
		from.send("INFO")
		other := pbx.numbered("INFO", 4)
		pbx.challenge(info, "n1")
		pbx.answer(pbx.numbered("INFO", 5), 200)
		alice.numbered("200", 3)
		pbx.answer(other, 200)
		alice.numbered("200", 4)
		pbx.answer(re, 200)
		alice.numbered("200", 2)
		for range 2 { // the 2xx came again
			ack := *from
			ack.cseq = 2
			ack.send("ACK")
			pbx.numbered("ACK", 2)
		}
		from.send("BYE")
		pbx.challenge(pbx.numbered("BYE", 6), "n2")
		pbx.answer(pbx.numbered("BYE", 7), 200)
		alice.numbered("200", 5)
		r.clean()
		r.noShifts()
	})
}

// RFC 3261 §16.7: two branches at one provider have numbers of their own once one was challenged; ACK and RAck are for the one
// that the callee has answered.
func TestForkAtOneProvider(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		way := Target{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}
		one, two := way, way
		one.URI, two.URI = "sip:1@203.0.113.1", "sip:2@203.0.113.1"
		r.aors["200"] = []Target{one, two}
		alice.request("INVITE", "sip:200@example.com", "c1", "Supported: 100rel")
		first, second := pbx.numbered("INVITE", 1), pbx.numbered("INVITE", 1)
		pbx.answer(first, 183, "Require: 100rel", "RSeq: 5")
		from := alice.uac(alice.numbered("183", 1))
		pbx.challenge(second, "n1")
		again := pbx.answering(pbx.numbered("INVITE", 2), "n1")
		from.send("PRACK", "RAck: 5 1 INVITE")
		prack := pbx.numbered("PRACK", 3)
		if got := prack.Value(sip.RAck); got != "5 1 INVITE" {
			t.Errorf("RAck: %s", got)
		}
		pbx.answer(prack, 200)
		alice.get("200")
		pbx.answer(first, 200)
		alice.numbered("200", 1)
		ack := *from
		ack.cseq = 1
		ack.send("ACK")
		pbx.numbered("ACK", 1)
		pbx.answer(again, 100)
		pbx.answer(pbx.numbered("CANCEL", 2), 200)
		pbx.answer(again, 487)
		pbx.numbered("ACK", 2)
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 4), 200)
		alice.get("200")
		r.clean()
		r.noShifts()
	})
}

// Whoever else was called answers: nothing of the provider's branch stays.
func TestForkBesideProviderLeavesNothing(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, bob, pbx := r.phone("alice", ""), r.phone("bob", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{bob.target(), {Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1")
		pbx.answer(pbx.get("INVITE"), 100)
		bob.answer(bob.get("INVITE"), 200)
		alice.get("200")
		r.noShifts()
	})
}

// RFC 3261 §8.1.1.5: any number below 2**31 will do, 0 too.
func TestNumberZero(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.n = -1
		alice.request("INVITE", "sip:200@example.com", "c1")
		pbx.challenge(pbx.numbered("INVITE", 0), "n1")
		pbx.answer(pbx.answering(pbx.numbered("INVITE", 1), "n1"), 200)
		from := alice.uac(alice.numbered("200", 0))
		from.send("ACK")
		pbx.answering(pbx.numbered("ACK", 1), "n1")
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 2), 200)
		alice.numbered("200", 1)
		r.clean()
		r.noShifts()
	})
}

// RFC 3261 §12.2.2, §13.2.2.4, RFC 3262 §7.2, §22.2: a provider that challenges what it likes, when it likes, in a dialog whose
// requests overlap. It sees no number twice nor one below another that it knows, ACK and RAck with the INVITE's as it left last,
// and the caller nothing but its own.
func TestOverlappingChallenges(t *testing.T) {
	for seed := range uint64(40) {
		provider(t, Config{}, func(r *rig, _ *testLogin) {
			p := newDice(r, seed)
			p.play()
			r.clean()
			r.noShifts()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// dice plays caller and provider of one call at random.
type dice struct {
	*rand.Rand
	r          *rig
	alice, pbx *peer
	from       *dialog
	high       uint32         // highest number that the provider got
	open       []*sip.Message // requests that it has not answered
	lefts      map[uint32]uint32
	rseq       int
	invite     uint32 // the caller's INVITE under way or answered last
	answered   bool
	dialog     bool
}

func newDice(r *rig, seed uint64) *dice {
	d := &dice{Rand: rand.New(rand.NewPCG(seed, 11)), r: r, lefts: map[uint32]uint32{}, invite: 1}
	d.alice, d.pbx = r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
	r.aors["200"] = []Target{{Hops: []Hop{{Addr: d.pbx.info.Remote}}, Upstream: "pbx"}}
	d.alice.request("INVITE", "sip:200@example.com", "c1", "Supported: 100rel", "X-Number: 1")
	d.came("INVITE")
	return d
}

// came takes a request at the provider; X-Number is what the caller gave it.
func (d *dice) came(method string) *sip.Message {
	d.r.t.Helper()
	m := d.pbx.get(method)
	n := numberOf(m)
	if n <= d.high {
		d.r.t.Fatalf("%s %d came after %d", method, n, d.high)
	}
	own, _ := strconv.ParseUint(m.Named("X-Number"), 10, 32)
	d.high, d.lefts[uint32(own)] = n, n
	d.open = append(d.open, m)
	if method == "PRACK" {
		if got, want := m.Value(sip.RAck), fmt.Sprintf("%d %d INVITE", d.rseq, d.lefts[d.invite]); got != want {
			d.r.t.Fatalf("RAck: %s, want %s", got, want)
		}
	}
	return m
}

func (d *dice) send(method string, extra ...string) {
	d.from.send(method, append(extra, fmt.Sprint("X-Number: ", d.from.cseq+1))...)
	d.came(method)
}

func (d *dice) play() {
	for range 30 {
		i := d.IntN(len(d.open) + 1)
		switch {
		case i == len(d.open) && d.dialog:
			d.more()
		case i < len(d.open) && d.open[i].Method() == "INVITE" && d.IntN(2) == 0 && !d.dialog:
			d.ring(d.open[i])
		case i < len(d.open) && d.IntN(2) == 0 && !d.open[i].Has(sip.ProxyAuthorization) && (d.open[i].Method() != "INVITE" || d.rseq == 0):
			d.ask(i)
		case i < len(d.open) && (d.dialog || d.open[i].Method() != "INVITE"):
			d.yes(i)
		}
	}
	for len(d.open) > 0 {
		d.yes(0)
	}
	d.dialog = true
	d.send("BYE")
	d.yes(0)
}

// more is another request of the caller's.
func (d *dice) more() {
	switch what := d.IntN(3); {
	case what == 0 && d.answered:
		d.rseq, d.invite, d.answered = 0, d.from.cseq+1, false
		d.send("INVITE")
	case what == 1 && !d.answered && d.rseq > 0:
		d.send("PRACK", fmt.Sprintf("RAck: %d %d INVITE", d.rseq, d.invite))
	default:
		d.send([]string{"INFO", "UPDATE"}[d.IntN(2)])
	}
}

func (d *dice) ring(inv *sip.Message) {
	d.rseq++
	d.pbx.answer(inv, 183, "Require: 100rel", fmt.Sprint("RSeq: ", d.rseq))
	m := d.alice.numbered("183", d.invite)
	d.from, d.dialog = d.alice.uac(m), true
}

// ask challenges the i-th open request.
func (d *dice) ask(i int) {
	m := d.open[i]
	d.open = slices.Delete(d.open, i, i+1)
	d.pbx.challenge(m, "n")
	d.came(m.Method())
}

// yes answers the i-th open request, and sees to the ACK.
func (d *dice) yes(i int) {
	m := d.open[i]
	d.open = slices.Delete(d.open, i, i+1)
	d.pbx.answer(m, 200)
	own, _ := strconv.ParseUint(m.Named("X-Number"), 10, 32)
	ok := d.alice.numbered("200", uint32(own))
	if m.Method() != "INVITE" {
		return
	}
	if d.from == nil {
		d.from, d.dialog = d.alice.uac(ok), true
	}
	d.answered = true
	ack := *d.from
	ack.cseq = uint32(own)
	ack.send("ACK")
	if got := d.pbx.numbered("ACK", d.lefts[uint32(own)]); got.Value(sip.ProxyAuthorization) != m.Value(sip.ProxyAuthorization) {
		d.r.t.Fatalf("ACK with credentials %q, its INVITE with %q", got.Value(sip.ProxyAuthorization), m.Value(sip.ProxyAuthorization))
	}
}
