package proxy

import (
	"fmt"
	"net/netip"
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

// attack: the upstream is a proxy that adds no Record-Route, so what comes from it has the Contact of a user of ours, or of a
// stranger behind it, and the Record-Routes that they invent. RFC 3261 §12.1: the next requests go there; ours go to the proxy.
func TestContactBehindAProxyOpensNothing(t *testing.T) {
	for _, c := range []struct{ name, contact, route string }{
		{"Contact", service + ";transport=tcp", ""}, {"Contact without a transport", service, ""}, {"Contact over TLS", service + ";transport=tls", ""},
		{"Record-Route", "198.51.100.9", "<sip:" + service + ";transport=tcp;lr>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				alice, bob, proxy := r.phone("alice", ""), r.phone("bob", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
				tcp, tls := r.pbx(sip.TCP, service), r.pbx(sip.TLS, service)
				r.aors["200"] = []Target{{Hops: []Hop{{Addr: proxy.info.Remote}}, Upstream: "pbx"}}
				r.aors["bob"] = []Target{bob.target()}
				theirs := []string{"Contact: <sip:x@" + c.contact + ">"}
				if c.route != "" {
					theirs = append([]string{"Record-Route: " + c.route}, theirs...)
				}
				alice.request("INVITE", "sip:200@example.com", "c1")
				inv := proxy.get("INVITE")
				proxy.write(string(inv.AppendReply(nil, &sip.Reply{Status: 200, ToTag: "t", Headers: append(theirs, copied(inv)...)})))
				d := alice.uac(alice.get("200"))
				d.send("ACK")
				proxy.get("ACK")
				d.send("INFO")
				seenBy(proxy, alice, "INFO")

				text := "INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKx\nMax-Forwards: 70\n" +
					"From: <sip:200@example.com>;tag=x\nTo: <sip:bob@example.com>\nCall-ID: c2\nCSeq: 1 INVITE\n" + strings.Join(theirs, "\n") + "\nContent-Length: 0\n\n"
				proxy.write(text)
				inv = bob.get("INVITE")
				bob.answer(inv, 200)
				proxy.get("200")
				to := bob.uas(inv)
				to.send("INFO")
				seenBy(proxy, bob, "INFO")
				tcp.quiet()
				tls.quiet()
			})
		})
	}
}

// Another server of the upstream on a hop's host has a call: requests go where it says in its Via that it listens, or, over UDP, where it
// sends from, of that call and of no other, by that transport and no other.
func TestAnotherServerOfAHopsHost(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP} {
		t.Run(tr.String(), func(t *testing.T) {
			bubble(t, func(r *rig) {
				bob, pbx := r.phone("bob", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
				r.aors["bob"] = []Target{bob.target()}
				from := r.ephemeral(40001, "pbx")
				if tr == sip.UDP {
					from = r.pbx(sip.UDP, beside)
				}
				_, to := r.answered(from, bob, "c1", beside, beside)
				to.target = strings.TrimSuffix(to.target, ";transport=tcp")
				there := from
				if tr == sip.TCP {
					from.hangup(sip.CloseLost) // it has been idle
					there = r.pbx(sip.TCP, beside)
				}
				for range 2 {
					to.send("INFO")
					there.answer(there.get("INFO"), 200)
					bob.get("200")
				}
				hop := pbx
				if tr == sip.UDP {
					hop = from // its flow is there
				}
				for _, uri := range []string{"sip:200@" + service, "sip:200@" + beside + ";transport=tls"} {
					to.target = uri
					to.send("INFO")
					hop.answer(hop.get("INFO"), 200)
					bob.get("200")
				}
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
	at := netip.MustParseAddrPort(beside)
	kept := n.key("pbx", "kept", at, sip.UDP)
	n.add(kept)
	for i := range 5 * maxNamed {
		n.add(n.key("pbx", fmt.Sprint(i), at, sip.UDP))
		if i%(maxNamed/2) == 0 && !n.has(kept) {
			t.Fatal("what is in use was forgotten")
		}
	}
	if len(n.now) > maxNamed || len(n.old) > maxNamed {
		t.Errorf("%d and %d remembered, want at most %d each", len(n.now), len(n.old), maxNamed)
	}
	if n.has(n.key("pbx", "0", at, sip.UDP)) || n.has(n.key("other", "kept", at, sip.UDP)) {
		t.Error("the oldest, or somebody else's, is remembered")
	}
}
