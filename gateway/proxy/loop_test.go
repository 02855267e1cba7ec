package proxy

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// RFC 5393 §4.2.2: a PBX hands our request straight back, our Via in it: 482 in the first round,
// whatever it made of the Route by which the caller named us. With another Request-URI it is
// a spiral and goes on.
func TestLoopAndSpiral(t *testing.T) {
	for _, route := range []string{"X: y", "Route: <sip:192.0.2.1:5060;lr>"} {
		bubble(t, func(r *rig) {
			alice, bob := r.phone("alice", ""), r.phone("bob", "")
			pbx := r.pbx(sip.UDP, "203.0.113.1:5060")
			r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
			r.aors["bob"] = []Target{bob.target()}
			text := alice.request("INVITE", "sip:200@example.com", "c1", route)
			inv := pbx.get("INVITE")
			again := func(method, uri, branch string) string {
				s := strings.Replace(inv.String(), "INVITE sip:200@example.com", "INVITE "+uri, 1)
				s = strings.Replace(s, "Via:", "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bK"+branch+"\r\nVia:", 1)
				return strings.ReplaceAll(s, "INVITE", method)
			}
			pbx.write(again("INVITE", "sip:200@example.com", "p1"))
			pbx.get("482")
			pbx.quiet()
			pbx.write(again("INVITE", "sip:bob@example.com", "p2"))
			inv2 := bob.get("INVITE")
			bob.answer(inv2, 180)
			pbx.get("180")
			alice.cancel(text) // §4.2.1: the method is not part of the hash
			pbx.write(again("CANCEL", "sip:bob@example.com", "p2"))
			pbx.get("200")
			bob.get("CANCEL")
		})
	}
}

// The same where the Request-URI names the PBX (ruri_host: hop): it comes back as it left, or as it came to us.
func TestLoopOfARequestForTheHop(t *testing.T) {
	for _, uri := range []string{"sip:200@203.0.113.1:5060", "sip:200@example.com"} {
		bubble(t, func(r *rig) {
			alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
			r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote, Host: "203.0.113.1:5060"}}, Upstream: "pbx"}}
			r.aors["201"] = r.aors["200"]
			alice.request("INVITE", "sip:200@example.com", "c1")
			inv := pbx.get("INVITE")
			if got := inv.RequestURI(); got != "sip:200@203.0.113.1:5060" {
				t.Fatalf("Request-URI %s", got)
			}
			again := strings.Replace(inv.String(), "Via:", "Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKp1\r\nVia:", 1)
			pbx.write(strings.Replace(again, inv.RequestURI(), uri, 1))
			pbx.get("482")
			pbx.write(strings.NewReplacer(inv.RequestURI(), "sip:201@example.com", "KP1", "KP2", "bKp1", "bKp2").Replace(again))
			pbx.get("INVITE") // a spiral
		})
	}
}
