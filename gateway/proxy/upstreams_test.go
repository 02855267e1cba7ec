package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// attack: an upstream is no party of another's calls (RFC 3261 §12.2.2: a request within a dialog comes from its other side):
// its requests with an overheard route set are refused, its ACKs, CANCELs and responses go nowhere.
func TestAnotherUpstreamIsNoParty(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP} {
		for _, calls := range []string{"pbx", "user"} {
			t.Run(fmt.Sprint(tr, "/", calls, " calls"), func(t *testing.T) {
				bubble(t, func(r *rig) {
					bob := r.phone("bob", "")
					pbx, other := r.pbx(tr, "203.0.113.1:5060"), r.pbx(tr, "192.88.99.1:5060")
					r.aors["bob"] = []Target{bob.target()}
					r.aors["600"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
					var of, its *dialog // the user's and the upstream's side
					if calls == "pbx" {
						its, of = r.call(pbx, bob, "bob", "c1")
					} else {
						of, its = r.call(bob, pbx, "600", "c1")
					}
					for _, side := range []*dialog{of, its} {
						overheard := *side
						overheard.p = other
						for _, method := range []string{"BYE", "INVITE", "UPDATE", "INFO", "REFER"} {
							overheard.send(method)
							other.get("403")
						}
						strangers := r.proxy.Counters.Dropped(DropAckStranger)
						overheard.send("ACK")
						other.quiet()
						if n := r.proxy.Counters.Dropped(DropAckStranger); n != strangers+1 {
							t.Errorf("%d ACKs of a stranger counted", n-strangers)
						}
					}
					bob.quiet()
					pbx.quiet()
					its.send("BYE") // a party still can
					bob.answer(bob.get("BYE"), 200)
					pbx.get("200")
					r.clean()
				})
			})
		}
	}
}

// RFC 3261 §9.2, §17.1.3: while a call to or from one upstream rings, another can neither cancel nor answer it, from whatever it
// has overheard.
func TestAnotherUpstreamCannotCancelOrAnswer(t *testing.T) {
	bubble(t, func(r *rig) {
		bob := r.phone("bob", "")
		pbx, other := r.pbx(sip.UDP, "203.0.113.1:5060"), r.pbx(sip.UDP, "192.88.99.1:5060")
		r.aors["bob"] = []Target{bob.target()}
		r.aors["600"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		invite := pbx.request("INVITE", "sip:bob@example.com", "c1")
		ringing := bob.get("INVITE")
		bob.answer(ringing, 180)
		pbx.get("180")
		other.cancel(invite)
		other.get("481")
		bob.quiet()
		bob.request("INVITE", "sip:600@example.com", "c2")
		out := pbx.get("INVITE")
		for _, status := range []int{180, 200, 486, 603} {
			other.answer(out, status)
		}
		bob.quiet()
		pbx.answer(out, 486)
		pbx.get("ACK")
		bob.get("486")
		pbx.cancel(invite)
		pbx.get("200")
		bob.answer(bob.get("CANCEL"), 200)
		bob.answer(ringing, 487)
		bob.get("ACK")
		pbx.get("487")
	})
}

// attack: the Request-URI of a user's request within a call to one upstream leads to no address of another upstream, nor to
// anybody else's: such a request goes where the call goes.
func TestRequestURIPicksNoForeignAddress(t *testing.T) {
	for _, target := range []string{"sip:x@192.88.99.1", "sip:x@192.88.99.1;transport=tcp", "sip:x@10.1.2.3:22;transport=tcp", "sip:x@internal.example"} {
		for _, tr := range []sip.Transport{sip.UDP, sip.TCP} {
			bubble(t, func(r *rig) {
				bob := r.phone("bob", "")
				pbx, other := r.pbx(tr, "203.0.113.1:5060"), r.pbx(tr, "192.88.99.1:5060")
				inside := r.connect("inside", sip.TCP, "10.1.2.3:22")
				r.hops[inside.info.Remote] = inside
				r.aors["600"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
				from, _ := r.call(bob, pbx, "600", "c1")
				from.target = target
				from.send("ACK")
				pbx.get("ACK")
				from.send("INFO")
				m := pbx.get("INFO")
				if !strings.HasPrefix(m.RequestURI(), target) {
					t.Errorf("the Request-URI became %s", m.RequestURI())
				}
				pbx.answer(m, 200)
				bob.get("200")
				other.quiet()
				inside.quiet()
			})
		}
	}
}
