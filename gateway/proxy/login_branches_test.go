package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// A hop that is busy once it knows who calls is given up for the next; the call's deadlines go on.
func TestChallengeThenFailover(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.challenge(one.get("INVITE"), "n1")
		one.answer(one.numbered("INVITE", 2), 503)
		one.get("ACK")
		second := two.get("INVITE")
		two.challenge(second, "n2")
		inv := two.answering(two.numbered("INVITE", numberOf(second)+1), "n2")
		two.answer(inv, 180)
		alice.get("180")
		pass(125 * time.Second) // Times.Ring, from the first try
		two.answer(two.numbered("CANCEL", numberOf(inv)), 200)
		two.skip()
		two.answer(inv, 487)
		two.get("ACK")
		alice.numbered("480", 1)
		r.clean()
		r.noShifts()
	})
}

// A hop that falls silent when it is sent credentials is given up for the next.
func TestSilenceAfterChallenge(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.challenge(one.get("INVITE"), "n1")
		one.get("INVITE")
		pass(2100 * time.Millisecond)
		two.get("INVITE")
	})
}

// The user whom an upstream called is challenged as well; its own numbers begin anywhere.
func TestChallengedCallee(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		bob, pbx := r.phone("bob", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["bob"] = []Target{bob.target()}
		from, to := r.call(pbx, bob, "bob", "c1")
		to.send("INFO")
		pbx.challenge(pbx.numbered("INFO", 101), "n1")
		pbx.answer(pbx.answering(pbx.numbered("INFO", 102), "n1"), 200)
		bob.numbered("200", 101)
		from.send("INFO")
		bob.answer(bob.numbered("INFO", 2), 200)
		pbx.numbered("200", 2)
		to.send("BYE")
		pbx.answer(pbx.numbered("BYE", 103), 200)
		bob.numbered("200", 102)
		r.clean()
		r.noShifts()
	})
}

// With credentials known already, requests are not challenged; a server that has forgotten its nonce is answered anew.
func TestKnownCredentials(t *testing.T) {
	provider(t, Config{}, func(r *rig, l *testLogin) {
		l.known = "n0"
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		from, _ := r.call(alice, pbx, "200", "c1")
		from.send("INFO")
		m := pbx.numbered("INFO", 2)
		if !strings.HasPrefix(m.Value(sip.ProxyAuthorization), "Digest known=n0") {
			t.Errorf("%s", m)
		}
		pbx.challenge(m, "n1")
		pbx.answer(pbx.answering(pbx.numbered("INFO", 3), "n1"), 200)
		alice.numbered("200", 2)
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 4), 200)
		alice.get("200")
		r.clean()
		r.noShifts()
	})
}

// Our Record-Route says what the call began with: a gateway that has forgotten it numbers on all the same.
func TestShiftOutlivesUs(t *testing.T) {
	provider(t, Config{MaxCalls: 1}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		var calls []*dialog
		for _, id := range []string{"c1", "c2"} {
			alice.n = 0
			alice.request("INVITE", "sip:200@example.com", id)
			pbx.challenge(pbx.get("INVITE"), "n1")
			inv := pbx.numbered("INVITE", 2)
			pbx.answer(inv, 200)
			calls = append(calls, alice.uac(alice.get("200")))
		}
		if n := r.proxy.Counters.ShiftsForgotten.Load(); n != 1 || len(r.proxy.shifts.of) != 1 {
			t.Errorf("%d forgotten, %d kept", n, len(r.proxy.shifts.of))
		}
		for _, from := range calls {
			from.send("ACK")
			pbx.numbered("ACK", 2)
			from.send("INFO")
			pbx.challenge(pbx.numbered("INFO", 3), "n2")
			pbx.answer(pbx.numbered("INFO", 4), 200)
			alice.numbered("200", 2)
			from.send("BYE")
			pbx.answer(pbx.numbered("BYE", 5), 200)
			alice.numbered("200", 3)
		}
		r.clean()
		pass(2 * time.Hour)
		r.noShifts()
	})
}

// The BYE for a caller that is gone has a number above all that has left, and is challenged like any.
func TestDeadPeerByeIsChallenged(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1")
		pbx.challenge(pbx.get("INVITE"), "n1")
		pbx.answer(pbx.numbered("INVITE", 2), 200)
		from := alice.uac(alice.get("200"))
		from.send("ACK")
		pbx.get("ACK")
		from.send("INFO")
		pbx.challenge(pbx.numbered("INFO", 3), "n2")
		pbx.answer(pbx.numbered("INFO", 4), 200)
		alice.get("200")
		alice.hangup(sip.CloseLost)
		pass(61 * time.Second)
		bye := pbx.numbered("BYE", 5)
		pbx.skip()
		pbx.challenge(bye, "n3")
		pbx.answer(pbx.answering(pbx.numbered("BYE", 6), "n3"), 200)
		pbx.quiet()
		r.clean()
		r.noShifts()
	})
}

// A late 2xx of a branch given up is acknowledged and ended with its own numbers and credentials.
func TestLateAnswerAfterChallenge(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.challenge(one.get("INVITE"), "n1")
		late := one.numbered("INVITE", 2)
		pass(2100 * time.Millisecond)
		inv := two.get("INVITE")
		two.answer(inv, 200)
		alice.get("100")
		from := alice.uac(alice.get("200"))
		from.send("ACK")
		two.numbered("ACK", numberOf(inv))
		one.skip()
		one.answer(late, 200)
		one.answering(one.numbered("ACK", 2), "n1")
		bye := one.get("BYE")
		if numberOf(bye) < 3 {
			t.Errorf("%s", bye)
		}
		one.answer(bye, 200)
		from.send("BYE")
		two.answer(two.get("BYE"), 200)
		alice.get("200")
	})
}

// attack: RFC 5393 §4.2: a provider that hands the call back under the number it got is a loop in the first round.
func TestChallengedLoop(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1")
		pbx.challenge(pbx.get("INVITE"), "n1")
		inv := pbx.numbered("INVITE", 2)
		pbx.write(strings.Replace(inv.String(), "Via:", "Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKback\r\nVia:", 1))
		pbx.get("482")
	})
}

// A provider without a login challenges the caller as ever.
func TestChallengeWithoutLogin(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, other := r.phone("alice", ""), r.pbx(sip.UDP, "192.88.99.1:5060")
		r.aors["300"] = []Target{{Hops: []Hop{{Addr: other.info.Remote}}, Upstream: "other"}}
		alice.request("INVITE", "sip:300@example.com", "c1")
		other.challenge(other.get("INVITE"), "n1")
		if m := alice.numbered("407", 1); m.Value(sip.ProxyAuthenticate) != "n1" {
			t.Errorf("%s", m)
		}
		r.noShifts()
	})
}

// RFC 3261 §22.3: another port of a hop's host may be another customer's there. No credentials of ours go there, not even with the
// ACK that an INVITE had some for (§22.1), and the caller is not asked for his.
func TestNoLoginBesideHops(t *testing.T) {
	provider(t, Config{}, func(r *rig, l *testLogin) {
		l.known = "n0"
		alice, pbx, tenant := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060"), r.pbx(sip.UDP, "203.0.113.1:5090")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		r.aors["300"] = []Target{{Hops: []Hop{{Addr: tenant.info.Remote, Beside: true}}, Upstream: "pbx"}}
		for _, method := range []string{"INVITE", "MESSAGE"} {
			alice.request(method, "sip:300@example.com", method)
			m := tenant.get(method)
			if m.Has(sip.ProxyAuthorization) {
				t.Errorf("to the tenant:\n%s", m)
			}
			tenant.challenge(m, "n1")
			if m := alice.get("503"); m.Has(sip.ProxyAuthenticate) || m.ReasonPhrase() != "Service Unavailable: our login at upstream pbx is for its hops alone" {
				t.Errorf("alice got\n%s", m)
			}
			tenant.quiet()
		}
		alice.n = 0
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := pbx.get("INVITE")
		if !inv.Has(sip.ProxyAuthorization) {
			t.Errorf("%s", inv)
		}
		pbx.write(string(inv.AppendReply(nil, &sip.Reply{Status: 200, ToTag: "t", Headers: append(recordRoutes(inv), "Contact: <sip:evil@203.0.113.1:5090>")})))
		from := alice.uac(alice.get("200"))
		r.proxy.named.add(r.proxy.named.key("pbx", "c1", tenant.info.Remote, sip.UDP)) // as a request from there does
		from.send("ACK")
		if m := tenant.get("ACK"); m.Has(sip.ProxyAuthorization) {
			t.Errorf("%s", m)
		}
		from.send("BYE")
		tenant.challenge(tenant.get("BYE"), "n2")
		alice.get("503")
		tenant.quiet()
	})
}

func recordRoutes(m *sip.Message) (lines []string) {
	for v := range m.Values(sip.RecordRoute) {
		lines = append(lines, "Record-Route: "+v)
	}
	return lines
}

// Which answers say that the credentials were right: a challenge, a refusal of what they allow, and what a server
// says of itself do not.
func TestLoginAccepted(t *testing.T) {
	for status, want := range map[int]int{183: 1, 200: 1, 486: 1, 404: 1, 603: 1, 100: 0, 403: 0, 500: 0} {
		provider(t, Config{}, func(r *rig, l *testLogin) {
			alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
			r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
			alice.request("INVITE", "sip:200@example.com", "c1")
			pbx.challenge(pbx.get("INVITE"), "n1")
			inv := pbx.get("INVITE")
			pbx.answer(inv, status)
			if len(l.took) != want || want == 1 && l.took[0] != "Proxy-Authorization: "+inv.Value(sip.ProxyAuthorization) {
				t.Errorf("%d: told %q", status, l.took)
			}
		})
	}
}
