//go:build linux

package gateway_test

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/ringway/ringway/gateway"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// configs/freeswitch.yaml is understood and short, whether there is a FreeSWITCH or not.
func TestShippedFreeSWITCHConfig(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	text, err := os.ReadFile("../configs/freeswitch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 15 {
		t.Errorf("%d lines", n)
	}
	if _, err := gateway.Parse("freeswitch.yaml", text); err != nil {
		t.Error(err)
	}
}

// configs/freeswitch.yaml and configs/peers/freeswitch as they are shipped, but for the addresses: users register
// at FreeSWITCH, call it and each other, and nobody calls unproven.
func TestShippedFreeSWITCH(t *testing.T) {
	freeswitchBinary(t)
	l := newNet(t)
	f := l.freeswitch(l.sip.String()+";transport=tcp", "../configs/peers/freeswitch")
	yaml, err := os.ReadFile("../configs/freeswitch.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l.boot("admin: off\n" + strings.NewReplacer("127.0.0.1:5070", f.at.String(), "127.0.0.1:5060", l.sip.String(), "127.0.0.1:8080", l.ws.String()).Replace(string(yaml)))
	phone := func(name, user, password string) *phone {
		return l.play(name, siptest.UAOptions{Transport: sip.WS, AOR: user + "@example.com", Password: password,
			Instance: fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012x", name)}, l.dialWS(), netip.AddrPort{})
	}
	alice, bob := phone("alice", "1000", "change-me-1"), phone("bob", "1001", "change-me-2")
	for _, p := range []*siptest.UA{alice.UA, bob.UA} {
		p.Register(600)
	}
	alice.want("401 REGISTER")
	alice.want("200 REGISTER")
	bob.want("401 REGISTER")
	bob.want("200 REGISTER")

	alice.calls(l, "9196")
	if m := alice.want("200 INVITE"); !strings.HasPrefix(m.Named("Session-Expires"), "90") || l.event("timer_raised") != 0 {
		t.Errorf("Session-Expires is %q", m.Named("Session-Expires"))
	}
	alice.InDialog("ACK")
	alice.hangsUp()

	alice.Request("INVITE", "1001", body(chromium(t)))
	alice.want("407 INVITE")
	if m := bob.want("INVITE"); m.RequestURI() != "sip:1001@bob.invalid;transport=ws" || !strings.Contains(m.Body(), "SAVPF") || !strings.Contains(m.Body(), "a=fingerprint") {
		t.Errorf("bob is offered\n%s", m)
	}
	bob.Reply(486, "", "INVITE")
	bob.want("ACK")
	alice.want("486 INVITE")

	mallory := phone("mallory", "1000", "wrong")
	mallory.dials(l, "9196")
	mallory.want("403 INVITE")
	mallory.Register(600)
	mallory.want("401 REGISTER")
	mallory.want("403 REGISTER")
	l.over()
	f.quiet(l)
}
