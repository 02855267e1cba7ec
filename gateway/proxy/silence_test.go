package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// sent is how many requests of a method a peer has got since the last look.
func (p *peer) sent(method string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, text := range p.inbox {
		if strings.HasPrefix(text, method+" ") {
			n++
		}
	}
	p.inbox = nil
	return n
}

// RFC 3261 §17.1.1.2 timer A ends when a hop is given up: it would ring there during the call that another hop has answered.
// So it does for other requests, which two hops would take twice.
func TestNothingIsSentToAHopThatWasGivenUp(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, two := r.trunk(sip.UDP)
			alice.request(method, "sip:200@example.com", "c1")
			pass(2*time.Second + 50*time.Millisecond)
			if n := one.sent(method); n != 3 {
				t.Errorf("%d %ss within try_timeout, want 3", n, method)
			}
			two.answer(two.get(method), 200)
			alice.until("200")
			pass(time.Minute)
			if n := one.sent(method); n != 0 {
				t.Errorf("%s went %d times to the hop that was given up", method, n)
			}
		})
	}
}

// The caller has cancelled: RFC 3261 §9.1 has the CANCEL wait for a provisional. Where that was lost, sending the
// INVITE again (§17.1.1.2 timer A) provokes another; else the phone would ring for nobody.
func TestCancelWaitsForAProvisional(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		invite := alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		alice.cancel(invite)
		pass(time.Second)
		if n := one.sent("INVITE"); n != 1 {
			t.Errorf("%d INVITEs in the second after the CANCEL, want 1", n)
		}
		one.answer(inv, 180)
		one.answer(one.get("CANCEL"), 200)
		one.answer(inv, 487)
		one.get("ACK")
		alice.until("487")
	})
}

// Nobody answers: the caller hears so once the last hop was silent for try_timeout, and at least for 5 s, not after timer B.
func TestSilenceOfTheLastHop(t *testing.T) {
	for _, c := range []struct {
		hops      int
		try, want time.Duration
	}{{1, 0, 5 * time.Second}, {2, 0, 7 * time.Second}, {2, time.Second, 6 * time.Second}, {1, 8 * time.Second, 8 * time.Second}, {2, 8 * time.Second, 16 * time.Second}} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			r.trunk(sip.UDP)
			way := &r.aors["200"][0]
			way.Hops, way.TryTimeout = way.Hops[:c.hops], c.try
			alice.request("INVITE", "sip:200@example.com", "c1")
			pass(c.want - 50*time.Millisecond)
			alice.get("100")
			alice.quiet()
			pass(100 * time.Millisecond)
			if m := alice.get("503"); m.Named("Retry-After") == "" {
				t.Errorf("%+v: no Retry-After:\n%s", c, m)
			}
			r.clean()
		})
	}
}

// A server that takes its time to say 100 is waited for where there is nobody else, and what it says too late is ended.
func TestSlowLastHop(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		r.aors["200"][0].Hops = r.aors["200"][0].Hops[:1]
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		pass(4 * time.Second)
		one.answer(inv, 100)
		pass(time.Minute)
		one.answer(inv, 200)
		alice.until("200")

		one.forgetAll()
		alice.request("INVITE", "sip:200@example.com", "c3")
		late := one.get("INVITE")
		pass(6 * time.Second)
		one.forgetAll()
		one.answer(late, 180)
		one.get("CANCEL")
		one.answer(late, 200)
		one.get("ACK")
		one.answer(one.get("BYE"), 200)
	})
}

// A re-INVITE to a silent hop keeps timer B: its 408 would end the dialog (RFC 3261 §12.2.1.2).
func TestSilenceWithinADialog(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		from, _ := r.call(alice, one, "200", "c1")
		from.send("INVITE")
		pass(31 * time.Second)
		alice.get("100")
		alice.quiet()
		pass(2 * time.Second)
		alice.get("408")
	})
}
