package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// RFC 3261 §16.10, §21.5.4: what rings when we stop is cancelled, its caller is told to
// come again, and an answer that crosses the CANCEL is acknowledged and ended by us.
func TestStopEndsWhatRings(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(3)
		tabs[0].answer(inv[0], 180)
		alice.get("180")
		r.proxy.Stop()
		resp := alice.get("503")
		if !resp.Has(sip.RetryAfter) {
			t.Errorf("no Retry-After:\n%s", resp)
		}
		if cancel := tabs[0].get("CANCEL"); !strings.Contains(cancel.Value(sip.Reason), "cause=503") {
			t.Errorf("CANCEL:\n%s", cancel)
		}
		tabs[0].answer(inv[0], 487)
		tabs[1].answer(inv[1], 180) // RFC 3261 §9.1: no CANCEL before a provisional
		tabs[1].get("CANCEL")
		tabs[1].answer(inv[1], 487)
		tabs[2].answer(inv[2], 200) // it crossed
		tabs[2].get("ACK")
		tabs[2].answer(tabs[2].get("BYE"), 200)
		if n := r.proxy.Counters.Contexts.Load(); n != 0 {
			t.Errorf("%d contexts pending", n)
		}
		pass(time.Minute)
		alice.quiet()
	})
}

// A call whose ends we close to restart goes on: nobody gets a BYE for the other.
func TestStopIsNoDeathOfAPeer(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		r.call(alice, bob, "bob", "c1")
		alice.hangup(sip.CloseShutdown)
		pass(5 * time.Minute)
		bob.quiet()
	})
}
