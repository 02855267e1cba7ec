package proxy

import (
	"strconv"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

const timer90 = "Session-Expires: 90"

// brief is a rig whose upstream pbx wants two minutes at least.
func brief(t *testing.T, f func(r *rig, alice, pbx *peer)) {
	t.Helper()
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		f(r, alice, pbx)
		r.clean()
		r.noShifts()
	})
}

func (p *peer) wantTimer(m *sip.Message, session, least string) *sip.Message {
	p.r.t.Helper()
	if s, l := m.Named("Session-Expires"), m.Named("Min-SE"); s != session || l != least {
		p.r.t.Errorf("Session-Expires %q, Min-SE %q, want %q, %q", s, l, session, least)
	}
	return m
}

// tooBrief is a 422 from p, and its ACK.
func (p *peer) tooBrief(m *sip.Message) {
	p.r.t.Helper()
	p.answer(m, 422, "Min-SE: 120")
	n, _ := m.CSeq()
	p.numbered("ACK", n)
}

// RFC 4028 §7.4, RFC 3261 §22: a request that has to be sent once more for its timer may have to be for its credentials, and
// the other way round; each time it has the next number, the caller's dialog its own.
func TestTooBriefAndChallenged(t *testing.T) {
	brief(t, func(r *rig, alice, pbx *peer) {
		alice.request("INVITE", "sip:200@example.com", "c1", timer90)
		pbx.challenge(pbx.wantTimer(pbx.numbered("INVITE", 1), "90", ""), "n1")
		pbx.tooBrief(pbx.wantTimer(pbx.answering(pbx.numbered("INVITE", 2), "n1"), "90", ""))
		pbx.challenge(pbx.wantTimer(pbx.numbered("INVITE", 3), "120", "120"), "n2")
		pbx.answer(pbx.wantTimer(pbx.answering(pbx.numbered("INVITE", 4), "n2"), "120", "120"), 200, "Session-Expires: 120;refresher=uac")
		from := alice.uac(alice.wantTimer(alice.numbered("200", 1), "120;refresher=uac", ""))
		from.send("ACK")
		pbx.numbered("ACK", 4)
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 5), 200)
		alice.numbered("200", 2)
	})
}

// RFC 3261 §8.2.2.2: an upstream that asks the caller itself for credentials after that has had the number that the caller
// goes on with; the next one is the call's.
func TestTooBriefThenTheCallersChallenge(t *testing.T) {
	brief(t, func(r *rig, alice, pbx *peer) {
		r.proxy.Terms = nil
		alice.request("INVITE", "sip:200@example.com", "c1", timer90)
		pbx.tooBrief(pbx.numbered("INVITE", 1))
		pbx.challenge(pbx.numbered("INVITE", 2), "n1")
		alice.numbered("407", 1)
		alice.request("INVITE", "sip:200@example.com", "c1", timer90, "Proxy-Authorization: n1")
		pbx.answer(pbx.numbered("INVITE", 3), 200)
		from := alice.uac(alice.numbered("200", 2))
		from.send("ACK")
		pbx.numbered("ACK", 3)
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 4), 200)
		alice.numbered("200", 3)

		alice.n = 0 // one that does not come again is forgotten
		r.proxy.minimums.of.Clear()
		alice.request("INVITE", "sip:200@example.com", "c2", timer90)
		pbx.tooBrief(pbx.numbered("INVITE", 1))
		pbx.challenge(pbx.numbered("INVITE", 2), "n1")
		alice.numbered("407", 1)
		time.Sleep(2 * shiftLinger)
	})
}

// What is no call leaves nothing behind, and the least interval stays known.
func TestTooBriefThenBusy(t *testing.T) {
	brief(t, func(r *rig, alice, pbx *peer) {
		r.proxy.Terms = nil
		alice.request("INVITE", "sip:200@example.com", "c1", timer90)
		pbx.tooBrief(pbx.numbered("INVITE", 1))
		pbx.answer(pbx.numbered("INVITE", 2), 486)
		pbx.numbered("ACK", 2)
		alice.numbered("486", 1)
		if n, d := r.proxy.Counters.TimersRaised.Load(), r.proxy.minimums.get("pbx"); n != 1 || d != 2*time.Minute {
			t.Errorf("%d raised, the least is %v", n, d)
		}
	})
}

// Our Record-Route says what the call began with: a gateway that has been restarted numbers on.
func TestTooBriefOutlivesUs(t *testing.T) {
	brief(t, func(r *rig, alice, pbx *peer) {
		r.proxy.Terms = nil
		alice.request("INVITE", "sip:200@example.com", "c1", timer90)
		pbx.tooBrief(pbx.numbered("INVITE", 1))
		pbx.answer(pbx.numbered("INVITE", 2), 200)
		from := alice.uac(alice.get("200"))
		r.proxy.minimums.of.Clear()
		clear(r.proxy.shifts.of)
		from.send("ACK")
		pbx.numbered("ACK", 2)
		from.send("INVITE", timer90)
		pbx.tooBrief(pbx.numbered("INVITE", 3)) // in the dialog: the caller's
		alice.numbered("422", 2)
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 4), 200)
		alice.numbered("200", 3)
	})
}

// RFC 4028 §8.1: what one callee behind an upstream wants is for that call; others' are not to be noticed dead an hour late. It
// is numbered as any (§22.2 of RFC 3261), to its end.
func TestOneCalleesMinimumIsForOneCall(t *testing.T) {
	brief(t, func(r *rig, alice, pbx *peer) {
		r.proxy.Terms = nil
		alice.request("INVITE", "sip:200@example.com", "c1", timer90)
		pbx.answer(pbx.numbered("INVITE", 1), 422, "Min-SE: 3600")
		pbx.get("ACK")
		pbx.answer(pbx.wantTimer(pbx.numbered("INVITE", 2), "3600", "3600"), 200, "Session-Expires: 3600;refresher=uac")
		from := alice.uac(alice.numbered("200", 1))
		from.send("ACK")
		pbx.numbered("ACK", 2)

		alice.n = 0
		alice.request("INVITE", "sip:200@example.com", "c2", timer90)
		pbx.answer(pbx.wantTimer(pbx.numbered("INVITE", 1), "90", ""), 486)
		pbx.get("ACK")
		alice.get("486")

		from.send("INFO")
		pbx.challenge(pbx.numbered("INFO", 3), "n1")
		alice.numbered("407", 2)
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 4), 200)
		alice.numbered("200", 3)
	})
}

// A minimum that is remembered is asked for again after a while: who wanted it may be gone.
func TestMinimumExpires(t *testing.T) {
	brief(t, func(r *rig, alice, pbx *peer) {
		r.proxy.Terms = nil
		for i, c := range []struct {
			after      time.Duration
			timer, min string
		}{{0, "90", ""}, {learntFor - time.Second, "120", "120"}, {time.Second, "90", ""}} {
			pass(c.after)
			alice.n = 0
			alice.request("INVITE", "sip:200@example.com", "c"+strconv.Itoa(i), timer90)
			inv := pbx.wantTimer(pbx.get("INVITE"), c.timer, c.min)
			if c.min == "" {
				pbx.tooBrief(inv)
				inv = pbx.wantTimer(pbx.get("INVITE"), "120", "120")
			}
			pbx.answer(inv, 486)
			pbx.get("ACK")
			alice.get("486")
		}
	})
}

// Hops of an upstream that want different intervals are content with the longest.
func TestLongestMinimumIsKept(t *testing.T) {
	var s minimums
	for _, d := range []time.Duration{2 * time.Minute, 90 * time.Second, 3 * time.Minute, 2 * time.Minute} {
		s.learn("pbx", d)
	}
	s.learn("pbx", time.Hour) // too long to be everybody's
	if got := s.get("pbx"); got != 3*time.Minute {
		t.Errorf("the least is %v", got)
	}
	if got := s.get("other") + s.get(""); got != 0 {
		t.Errorf("another's is %v", got)
	}
}

func TestInterval(t *testing.T) { // RFC 4028 §4, §5
	for value, want := range map[string]time.Duration{
		"90": 90, " 90 ; refresher=uac": 90, "1800;refresher=uas": 1800, "": 0, "soon": 0, "-1": 0, "99999999999": 0, "90 s": 0,
	} {
		if got := interval(value); got != want*time.Second {
			t.Errorf("%q: %v", value, got)
		}
	}
}
