package proxy

import (
	"regexp"
	"testing"

	"github.com/ringway/ringway/sip"
)

var callerVia = regexp.MustCompile(`Via: SIP/2\.0/WS[^\r]*\r\n`)

// forget answers without the caller's Via, as SIPp and some PBXs do to an INVITE
// that was cancelled.
func (p *peer) forget(req *sip.Message, status int) {
	r := sip.Reply{Status: status, ToTag: "to" + p.tag(), Headers: []string{"Contact: <sip:200@203.0.113.1>"}}
	p.write(callerVia.ReplaceAllString(string(req.AppendReply(nil, &r)), ""))
}

// RFC 3261 §16.7 step 3: a response without another Via is not forwarded. The caller
// hears a status all the same, made by us.
func TestResponseWithoutTheCallersVia(t *testing.T) {
	for _, c := range []struct {
		status int
		want   string
	}{{486, "486"}, {603, "603"}, {401, "401"}, {200, "502"}} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, _ := r.trunk(sip.UDP)
			alice.request("INVITE", "sip:200@example.com", "c1")
			inv := one.get("INVITE")
			one.forget(inv, 180)
			one.forget(inv, c.status)
			for alice.inbox[0][:11] == "SIP/2.0 100" {
				alice.inbox = alice.inbox[1:]
			}
			if m := alice.get(c.want); m.ViaCount() != 1 {
				t.Errorf("%d Via at the caller's", m.ViaCount())
			}
			one.get("ACK")
			if c.status == 200 { // the callee must not believe to be in a call
				one.answer(one.get("BYE"), 200)
			}
			if n := r.proxy.Counters.Dropped(DropNoVia); n != 2 {
				t.Errorf("%d counted, want 2", n)
			}
		})
	}
}

// The 487 of a cancelled call ends it even so.
func TestCancelledWithoutTheCallersVia(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		inv := alice.request("INVITE", "sip:200@example.com", "c1")
		got := one.get("INVITE")
		one.answer(got, 180)
		alice.get("180")
		alice.cancel(inv)
		alice.get("200")
		one.answer(one.get("CANCEL"), 200)
		one.forget(got, 487)
		alice.get("487")
		one.get("ACK")
	})
}
