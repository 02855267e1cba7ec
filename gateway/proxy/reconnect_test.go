package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// the instance is back on a new connection: in-dialog requests of
// both sides go on by the same route set (RFC 5626 §5.3).
func TestReconnectInDialog(t *testing.T) {
	for _, oldCloses := range []bool{true, false} { // the new REGISTER may come before the old socket is known to be dead
		bubble(t, func(r *rig) {
			alice, bob := r.phone("alice", ""), r.phone("bob", "")
			r.aors["bob"] = []Target{bob.target()}
			from, to := r.call(alice, bob, "bob", "c1")
			if oldCloses {
				bob.hangup(sip.CloseLost)
			}
			again := bob.back().register()
			from.send("INFO")
			again.answer(again.get("INFO"), 200)
			alice.get("200")
			to.p = again
			to.send("BYE")
			alice.answer(alice.get("BYE"), 200)
			again.get("200")
			bob.quiet()
		})
	}
}

// Away: an INVITE hears 100 and waits, other requests wait too, ACKs keep the newest;
// when the client is back all go out in the order they came.
func TestHeldRequestsGoOutInOrder(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		bob.hangup(sip.CloseLost)
		from.send("ACK") // the 200 was sent again
		from.send("ACK")
		from.send("INVITE")
		alice.get("100")
		from.send("INFO")
		alice.quiet()
		pass(3600 * time.Millisecond)
		alice.get("100") // RFC 4320 §4.1
		again := bob.back()
		again.quiet()
		again.register()
		again.get("ACK")
		inv := again.get("INVITE")
		info := again.get("INFO")
		again.quiet()
		again.answer(inv, 200)
		again.answer(info, 200)
		alice.get("200")
		alice.get("200")
		if n := r.proxy.Counters.Released.Load(); n != 3 {
			t.Errorf("%d released, want 3", n)
		}
	})
}

// Not back in time: INVITE 480 after 32 s, others after 25 s; a held INVITE can be cancelled.
func TestHoldEndsWith480(t *testing.T) {
	bubble(t, func(r *rig) {
		r.proxy.Times.DeadPeerBye = time.Hour
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		bob.hangup(sip.CloseLost)
		from.send("ACK")
		from.send("INVITE")
		alice.get("100")
		from.send("INFO")
		pass(24 * time.Second)
		alice.get("100")
		alice.quiet()
		pass(1100 * time.Millisecond)
		if m := alice.get("480"); m.Method() != "INFO" {
			t.Errorf("480 to %s, want INFO", m.Method())
		}
		pass(5 * time.Second)
		alice.quiet()
		pass(2 * time.Second)
		if m := alice.get("480"); m.Method() != "INVITE" {
			t.Errorf("480 to %s, want INVITE", m.Method())
		}
		if n := r.proxy.Counters.Dropped(DropAckAway); n != 1 {
			t.Errorf("%d held ACKs dropped, want 1", n)
		}
		text := from.send("INVITE")
		alice.get("100")
		alice.cancel(text)
		alice.get("200")
		alice.get("487")
		if l := &r.proxy.waiting; l.n != 0 || len(l.wait)+len(l.of)+len(l.in) != 0 {
			t.Errorf("%d still wait", l.n)
		}
		again := bob.back().register()
		again.quiet()
	})
}

// What is held is bounded per dialog.
func TestHoldIsBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		bob.hangup(sip.CloseLost)
		for range maxHeldPerDialog {
			from.send("INFO")
		}
		alice.quiet()
		from.send("INFO")
		alice.get("480")
		if n := r.proxy.Counters.Dropped(DropHeldFull); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
	})
}

// attack: ten connections of one user with messages to his own tab that is away; who loses his connection meanwhile gets
// what was sent to him when he is back.
func TestOneUsersMessagesToHimselfBreakNobodysReconnect(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob, tab := r.phone("alice", ""), r.phone("bob", ""), r.phone("mallory", "-tab")
		r.aors["bob"], r.aors["mallory"] = []Target{bob.target()}, []Target{tab.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		tab.hangup(sip.CloseLost)
		refused := 0
		for i := range 10 {
			p := r.phone("mallory", fmt.Sprint("-", i))
			p.flow.AuthenticatedAs("mallory@example.com")
			for n := range 1100 {
				id := fmt.Sprint("m", i, "-", n)
				p.write(fmt.Sprintf("MESSAGE sip:mallory@example.com SIP/2.0\nVia: SIP/2.0/WS m.invalid;branch=z9hG4bK%s\nMax-Forwards: 70\n"+
					"From: <sip:mallory@example.com>;tag=%s\nTo: <sip:mallory@example.com>\nCall-ID: %s\nCSeq: 1 MESSAGE\nContent-Length: 0\n\n", id, id, id))
			}
			refused += len(p.inbox)
		}
		if n := r.proxy.waiting.n; n != maxHeldPerPair || refused != 10*1100-maxHeldPerPair {
			t.Errorf("%d are held and %d refused, want %d held", n, refused, maxHeldPerPair)
		}
		bob.hangup(sip.CloseLost)
		from.send("INFO")
		again := bob.back().register()
		again.answer(again.get("INFO"), 200)
		alice.get("200")
	})
}

// A valid token on a flow that has proved nothing: 407, and then it is a party if it is.
func TestInDialogFromUnknownFlowIsChallenged(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		alice.hangup(sip.CloseLost)
		from.p = alice.back()
		from.send("BYE")
		from.p.get("407")
		from.send("BYE", "X-Password: mallory@example.com")
		from.p.get("403")
		bob.quiet()
		from.p = alice.back()
		from.send("INFO", "X-Password: alice@example.com") // not registered yet, but alice
		bob.answer(bob.get("INFO"), 200)
		from.p.get("200")
		from.send("ACK")
		bob.get("ACK")
		from.p.register()
		from.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		from.p.get("200")
	})
}

// The same while the old socket is not known to be dead; and after dead_peer_bye it is too late.
func TestAuthenticatedForTheTokensAOR(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, to := r.call(alice, bob, "bob", "c1")
		from.p = alice.back()
		from.send("INFO", "X-Password: alice@example.com")
		bob.answer(bob.get("INFO"), 200)
		from.p.get("200")
		bob.hangup(sip.CloseLost)
		pass(61 * time.Second)
		alice.get("BYE") // for bob
		to.p = bob.back()
		to.send("INFO", "X-Password: bob@example.com")
		to.p.get("403")
		if n := len(r.proxy.gone.byName); n != 0 {
			t.Errorf("%d names of gone flows kept", n)
		}
	})
}

// An ACK from a flow that has yet to register waits at most 5 s.
func TestAckOfUnknownFlowIsHeld(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		alice.hangup(sip.CloseLost)
		from.p = alice.back()
		from.send("ACK")
		from.send("ACK")
		bob.quiet()
		from.p.register()
		bob.get("ACK")
		bob.quiet()
		from.p.hangup(sip.CloseLost)
		from.p = alice.back()
		from.send("ACK")
		pass(5100 * time.Millisecond)
		from.p.register()
		bob.quiet()
		if n := r.proxy.Counters.Dropped(DropAckUnproven); n != 1 {
			t.Errorf("%d dropped, want 1", n)
		}
	})
}

// SIP.js reconnects while it rings and answers on the new socket.
func TestCalleeAnswersOnNewSocket(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(1)
		bob := tabs[0]
		bob.answer(inv[0], 180)
		alice.get("180")
		bob.hangup(sip.CloseNormal)
		pass(2 * time.Second)
		again := bob.back().register()
		if m := again.get("INVITE"); m.Value(sip.Via) != inv[0].Value(sip.Via) { // which JsSIP has forgotten with its socket
			t.Errorf("no retransmission:\n%s", m)
		}
		pass(10 * time.Second)
		alice.quiet()
		again.answer(inv[0], 200)
		from := alice.uac(alice.get("200"))
		from.send("ACK")
		again.get("ACK")
		from.send("BYE")
		again.answer(again.get("BYE"), 200)
		alice.get("200")
	})
}

// a closed tab does not ring on: 480 at once after 1001, after reconnect_grace otherwise.
func TestCalleesTabDies(t *testing.T) {
	for _, why := range []sip.CloseReason{sip.CloseGoingAway, sip.CloseLost, sip.CloseNormal} {
		bubble(t, func(r *rig) {
			alice, tabs, inv, _ := r.fork(2)
			for i := range tabs {
				tabs[i].answer(inv[i], 180)
				alice.get("180")
			}
			tabs[1].answer(inv[1], 404)
			tabs[0].hangup(why)
			if why != sip.CloseGoingAway {
				pass(4900 * time.Millisecond)
				alice.quiet()
				pass(200 * time.Millisecond)
			}
			alice.get("480")
			if n := r.proxy.Counters.Contexts.Load(); n != 0 {
				t.Errorf("%d contexts open", n)
			}
		})
	}
}

// A tab that was given up after reconnect_grace comes back: it hears CANCEL and does not ring on.
func TestGivenUpTabIsCancelledWhenItIsBack(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(1)
		bob := tabs[0]
		bob.answer(inv[0], 180)
		alice.get("180")
		bob.hangup(sip.CloseLost)
		pass(6 * time.Second)
		alice.get("480")
		again := bob.back().register()
		again.answer(again.get("CANCEL"), 200)
		again.answer(inv[0], 487)
		again.get("ACK")
		alice.quiet()
		r.clean()
	})
}

// The caller reconnects while it rings and is lost again: CANCEL.
func TestCallerReconnectsAndDies(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(1)
		tabs[0].answer(inv[0], 180)
		alice.get("180")
		alice.hangup(sip.CloseLost)
		again := alice.back().register()
		again.hangup(sip.CloseGoingAway)
		tabs[0].get("CANCEL")
	})
}

// The caller reconnects while it rings: the call goes on and its answer reaches the new socket.
func TestCallerReconnectsWhileRinging(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(1)
		bob := tabs[0]
		bob.answer(inv[0], 180)
		alice.get("180")
		alice.hangup(sip.CloseLost)
		pass(time.Second)
		again := alice.back().register()
		pass(10 * time.Second)
		bob.quiet()
		bob.answer(inv[0], 200)
		from := again.uac(again.get("200"))
		from.send("ACK")
		bob.get("ACK")
	})
}

// A binding whose flow has just died: the INVITE waits for reconnect_grace, then 480 (R1), or goes out.
func TestInviteToFlowInGrace(t *testing.T) {
	for _, comes := range []bool{true, false} {
		bubble(t, func(r *rig) {
			alice, bob := r.phone("alice", ""), r.phone("bob", "")
			r.aors["bob"] = []Target{bob.target()}
			if !r.proxy.Reachable(r.aors["bob"]) {
				t.Error("bob counts as away")
			}
			bob.hangup(sip.CloseLost)
			if r.proxy.Reachable(r.aors["bob"]) {
				t.Error("bob counts as reachable")
			}
			alice.request("INVITE", "sip:bob@example.com", "c1")
			alice.get("100")
			pass(4 * time.Second)
			if !comes {
				pass(1100 * time.Millisecond)
				alice.get("480")
				return
			}
			again := bob.back().register()
			inv := again.get("INVITE")
			if !strings.HasPrefix(inv.RequestURI(), "sip:bob@") {
				t.Errorf("Request-URI %s", inv.RequestURI())
			}
			again.answer(inv, 486)
			alice.get("486")
		})
	}
}

// A half-open socket during a call: the request is sent again, as a retransmission, on the
// connection by which the client comes back, and is not lost after the ping.
func TestInDialogRequestOnHalfOpenSocket(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		from.send("INVITE")
		first := bob.get("INVITE") // into the void
		pass(10 * time.Second)
		alice.get("100")
		alice.quiet()
		if bob.why != sip.CloseDead {
			t.Errorf("flow closed for %q, want dead", bob.why)
		}
		again := bob.back().register()
		inv := again.get("INVITE")
		if inv.String() != first.String() {
			t.Errorf("sent again:\n%s\nfirst:\n%s", inv, first)
		}
		again.answer(inv, 200)
		alice.get("200")
	})
}

// The same when the binding has ended meanwhile (reconnect_grace): the dialog lives on.
func TestInDialogRequestOutlivesTheBinding(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		from.send("INVITE")
		bob.get("INVITE")
		bob.hangup(sip.CloseLost)
		pass(5 * time.Second)
		r.flows.Unbind(bob.flow, bob.agent)
		pass(5 * time.Second)
		again := bob.back().register()
		inv := again.get("INVITE")
		alice.get("100")
		again.answer(inv, 200)
		alice.get("200")
		from.send("ACK")
		again.get("ACK")
		pass(2 * time.Minute)
		alice.quiet() // no BYE: bob is back
		again.hangup(sip.CloseLost)
		pass(61 * time.Second)
		alice.get("BYE")
	})
}

// And when the client does not come back: 480 when the wait is over.
func TestInDialogRequestOnDeadSocket(t *testing.T) {
	bubble(t, func(r *rig) {
		r.proxy.Times.DeadPeerBye = time.Hour
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		from.send("INFO")
		bob.get("INFO")
		bob.hangup(sip.CloseLost)
		pass(24 * time.Second)
		alice.get("100")
		alice.quiet()
		pass(1100 * time.Millisecond)
		alice.get("480")
		if n := r.proxy.Counters.Contexts.Load(); n != 0 {
			t.Errorf("%d contexts open", n)
		}
	})
}

// A re-INVITE's 2xx and a re-INVITE move the remote target (RFC 3261 §12.2.1.2): the BYE by us goes there.
func TestTargetRefreshIsNoted(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		from.send("INVITE")
		inv := bob.get("INVITE")
		bob.name = "moved"
		bob.write(strings.Replace(string(inv.AppendReply(nil, &sip.Reply{Status: 200})), "CSeq:", "Contact: <sip:moved@phone.invalid>\r\nCSeq:", 1))
		alice.get("200")
		from.send("ACK")
		bob.get("ACK")
		alice.hangup(sip.CloseGoingAway)
		pass(61 * time.Second)
		if bye := bob.get("BYE"); bye.RequestURI() != "sip:moved@phone.invalid" {
			t.Errorf("BYE to %s", bye.RequestURI())
		}
	})
}
