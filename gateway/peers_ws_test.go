package gateway_test

import (
	"testing"

	"github.com/ringway/ringway/sip"
)

const offers = "Content-Type: application/sdp"

// A call between two browsers: what each sends as a body in INVITE, 183, PRACK
// (RFC 3262), UPDATE (RFC 3311), 200 and their answers reaches the other byte for byte.
func TestWSCallKeepsEveryBody(t *testing.T) {
	t.Parallel()
	l := newNet(t).start("")
	alice, bob := l.browser("alice"), l.browser("bob")
	offer, answer := sdp("offer", 3000), sdp("answer", 2800)
	alice.Request("INVITE", "bob", "Supported: 100rel", body(offer))
	bob.wantBody("INVITE", offer)
	bob.Reply(183, "", "INVITE", "Require: 100rel", "RSeq: 1", offers, body(answer))
	alice.wantBody("183 INVITE", answer)

	in, out := sdp("prack", 500), sdp("prack answer", 600)
	alice.InDialog("PRACK", "RAck: 1 1 INVITE", offers, body(in))
	if m := bob.wantBody("PRACK", in); m.Named("RAck") != "1 1 INVITE" {
		t.Errorf("RAck is %q", m.Named("RAck"))
	}
	bob.Reply(200, "", "PRACK", offers, body(out))
	alice.wantBody("200 PRACK", out)

	in, out = sdp("update", 12000), sdp("update answer", 9000)
	bob.InDialog("UPDATE", offers, body(in)) // from the callee, in an early dialog
	alice.wantBody("UPDATE", in)
	alice.Reply(200, "", "UPDATE", offers, body(out))
	bob.wantBody("200 UPDATE", out)

	bob.Reply(200, "", "INVITE", "Content-Type: -", body(""))
	alice.wantBody("200 INVITE", "")
	alice.InDialog("ACK")
	bob.wantBody("ACK", "")
	alice.InDialog("BYE")
	bob.want("BYE")
	bob.Reply(200, "", "BYE")
	alice.want("200 BYE")
	l.over()
	alice.quiet()
	bob.quiet()
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
