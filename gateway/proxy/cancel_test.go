package proxy

import (
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// RFC 3261 §16.10, §9.1, RFC 3326: CANCEL goes on with its Reason, and the branch's own 487 comes back.
func TestCancelPassesReasonAndWaitsFor487(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, text := r.fork(1)
		bob := tabs[0]
		bob.answer(inv[0], 180)
		alice.get("180")
		alice.cancel(text, `Reason: SIP;cause=200;text="Call completed elsewhere"`)
		alice.get("200") // to the CANCEL
		c := bob.get("CANCEL")
		if c.Value(sip.Reason) != `SIP;cause=200;text="Call completed elsewhere"` || c.TopVia().Branch != inv[0].TopVia().Branch {
			t.Errorf("CANCEL at bob:\n%s", c)
		}
		bob.answer(c, 200)
		alice.quiet() // §16.10: no 487 of ours
		bob.answer(inv[0], 487)
		bob.get("ACK")
		alice.get("487")
		alice.quiet()
	})
}

// RFC 3261 §9.1: before a provisional the CANCEL waits.
func TestCancelWaitsForProvisional(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, text := r.fork(1)
		bob := tabs[0]
		alice.cancel(text)
		alice.get("200")
		bob.quiet()
		alice.quiet()
		bob.answer(inv[0], 180)
		alice.get("180")
		bob.answer(bob.get("CANCEL"), 200)
		bob.answer(inv[0], 487)
		alice.get("487")
	})
}

// A 2xx that crosses the CANCEL is forwarded; no 487 follows.
func TestCancelCrosses200(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, text := r.fork(1)
		bob := tabs[0]
		bob.answer(inv[0], 180)
		alice.get("180")
		alice.cancel(text)
		alice.get("200")
		bob.get("CANCEL")
		bob.answer(inv[0], 200)
		m := alice.get("200")
		if m.Method() != "INVITE" {
			t.Errorf("200 to %s, want INVITE", m.Method())
		}
		alice.uac(m).send("ACK")
		bob.get("ACK")
		pass(40 * time.Second)
		alice.quiet()
	})
}

// RFC 3261 §9.1: nobody answers the CANCEL: 487 after 64*T1, by us.
func TestCancelWithoutAnswer(t *testing.T) {
	bubble(t, func(r *rig) {
		r.proxy.Times.Answer = time.Hour
		alice, tabs, inv, text := r.fork(1)
		tabs[0].answer(inv[0], 180)
		alice.get("180")
		alice.cancel(text)
		alice.get("200")
		pass(31 * time.Second)
		alice.quiet()
		pass(2 * time.Second)
		alice.get("487")
	})
}

// After CANCEL no further group, hop or flow is tried, and 487 wins.
func TestCancelStopsSerialSearch(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, a, b := r.phone("alice", ""), r.phone("bob", "-a"), r.phone("bob", "-b")
		first, second := a.target(), b.target()
		first.Q, second.Q = 1000, 500
		r.aors["bob"] = []Target{first, second}
		text := alice.request("INVITE", "sip:bob@example.com", "c1")
		inv := a.get("INVITE")
		a.answer(inv, 180)
		alice.get("180")
		alice.cancel(text)
		alice.get("200")
		a.get("CANCEL")
		a.answer(inv, 487)
		alice.get("487")
		b.quiet()
	})
}

// A CANCEL while other forks fail: their 486 does not hide the 487.
func TestCancelWith486AndFork(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, text := r.fork(2)
		for i := range tabs {
			tabs[i].answer(inv[i], 180)
			alice.get("180")
		}
		tabs[0].answer(inv[0], 486)
		alice.cancel(text)
		alice.get("200")
		tabs[1].get("CANCEL")
		tabs[1].answer(inv[1], 487)
		alice.get("487")
	})
}

// The caller's tab dies: a close with 1001 cancels at once, a lost connection after reconnect_grace.
func TestCallersTabDies(t *testing.T) {
	for _, c := range []struct {
		why  sip.CloseReason
		wait time.Duration
	}{{sip.CloseGoingAway, 0}, {sip.CloseLost, 5 * time.Second}} {
		bubble(t, func(r *rig) {
			alice, tabs, inv, _ := r.fork(1)
			tabs[0].answer(inv[0], 180)
			alice.get("180")
			alice.hangup(c.why)
			if c.wait > 0 {
				pass(c.wait - time.Second)
				tabs[0].quiet()
				pass(time.Second + 50*time.Millisecond)
			}
			m := tabs[0].get("CANCEL")
			tabs[0].answer(m, 200)
			tabs[0].answer(inv[0], 487)
			tabs[0].get("ACK")
			if n := r.proxy.Counters.Contexts.Load(); n != 0 {
				t.Errorf("%s: %d contexts open", c.why, n)
			}
		})
	}
}

// RFC 3326 §2: every CANCEL that is ours says why, so that a phone can tell a missed call from one
// that was declined or answered elsewhere. (The caller's own: TestCancelPassesReasonAndWaitsFor487.)
func TestCancelOfOursSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, want string
		do         func(r *rig, bob *peer)
	}{
		{"ring_timeout", `SIP;cause=408;text="No answer"`, func(*rig, *peer) { pass(121 * time.Second) }},
		{"un-REGISTER", `SIP;cause=480;text="Unregistered"`, func(r *rig, bob *peer) { r.proxy.Unregistered(bob.flow.ID, bob.agent) }},
		{"Timer C", `SIP;cause=408;text="No progress"`, func(r *rig, _ *peer) { pass(186 * time.Second) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				if c.name == "Timer C" {
					r.proxy.Times.Ring = time.Hour
				}
				alice, tabs, inv, _ := r.fork(1)
				tabs[0].answer(inv[0], 180)
				alice.get("180")
				c.do(r, tabs[0])
				if got := tabs[0].get("CANCEL").Value(sip.Reason); got != c.want {
					t.Errorf("Reason %q, want %q", got, c.want)
				}
			})
		})
	}
}
