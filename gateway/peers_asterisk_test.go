//go:build linux

package gateway_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// pbxCase is a gateway of its own in front of an Asterisk that other cases use, too.
type pbxCase struct {
	*live
	a         *asterisk
	transport string // between the two
	contact   string // "" where the gateway keeps the users; else how Asterisk, which does, knows them
	n         int    // of the case: nobody else's users have it
}

// pbxCases are played with each Asterisk, over UDP and over TCP.
var pbxCases = slices.Concat(pbxCallCases, pbxDialogCases, pbxEventCases)

type namedCase struct {
	name string
	play func(*pbxCase)
}

// The gateway keeps the users and Asterisk is an upstream, or Asterisk keeps them (16 has
// no use for the Path of a contact as browsers make them up: TestAsteriskForgetsPath).
func TestAsterisk(t *testing.T) {
	for _, suite := range asterisks {
		for _, contact := range []string{"", "path", "alias"} {
			if suite == "bullseye" && contact == "path" {
				continue
			}
			t.Run(suite+" "+cmp.Or(contact, "trunk"), func(t *testing.T) {
				t.Parallel()
				a := newNet(t).asterisk(suite, map[string]string{"USERS": keptUsers(2 * len(pbxCases))})
				for i, one := range pbxCases {
					t.Run(one.name, func(t *testing.T) {
						each(t, func(t *testing.T, transport string) {
							c := &pbxCase{live: newNet(t), a: a.as(t), transport: transport, contact: contact, n: 2 * i}
							if transport == "tcp" {
								c.n++
							}
							c.up()
							one.play(c)
							c.over()
						})
					})
				}
			})
		}
	}
}

// up runs the gateway, with more about its upstream: "key: value, ".
func (c *pbxCase) up(more ...string) *pbxCase {
	if c.contact == "" {
		c.start(pbxes(hop(c.a.at, c.transport)))
	} else {
		c.relays("example.com", hop(c.a.at, c.transport), "contact: "+c.contact+", "+strings.Join(more, ""))
	}
	return c
}

// reach is a user, or a phone of its, as Asterisk dials it.
func (c *pbxCase) reach(who string) string {
	user := c.user(strings.TrimRight(who, "0123456789"))
	switch {
	case c.contact != "":
		return user
	case c.transport == "udp":
		return "ringway/" + c.uri(user)
	}
	return "ringway/" + c.uri(user) + ";transport=" + c.transport
}

// user is whom a role is played by.
func (c *pbxCase) user(role string) string {
	if c.contact == "" {
		return role
	}
	return fmt.Sprint(role, c.n)
}

// page is a browser that has not registered yet. Like JsSIP it makes up its Contact.
func (c *pbxCase) page(role string) *phone {
	c.t.Helper()
	name := fmt.Sprint(role, c.n)
	return c.tab(name, c.user(role)+"@example.com", password, fmt.Sprintf("q9f8%x", name))
}

// browser is one that is registered.
func (c *pbxCase) browser(role string) *phone {
	c.t.Helper()
	p := c.page(role)
	p.registers()
	return p
}

// asks has a browser send a request out of a dialog, and prove who it is if Asterisk keeps it.
func (c *pbxCase) asks(p *phone, method, target string, headers ...string) {
	c.t.Helper()
	p.Request(method, target, headers...)
	if c.contact != "" {
		p.want("401 " + method)
	}
}

// chromium is a session description of Chromium's.
func chromium(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("../testdata/asterisk/chromium.sdp")
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\n", "\r\n")
}

// accepts is what Chromium would answer Asterisk's offer.
func accepts(t testing.TB) string {
	t.Helper()
	return strings.NewReplacer("a=setup:actpass", "a=setup:active", " 111 63 9 0 8 13 110 126", " 0").Replace(chromium(t))
}

// dial has a browser call a number with Chromium's offer, and waits for the answer.
func (c *pbxCase) dial(p *phone, number string, headers ...string) *sip.Message {
	c.t.Helper()
	c.asks(p, "INVITE", number, append([]string{body(chromium(c.t))}, headers...)...)
	m := p.next("200 INVITE")
	for !m.IsRequest() && m.Status() < 200 {
		m = p.next("200 INVITE")
	}
	if what(m) != "200 INVITE" {
		c.t.Fatalf("%s got %s", p.Name, m)
	}
	p.InDialog("ACK")
	return m
}

// answers has a browser take a call of Asterisk's.
func (c *pbxCase) answers(p *phone) *sip.Message {
	c.t.Helper()
	m := p.want("INVITE")
	p.Reply(180, "", "INVITE")
	p.Reply(200, "", "INVITE", body(accepts(c.t)))
	p.want("ACK")
	return m
}

// hangsUp ends the newest call.
func (p *phone) hangsUp() {
	p.t.Helper()
	p.InDialog("BYE")
	for m := p.next("200 BYE"); what(m) != "200 BYE"; m = p.next("200 BYE") {
		if what(m) != "200 INVITE" { // which comes again when the ACK was slow (RFC 3261 §13.3.1.4)
			p.t.Fatalf("%s got %s", p.Name, m)
		}
	}
}

// isHungUp is a call that the other side ends.
func (p *phone) isHungUp() *sip.Message {
	p.t.Helper()
	m := p.want("BYE")
	p.Reply(200, "", "BYE")
	return m
}
