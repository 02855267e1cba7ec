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

// RFC 4028 §10: a call between a UDP phone and an upstream whose BYE never comes leaves the table when its session timer has
// run out; each refresh, by UPDATE or re-INVITE, gives it its time anew.
func TestCallExpiresWithItsSessionTimer(t *testing.T) {
	bubble(t, func(r *rig) {
		phone, pbx := r.connect("alice", sip.UDP, "198.51.100.7:5060"), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["600"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		phone.request("INVITE", "sip:600@example.com", "c1")
		inv := pbx.get("INVITE")
		pbx.answer(inv, 200, "x: 1800;refresher=uac")
		from := phone.uac(phone.get("200"))
		from.send("ACK")
		pbx.get("ACK")
		for _, method := range []string{"UPDATE", "INVITE"} {
			pass(1800 * time.Second)
			from.send("INFO") // is no refresh
			pbx.answer(pbx.get("INFO"), 200)
			phone.get("200")
			from.send(method)
			pbx.answer(pbx.get(method), 200, "Session-Expires : 1800 ;refresher=uac")
			phone.get("200")
			if method == "INVITE" {
				from.send("ACK")
				pbx.get("ACK")
			}
		}
		pass(30 * time.Minute)
		from.send("INFO")
		pbx.answer(pbx.get("INFO"), 200)
		phone.get("200")
		if n := r.proxy.CallCount(); n != 1 {
			t.Fatalf("%d calls before the session has run out", n)
		}
		pass(2 * time.Minute)
		if len(r.ended) != 1 || r.ended[0].EndedBy != "expired" || r.proxy.Counters.CallsExpired.Load() != 1 {
			t.Errorf("ended: %v", r.ended)
		}
		pbx.quiet()
		phone.quiet()
		r.clean()
		from.send("BYE") // routing does not ask the table
		pbx.answer(pbx.get("BYE"), 200)
		phone.get("200")
	})
}

// Without a session timer it is 12 hours of silence, also after a refresh that ended the timer (RFC 4028 §7.2).
func TestSilentCallExpires(t *testing.T) {
	for name, timer := range map[string][]string{"never had a timer": nil, "timer ended": {"Session-Expires: 90"}, "no number": {"Session-Expires: soon"}, "too long": {"Session-Expires: 4000000000"}} {
		bubble(t, func(r *rig) {
			alice, bob := r.phone("alice", ""), r.phone("bob", "")
			r.aors["bob"] = []Target{bob.target()}
			alice.request("INVITE", "sip:bob@example.com", "c1")
			inv := bob.get("INVITE")
			bob.answer(inv, 200, timer...)
			from := alice.uac(alice.get("200"))
			from.send("ACK")
			bob.get("ACK")
			pass(time.Minute)
			from.send("UPDATE")
			bob.answer(bob.get("UPDATE"), 200)
			alice.get("200")
			pass(11 * time.Hour)
			from.send("INFO")
			bob.answer(bob.get("INFO"), 200)
			alice.get("200")
			pass(11 * time.Hour)
			if r.proxy.CallCount() != 1 {
				t.Errorf("%s: gone 11 hours after it was heard", name)
			}
			pass(61 * time.Minute)
			if r.proxy.CallCount() != 0 || r.proxy.Counters.CallsExpired.Load() != 1 {
				t.Errorf("%s: still there after 12 silent hours", name)
			}
			r.clean()
		})
	}
}
