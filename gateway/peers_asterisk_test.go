//go:build linux

package gateway_test

import (
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
}

// pbxCases are played with each Asterisk, over UDP and over TCP.
var pbxCases = slices.Concat(pbxCallCases, pbxDialogCases, pbxEventCases)

type namedCase struct {
	name string
	play func(*pbxCase)
}

// The gateway keeps the users, and Asterisk is an upstream.
func TestAsterisk(t *testing.T) {
	for _, suite := range asterisks {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			a := newNet(t).asterisk(suite, nil)
			for _, c := range pbxCases {
				t.Run(c.name, func(t *testing.T) {
					each(t, func(t *testing.T, transport string) {
						l := newNet(t).start(pbxes(hop(a.at, transport)))
						c.play(&pbxCase{live: l, a: a.as(t), transport: transport})
						l.over()
					})
				})
			}
		})
	}
}

// reach is a user of the gateway as Asterisk dials it.
func (c *pbxCase) reach(user string) string {
	if c.transport == "udp" {
		return c.uri(user)
	}
	return c.uri(user) + ";transport=" + c.transport
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
	p.Request("INVITE", number, append([]string{body(chromium(c.t))}, headers...)...)
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
	p.want("200 BYE")
}

// isHungUp is a call that the other side ends.
func (p *phone) isHungUp() *sip.Message {
	p.t.Helper()
	m := p.want("BYE")
	p.Reply(200, "", "BYE")
	return m
}
