package gateway

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip"
)

type deafConn struct{ info sip.ConnInfo }

func (c *deafConn) Send([]byte) error     { return nil }
func (c *deafConn) Info() *sip.ConnInfo   { return &c.info }
func (c *deafConn) Close(sip.CloseReason) {}

// attack: a user who calls sip:NUMBER@PBX-ADDRESS gets no further than the rules let him in our own domain; an attended transfer
// (RFC 3515, RFC 3891: Refer-To is sip:600@PBX-ADDRESS) needs no rule.
func TestUpstreamsAddressIsNoWayRoundTheRules(t *testing.T) {
	cfg, err := Parse("c.yaml", []byte(`domains: { example.com: {}, other.example: {} }
admin: off
listen: [ "udp://127.0.0.1:0" ]
users: { alice@example.com: { ha1: 0123456789abcdef0123456789abcdef }, bob@example.com: { ha1: 0123456789abcdef0123456789abcdef } }
upstreams:
  pbx: { hops: [ "sip:192.0.2.10:5080;transport=udp" ] }
  carrier: { hops: [ "sip:192.0.2.20" ] }
routes:
  - { match: "^[+]1900", reject: 603 No }
  - { match: "^[+]", to: carrier }
  - { match: "^7", to: pbx, rewrite: { prefix: "0" } }
  - { match: "^bob$|^nobody$", to: location }
`))
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	f := g.flows.Open(&deafConn{sip.ConnInfo{Transport: sip.WS, Remote: netip.MustParseAddrPort("198.51.100.1:4000")}})
	f.AuthenticatedAs("alice@example.com")
	for _, c := range []struct {
		uri      string
		status   int
		upstream string
	}{
		{"sip:600@192.0.2.10:5080", 0, "pbx"},         // no rule: a transfer to an extension
		{"sip:700@192.0.2.10", 0, "pbx"},              // a rule that leads there
		{"sip:+4930123@192.0.2.10", 0, "carrier"},     // elsewhere
		{"sip:+4930123@192.0.2.20", 0, "carrier"},     // there
		{"sip:700@192.0.2.20", 0, "pbx"},              // elsewhere
		{"sip:+19005550100@192.0.2.10:5080", 603, ""}, // rejected
		{"sip:%2B19005550100@192.0.2.10", 603, ""},    // also in other letters
		{"sip:+1900.555-0100@192.0.2.20;user=phone", 603, ""},
		{"sip:+19005550100;isub=1@192.0.2.10", 603, ""},
		{"sip:bob@192.0.2.10", 480, ""},    // known, and not registered
		{"sip:nobody@192.0.2.10", 404, ""}, // a rule says that only we would know
	} {
		req, err := sip.Parse(fmt.Sprintf("INVITE %s SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n"+
			"From: <sip:alice@example.com>;tag=1\r\nTo: <%s>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:a@h.invalid>\r\nContent-Length: 0\r\n\r\n", c.uri, c.uri), sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		targets, err := g.core.router.Targets(req, f)
		if c.status != 0 {
			if err == nil || sip.AsStatus(err).Code != c.status {
				t.Errorf("%s: %v, want %d", c.uri, err, c.status)
			}
			continue
		}
		if err != nil || len(targets) != 1 || targets[0].Upstream != c.upstream {
			t.Errorf("%s: leads to %+v (%v), want %s", c.uri, targets, err, c.upstream)
			continue
		}
		if u, _ := sip.ParseURI(targets[0].URI); c.uri == "sip:700@192.0.2.10" && targets[0].URI != "" && u.User != "700" {
			t.Errorf("%s became %s", c.uri, targets[0].URI)
		}
	}
}
