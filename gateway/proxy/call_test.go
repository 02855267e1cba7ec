package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// One call between two WebSocket clients and its end, with all that a forwarded
// request must carry (RFC 3261 §16.6).
func TestCallIsForwardedWithViaAndTwoRecordRoutes(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		alice.request("INVITE", "sip:bob@example.com", "c1")
		inv := bob.get("INVITE")
		if got, want := inv.RequestURI(), "sip:bob@phone.invalid;transport=ws"; got != want {
			t.Errorf("Request-URI %s, want the registered contact %s", got, want)
		}
		if inv.MaxForwards() != 69 {
			t.Errorf("Max-Forwards %d, want 69", inv.MaxForwards())
		}
		via := inv.TopVia()
		if via.Transport != "WS" || via.Host != "192.0.2.1" || via.Port != 5060 {
			t.Errorf("our Via is %s %s:%d", via.Transport, via.Host, via.Port)
		}
		rr := values(inv, sip.RecordRoute)
		if len(rr) != 2 || !strings.Contains(rr[0], "@192.0.2.1:5060;transport=ws;lr>") {
			t.Fatalf("Record-Route %q, want two of ours", rr)
		}
		a, b, ok := r.keys.VerifyPair(userOf(rr[0]), userOf(rr[1]), inv.CallID())
		if !ok || a.Side != flow.Callee || b.Side != flow.Caller || a.Flow != bob.flow.ID || b.Flow != alice.flow.ID {
			t.Errorf("tokens %+v %+v %v: the callee's comes first (RFC 5658)", a, b, ok)
		}
		if inv.Has(sip.Route) {
			t.Error("our Path entry was left in Route")
		}
		if second := values(inv, sip.Via)[1]; !strings.Contains(second, "received=198.51.100.1") || !strings.Contains(second, "rport=1") {
			t.Errorf("sender's Via %q lacks received and rport (RFC 3581)", second)
		}
		bob.answer(inv, 180)
		bob.answer(inv, 200)
		if n := len(values(alice.get("180"), sip.Via)); n != 1 {
			t.Errorf("response has %d Vias, want the caller's alone", n)
		}
		ok200 := alice.get("200")
		from, to := alice.uac(ok200), bob.uas(inv)
		from.send("ACK")
		ack := bob.get("ACK")
		if ack.Has(sip.Route) || ack.RequestURI() != "sip:bob@phone.invalid;transport=ws" {
			t.Errorf("ACK at bob:\n%s", ack)
		}
		to.send("BYE")
		bye := alice.get("BYE")
		alice.answer(bye, 200)
		bob.get("200")
		alice.quiet()
		bob.quiet()
		r.clean()
		if len(r.ended) != 1 || r.ended[0].EndedBy != "bye" || len(r.summaries) != 2 || r.summaries[0].Status != 200 {
			t.Errorf("ended %v, summaries %v", r.ended, r.summaries)
		}
	})
}

func values(m *sip.Message, h sip.Header) (all []string) {
	for v := range m.Values(h) {
		all = append(all, v)
	}
	return all
}

func userOf(route string) string {
	u, _ := routeURI(route)
	return u.User
}

// In-dialog requests from both sides, re-INVITE included (RFC 3261 §16.4, §16.12).
func TestInDialogRequestsGoBothWays(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, to := r.call(alice, bob, "bob", "c1")
		for _, method := range []string{"INFO", "UPDATE", "MESSAGE", "FROBNICATE"} {
			from.send(method)
			bob.answer(bob.get(method), 200)
			alice.get("200")
			to.send(method)
			alice.answer(alice.get(method), 200)
			bob.get("200")
		}
		to.send("INVITE")
		re := alice.get("INVITE")
		rr := values(re, sip.RecordRoute)
		if len(rr) != 2 || userOf(rr[0]) != userOf(to.routes[1]) || userOf(rr[1]) != userOf(to.routes[0]) {
			t.Errorf("Record-Route of a re-INVITE %q, want the dialog's own pair, the next hop's side first", rr)
		}
		alice.answer(re, 200)
		bob.get("200")
		to.send("ACK")
		alice.get("ACK")
		from.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		alice.get("200")
	})
}

// Whoever knows the route set but is no party is refused.
func TestStrangerWithTheRouteSetIsRefused(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob, eve := r.phone("alice", ""), r.phone("bob", ""), r.phone("eve", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		from.p = eve
		from.send("BYE")
		eve.get("403")
		from.send("ACK")
		bob.quiet()
		if n := r.proxy.Counters.Dropped(DropAckStranger); n != 1 {
			t.Errorf("%d ACKs of strangers counted, want 1", n)
		}
	})
}

func TestRoutesThatAreRefused(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob, carol, dave := r.phone("alice", ""), r.phone("bob", ""), r.phone("carol", ""), r.phone("dave", "")
		r.aors["bob"], r.aors["carol"] = []Target{bob.target()}, []Target{carol.target()}
		one, _ := r.call(alice, bob, "bob", "c1")
		two, _ := r.call(dave, carol, "carol", "c2")
		flip := func(s string) string {
			u := userOf(s)
			c := "A"
			if u[20] == 'A' {
				c = "B"
			}
			return strings.Replace(s, u, u[:20]+c+u[21:], 1)
		}
		for _, c := range []struct {
			name   string
			routes []string
			want   string
		}{
			{"tokens of two calls", []string{one.routes[0], two.routes[1]}, "403"},
			{"changed token", []string{one.routes[0], flip(one.routes[1])}, "403"},
			{"changed own token", []string{flip(one.routes[0]), one.routes[1]}, "403"},
			{"half of the pair", one.routes[:1], "403"},
			{"other half", one.routes[1:], "403"},
			{"none", nil, "403"},
			{"no URI", []string{"<>"}, "400"},
			{"foreign", []string{"<sip:198.51.100.9;lr>"}, "403"},
			{"own without a token", []string{"<sip:example.com;lr>"}, "403"},
		} {
			d := *one
			d.routes = c.routes
			one.cseq++
			d.cseq = one.cseq
			t.Log(c.name)
			d.send("BYE")
			alice.get(c.want)
		}
		bob.quiet()
		carol.quiet()
	})
}

// A client's outbound proxy setting names us in a Route without a token: stripped.
// A foreign one is refused: the gateway is no relay.
func TestPreloadedRoutes(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		alice.request("MESSAGE", "sip:bob@example.com", "m1", "Route: <sip:192.0.2.1:5060;lr>")
		m := bob.get("MESSAGE")
		if m.Has(sip.Route) {
			t.Errorf("our own Route was left:\n%s", m)
		}
		bob.answer(m, 200)
		alice.get("200")
		alice.request("MESSAGE", "sip:bob@example.com", "m2", "Route: <sip:198.51.100.66;lr>")
		alice.get("403")
		alice.request("MESSAGE", "sip:bob@example.com", "m3", "Route: <sip:192.0.2.1:5060;lr>, <sip:198.51.100.66;lr>")
		alice.get("403")
		bob.quiet()
	})
}

// RFC 3261 §16.4: a strict router before us puts our Record-Route into the Request-URI.
func TestStrictRouterBeforeUs(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		d := *from
		first, _ := addrOf(from.routes[0])
		d.target, d.routes = first, []string{from.routes[1], "<" + from.target + ">"}
		d.send("BYE")
		bye := bob.get("BYE")
		if bye.RequestURI() != from.target || bye.Has(sip.Route) {
			t.Errorf("BYE at bob, want Request-URI %s and no Route:\n%s", from.target, bye)
		}
		bob.answer(bye, 200)
		alice.get("200")
	})
}

// A strict router between us and the PBX: its URI becomes the Request-URI (§16.6 step 6);
// one before us, too (§16.4).
func TestStrictRouterBehindUs(t *testing.T) {
	bubble(t, func(r *rig) {
		bob := r.phone("bob", "")
		pbx := r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["bob"] = []Target{bob.target()}
		_, to := r.call(pbx, bob, "bob", "c1")
		strict := *to
		first, _ := addrOf(to.routes[0])
		strict.target, strict.routes = first, []string{to.routes[1], "<" + to.target + ">"}
		strict.send("INFO")
		m := pbx.get("INFO")
		if m.RequestURI() != to.target || m.Has(sip.Route) {
			t.Errorf("from a strict router, want Request-URI %s and no Route:\n%s", to.target, m)
		}
		pbx.answer(m, 200)
		bob.get("200")
		to.cseq++
		to.routes = append(to.routes, "<sip:203.0.113.1:5060>", "<sip:203.0.113.8;lr>")
		to.send("INFO")
		m = pbx.get("INFO")
		if got := values(m, sip.Route); m.RequestURI() != "sip:203.0.113.1:5060" || len(got) != 2 || got[0] != "<sip:203.0.113.8;lr>" || got[1] != "<"+to.target+">" {
			t.Errorf("to a strict router:\n%s", m)
		}
	})
}

// A UDP phone that never registered: the dialog's token names its address (RFC 3581, RFC 5626).
func TestUDPPhone(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, phone := r.phone("bob", ""), r.connect("desk", sip.UDP, "198.51.100.30:5060")
		r.aors["bob"] = []Target{bob.target()}
		from, to := r.call(phone, bob, "bob", "c1")
		to.send("INFO")
		m := phone.get("INFO")
		if via := m.TopVia(); via.Transport != "UDP" {
			t.Errorf("our Via says %s", via.Transport)
		}
		phone.answer(m, 200)
		bob.get("200")
		from.p = r.connect("eve", sip.UDP, "198.51.100.31:5060")
		from.send("BYE")
		from.p.get("407") // another address proves nothing
		from.p = phone
		from.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		phone.get("200")
		bob.hangup(sip.CloseGoingAway)
		pass(61 * time.Second)
		phone.quiet()
		r.clean()
	})
}

// RFC 6026 §7: over UDP the callee sends its 200 again until the ACK arrives; each goes through, each ACK too.
func TestLostAck(t *testing.T) {
	bubble(t, func(r *rig) {
		pbx, desk := r.pbx(sip.UDP, "203.0.113.1:5060"), r.connect("desk", sip.UDP, "198.51.100.30:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		desk.request("INVITE", "sip:200@example.com", "c1")
		inv := pbx.get("INVITE")
		pbx.answer(inv, 200)
		first := desk.get("200")
		pass(500 * time.Millisecond)
		pbx.answer(inv, 200)
		again := desk.get("200")
		if first.String() != again.String() {
			t.Errorf("the 200 sent again differs:\n%s\n%s", first, again)
		}
		from := desk.uac(again)
		from.send("ACK")
		from.send("ACK")
		one, two := pbx.get("ACK"), pbx.get("ACK")
		if one.TopVia().Branch == inv.TopVia().Branch || one.TopVia().Branch == two.TopVia().Branch {
			t.Error("an ACK to a 2xx is a transaction of its own (RFC 3261 §17.1.1.3)")
		}
		pass(40 * time.Second)
		pbx.answer(inv, 200) // the transaction is over: nobody hears of it
		desk.quiet()
		to := pbx.uas(inv)
		to.p = r.connect("pbx2", sip.UDP, "203.0.113.1:40001") // another port of the upstream
		to.send("BYE")
		desk.answer(desk.get("BYE"), 200)
		to.p.get("200")
		r.clean()
	})
}

// RFC 3261 §17.2.1: the caller's INVITE sent again is answered from what was sent, not forwarded again.
func TestCallersRetransmission(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, desk := r.phone("bob", ""), r.connect("desk", sip.UDP, "198.51.100.30:5060")
		r.aors["bob"] = []Target{bob.target()}
		text := desk.request("INVITE", "sip:bob@example.com", "c1")
		inv := bob.get("INVITE")
		bob.answer(inv, 180)
		desk.get("180")
		desk.write(text)
		desk.get("180")
		bob.quiet()
		bob.answer(inv, 486)
		desk.get("486")
		pass(600 * time.Millisecond)
		desk.get("486") // timer G: no ACK yet
	})
}

// ACKs that go nowhere are counted.
func TestAckDrops(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		routes := from.routes
		from.routes = nil
		from.send("ACK")
		from.routes = routes
		alice.write("ACK " + from.target + " SIP/2.0\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bKmf\nMax-Forwards: 0\nRoute: " + routes[0] + "," + routes[1] +
			"\nFrom: " + from.local + "\nTo: " + from.remote + "\nCall-ID: c1\nCSeq: 1 ACK\n\n")
		bob.quiet()
		if c := &r.proxy.Counters; c.Dropped(DropAckNoToken) != 1 || c.Dropped(DropAckHops) != 1 {
			t.Errorf("%d without token, %d without hops counted, want 1 each", c.Dropped(DropAckNoToken), c.Dropped(DropAckHops))
		}
	})
}

// The Branch stages see each copy, and a refusal ends that branch with its status.
func TestBranchStage(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		var refuse error
		r.proxy.Branch = func(req *sip.Message, out *sip.Splice, from, to *flow.Flow, w *Target) error {
			if from != alice.flow || to != bob.flow || w.Name != bob.agent {
				t.Error("wrong flows or target")
			}
			out.Add("X-Stage", "seen")
			return refuse
		}
		alice.request("MESSAGE", "sip:bob@example.com", "m1")
		if m := bob.get("MESSAGE"); m.Named("X-Stage") != "seen" {
			t.Errorf("at bob:\n%s", m)
		}
		refuse = sip.Refuse(488, "Not Acceptable Here")
		alice.request("MESSAGE", "sip:bob@example.com", "m2")
		alice.get("488")
		bob.quiet()
	})
}

// RFC 3261 §16.3.
func TestValidation(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		for _, c := range []struct {
			name, uri, header, want, says string
		}{
			{"§16.3 step 5", "sip:bob@example.com", "Proxy-Require: foo, bar", "420", "Unsupported: foo, bar"},
			{"RFC 5393 §5.3", "sip:bob@example.com", "Max-Breadth: 0", "440", ""},
			{"RFC 5393 §5.3 syntax", "sip:bob@example.com", "Max-Breadth: x", "400", ""},
			{"unknown user", "sip:nobody@example.com", "", "404", ""},
		} {
			t.Log(c.name)
			var extra []string
			if c.header != "" {
				extra = []string{c.header}
			}
			alice.request("MESSAGE", c.uri, "m-"+c.want, extra...)
			if m := alice.get(c.want); !strings.Contains(m.String(), c.says) {
				t.Errorf("lacks %q:\n%s", c.says, m)
			}
		}
		alice.n++
		alice.write("MESSAGE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bKmf\nMax-Forwards: 0\n" +
			"From: <sip:alice@example.com>;tag=1\nTo: <sip:bob@example.com>\nCall-ID: mf\nCSeq: 1 MESSAGE\n\n")
		alice.get("483") // §16.3 step 3
		bob.quiet()
	})
}

// A PBX calls a WebSocket user and each side's in-dialog requests find their way; the
// request to the PBX goes to its own address from the Contact, and never elsewhere.
func TestCallFromUpstream(t *testing.T) {
	bubble(t, func(r *rig) {
		bob := r.phone("bob", "")
		pbx := r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["bob"] = []Target{bob.target()}
		from, to := r.call(pbx, bob, "bob", "c1")
		rr := from.routes
		if !strings.Contains(rr[0], "transport=udp") || !strings.Contains(rr[1], "transport=ws") {
			t.Errorf("PBX's route set %q, want the line that faces it first", rr)
		}
		second := r.pbx(sip.UDP, "203.0.113.2:5070")
		to.target = "sip:x@203.0.113.2:5070" // another address of the same upstream
		to.send("INFO")
		second.answer(second.get("INFO"), 200)
		bob.get("200")
		to.target = "sip:x@198.51.100.77:5060" // somebody else's: the token decides
		to.send("INFO")
		pbx.answer(pbx.get("INFO"), 200)
		bob.get("200")
		from.send("BYE")
		bob.answer(bob.get("BYE"), 200)
		pbx.get("200")
	})
}

// RFC 3327: an upstream registrar that kept our Path sends it back as Route. The
// flow is gone: 430 (RFC 5626 §5.3). A client may not route by its Path.
func TestPathTokenFromUpstream(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, alice := r.phone("bob", ""), r.phone("alice", "")
		pbx := r.pbx(sip.UDP, "203.0.113.1:5060")
		path := "Route: " + bob.target().Route[0]
		half := string(r.keys.Append(nil, flow.Token{Side: flow.Caller, Flow: bob.flow.ID, Name: bob.agent}, ""))
		pbx.request("MESSAGE", "sip:bob@phone.invalid;transport=ws", "m0", "Route: <sip:"+half+"@192.0.2.1;lr>")
		pbx.get("403") // a dialog's token is no Path
		pbx.request("MESSAGE", "sip:bob@phone.invalid;transport=ws", "m1", path)
		m := bob.get("MESSAGE")
		if m.RequestURI() != "sip:bob@phone.invalid;transport=ws" || m.Has(sip.Route) {
			t.Errorf("at bob:\n%s", m)
		}
		bob.answer(m, 200)
		pbx.get("200")
		alice.request("MESSAGE", "sip:nobody@example.com", "m2", path)
		alice.get("404")
		bob.hangup(sip.CloseGoingAway)
		pbx.request("MESSAGE", "sip:bob@phone.invalid;transport=ws", "m3", path)
		pbx.get("430")
	})
}

// RFC 4320 §4.1, §4.2: a non-INVITE gets no provisional but 100 and no 408.
func TestNonInvite(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		pbx := r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("MESSAGE", "sip:200@example.com", "m1")
		m := pbx.get("MESSAGE")
		if m.Has(sip.RecordRoute) {
			t.Error("MESSAGE was record-routed")
		}
		pbx.answer(m, 183)
		alice.quiet()
		pass(40 * time.Second) // timer F
		for _, s := range alice.inbox {
			if !strings.HasPrefix(s, "SIP/2.0 100") {
				t.Errorf("alice got\n%s", s)
			}
		}
		drops := r.table.Stats().Drops // it came just before or just after alice's own timer F
		if drops[transaction.Unsent408]+drops[transaction.UnsentLate] != 1 || r.proxy.Counters.Contexts.Load() != 0 {
			t.Error("the 408 was not swallowed")
		}
	})
}
