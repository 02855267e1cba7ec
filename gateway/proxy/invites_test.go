package proxy

import (
	"fmt"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// A user has at most MaxInvites pending, over all of its connections; each way an INVITE can end gives
// the place back. Others and trunks are not concerned.
func TestInvitesOfOneUserAreBounded(t *testing.T) {
	bubbleWith(t, Config{MaxInvites: 2}, func(r *rig) {
		alice, second, eve, bob := r.phone("alice", ""), r.phone("alice", "-2"), r.phone("eve", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		n := 0
		ring := func(p *peer) (text string, inv *sip.Message) {
			n++
			text = p.request("INVITE", "sip:bob@example.com", fmt.Sprint("c", n))
			inv = bob.get("INVITE")
			bob.answer(inv, 180)
			p.get("180")
			return text, inv
		}
		full := func(when string) {
			t.Helper()
			n++
			alice.request("INVITE", "sip:bob@example.com", fmt.Sprint("c", n))
			if m := alice.get("503"); m.Value(sip.RetryAfter) != "5" {
				t.Errorf("%s: Retry-After %q", when, m.Value(sip.RetryAfter))
			}
			alice.request("MESSAGE", "sip:bob@example.com", fmt.Sprint("m", n))
			bob.answer(bob.get("MESSAGE"), 200)
			alice.get("200")
		}
		_, first := ring(alice)
		text, second1 := ring(second)
		full("two ring")
		_, other := ring(eve)
		bob.answer(other, 486)
		eve.get("486")
		bob.get("ACK")

		bob.answer(first, 486)
		alice.get("486")
		bob.get("ACK")
		_, third := ring(alice)
		full("after a refusal")

		second.cancel(text)
		second.get("200")
		bob.answer(bob.get("CANCEL"), 200)
		bob.answer(second1, 487)
		bob.get("ACK")
		second.get("487")
		_, fourth := ring(alice)
		full("after a CANCEL")

		bob.answer(third, 200)
		d := alice.uac(alice.get("200"))
		d.send("ACK")
		bob.get("ACK")
		_, fifth := ring(alice)
		full("after an answer")
		d.send("INVITE") // within a dialog it counts too
		alice.get("503")

		alice.hangup(sip.CloseGoingAway) // the caller is gone, and its INVITEs with it
		for range 2 {
			bob.answer(bob.get("CANCEL"), 200)
		}
		for _, inv := range []*sip.Message{fourth, fifth} {
			bob.answer(inv, 487)
			bob.get("ACK")
		}
		pass(time.Minute)
		bob.answer(bob.get("BYE"), 200) // dead_peer_bye, of the call that was up
		for i := range r.proxy.invites.shards {
			if left := len(r.proxy.invites.shards[i].of); left != 0 {
				t.Errorf("%d users are counted still", left)
			}
		}
		if n := r.proxy.Counters.TooManyInvites.Load(); n != 5 {
			t.Errorf("%d refusals counted", n)
		}
		ring(second)
		bob.hangup(sip.CloseGoingAway) // 480 at once
		second.get("480")
	})
}

// RFC 5393 §5.3.3: what a request without Max-Breadth gets, and the most that one is left.
func TestMaxBreadthIsTheConfigured(t *testing.T) {
	bubbleWith(t, Config{MaxBreadth: 7}, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		for given, want := range map[string]string{"": "7", "Max-Breadth: 3": "3", "Max-Breadth: 60": "7"} {
			var extra []string
			if given != "" {
				extra = []string{given}
			}
			alice.request("MESSAGE", "sip:bob@example.com", "m"+want+given[:min(len(given), 1)], extra...)
			m := bob.get("MESSAGE")
			if got := m.Value(sip.MaxBreadth); got != want {
				t.Errorf("%q: %s, want %s", given, got, want)
			}
			bob.answer(m, 200)
			alice.get("200")
		}
	})
}
