package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// trunk is two hops of the upstream and the user 200 behind them.
func (r *rig) trunk(tr sip.Transport) (one, two *peer) {
	one, two = r.pbx(tr, "203.0.113.1:5060"), r.pbx(tr, "203.0.113.2:5060")
	r.aors["200"] = []Target{{Hops: []Hop{{Addr: one.info.Remote, Transport: tr}, {Addr: two.info.Remote, Transport: tr}}, Upstream: "pbx"}}
	return one, two
}

// hops are tried in order on refusal, 503 and silence (try_timeout).
func TestHopFailover(t *testing.T) {
	for _, how := range []string{"refused", "503", "silent"} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, two := r.trunk(sip.UDP)
			r.refusing[one.info.Remote] = how == "refused"
			alice.request("INVITE", "sip:200@example.com", "c1")
			switch how {
			case "503":
				one.answer(one.get("INVITE"), 503)
				one.get("ACK")
			case "silent":
				pass(2*time.Second + 50*time.Millisecond)
			}
			inv := two.get("INVITE")
			two.answer(inv, 180)
			for alice.inbox[0][:11] == "SIP/2.0 100" {
				alice.inbox = alice.inbox[1:]
			}
			alice.get("180")
			two.answer(inv, 200)
			from := alice.uac(alice.get("200"))
			from.send("ACK")
			two.get("ACK")
			from.send("BYE")
			two.answer(two.get("BYE"), 200)
			alice.get("200")
		})
	}
}

// After a 180 a hop's 503 is the callee's answer: no second hop rings, and the caller does
// not leave us for it (RFC 3261 §16.7 step 6).
func TestNoFailoverAfterRinging(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 180)
		alice.get("180")
		one.answer(inv, 503, "Retry-After: 3600")
		if m := alice.get("500"); m.Named("Retry-After") != "" {
			t.Errorf("a callee's Retry-After is no gateway's:\n%s", m)
		}
		two.quiet()
	})
}

// RFC 3261 §16.7 step 6: 503 is for the caller only when we know that the whole upstream takes no
// calls: then it is ours, says why and when to come back. However each hop said no.
func TestAllHopsFail(t *testing.T) {
	for _, how := range [][2]string{{"refused", "refused"}, {"503", "503"}, {"silent", "refused"}, {"503", "silent"}, {"refused", "503"}} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, two := r.trunk(sip.UDP)
			for i, p := range []*peer{one, two} {
				r.refusing[p.info.Remote] = how[i] == "refused"
			}
			alice.request("INVITE", "sip:200@example.com", "c1")
			for i, p := range []*peer{one, two} {
				switch how[i] {
				case "503":
					p.answer(p.get("INVITE"), 503, "Retry-After: 3600")
					p.get("ACK")
				case "silent":
					p.get("INVITE")
					pass([]time.Duration{2050 * time.Millisecond, 33 * time.Second}[i])
				}
			}
			for strings.HasPrefix(alice.inbox[0], "SIP/2.0 100") {
				alice.inbox = alice.inbox[1:]
			}
			m := alice.get("503")
			if m.Named("Retry-After") != "10" || !strings.Contains(m.ReasonPhrase(), "no server of the upstream") {
				t.Errorf("%v:\n%s", how, m)
			}
			r.clean()
		})
	}
}

// RFC 3261 §16.7 step 6: the 503 to a re-INVITE is its peer's own.
func Test503WithinADialog(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		from, _ := r.call(alice, one, "200", "c1")
		from.send("INVITE")
		one.answer(one.get("INVITE"), 503)
		alice.get("500")
		two.quiet()
	})
}

// A TCP hop whose connection ends before it has rung is given up at once; after that it may answer on another.
func TestHopConnectionEnds(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.TCP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 100)
		one.hangup(sip.CloseLost)
		inv = two.get("INVITE")
		two.answer(inv, 180)
		alice.get("180")
		two.hangup(sip.CloseNormal)
		pass(10 * time.Second)
		alice.quiet()
		again := r.pbx(sip.TCP, "203.0.113.2:5060") // a new connection
		again.answer(inv, 486)
		alice.get("486")
	})
}

// A hop that was given up rings late: CANCEL. It answers late when another has
// won: we acknowledge and end its call, with the route set of its own 2xx (RFC 3261 §12.1.2).
func TestLateAnswersOfAnAbandonedHop(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		late := one.get("INVITE")
		pass(2*time.Second + 50*time.Millisecond)
		for len(one.inbox) > 0 { // timer A
			one.get("INVITE")
		}
		inv := two.get("INVITE")
		alice.get("100")
		one.answer(late, 180)
		c := one.get("CANCEL")
		if got := c.Value(sip.Reason); got != `SIP;cause=408;text="Another server is tried"` { // RFC 3326 §2
			t.Errorf("Reason %q", got)
		}
		one.answer(c, 200)
		alice.quiet()
		two.answer(inv, 200)
		alice.get("200")
		one.answer(late, 200, "Record-Route: <sip:203.0.113.1;lr>")
		ack := one.get("ACK")
		bye := one.get("BYE")
		for _, m := range []*sip.Message{ack, bye} {
			if m.ToTag() != "to"+one.tag() || m.FromTag() != "alice" || m.CallID() != "c1" || m.RequestURI() != contactURI(one) {
				t.Errorf("ghost's %s:\n%s", m.Method(), m)
			}
		}
		one.answer(bye, 200)
		one.answer(late, 200) // its 200 again: ACK again, no second BYE
		one.get("ACK")
		one.quiet()
		alice.quiet()
	})
}

func contactURI(p *peer) string { return "sip:" + p.name + "@" + p.contact() }

// Nobody has won yet: the late 2xx of an abandoned hop wins, the running hop is cancelled.
func TestLate200OfAnAbandonedHopWins(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		late := one.get("INVITE")
		pass(2*time.Second + 50*time.Millisecond)
		for len(one.inbox) > 0 {
			one.get("INVITE")
		}
		inv := two.get("INVITE")
		two.answer(inv, 180)
		alice.get("100")
		alice.get("180")
		one.answer(late, 200)
		alice.get("200")
		two.answer(two.get("CANCEL"), 200)
		two.answer(inv, 487)
		two.get("ACK")
		alice.quiet()
		two.quiet()
	})
}

// CANCEL while hops fail over: nothing new is tried.
func TestCancelDuringFailover(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		text := alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 100)
		alice.cancel(text)
		alice.get("200")
		one.get("CANCEL")
		one.answer(inv, 503)
		one.get("ACK")
		alice.get("487")
		two.quiet()
	})
}

// CANCEL while a connection is being opened: 487, and no INVITE leaves.
func TestCancelWhileConnecting(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.TCP)
		r.slow[one.info.Remote] = []func(){}
		text := alice.request("INVITE", "sip:200@example.com", "c1")
		alice.cancel(text)
		alice.get("200")
		alice.get("487") // now, whatever becomes of the connection
		r.clean()
		r.slow[one.info.Remote][0]()
		alice.quiet()
		one.quiet()
		two.quiet()
		r.clean()
	})
}

// CANCEL that comes while the INVITE is being written: it goes after the provisional all the same.
func TestCancelWhileSending(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		text := strings.Replace(inviteText(alice, "c1"), "\n", "\r\n", -1)
		bob.onSend = func() {
			m, err := sip.Parse(strings.ReplaceAll(text, "INVITE", "CANCEL"), sip.Frame)
			if err != nil {
				t.Error(err)
			}
			r.table.Receive(m, alice.flow)
		}
		alice.write(text)
		alice.get("200")
		inv := bob.get("INVITE")
		bob.answer(inv, 180)
		alice.get("180")
		bob.answer(bob.get("CANCEL"), 200)
		bob.answer(inv, 487)
		alice.get("487")
		r.clean()
	})
}

func inviteText(p *peer, callID string) string {
	return "INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK" + callID + "\nMax-Forwards: 70\nFrom: <sip:" + p.name +
		"@example.com>;tag=1\nTo: <sip:bob@example.com>\nCall-ID: " + callID + "\nCSeq: 1 INVITE\nContact: <sip:a@a.invalid>\nContent-Length: 0\n\n"
}

// RFC 3261 §17.1.1.2: over UDP our copy is sent again, unchanged.
func TestUDPRetransmission(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		r.aors["200"][0].Hops = r.aors["200"][0].Hops[:1]
		alice.request("INVITE", "sip:200@example.com", "c1")
		first := one.get("INVITE")
		pass(600 * time.Millisecond)
		if again := one.get("INVITE"); again.String() != first.String() {
			t.Errorf("sent again:\n%s\nfirst:\n%s", again, first)
		}
		one.answer(first, 486)
		one.get("ACK")
		one.answer(first, 486) // the ACK was lost
		one.get("ACK")
		alice.get("100")
		alice.get("486")
	})
}

// a half-open WebSocket. No response in 5 s: ping; no pong in 3 s: 480, the flow is closed.
func TestSilentWebSocketFlow(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		bubble(t, func(r *rig) {
			alice, bob := r.phone("alice", ""), r.phone("bob", "")
			r.aors["bob"] = []Target{bob.target()}
			alice.request(method, "sip:bob@example.com", "c1")
			bob.get(method)
			pass(8*time.Second + 100*time.Millisecond)
			alice.get("100") // RFC 4320 §4.1 for the MESSAGE
			alice.get("480")
			r.clean()
			if bob.why != sip.CloseDead {
				t.Errorf("flow closed for %q, want dead", bob.why)
			}
		})
	}
}

// It answers the ping: it lives, the request goes on.
func TestSlowWebSocketFlow(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.pongs[bob.flow] = true
		r.aors["bob"] = []Target{bob.target()}
		alice.request("INVITE", "sip:bob@example.com", "c1")
		inv := bob.get("INVITE")
		pass(10 * time.Second)
		alice.get("100")
		bob.answer(inv, 200)
		alice.get("200")
	})
}
