package proxy

import (
	"slices"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// barring is a configuration whose rules keep everything from upstreams but what is for 200, and notes whom it was asked about.
func barring(asked *[]string) Config {
	return Config{Barred: func(_ *sip.Message, uri string, _ *flow.Flow, upstream string) error {
		*asked = append(*asked, uri+" at "+upstream)
		if u, err := sip.ParseURI(uri); err == nil && u.User == "200" {
			return nil
		}
		return sip.Refuse(403, "Barred")
	}}
}

// RFC 3261 §12.2.1.1: within a dialog the Request-URI is the other side's Contact. What is for somebody else is asked about,
// and what can begin nothing is not.
func TestInDialogRequestForSomebodyElse(t *testing.T) {
	var asked []string
	bubbleWith(t, barring(&asked), func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		from, to := r.call(alice, one, "200", "c1")
		there := from.target
		for _, method := range []string{"INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "PUBLISH", "HACK"} {
			from.target = "sip:0900@203.0.113.1"
			from.send(method)
			alice.get("403")
			from.target = there
			from.send(method)
			m := one.get(method)
			one.answer(m, 488)
			alice.get("488")
			if method == "INVITE" {
				one.get("ACK")
			}
		}
		one.quiet()
		for _, method := range []string{"INFO", "OPTIONS", "UPDATE", "PRACK", "NOTIFY"} {
			from.target = "sip:0900@203.0.113.1"
			from.send(method)
			one.answer(one.get(method), 200)
			alice.get("200")
		}
		from.target = "sip:200@203.0.113.1"
		from.send("MESSAGE")
		one.answer(one.get("MESSAGE"), 200)
		alice.get("200")
		n := len(asked)
		from.target = "sip:%70bx203011315060@203.0.113.1:5060;transport=UDP" // as clients write it
		if !sameTarget(from.target, there) {
			t.Fatal(there)
		}
		from.send("MESSAGE")
		one.answer(one.get("MESSAGE"), 200)
		alice.get("200")
		to.target = "sip:0900@phone.invalid" // towards a user there is nothing to bar
		to.send("MESSAGE")
		alice.answer(alice.get("MESSAGE"), 200)
		one.get("200")
		if len(asked) != n || n != 7 || slices.Contains(asked, there+" at pbx") {
			t.Errorf("asked about %q", asked)
		}
		if n := r.proxy.Counters.Strays.Load(); n != 6 {
			t.Errorf("%d counted", n)
		}
	})
}

// RFC 3261 §12.2.2: what would begin something in a call that is over is answered 481 here; of one that may be from before a
// restart, or was forgotten, the rules are asked.
func TestRequestInACallThatIsOver(t *testing.T) {
	var asked []string
	bubbleWith(t, barring(&asked), func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		from, _ := r.call(alice, one, "200", "c1")
		from.send("BYE")
		one.answer(one.get("BYE"), 200)
		alice.get("200")
		from.send("INVITE")
		alice.get("481")
		from.target = "sip:0900@203.0.113.1"
		from.send("MESSAGE")
		alice.get("403")
		one.quiet()
		r.proxy.Counters.CallsForgotten.Add(1)
		from.send("INVITE")
		alice.get("403")
		from.target = "sip:200@203.0.113.1"
		from.send("INVITE")
		one.answer(one.get("INVITE"), 481)
		one.get("ACK")
	})
}
