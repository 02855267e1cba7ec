//go:build linux

package gateway_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// SIPp as a provider that challenges everything, and checks what the far end of a trunk can see: credentials, CSeq of
// each request, Request-URI, and that no Route of ours is left.

const login = `login: { user: "4930123", password: pw, realm: carrier.example }`

// trunks is configuration: calls of the PBX go to the provider.
func (l *live) trunks(pbx, carrier netip.AddrPort, transport, more string) *live {
	return l.start(fmt.Sprintf("upstreams:\n  pbx: { hops: [ %q ], health: off }\n  carrier: { hops: [ %q ], health: off, %s, %s }\nroutes: [ { match: \"^[0-9]+$\", from: pbx, to: carrier } ]\n",
		hop(pbx, transport), hop(carrier, transport), login, more))
}

// issue: 100 of 100 calls through a provider that challenges INVITE, re-INVITE and BYE; either side hangs up.
func TestProviderWithDigest(t *testing.T) {
	for provider, caller := range map[string]string{"provider": "uac-hold", "provider-bye": "uac-hold-byed"} {
		t.Run(provider, func(t *testing.T) {
			each(t, func(t *testing.T, transport string) {
				for range 5 {
					if hundredCalls(t, transport, provider, caller) {
						return
					}
				}
				t.Error("the machine is too busy for SIPp")
			})
		})
	}
}

// hundredCalls reports whether they say anything: on a machine that stalls for T1, UDP repeats itself, and SIPp takes late repetitions
// for what should come next.
func hundredCalls(t *testing.T, transport, provider, caller string) bool {
	l := newNet(t)
	pbx, carrier := l.free(72), l.free(71)
	l.trunks(pbx, carrier, transport, "early_media: pass")
	far := l.sipp(call{scenario: provider, at: carrier, transport: transport, more: []string{"-m", "100"}})
	near := l.sipp(call{scenario: caller, at: pbx, transport: transport, to: l.sip, user: "4930", more: []string{"-m", "100", "-r", "50", "-l", "10"}})
	<-near.done
	if near.err != nil && strings.Contains(near.file("errors")+far.file("errors"), "Overload warning") {
		l.stop()
		return false
	}
	near.succeeds()
	far.succeeds()
	l.over()
	if n := l.event("login_answered"); n < 200 || l.event("login_refused")+l.event("cseq_forgotten") != 0 {
		t.Errorf("%d challenges were answered", n)
	}
	return true
}

// A provider that was started anew knows none of its nonces (RFC 3261 §22.4): calls go on, whatever we still know.
func TestProviderRestarts(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		carrier := l.free(71)
		l.start(fmt.Sprintf("upstreams: { carrier: { hops: [ %q ], health: off, %s } }\nroutes: [ { match: \"^[0-9]+$\", to: carrier } ]\n", hop(carrier, transport), login))
		alice := l.browser("alice")
		for range 3 {
			far := l.sipp(call{scenario: "provider", at: carrier, transport: transport})
			alice.Request("INVITE", "4930", body(sdp("offer", 600)))
			alice.want("180 INVITE")
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			alice.InDialog("INVITE", body(sdp("hold", 600)))
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			alice.InDialog("BYE")
			alice.want("200 BYE")
			far.succeeds()
			l.over()
		}
		alice.quiet()
	})
}

// We register, are called at our Contact, and take ourselves off when we stop (RFC 3261 §10.2).
func TestProviderRegistersUs(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		carrier := l.free(71)
		registrar := l.sipp(call{scenario: "provider-registrar", at: carrier, transport: transport, more: []string{"-m", "2", "-deadcall_wait", "0"}})
		l.start(fmt.Sprintf("upstreams: { carrier: { hops: [ %q ], health: off, %s, register: { aor: \"sip:4930123@carrier.example\", contact: alice } } }\n", hop(carrier, transport), login))
		alice := l.browser("alice")
		l.until("we are registered", func() bool { return l.registered("carrier") == "1" })
		pbx := l.sipp(call{scenario: "uac", at: l.free(71), transport: transport, to: l.sip, user: "alice"})
		alice.want("INVITE")
		alice.Reply(200, "", "INVITE", body(sdp("answer", 2800)))
		alice.want("ACK")
		alice.want("BYE")
		alice.Reply(200, "", "BYE")
		pbx.succeeds()
		l.over()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_ = l.g.Shutdown(ctx)
		registrar.succeeds()
		if l.registered("carrier") != "0" {
			t.Error("registered still")
		}
	})
}

// A wrong password is said once, and everything else goes on.
func TestProviderRefusesUs(t *testing.T) {
	l := newNet(t)
	carrier := l.free(71)
	l.sipp(call{scenario: "provider-registrar", at: carrier, transport: "udp", more: []string{"-m", "10", "-deadcall_wait", "0"}})
	l.start(fmt.Sprintf("upstreams: { carrier: { hops: [ %q ], health: off, login: { user: \"4930123\", password: wrong }, register: { aor: \"sip:4930123@carrier.example\" } } }\n", hop(carrier, "udp")))
	alice, bob := l.browser("alice"), l.browser("bob")
	l.until("the log tells", func() bool { return strings.Contains(l.log.String(), `"state":"refused"`) })
	if n := strings.Count(l.log.String(), `"message":"registration"`); n != 1 || l.registered("carrier") != "0" {
		t.Errorf("%d lines, registered %s", n, l.registered("carrier"))
	}
	alice.Request("INVITE", "bob")
	bob.want("INVITE")
	bob.Reply(486, "", "INVITE")
	bob.want("ACK")
	alice.want("486 INVITE")
}

// registered is what /metrics says of our registration at an upstream.
func (l *live) registered(upstream string) string {
	_, rest, _ := strings.Cut(l.metrics(), `ringway_upstream_registered{upstream="`+upstream+`"} `)
	value, _, _ := strings.Cut(rest, "\n")
	return value
}
