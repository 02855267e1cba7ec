package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// dead_peer_bye: 60 s after a peer's flow was lost for good the survivor gets a
// BYE that its dialog takes (RFC 3261 §12.2.1.1).
func TestDeadPeerBye(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, to := r.call(alice, bob, "bob", "c1")
		from.send("INFO")
		bob.answer(bob.get("INFO"), 200)
		alice.get("200")
		alice.hangup(sip.CloseLost)
		pass(59 * time.Second)
		bob.quiet()
		pass(2 * time.Second)
		bye := bob.get("BYE")
		n, _ := bye.CSeq()
		if bye.RequestURI() != from.target || bye.FromTag() != "alice" || bye.ToTag() != "tobob" || bye.CallID() != "c1" ||
			n != from.cseq+1 || !strings.Contains(bye.Value(sip.Reason), "480") || bye.Has(sip.Route) {
			t.Errorf("BYE:\n%s", bye)
		}
		bob.answer(bye, 200)
		if len(r.proxy.Calls()) != 0 || len(r.ended) != 1 || r.ended[0].EndedBy != "dead_peer" {
			t.Errorf("call table %v, ended %v", r.proxy.Calls(), r.ended)
		}
		_ = to
	})
}

// The peer came back: no BYE.
func TestNoByeForPeerThatCameBack(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		r.call(alice, bob, "bob", "c1")
		bob.hangup(sip.CloseLost)
		pass(50 * time.Second)
		again := bob.back().register()
		pass(60 * time.Second)
		alice.quiet()
		again.hangup(sip.CloseLost) // and is lost again
		pass(61 * time.Second)
		alice.get("BYE")
	})
}

// The survivor is a PBX: the BYE takes its route set and goes to its address.
func TestDeadPeerByeToUpstream(t *testing.T) {
	bubble(t, func(r *rig) {
		bob := r.phone("bob", "")
		pbx := r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["bob"] = []Target{bob.target()}
		pbx.request("INVITE", "sip:bob@example.com", "c1", "Record-Route: <sip:203.0.113.9;lr>")
		inv := bob.get("INVITE")
		bob.answer(inv, 200)
		from := pbx.uac(pbx.get("200"))
		from.routes = from.routes[1:] // the PBX's edge takes its own off
		from.send("ACK")
		bob.get("ACK")
		edge := r.pbx(sip.UDP, "203.0.113.9:5060")
		bob.hangup(sip.CloseGoingAway)
		pass(61 * time.Second)
		bye := edge.get("BYE")
		if got := values(bye, sip.Route); len(got) != 1 || got[0] != "<sip:203.0.113.9;lr>" || bye.RequestURI() != contactURI(pbx) {
			t.Errorf("BYE:\n%s", bye)
		}
	})
}

// The call table is bounded: the oldest is forgotten, its dialog goes on.
func TestCallTableIsBounded(t *testing.T) {
	bubble(t, func(r *rig) {
		r.proxy.calls.max = 2
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		first, _ := r.call(alice, bob, "bob", "c1")
		r.call(alice, bob, "bob", "c2")
		r.call(alice, bob, "bob", "c3")
		if calls := r.proxy.Calls(); len(calls) != 2 || calls[0].CallID != "c2" || r.proxy.Counters.CallsForgotten.Load() != 1 {
			t.Errorf("call table %v", calls)
		}
		first.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		alice.get("200")
	})
}
