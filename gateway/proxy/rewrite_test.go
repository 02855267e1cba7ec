package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// rewritten makes the user 200 one behind two hops with hosts of their own, whose calls leave with another From.
func (r *rig) rewritten() (one, two *peer) {
	one, two = r.trunk(sip.UDP)
	t := &r.aors["200"][0]
	t.Hops[0].Host, t.Hops[1].Host = "pbx1.example.net", "[2001:db8::2]:5070"
	t.Rewrite = func(req *sip.Message, out *sip.Splice) error {
		for _, f := range req.Fields() {
			if f.Header == sip.From {
				out.Replace(f, "<sip:+4930555@pbx.example.net>;tag="+req.FromTag())
			}
		}
		return nil
	}
	return one, two
}

// Each hop sees its own host in the Request-URI and the new From; so do CANCEL and ACK, which are of the copy that
// left (RFC 3261 §9.1, §17.1.1.3). The caller sees its own From in each response (§8.2.6.2).
func TestRewrittenFromIsRestored(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.rewritten()
		alice.request("INVITE", "sip:200@example.com;user=phone", "c1")
		inv := one.get("INVITE")
		if inv.RequestURI() != "sip:200@pbx1.example.net;user=phone" || !strings.HasPrefix(inv.Value(sip.From), "<sip:+4930555@pbx.example.net>;tag=") {
			t.Errorf("leaves as\n%s", inv)
		}
		one.answer(inv, 503)
		if ack := one.get("ACK"); ack.Value(sip.From) != inv.Value(sip.From) || ack.RequestURI() != inv.RequestURI() {
			t.Errorf("ACK is not of the copy:\n%s", ack)
		}
		inv = two.get("INVITE")
		if inv.RequestURI() != "sip:200@[2001:db8::2]:5070;user=phone" {
			t.Errorf("the second hop gets %s", inv.RequestURI())
		}
		two.answer(inv, 180)
		for strings.HasPrefix(alice.inbox[0], "SIP/2.0 100") {
			alice.inbox = alice.inbox[1:]
		}
		ringing := alice.get("180")
		if from := ringing.Value(sip.From); !strings.Contains(from, "alice@example.com") {
			t.Errorf("the caller's From comes back as %s", from)
		}
		two.answer(inv, 200)
		late := alice.get("200")
		pass(time.Second)
		two.answer(inv, 200) // again: the request is forgotten by now
		if again := alice.get("200"); again.Value(sip.From) != late.Value(sip.From) || late.Value(sip.From) != ringing.Value(sip.From) {
			t.Errorf("From of the 200s: %q and %q", late.Value(sip.From), again.Value(sip.From))
		}
	})
}

// A CANCEL has the From and Request-URI of what it cancels (RFC 3261 §9.1).
func TestCancelOfARewrittenRequest(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.rewritten()
		call := alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 180)
		for strings.HasPrefix(alice.inbox[0], "SIP/2.0 100") {
			alice.inbox = alice.inbox[1:]
		}
		alice.get("180")
		alice.cancel(call)
		c := one.get("CANCEL")
		if c.Value(sip.From) != inv.Value(sip.From) || c.RequestURI() != inv.RequestURI() {
			t.Errorf("INVITE\n%s\nCANCEL\n%s", inv, c)
		}
	})
}
