//go:build linux

package gateway_test

import (
	"os"
	"strings"
	"testing"
)

// configs/kamailio.yaml and configs/peers/kamailio as they are shipped, but for the addresses: users register at
// Kamailio and call each other, and nobody calls unproven.
func TestShippedKamailio(t *testing.T) {
	l := newNet(t)
	k := l.registry("tcp")
	yaml, err := os.ReadFile("../configs/kamailio.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(yaml), "\n"); n > 15 {
		t.Errorf("%d lines", n)
	}
	l.boot("admin: off\n" + strings.NewReplacer("127.0.0.1:5070", k.at.String(), "127.0.0.1:5060", l.sip.String(), "127.0.0.1:8080", l.ws.String()).Replace(string(yaml)))
	alice, bob := k.page("alice"), k.page("bob")
	offer := chromium(t)
	alice.Request("INVITE", "bob", body(offer))
	alice.want("407 INVITE")
	if m := bob.wantBody("INVITE", offer); m.RequestURI() != "sip:bob@bob.invalid;transport=ws" {
		t.Errorf("bob is called %s", m.RequestURI())
	}
	bob.Reply(200, "", "INVITE", body(accepts(t)))
	alice.wantBody("200 INVITE", accepts(t))
	alice.InDialog("ACK")
	bob.want("ACK")
	bob.ends(alice)

	for target, want := range map[string]string{"bob": "403 INVITE", "600": "403 INVITE"} {
		mallory := k.browser("mallory", "alice")
		mallory.Request("INVITE", target, body(offer))
		mallory.want(want)
	}
	l.over()
}
