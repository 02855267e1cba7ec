package proxy

import (
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// A 200 after a refusal finds no caller (docs/adr/0008, against RFC 3261 §16.7 step 5): it is acknowledged and
// ended by us, once, and the caller hears nothing of it.
func TestAnswerAfterRefusal(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.TCP)
		alice.request("INVITE", "sip:200@example.com", "late")
		inv := one.get("INVITE")
		pass(2*time.Second + 50*time.Millisecond) // try_timeout
		two.answer(two.get("INVITE"), 486)
		two.get("ACK")
		alice.get("100")
		alice.get("486")
		one.answer(inv, 200)
		one.get("ACK")
		bye := one.get("BYE")
		if got := bye.Value(sip.Reason); got != `SIP;cause=480;text="Caller is gone"` { // RFC 3326 §2
			t.Errorf("Reason: %s", got)
		}
		one.answer(bye, 200)
		one.answer(inv, 200) // again
		one.get("ACK")
		one.quiet()
		alice.quiet()
	})
}
