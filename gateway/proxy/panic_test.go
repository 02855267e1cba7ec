package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// hurt is the Call-ID whose messages make a hook panic.
const hurt = "hurt"

// surviving runs f with a proxy of which one hook panics at the call hurt, and then looks at what must not
// have suffered: the wheel, the other call, and the count of panics.
func surviving(t *testing.T, want int, cfg Config, f func(r *rig, alice, bob *peer)) {
	t.Helper()
	told := 0
	cfg.Panicked = func(any, []byte) { told++ }
	bubbleWith(t, cfg, func(r *rig) {
		alice, bob := r.phone("alice", "1"), r.phone("bob", "1")
		r.aors["bob"] = []Target{bob.target()}
		f(r, alice, bob)
		fired := false
		r.proxy.Wheel.After(new(transaction.Timer), time.Second, transaction.AlarmFunc(func() { fired = true }))
		pass(200 * time.Second) // Timer C, ring time-out, timers B and H are over
		if !fired {
			t.Fatal("the wheel stands still")
		}
		if told != want {
			t.Errorf("%d panics told, want %d", told, want)
		}
		from, _ := r.call(alice, bob, "bob", "well")
		from.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		alice.get("200")
		pass(time.Minute)
		for kind, n := range r.table.Stats().Live {
			if n != 0 {
				t.Errorf("%d transactions of kind %s are left", n, transaction.Kind(kind))
			}
		}
		alice.hangup(sip.CloseNormal)
		bob.hangup(sip.CloseNormal)
		pass(2 * time.Minute)
		r.clean()
	})
}

// A panic in Branch answers 500: nothing has left.
func TestPanicInBranch(t *testing.T) {
	cfg := Config{Branch: func(req *sip.Message, _ *sip.Splice, _, _ *flow.Flow, _ *Target) error {
		if req.CallID() == hurt {
			panic("branch")
		}
		return nil
	}}
	surviving(t, 1, cfg, func(r *rig, alice, bob *peer) {
		alice.request("INVITE", "sip:bob@example.com", hurt)
		alice.get("500")
		bob.quiet()
	})
}

// A panic in Relay at a 180 answers 500 and cancels what rings (RFC 3261 §9.1); at a 200 the callee's
// retransmission is acknowledged and ended.
func TestPanicInRelay(t *testing.T) {
	relay := func(at int) Config {
		return Config{Relay: func(_ *transaction.Server, resp *sip.Message, _ *sip.Splice, _ *flow.Flow) {
			if resp.CallID() == hurt && resp.Status() == at {
				panic("relay")
			}
		}}
	}
	surviving(t, 1, relay(180), func(r *rig, alice, bob *peer) {
		alice.request("INVITE", "sip:bob@example.com", hurt)
		inv := bob.get("INVITE")
		bob.answer(inv, 180)
		alice.get("500")
		if c := bob.get("CANCEL"); !strings.Contains(c.Value(sip.Reason), "cause=500") {
			t.Errorf("Reason: %s, want cause=500", c.Value(sip.Reason))
		}
		bob.answer(inv, 487)
		bob.get("ACK")
	})
	surviving(t, 1, relay(200), func(r *rig, alice, bob *peer) {
		alice.request("INVITE", "sip:bob@example.com", hurt)
		inv := bob.get("INVITE")
		bob.answer(inv, 200)
		alice.get("500")
		bob.answer(inv, 200) // RFC 3261 §13.3.1.4: again, as no ACK came
		bob.get("ACK")
		bob.answer(bob.get("BYE"), 200)
	})
}

// A panic in Finished or Ended concerns nobody.
func TestPanicInFinished(t *testing.T) {
	surviving(t, 3, Config{}, func(r *rig, alice, bob *peer) {
		r.proxy.Finished = func(s Summary) {
			if s.CallID == hurt {
				panic("finished")
			}
		}
		r.proxy.Ended = func(c Call) {
			if c.CallID == hurt {
				panic("ended")
			}
		}
		from, _ := r.call(alice, bob, "bob", hurt)
		from.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		alice.get("200")
	})
}

// A panic while a connection to a hop is being opened reaches neither who opens it nor the next call.
func TestPanicOnceReached(t *testing.T) {
	cfg := Config{Branch: func(req *sip.Message, _ *sip.Splice, _, _ *flow.Flow, _ *Target) error {
		if req.CallID() == hurt {
			panic("branch")
		}
		return nil
	}}
	surviving(t, 1, cfg, func(r *rig, alice, bob *peer) {
		pbx := r.pbx(sip.TCP, "203.0.113.1:5060")
		r.slow[pbx.info.Remote] = nil
		r.aors["desk"] = []Target{{Upstream: "pbx", Hops: []Hop{{Addr: pbx.info.Remote}}}}
		alice.request("INVITE", "sip:desk@example.com", hurt)
		alice.quiet()
		for _, reached := range r.slow[pbx.info.Remote] {
			reached()
		}
		alice.get("500")
		pbx.quiet()
		pbx.hangup(sip.CloseNormal)
	})
}

// A panic at one of many who wait on a flow does not keep its end from the others.
func TestPanicAmongMany(t *testing.T) {
	hurts := 0
	cfg := Config{Branch: func(req *sip.Message, _ *sip.Splice, _, _ *flow.Flow, _ *Target) error {
		if req.CallID() == hurt {
			if hurts++; hurts == 2 {
				panic("branch")
			}
		}
		return nil
	}}
	surviving(t, 1, cfg, func(r *rig, alice, bob *peer) {
		carol, first := r.phone("carol", "1"), r.phone("bob", "2")
		ways := []Target{first.target(), bob.target()}
		ways[0].Instance, ways[1].Instance = bob.agent, bob.agent // two flows of one user agent (RFC 5626)
		r.aors["both"] = ways
		carol.request("INVITE", "sip:both@example.com", "other")
		alice.request("INVITE", "sip:both@example.com", hurt) // hangs on the flow before carol's
		first.get("INVITE")
		first.get("INVITE")
		first.hangup(sip.CloseNormal)
		alice.get("500")
		bob.answer(bob.get("INVITE"), 486)
		carol.get("486")
		bob.get("ACK")
		bob.quiet()
		carol.hangup(sip.CloseNormal)
	})
}
