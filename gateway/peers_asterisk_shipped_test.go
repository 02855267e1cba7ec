//go:build linux

package gateway_test

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// configs/asterisk.yaml and configs/peers/asterisk as they are shipped, but for the
// addresses: users register at Asterisk, call it and each other, and nobody calls unproven.
func TestShippedAsterisk(t *testing.T) {
	yaml, err := os.ReadFile("../configs/asterisk.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(yaml), "\n"); n > 15 {
		t.Errorf("%d lines", n)
	}
	for _, suite := range asterisks {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			c := &pbxCase{live: l, a: l.asterisk(suite, nil, "../configs/peers/asterisk")}
			l.boot("admin: off\n" + strings.NewReplacer("127.0.0.1:5070", c.a.at.String(), "127.0.0.1:5060", l.sip.String(), "127.0.0.1:8080", l.ws.String()).Replace(string(yaml)))
			alice, bob := c.tab("alice", "alice@example.com", "change-me-1", ""), c.tab("bob", "bob@example.com", "change-me-2", "")
			alice.registers()
			bob.registers()

			alice.Request("INVITE", "600", body(chromium(t)))
			alice.want("401 INVITE")
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			alice.hangsUp()

			alice.Request("INVITE", "bob", body(chromium(t)))
			alice.want("401 INVITE")
			m := bob.want("INVITE")
			if want := "sip:bob@bob.invalid;transport=ws"; m.RequestURI() != want {
				t.Errorf("bob is called %s instead of %s", m.RequestURI(), want)
			}
			bob.Reply(200, "", "INVITE", body(accepts(t)))
			bob.want("ACK")
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			bob.hangsUp()
			alice.isHungUp()

			page := bob
			for i := range 7 { // more than Asterisk takes: each load is a new instance, and the registrar hears nothing of the last
				page.closes()
				page = c.tab("bob"+strconv.Itoa(i), "bob@example.com", "change-me-2", "")
				page.registers()
			}
			alice.Request("INVITE", "bob", body(chromium(t)))
			alice.want("401 INVITE")
			page.want("INVITE")
			page.Reply(200, "", "INVITE", body(accepts(t)))
			page.want("ACK")
			alice.want("200 INVITE")
			alice.InDialog("ACK")
			page.hangsUp()
			alice.isHungUp()

			mallory := l.play("alice", siptest.UAOptions{Transport: sip.WS, AOR: "alice@example.com", Manual: true}, l.dialWS(), netip.AddrPort{})
			mallory.Request("INVITE", "600", body(chromium(t)))
			mallory.want("403 INVITE")
			mallory.Register(600)
			mallory.want("401 REGISTER")
			mallory.Request("INVITE", "600", body(chromium(t)))
			mallory.want("403 INVITE")
			l.over()
		})
	}
}
