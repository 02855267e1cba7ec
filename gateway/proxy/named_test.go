package proxy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

const (
	service = "203.0.113.1:6379" // on a hop's host, and no SIP
	beside  = "203.0.113.1:5080" // where a PBX wants the requests of its dialogs
)

// attack: alice is in a call with the PBX and writes another port or transport of its host into the Request-URI, or into
// a Route behind ours (RFC 3261 §16.12): nothing is opened, the request goes where the call is.
func TestUserOpensNoPortOfAHopsHost(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		victim := r.pbx(sip.TCP, service)
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		d, _ := r.call(alice, pbx, "200", "c1")
		target, routes := d.target, d.routes
		for _, uri := range []string{"sip:x@" + service + ";transport=tcp", "sip:x@" + service, "sip:x@" + service + ";transport=tls",
			"sip:x@203.0.113.1:5060;transport=tls", "sip:x@203.0.113.2:6379"} {
			for _, method := range []string{"INFO", "INVITE", "ACK"} {
				d.target = uri
				d.send(method)
				seenBy(pbx, alice, method)
				d.target, d.routes = target, append(routes[:len(routes):len(routes)], "<"+uri+";lr>")
				d.send(method)
				seenBy(pbx, alice, method)
				d.routes = routes
			}
		}
		victim.quiet()
	})
}

func seenBy(pbx, alice *peer, method string) {
	m := pbx.get(method)
	if method != "ACK" {
		pbx.answer(m, 200)
		alice.get("200")
	}
}

// attack: she invents a Record-Route of that port below ours (the PBX copies all of them, §12.1.1), or says in her own
// Contact that she is there.
func TestUserNamesNoPortOfAHopsHost(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		victim := r.pbx(sip.TCP, service)
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1", "Record-Route: <sip:"+service+";transport=tcp;lr>",
			"Contact: <sip:alice@"+service+";transport=tcp>")
		pbx.answer(pbx.get("INVITE"), 200)
		d := alice.uac(alice.get("200"))
		d.routes = d.routes[len(d.routes)-2:]
		d.target = "sip:x@" + service + ";transport=tcp"
		d.send("ACK")
		pbx.get("ACK")
		victim.quiet()
	})
}

// RFC 3261 §12.1.1: the PBX names another port of its host, as Contact or by the Record-Route of a proxy there, before
// the call is answered and after; requests go there, of that call and of no other.
func TestUpstreamNamesAnotherPortOfItsHost(t *testing.T) {
	for _, c := range []struct{ name, header string }{
		{"Contact", "Contact: <sip:b2b@" + beside + ">"},
		{"Record-Route", "Record-Route: <sip:" + beside + ";lr>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				alice, pbx, there := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060"), r.pbx(sip.UDP, beside)
				r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
				names := func(inv *sip.Message, status int) {
					text := string(inv.AppendReply(nil, &sip.Reply{Status: status, ToTag: "t", Headers: append(copied(inv), "Contact: <sip:x@203.0.113.9>")}))
					if c.name == "Contact" {
						text = strings.Replace(text, "Contact: <sip:x@203.0.113.9>", c.header, 1)
					} else {
						text = strings.Replace(text, "Record-Route: ", c.header+"\r\nRecord-Route: ", 1)
					}
					pbx.write(text)
				}
				alice.request("INVITE", "sip:200@example.com", "c1")
				inv := pbx.get("INVITE")
				names(inv, 183)
				d := alice.uac(alice.get("183"))
				for _, method := range []string{"PRACK", "UPDATE"} {
					d.send(method)
					there.answer(there.get(method), 200)
					alice.get("200")
				}
				names(inv, 200)
				alice.get("200")
				d.cseq = 1
				d.send("ACK")
				there.get("ACK")
				d.cseq = 5
				d.send("INFO")
				there.answer(there.get("INFO"), 200)
				alice.get("200")
				other, _ := r.call(alice, pbx, "200", "c2")
				other.target = "sip:b2b@" + beside
				other.send("INFO")
				pbx.answer(pbx.get("INFO"), 200)
				alice.get("200")
				there.quiet()
			})
		})
	}
}

func copied(inv *sip.Message) (lines []string) {
	for v := range inv.Values(sip.RecordRoute) {
		lines = append(lines, "Record-Route: "+v)
	}
	return lines
}

// What is remembered is bounded, and what is in use stays.
func TestNamedIsBounded(t *testing.T) {
	var n named
	n.init()
	hop := Hop{}
	kept := n.key("pbx", "kept", &hop)
	n.add(kept)
	for i := range 5 * maxNamed {
		n.add(n.key("pbx", fmt.Sprint(i), &hop))
		if i%(maxNamed/2) == 0 && !n.has(kept) {
			t.Fatal("what is in use was forgotten")
		}
	}
	if len(n.now) > maxNamed || len(n.old) > maxNamed {
		t.Errorf("%d and %d remembered, want at most %d each", len(n.now), len(n.old), maxNamed)
	}
	if n.has(n.key("pbx", "0", &hop)) || n.has(n.key("other", "kept", &hop)) {
		t.Error("the oldest, or somebody else's, is remembered")
	}
}
