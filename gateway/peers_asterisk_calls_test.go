//go:build linux

package gateway_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
)

var pbxCallCases = []namedCase{
	{"a browser calls", pbxEcho},
	{"it calls a browser", pbxCallsBack},
	{"busy", pbxBusy},
	{"causes", pbxCauses},
	{"a browser gives up", pbxIsCancelled},
	{"it gives up", pbxCancels},
	{"early media", pbxEarlyMedia},
	{"it hangs up", pbxHangsUp},
	{"redirects", pbxRedirects},
	{"refusals of browsers", pbxIsRefused},
}

// Neither side's description is touched on its way.
func pbxEcho(c *pbxCase) {
	alice := c.browser("alice")
	m := c.dial(alice, "100")
	if !strings.Contains(m.Body(), "UDP/TLS/RTP/SAVPF") || !strings.Contains(m.Body(), "a=setup:active") {
		c.t.Errorf("no answer to a browser's offer:\n%s", m)
	}
	for what, sdp := range map[string]string{"offer": chromium(c.t), "answer": m.Body()} {
		c.a.knows(what, sdp)
	}
	alice.hangsUp()
	alice.quiet()
}

// knows waits until Asterisk has logged what it got or sent, byte for byte.
func (a *asterisk) knows(what, text string) {
	a.t.Helper()
	for limit := time.Now().Add(patience); !strings.Contains(a.log(), text); {
		if time.Now().After(limit) {
			a.t.Fatalf("Asterisk does not know this %s:\n%s", what, text)
		}
		<-time.After(10 * time.Millisecond)
	}
}

func pbxCallsBack(c *pbxCase) {
	alice := c.browser("alice")
	for _, who := range []string{"caller", "callee"} {
		channel := c.a.calls(c.reach("alice"), "113")
		m := c.answers(alice)
		if ct := m.Value(sip.ContentType); ct != "application/sdp" || !strings.Contains(m.Body(), "UDP/TLS/RTP/SAVPF") {
			c.t.Errorf("no browser understands\n%s", m)
		}
		if who == "callee" {
			alice.hangsUp()
			continue
		}
		c.a.hangup(channel)
		alice.isHungUp()
	}
	alice.quiet()
}

func pbxBusy(c *pbxCase) {
	alice := c.browser("alice")
	c.asks(alice, "INVITE", "103", body(chromium(c.t)))
	alice.want("486 INVITE")
	alice.quiet()
}

// The status and the cause (RFC 3326) reach the caller as Asterisk chose them.
func pbxCauses(c *pbxCase) {
	alice := c.browser("alice")
	for _, cause := range []struct {
		q850   int
		status int
	}{{1, 404}, {17, 486}, {18, 408}, {19, 480}, {21, 403}, {27, 502}, {34, 503}, {38, 500}} {
		c.asks(alice, "INVITE", fmt.Sprintf("200%d", cause.q850), body(chromium(c.t)))
		m := alice.want(fmt.Sprintf("%d INVITE", cause.status))
		if got, want := m.Named("Reason"), fmt.Sprintf("Q.850;cause=%d", cause.q850); !strings.HasPrefix(got, want) {
			c.t.Errorf("Reason %q, want %s", got, want)
		}
	}
	alice.quiet()
}

func pbxIsCancelled(c *pbxCase) { // RFC 3261 §9.1
	alice := c.browser("alice")
	c.asks(alice, "INVITE", "112", body(chromium(c.t)))
	alice.want("180 INVITE")
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	alice.quiet()
}

func pbxCancels(c *pbxCase) {
	alice := c.browser("alice")
	channel := c.a.calls(c.reach("alice"), "113")
	alice.want("INVITE")
	alice.Reply(180, "", "INVITE")
	c.a.hangup(channel)
	alice.want("CANCEL")
	alice.Reply(487, "", "INVITE")
	alice.want("ACK")
	alice.quiet()
}

func pbxEarlyMedia(c *pbxCase) {
	alice := c.browser("alice")
	c.asks(alice, "INVITE", "104", body(chromium(c.t)))
	m := alice.want("183 INVITE")
	if !strings.Contains(m.Body(), "a=setup:active") {
		c.t.Errorf("no early media:\n%s", m)
	}
	c.a.knows("early answer", m.Body())
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	alice.quiet()
}

func pbxHangsUp(c *pbxCase) {
	alice := c.browser("alice")
	c.dial(alice, "110")
	if m := alice.isHungUp(); !strings.HasPrefix(m.Named("Reason"), "Q.850;cause=16") {
		c.t.Errorf("no cause:\n%s", m)
	}
	alice.quiet()
}

func pbxRedirects(c *pbxCase) {
	alice := c.browser("alice")
	c.asks(alice, "INVITE", "109", body(chromium(c.t)))
	m := alice.want("302 INVITE")
	if !strings.Contains(m.Value(sip.Contact), "sip:101@"+c.a.at.String()) {
		c.t.Errorf("Contact %q", m.Value(sip.Contact))
	}
	c.asks(alice, "INVITE", "sip:101@"+c.a.at.String(), body(chromium(c.t))) // where it was sent
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.hangsUp()
	alice.quiet()
}

// What a browser says of a call reaches Asterisk, and from there the other browser.
func pbxIsRefused(c *pbxCase) {
	alice, bob := c.browser("alice"), c.browser("bob")
	for status, want := range map[int]string{486: "486 INVITE", 603: "403 INVITE", 480: "480 INVITE"} {
		c.asks(alice, "INVITE", "120", "X-Dial: "+c.reach("bob"), body(chromium(c.t)))
		bob.want("INVITE")
		bob.Reply(status, "", "INVITE")
		bob.want("ACK")
		alice.want(want)
	}
	c.asks(alice, "INVITE", "120", "X-Dial: "+c.reach("carol"), body(chromium(c.t))) // who is away
	if c.contact == "" {
		alice.want("480 INVITE")
	} else {
		alice.want("404 INVITE") // says Asterisk of who has not registered
	}
	alice.quiet()
	bob.quiet()
}
