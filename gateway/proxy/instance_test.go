package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// RFC 5626 §5.3: any flow of an instance will do. While all are away the call waits for whichever of its reg-ids
// comes back first, and goes to its contact.
func TestInstanceWithAllFlowsAway(t *testing.T) {
	for back := range 3 {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			var flows []*peer
			for _, id := range []string{"-1", "-2", "-3"} {
				p := r.phone("bob", id)
				tgt := p.target()
				tgt.Instance = r.keys.NameOf("bob@example.com", "urn:uuid:1", 0, "")
				r.aors["bob"] = append(r.aors["bob"], tgt)
				flows = append(flows, p)
			}
			for _, p := range flows {
				p.hangup(sip.CloseLost)
			}
			alice.request("INVITE", "sip:bob@example.com", "c1")
			alice.get("100")
			pass(4 * time.Second)
			again := flows[back].back().register()
			inv := again.get("INVITE")
			if want := r.aors["bob"][back].URI; inv.RequestURI() != want {
				t.Errorf("Request-URI %s, want %s", inv.RequestURI(), want)
			}
			second := flows[(back+1)%3].back().register() // one flow is enough
			second.quiet()
			again.answer(inv, 486)
			alice.get("486")
			r.clean()
		})
	}
}

// Nobody of them comes back: 480 after reconnect_grace, and nothing waits on.
func TestInstanceStaysAway(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, one, two := r.phone("alice", ""), r.phone("bob", "-1"), r.phone("bob", "-2")
		for _, p := range []*peer{one, two} {
			tgt := p.target()
			tgt.Instance = r.keys.NameOf("bob@example.com", "urn:uuid:1", 0, "")
			r.aors["bob"] = append(r.aors["bob"], tgt)
			p.hangup(sip.CloseLost)
		}
		alice.request("INVITE", "sip:bob@example.com", "c1")
		alice.get("100")
		pass(5100 * time.Millisecond)
		alice.get("480")
		r.clean()
	})
}

// RFC 5626 §5.3: one connection of several users (an edge proxy's, a phone with lines). The caller's token names the
// one in From: when he is back elsewhere, the dialog follows him and nobody else.
func TestTokenNamesTheCallerOfASharedFlow(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, shared := r.phone("bob", ""), r.phone("carol", "")
		r.aors["bob"] = []Target{bob.target()}
		carol := shared.agent
		shared.name, shared.agent = "alice", r.keys.NameOf("alice@example.com", "", 1, "sip:alice@phone.invalid")
		alice := shared.register()
		r.proxy.Caller = func(req *sip.Message, _ *flow.Flow) string {
			return req.Value(sip.From)[len("<sip:"):strings.Index(req.Value(sip.From), ">")]
		}
		r.proxy.Bound = func(aor string, f *flow.Flow) []flow.Name {
			return map[string][]flow.Name{"alice@example.com": {r.keys.NameOf("alice@example.com", "", 1, "sip:alice@phone.invalid")}, "carol@example.com": {carol}}[aor]
		}
		from, to := r.call(alice, bob, "bob", "c1")
		_, b, ok := r.keys.VerifyPair(userOf(to.routes[0]), userOf(to.routes[1]), "c1")
		if !ok || b.Side != flow.Caller || b.Name != alice.agent {
			t.Errorf("the caller's token %+v names somebody else", b)
		}
		other := alice.back() // carol is back first, and gets nothing of alice's
		alice.hangup(sip.CloseLost)
		other.name, other.agent = "carol", carol
		other.register()
		from.p = other // she shared alice's connection and is no party of his calls
		from.send("BYE")
		other.get("403")
		to.send("INFO")
		other.quiet()
		again := alice.back().register()
		again.answer(again.get("INFO"), 200)
		bob.get("200")
		r.aors["alice"] = nil
	})
}
