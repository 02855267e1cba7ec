package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// withRoutes is o with another route set.
func (o *hostileRequest) withRoutes(routes ...string) *hostileRequest {
	var kept []string
	for _, l := range o.lines {
		if !strings.HasPrefix(l, "Route:") {
			kept = append(kept, l)
		}
	}
	for _, v := range routes {
		kept = append(kept, "Route: "+v)
	}
	o.lines = kept
	return o
}

// TestHostileStranger: who has overheard a whole call, tags, branches and route set, can do
// nothing to it from elsewhere.
func TestHostileStranger(t *testing.T) {
	r := newHostileRig(t, "")
	call := r.ring(r.alice, r.bob, bobURI).answer()
	strangers := []struct {
		name string
		p    *hostilePeer
		want int
	}{
		{"mallory's WebSocket", r.wsFrom(attackerHost).register("mallory"), 403},
		{"mallory's TCP", r.tcpFrom(attackerHost).register("mallory"), 403},
		{"mallory's UDP", r.udpFrom(attackerHost, 0).register("mallory"), 403},
		{"a WebSocket of nobody", r.wsFrom(attackerHost), 407},
		{"a WebSocket of nobody at alice's address", r.wsFrom(victimHost), 407},
		{"a TCP connection of nobody", r.tcpFrom(attackerHost), 407},
		{"a UDP port of nobody", r.udpFrom(attackerHost, 0), 407},
	}
	for _, s := range strangers {
		for _, method := range []string{"BYE", "INVITE", "UPDATE", "INFO", "REFER", "PRACK", "NOTIFY", "MESSAGE", "HACK"} {
			for _, side := range []string{"caller", "callee"} {
				t.Run(fmt.Sprint(s.name, "/", method, "/", side), func(t *testing.T) {
					p := s.p.on(t)
					o := call.within(p, method, 100)
					if side == "callee" {
						o.from, o.to, o.fromTag, o.toTag, o.uri = o.to, o.from, o.toTag, o.fromTag, r.alice.contactURI()
						o.withRoutes(call.calleeRoutes...)
					}
					p.send(o.String())
					res := p.status(s.want)
					if s.want == 407 && p.kind != sip.UDP && method == "BYE" && side == "callee" {
						p.send(o.login(res, "eve", "pw-eve", nil).String())
						p.status(403) // whoever it is, it is not a party
					}
				})
			}
			if s.want == 407 && s.p.kind != sip.UDP && method == "BYE" {
				s.want = 403 // it is eve now
			}
		}
		t.Run(s.name+"/ACK and CANCEL", func(t *testing.T) {
			p := s.p.on(t)
			p.send(call.within(p, "ACK", call.invite.cseq).String())
			c := call.within(p, "CANCEL", call.invite.cseq)
			c.via, c.branch, c.toTag = call.invite.via, call.invite.branch, ""
			p.send(c.String())
			p.status(481)
			p.quiet()
		})
	}
	r.alice.quiet()
	r.bob.quiet()
	call.hangUp()
	r.alive(t)
}

// TestHostileTokens: of a route set not a bit can be changed, and those of two calls
// don't combine.
func TestHostileTokens(t *testing.T) {
	r := newHostileRig(t, "")
	call, other := r.ring(r.alice, r.bob, bobURI).answer(), r.ring(r.alice, r.bob, bobURI).answer()
	flip := func(v string, at int) string {
		at += strings.Index(v, "sip:") + 4
		c := byte('A')
		if v[at] == c {
			c = 'B'
		}
		return v[:at] + string(c) + v[at+1:]
	}
	a, b := call.routes[0], call.routes[1]
	cases := map[string][]string{
		"the first alone": {a}, "the second alone": {b}, "none": nil, "the first twice": {a, a}, "the second twice": {b, b},
		"the first of another call": {other.routes[0], b}, "the second of another call": {a, other.routes[1]},
		"lower case":  {strings.ToLower(a), b},
		"upper case":  {a, strings.ToUpper(b)},
		"a token cut": {strings.Replace(a, "@", "", 1), b},
		"padded":      {strings.Replace(a, "@", "=@", 1), b},
	}
	for i := range 48 {
		cases[fmt.Sprint("octet ", i, " of the first")] = []string{flip(a, i), b}
		cases[fmt.Sprint("octet ", i, " of the second")] = []string{a, flip(b, i)}
	}
	for name, routes := range cases {
		t.Run(name, func(t *testing.T) {
			p := r.alice.on(t)
			p.send(call.within(p, "INFO", 50).withRoutes(routes...).String())
			if got := p.next("a refusal").Status(); got != 403 && got != 400 {
				t.Errorf("answered %d", got)
			}
		})
	}
	r.bob.on(t).quiet()
	call.hangUp()
	other.hangUp()
	r.alive(t)
}

// TestHostilePartyOfAnother: tokens are good for their own call: a party of one cannot end
// another whose tags it knows.
func TestHostilePartyOfAnother(t *testing.T) {
	r := newHostileRig(t, "")
	call := r.ring(r.alice, r.bob, bobURI).answer()
	m := r.wsFrom(attackerHost).register("mallory")
	own := r.ring(m, r.bob, bobURI).answer()
	for _, method := range []string{"BYE", "INVITE", "UPDATE"} {
		m.send(call.within(m, method, 100).withRoutes(own.routes...).String())
		m.status(403)
	}
	m.send(call.within(m, "ACK", call.invite.cseq).withRoutes(own.routes...).String())
	m.quiet()
	r.bob.quiet()
	call.hangUp()
	own.hangUp()
	r.alive(t)
}

// TestHostileRouteAsDialPlan: the tokens of a call are no way round the dial rules.
func TestHostileRouteAsDialPlan(t *testing.T) {
	r := newHostileRig(t, "")
	pbx := r.udpFrom(pbxHost, 5080)
	call := r.ring(r.alice, pbx, "sip:100@example.com").answer()
	for _, uri := range []string{"sip:900555@" + pbx.local.String(), "sip:900555@example.com", "sip:900555@192.0.2.1"} {
		o := r.alice.out("INVITE", uri, aliceURI, uri).withRoutes(call.routes...)
		r.alice.send(o.String())
		r.alice.status(403)
	}
	pbx.quiet()
	call.hangUp()
	r.alive(t)
}

// TestHostileCancel: a CANCEL with the branch of somebody else's INVITE is nobody's (RFC 3261
// §9.2 matches by branch alone), and so is an answer.
func TestHostileCancel(t *testing.T) {
	r := newHostileRig(t, "")
	eve := map[sip.Transport]*hostilePeer{
		sip.WS: r.wsFrom(otherHost).register("eve"), sip.TCP: r.tcpFrom(otherHost).register("eve"), sip.UDP: r.udpFrom(otherHost, 0).register("eve"),
	}
	strangers := map[string]*hostilePeer{
		"mallory's WebSocket": r.wsFrom(attackerHost).register("mallory"), "mallory's TCP": r.tcpFrom(attackerHost).register("mallory"),
		"a TCP connection": r.tcpFrom(attackerHost), "a UDP port": r.udpFrom(attackerHost, 0), "bob's WebSocket": r.bob,
	}
	for kind, caller := range eve {
		t.Run(fmt.Sprint("of ", kind), func(t *testing.T) {
			caller.on(t)
			o := caller.out("INVITE", bobURI, "sip:eve@example.com", bobURI)
			caller.send(o.String())
			if kind == sip.UDP {
				o = o.login(caller.status(407), "eve", "pw-eve", nil)
				caller.send(o.String())
			}
			arrived := r.bob.on(t).request("INVITE")
			r.bob.send(hostileReply(arrived, 180, "t1", "Contact: <"+r.bob.contactURI()+">"))
			caller.status(180)
			for name, p := range strangers {
				c := p.out("CANCEL", bobURI, "sip:eve@example.com", bobURI)
				c.via, c.branch, c.callID, c.fromTag, c.cseq = o.via, o.branch, o.callID, o.fromTag, o.cseq
				p.on(t).send(c.String())
				if got := p.next("481").Status(); got != 481 {
					t.Fatalf("%s: answered %d", name, got)
				}
				if p == r.bob {
					continue // its answers count
				}
				for _, status := range []int{200, 486, 603} {
					p.send(hostileReply(arrived, status, "forged", "Contact: <"+p.contactURI()+">"))
				}
				p.quiet()
			}
			caller.quiet()
			r.bob.quiet()
			c := caller.out("CANCEL", bobURI, "sip:eve@example.com", bobURI)
			c.via, c.branch, c.callID, c.fromTag, c.cseq = o.via, o.branch, o.callID, o.fromTag, o.cseq
			caller.send(c.String()) // whose it is
			caller.status(200)
			r.bob.send(hostileReply(r.bob.request("CANCEL"), 200, "t1"))
			r.bob.send(hostileReply(arrived, 487, "t1"))
			r.bob.request("ACK")
			caller.status(487)
			a := caller.out("ACK", bobURI, "sip:eve@example.com", bobURI)
			a.via, a.branch, a.callID, a.fromTag, a.toTag, a.cseq = o.via, o.branch, o.callID, o.fromTag, "t1", o.cseq
			caller.send(a.String())
			r.alive(t)
		})
	}
}

// TestHostileResponses: an answer goes the way its request came, not where its Via says, and
// answers nobody asked for go nowhere (RFC 3261 §16.11, §18.1.2).
func TestHostileResponses(t *testing.T) {
	r := newHostileRig(t, "")
	lure := r.udpFrom(otherHost, 0)
	pbx := r.udpFrom(pbxHost, 5080)
	stray := func(p *hostilePeer, via string) string {
		return "SIP/2.0 200 OK\r\n" + via + "From: <" + aliceURI + ">;tag=1\r\nTo: <" + bobURI + ">;tag=2\r\nCall-ID: " + hostileID("stray") +
			"\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
	}
	ours := "Via: SIP/2.0/UDP " + r.sip.String() + ";branch=z9hG4bK-made-up\r\n"
	theirs := fmt.Sprintf("Via: SIP/2.0/UDP %s;branch=z9hG4bK1;received=%s;rport=%d;maddr=%s\r\n", lure.local, lure.local.Addr(), lure.local.Port(), lure.local.Addr())
	for name, p := range map[string]*hostilePeer{
		"ws": r.wsFrom(attackerHost).register("mallory"), "tcp": r.tcpFrom(attackerHost), "udp": r.udpFrom(attackerHost, 0), "pbx": pbx,
	} {
		for via, text := range map[string]string{"ours and theirs": ours + theirs, "theirs": theirs, "two of theirs": theirs + theirs, "ours": ours} {
			t.Run(name+"/"+via, func(t *testing.T) {
				p.on(t).send(stray(p, text))
				if p != pbx {
					p.quiet()
				}
			})
		}
	}
	lure.quiet()

	// A callee that writes another Via below ours.
	o := r.alice.out("MESSAGE", bobURI, aliceURI, bobURI)
	r.alice.send(o.String())
	m := r.bob.request("MESSAGE")
	answer := hostileReply(m, 200, "t", "P-Asserted-Identity: <sip:ceo@example.com>", "p-asserted-identity : <tel:+15551234>",
		"Remote-Party-ID: <sip:ceo@example.com>", "X-Internal-Trust: yes")
	at := strings.Index(answer, "From:")
	r.bob.send(answer[:at] + theirs + answer[at:])
	if got := r.alice.status(200).String(); strings.Contains(got, "ceo") || strings.Contains(got, "5551234") || strings.Contains(got, "X-Internal") {
		t.Errorf("what a user says of who he is reached alice:\n%s", got)
	}
	lure.quiet()
	r.alive(t)
}

// TestHostileHygiene: what a user's client may not say does not reach an upstream, however
// it is spelt (RFC 3325 §5); credentials for us stay here.
func TestHostileHygiene(t *testing.T) {
	r := newHostileRig(t, "")
	pbx := r.udpFrom(pbxHost, 5080)
	spelt := []string{
		"P-Asserted-Identity: <sip:ceo@example.com>", "p-asserted-identity: <sip:ceo@example.com>", "P-ASSERTED-IDENTITY : <sip:ceo@example.com>",
		"P-Asserted-Identity\t: <sip:ceo@example.com>", "P-Asserted-Identity: <sip:a@example.com>,\r\n <sip:ceo@example.com>",
		"P-Preferred-Identity: <sip:ceo@example.com>", "Remote-Party-ID: <sip:ceo@example.com>;party=calling", "remote-party-id  : <sip:ceo@example.com>",
		"P-Charging-Vector: icid-value=ceo", "p-charging-function-addresses: ccf=ceo", "X-Internal-Caller: ceo", "x-INTERNAL : ceo",
		`Proxy-Authorization: Digest username="ceo", realm="example.com", nonce="n", uri="sip:x", response="00"`,
		`proxy-authorization : Digest realm="example.com", username="ceo", nonce="n"`, "Authorization: Bearer ceo", "AUTHORIZATION: bearer ceo",
		`Authorization: Digest username="ceo", realm="example.com", realm="elsewhere"`,
	}
	for _, l := range spelt {
		t.Run(l, func(t *testing.T) {
			a := r.alice.on(t)
			o := a.out("MESSAGE", "sip:100@example.com", aliceURI, "sip:100@example.com").add(l, "Subject: kept")
			a.send(o.String())
			m := pbx.on(t).request("MESSAGE")
			if got := strings.ToLower(m.String()); strings.Contains(got, "ceo") || !strings.Contains(got, "subject: kept") {
				t.Errorf("the upstream got\n%s", m)
			}
			pbx.send(hostileReply(m, 200, "t"))
			a.status(200)
		})
	}
	// In a dialog, and with an ACK, too.
	call := r.ring(r.alice, pbx, "sip:100@example.com", spelt...)
	if strings.Contains(call.arrived.String(), "ceo") {
		t.Errorf("the upstream got\n%s", call.arrived)
	}
	pbx.send(hostileReply(call.arrived, 200, call.toTag, "Contact: <"+pbx.contactURI()+">"))
	call.ok = r.alice.status(200)
	for v := range call.ok.Values(sip.RecordRoute) {
		call.routes = append([]string{v}, call.routes...)
	}
	r.alice.send(call.within(r.alice, "ACK", call.invite.cseq).add(spelt...).String())
	if m := pbx.request("ACK"); strings.Contains(m.String(), "ceo") {
		t.Errorf("the upstream got\n%s", m)
	}
	call.hangUp()
	r.alive(t)
}

// TestHostileRelay: who has proved nothing reaches nobody, whatever Route, Request-URI,
// To tag or method say (the ACK and To-tag holes of loose routing).
func TestHostileRelay(t *testing.T) {
	r := newHostileRig(t, "")
	lure, pbx := r.udpFrom(otherHost, 0), r.udpFrom(pbxHost, 5080)
	to := lure.local.String()
	for _, kind := range []sip.Transport{sip.WS, sip.TCP, sip.UDP} {
		p := r.open(kind)
		for _, c := range []struct {
			name, method, uri, toTag string
			lines                    []string
			want                     int
		}{
			{"ACK to a foreign URI", "ACK", "sip:x@" + to, "t", nil, silence},
			{"ACK by a Route", "ACK", "sip:x@" + to, "t", []string{"Route: <sip:" + to + ";lr>"}, silence},
			{"ACK by our Route and another", "ACK", "sip:x@" + to, "t", []string{"Route: <sip:" + r.sip.String() + ";lr>", "Route: <sip:" + to + ";lr>"}, silence},
			{"ACK to the upstream", "ACK", "sip:100@" + pbx.local.String(), "t", nil, silence},
			{"ACK to bob", "ACK", r.bob.contactURI(), "t", nil, silence},
			{"ACK without a To tag", "ACK", bobURI, "", nil, silence},
			{"CANCEL of nothing", "CANCEL", "sip:x@" + to, "", []string{"Route: <sip:" + to + ";lr>"}, 481},
			{"BYE with a To tag", "BYE", "sip:x@" + to, "t", []string{"Route: <sip:" + to + ";lr>"}, 403},
			{"INVITE with a To tag", "INVITE", "sip:x@" + to, "t", nil, 403},
			{"INVITE with a To tag to bob", "INVITE", r.bob.contactURI(), "t", nil, 403},
			{"INVITE with a To tag to the upstream", "INVITE", "sip:100@" + pbx.local.String(), "t", []string{"Route: <sip:" + pbx.local.String() + ";lr>"}, 403},
			{"MESSAGE with an empty To tag", "MESSAGE", "sip:100@" + pbx.local.String(), "", nil, 407},
			{"a hop of the upstream", "INVITE", "sip:100@" + pbx.local.String(), "", nil, 407},
			{"maddr", "INVITE", "sip:100@example.com;maddr=" + lure.local.Addr().String() + ";transport=udp", "", nil, 407},
			{"a Via of another", "OPTIONS", "sip:example.com", "", []string{"Via: SIP/2.0/UDP " + to + ";branch=z9hG4bKx;received=" + lure.local.Addr().String()}, 407},
		} {
			t.Run(fmt.Sprint(c.name, "/", kind), func(t *testing.T) {
				p.on(t)
				o := p.out(c.method, c.uri, aliceURI, bobURI).add(c.lines...)
				o.toTag = c.toTag
				p.send(o.String())
				if c.want != silence {
					p.status(c.want)
				}
				p.quiet()
			})
		}
		// An answer goes back where the request came from, not where Via says.
		o := p.out("OPTIONS", "sip:example.com", aliceURI, bobURI)
		o.via = "SIP/2.0/UDP " + to + ";rport;maddr=" + lure.local.Addr().String()
		p.on(t).send(o.String())
		p.status(407)
	}
	lure.quiet()
	r.bob.quiet()
	m := r.alice.out("MESSAGE", "sip:100@example.com", aliceURI, "sip:100@example.com")
	r.alice.send(m.String())
	if got := pbx.request("MESSAGE"); got.CallID() != m.callID {
		t.Errorf("the upstream got\n%s", got)
	}
	r.alive(t)
}

// TestHostileUpstreamContact: a user who registers an address of the upstream does not get
// the calls that are meant for it.
func TestHostileUpstreamContact(t *testing.T) {
	r := newHostileRig(t, "")
	pbx := r.udpFrom(pbxHost, 5080)
	p := r.wsFrom(attackerHost)
	p.contact = "sip:100@" + pbx.local.String()
	o := p.registration("mallory")
	p.send(o.String())
	p.send(o.login(p.status(401), "mallory", "pw-mallory", nil).String())
	if s := p.next("an answer").Status(); s != 200 && s != 403 {
		t.Errorf("answered %d", s)
	}
	m := r.alice.out("MESSAGE", p.contact, aliceURI, p.contact)
	r.alice.send(m.String())
	pbx.send(hostileReply(pbx.request("MESSAGE"), 200, "t"))
	r.alice.status(200)
	p.quiet()
	r.alive(t)
}
