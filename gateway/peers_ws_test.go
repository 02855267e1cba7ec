//go:build linux

package gateway_test

import (
	"slices"
	"testing"

	"github.com/ringway/ringway/sip"
)

const offers = "Content-Type: application/sdp"

// What each side of a call sends as a body in INVITE, 183, PRACK (RFC 3262), UPDATE
// (RFC 3311), 200 and their answers reaches the other byte for byte: between browsers
// and to and from a PBX over UDP and TCP.
func TestEveryBodyIsKept(t *testing.T) {
	for name, peers := range map[string]func(l *live) (caller, callee *phone, to string){
		"ws-ws": func(l *live) (*phone, *phone, string) {
			l.start("")
			return l.browser("alice"), l.browser("bob"), "bob"
		},
		"ws-udp": func(l *live) (*phone, *phone, string) {
			at := l.free(71)
			l.start(pbxes(hop(at, "udp")))
			return l.browser("alice"), l.udpPeer("pbx", at), "200"
		},
		"ws-tcp": func(l *live) (*phone, *phone, string) {
			at := l.free(71)
			l.start(pbxes(hop(at, "tcp")))
			return l.browser("alice"), l.tcpPeer("pbx", at), "200"
		},
		"udp-ws": func(l *live) (*phone, *phone, string) {
			at := l.free(71)
			l.start(pbxes(hop(at, "udp")))
			return l.udpPeer("pbx", at), l.browser("alice"), l.uri("alice")
		},
		"tcp-ws": func(l *live) (*phone, *phone, string) {
			at := l.free(71)
			l.start(pbxes(hop(at, "tcp")))
			return l.tcpCaller("pbx", at), l.browser("alice"), l.uri("alice")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			caller, callee, to := peers(l)
			everyBody(t, l, caller, callee, to)
		})
	}
}

func everyBody(t *testing.T, l *live, caller, callee *phone, to string) {
	offer, answer := sdp("offer", 3000), sdp("answer", 2800)
	caller.Request("INVITE", to, "Supported: 100rel", body(offer))
	callee.wantBody("INVITE", offer)
	callee.Reply(183, "", "INVITE", "Require: 100rel", "RSeq: 1", offers, body(answer))
	caller.wantBody("183 INVITE", answer)

	in, out := sdp("prack", 500), sdp("prack answer", 600)
	caller.InDialog("PRACK", "RAck: 1 1 INVITE", offers, body(in))
	if m := callee.wantBody("PRACK", in); m.Named("RAck") != "1 1 INVITE" {
		t.Errorf("RAck is %q", m.Named("RAck"))
	}
	callee.Reply(200, "", "PRACK", offers, body(out))
	caller.wantBody("200 PRACK", out)

	in, out = sdp("update", 12000), sdp("update answer", 9000)
	callee.InDialog("UPDATE", offers, body(in)) // from the callee, in an early dialog
	caller.wantBody("UPDATE", in)
	caller.Reply(200, "", "UPDATE", offers, body(out))
	callee.wantBody("200 UPDATE", out)

	callee.Reply(200, "", "INVITE", "Content-Type: -", body(""))
	caller.wantBody("200 INVITE", "")
	caller.InDialog("ACK", offers, body(sdp("not meant, but sent", 900)))
	callee.wantBody("ACK", sdp("not meant, but sent", 900))

	in, out = sdp("hold", 2500), sdp("held", 2400)
	callee.InDialog("INVITE", body(in)) // re-INVITE (RFC 3261 §14)
	caller.wantBody("INVITE", in)
	caller.Reply(200, "", "INVITE", body(out))
	callee.wantBody("200 INVITE", out)
	callee.InDialog("ACK")
	caller.wantBody("ACK", "")
	caller.InDialog("INFO", "Content-Type: application/dtmf-relay", body("Signal=5\r\nDuration=160\r\n"))
	if m := callee.wantBody("INFO", "Signal=5\r\nDuration=160\r\n"); m.Value(sip.ContentType) != "application/dtmf-relay" {
		t.Errorf("Content-Type is %q", m.Value(sip.ContentType))
	}
	callee.Reply(200, "", "INFO")
	caller.want("200 INFO")
	caller.InDialog("BYE")
	callee.want("BYE")
	callee.Reply(200, "", "BYE")
	caller.want("200 BYE")
	l.over()
	caller.quiet()
	callee.quiet()
}

// RFC 3261 §13.2.1: an INVITE without an offer has it in the 200, and the answer in the ACK.
func TestWSAckCarriesTheAnswer(t *testing.T) {
	t.Parallel()
	l := newNet(t).start("")
	alice, bob := l.browser("alice"), l.browser("bob")
	offer, answer := sdp("late offer", 23000), sdp("answer in ACK", 20000)
	alice.Request("INVITE", "bob", "Content-Type: -", body(""))
	if m := bob.wantBody("INVITE", ""); m.Has(sip.ContentType) {
		t.Error("a Content-Type came out of nowhere")
	}
	bob.Reply(180, "", "INVITE")
	alice.wantBody("180 INVITE", "")
	bob.Reply(200, "", "INVITE", body(offer))
	alice.wantBody("200 INVITE", offer)
	alice.InDialog("ACK", offers, body(answer))
	bob.wantBody("ACK", answer)
	bob.InDialog("BYE") // the callee hangs up
	alice.want("BYE")
	alice.Reply(200, "", "BYE")
	bob.want("200 BYE")
	l.over()
	alice.quiet()
	bob.quiet()
}

func TestWSCallerCancels(t *testing.T) { // RFC 3261 §9
	t.Parallel()
	l := newNet(t).start("")
	alice, bob := l.browser("alice"), l.browser("bob")
	alice.Request("INVITE", "bob")
	bob.want("INVITE")
	bob.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	alice.Cancel(`Reason: SIP;cause=200;text="Call completed elsewhere"`)
	if m := bob.want("CANCEL"); m.Value(sip.Reason) != `SIP;cause=200;text="Call completed elsewhere"` {
		t.Errorf("Reason is %q (RFC 3326)", m.Value(sip.Reason))
	}
	alice.want("200 CANCEL")
	bob.Reply(487, "", "INVITE")
	bob.want("ACK")
	alice.want("487 INVITE")
	l.over()
	alice.quiet()
	bob.quiet()
}

func TestWSRefusals(t *testing.T) {
	t.Parallel()
	l := newNet(t).start("")
	alice, bob := l.browser("alice"), l.browser("bob")
	for _, c := range []struct{ name, uri, want string }{
		{"unknown user", "sip:nobody@example.com", "404 INVITE"},
		{"known, not registered", "sip:carol@example.com", "480 INVITE"},
		{"foreign domain", "sip:bob@example.org", "403 INVITE"}, // never an open relay
		{"foreign address", "sip:bob@192.0.2.1", "403 INVITE"},
		{"no user", "sip:example.com", "404 INVITE"},
		{"another scheme", "tel:+4930123456", "416 INVITE"},
	} {
		alice.Request("INVITE", c.uri)
		if got := what(alice.next(c.want)); got != c.want {
			t.Errorf("%s (%s): %s, want %s", c.name, c.uri, got, c.want)
		}
	}
	alice.Request("INVITE", "bob")
	bob.want("INVITE")
	bob.Reply(486, "", "INVITE")
	bob.want("ACK")
	alice.want("486 INVITE")
	alice.Request("OPTIONS", "bob") // answered from the flow's state: the tab may sleep
	alice.want("200 OPTIONS")
	alice.Request("OPTIONS", "carol")
	alice.want("480 OPTIONS")
	alice.Request("OPTIONS", "nobody")
	alice.want("404 OPTIONS")
	alice.quiet()
	bob.quiet()
}

// A call outlives the browser's connection: the PBX hangs up while it is away, and
// the BYE waits for the same instance on its new connection.
func TestCallSurvivesReconnect(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	at := l.free(71)
	l.start(pbxes(hop(at, "udp")))
	pbx, alice := l.udpPeer("pbx", at), l.browser("alice")
	pbx.Request("INVITE", l.uri("alice"))
	alice.want("INVITE")
	alice.Reply(200, "", "INVITE")
	pbx.want("200 INVITE")
	pbx.InDialog("ACK")
	alice.want("ACK")

	alice.cut() // no closing handshake: 1006
	l.until("the gateway has noticed", func() bool { return l.g.Snapshot().Flows["ws"] == 0 })
	pbx.InDialog("BYE")
	l.until("the BYE waits", func() bool { return l.event("held") == 1 })
	l.reconnect(alice)
	alice.Register(600)
	alice.want("401 REGISTER")
	// The BYE may come before the 200 to the REGISTER or after it.
	got := []string{what(alice.next("the BYE or the 200")), what(alice.next("the BYE or the 200"))}
	if slices.Sort(got); !slices.Equal(got, []string{"200 REGISTER", "BYE"}) {
		t.Fatalf("alice got %q", got)
	}
	alice.Reply(200, "", "BYE")
	pbx.want("200 BYE")
	l.over()
	alice.quiet()
	pbx.quiet()
}

// Somebody who has read a call's headers can neither end nor cancel it: that takes
// the token's flow or the upstream's address.
func TestStrangerCannotEndACall(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	at := l.free(71)
	l.start(pbxes(hop(at, "udp")))
	pbx, alice := l.udpPeer("pbx", at), l.browser("alice")
	stranger, mallory := l.udpPeer("stranger", l.free(72)), l.browser("carol")
	alice.Request("INVITE", "200")
	inv := pbx.want("INVITE")
	pbx.Reply(180, "", "INVITE")
	ringing := alice.want("180 INVITE")
	cancel := "CANCEL sip:200@example.com SIP/2.0\nVia: SIP/2.0/UDP " + ringing.TopVia().Host + ";branch=" + ringing.TopVia().Branch +
		"\nMax-Forwards: 70\nFrom: " + ringing.Value(sip.From) + "\nTo: <sip:200@example.com>\nCall-ID: " + ringing.CallID() +
		"\nCSeq: 1 CANCEL\nContent-Length: 0\n\n"
	for _, p := range []*phone{stranger, mallory} {
		p.Send(cancel)
		p.want("481 CANCEL")
	}
	pbx.Reply(200, "", "INVITE")
	ok := alice.want("200 INVITE")
	alice.InDialog("ACK")
	pbx.want("ACK")
	routes := ""
	for v := range inv.Values(sip.RecordRoute) { // as the PBX would send it
		routes += "Route: " + v + "\n"
	}
	bye := "BYE sip:alice@alice.invalid;transport=ws SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.9;rport;branch=z9hG4bKstranger\n" + routes +
		"Max-Forwards: 70\nFrom: " + ok.Value(sip.To) + "\nTo: " + ok.Value(sip.From) + "\nCall-ID: " + ok.CallID() +
		"\nCSeq: 9 BYE\nContent-Length: 0\n\n"
	for _, p := range []*phone{stranger, mallory} {
		p.Send(bye)
		if m := p.next("403 BYE"); m.Status() != 403 && m.Status() != 407 {
			t.Errorf("BYE from %s: %s", p.Name, m)
		}
	}
	alice.quiet()
	pbx.InDialog("BYE")
	alice.want("BYE")
	alice.Reply(200, "", "BYE")
	pbx.want("200 BYE")
	l.over()
}
