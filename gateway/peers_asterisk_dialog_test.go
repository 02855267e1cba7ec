//go:build linux

package gateway_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
)

var pbxDialogCases = []namedCase{
	{"it holds and resumes", pbxHolds},
	{"a browser holds and resumes", pbxIsHeld},
	{"it transfers a browser", pbxRefers},
	{"a browser transfers", pbxBlindTransfer},
	{"a browser connects two calls", pbxAttendedTransfer},
	{"digits", pbxDigits},
	{"it updates", pbxUpdates},
	{"session timers", pbxTimers},
	{"a browser acknowledges provisional responses", pbxReliable},
	{"it acknowledges provisional responses", pbxAcknowledges},
	{"the socket is lost in a call", pbxReconnect},
	{"the socket is lost while it rings", pbxReconnectRinging},
	{"a browser goes and comes back", pbxGone},
}

// Two re-INVITEs of Asterisk's, with all that it offers, to a browser.
func pbxHolds(c *pbxCase) {
	alice := c.browser("alice")
	c.dial(alice, "111")
	for _, direction := range []string{"a=sendonly", "a=sendrecv"} {
		m := alice.want("INVITE")
		if !strings.Contains(m.Body(), direction) {
			c.t.Errorf("no %s:\n%s", direction, m)
		}
		alice.Reply(200, "", "INVITE", body(accepts(c.t)))
		alice.want("ACK")
	}
	alice.hangsUp()
	alice.quiet()
}

func pbxIsHeld(c *pbxCase) {
	alice := c.browser("alice")
	c.dial(alice, "100")
	for _, direction := range [][2]string{{"a=sendonly", "a=recvonly"}, {"a=sendrecv", "a=sendrecv"}} {
		alice.InDialog("INVITE", body(strings.Replace(chromium(c.t), "a=sendrecv", direction[0], 1)))
		if m := alice.want("200 INVITE"); !strings.Contains(m.Body(), direction[1]) {
			c.t.Errorf("no %s:\n%s", direction[1], m)
		}
		alice.InDialog("ACK")
	}
	alice.hangsUp()
	alice.quiet()
}

// RFC 3515: Asterisk waits for the NOTIFY of success, and hangs up.
func pbxRefers(c *pbxCase) {
	alice := c.browser("alice")
	c.dial(alice, "108")
	m := alice.want("REFER")
	to := "sip:101@" + c.a.at.String()
	if !strings.Contains(m.Named("Refer-To"), to) {
		c.t.Errorf("Refer-To %q", m.Named("Refer-To"))
	}
	alice.Reply(202, "Accepted", "REFER")
	c.notify(alice, "active", "100 Trying")
	c.asks(alice, "INVITE", to, body(chromium(c.t)))
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	if err := alice.UseDialog(1); err != nil {
		c.t.Fatal(err)
	}
	c.notify(alice, "terminated;reason=noresource", "200 OK", "BYE")
	if err := alice.UseDialog(2); err != nil {
		c.t.Fatal(err)
	}
	alice.hangsUp()
	alice.quiet()
}

// notify tells what became of a REFER; then may be a request that comes upon it, before
// the answer or after.
func (c *pbxCase) notify(p *phone, state, status string, then ...string) {
	c.t.Helper()
	p.InDialog("NOTIFY", "Event: refer", "Subscription-State: "+state, "Content-Type: message/sipfrag;version=2.0", body("SIP/2.0 "+status+"\r\n"))
	for want := append(then, "200 NOTIFY"); len(want) > 0; {
		m := p.next(strings.Join(want, ", "))
		i := slices.Index(want, what(m))
		if i < 0 {
			c.t.Fatalf("%s got %s", p.Name, m)
		}
		want = slices.Delete(want, i, i+1)
		if m.IsRequest() {
			p.Reply(200, "", m.Method())
		}
	}
}

// bridged has one browser call another by way of Asterisk, until Asterisk has joined the two.
func (c *pbxCase) bridged(p, other *phone) *sip.Message {
	c.t.Helper()
	c.asks(p, "INVITE", "120", "X-Dial: "+c.reach(other.Name), body(chromium(c.t)))
	other.want("INVITE")
	other.Reply(200, "", "INVITE", body(accepts(c.t)))
	other.want("ACK")
	m := p.want("200 INVITE")
	p.InDialog("ACK")
	dial := c.a.event("Event", "DialBegin", "DialString", c.reach(other.Name))
	for _, channel := range []string{"Channel", "DestChannel"} {
		c.a.event("Event", "BridgeEnter", "Channel", dial.Get(channel))
	}
	return m
}

// Alice sends bob on to a number, and is out of it (RFC 5589 §6).
func pbxBlindTransfer(c *pbxCase) {
	alice, bob := c.browser("alice"), c.browser("bob")
	c.bridged(alice, bob)
	alice.InDialog("REFER", "Refer-To: <sip:101@example.com>", "Referred-By: <sip:alice@example.com>")
	c.refered(alice)
	alice.hangsUp()
	bob.hangsUpAmid(c)
	bob.quiet()
}

// meanwhile waits for a message, and accepts the re-INVITEs by which Asterisk says
// whom one talks to now, whenever they come.
func (p *phone) meanwhile(c *pbxCase, want string) {
	p.t.Helper()
	for {
		m := p.next(want)
		switch what(m) {
		case want:
			return
		case "INVITE":
			p.Reply(200, "", "INVITE", body(accepts(c.t)))
		case "ACK":
		default:
			p.t.Fatalf("%s got %s instead of %s", p.Name, m, want)
		}
	}
}

// hangsUpAmid ends a call that Asterisk has just changed.
func (p *phone) hangsUpAmid(c *pbxCase) {
	p.t.Helper()
	p.meanwhile(c, "ACK")
	p.InDialog("BYE")
	p.meanwhile(c, "200 BYE")
}

// refered takes the answer to REFER and the NOTIFYs up to the last; it tells whether the other
// call has ended meanwhile (RFC 3515 §2.4.4).
func (c *pbxCase) refered(p *phone) (ended bool) {
	c.t.Helper()
	accepted, done := false, false
	for !accepted || !done {
		m := p.next("the outcome of REFER")
		switch what(m) {
		case "202 REFER":
			accepted = true
		case "NOTIFY":
			p.Reply(200, "", "NOTIFY")
			done = strings.HasPrefix(m.Named("Subscription-State"), "terminated")
			if done && !strings.HasPrefix(m.Body(), "SIP/2.0 200") {
				c.t.Fatalf("the transfer failed:\n%s", m)
			}
		case "BYE":
			p.Reply(200, "", "BYE")
			ended = true
		default:
			c.t.Fatalf("%s got %s", p.Name, m)
		}
	}
	return ended
}

// Bob and carol are connected, alice is out of it (RFC 5589 §7, RFC 3891).
func pbxAttendedTransfer(c *pbxCase) {
	alice, bob, carol := c.browser("alice"), c.browser("bob"), c.browser("carol")
	c.bridged(alice, bob)
	m := c.bridged(alice, carol)
	if err := alice.UseDialog(1); err != nil {
		c.t.Fatal(err)
	}
	alice.InDialog("REFER", fmt.Sprintf("Refer-To: <sip:120@example.com?Replaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s>", m.CallID(), m.ToTag(), m.FromTag()))
	if c.refered(alice) {
		alice.hangsUp()
	} else {
		alice.InDialog("BYE")
		for range 2 { // its own, and that of the other call
			if m := alice.next("both calls' ends"); m.IsRequest() {
				alice.Reply(200, "", "BYE")
			}
		}
	}
	bob.hangsUpAmid(c)
	carol.meanwhile(c, "BYE")
	carol.Reply(200, "", "BYE")
	bob.quiet()
	carol.quiet()
}

// RFC 6086 INFO both ways: Asterisk repeats the digits that it got.
func pbxDigits(c *pbxCase) {
	alice := c.browser("alice")
	c.dial(alice, "107")
	for _, digit := range "4#7" {
		alice.InDialog("INFO", "Content-Type: application/dtmf-relay", body(fmt.Sprintf("Signal=%c\r\nDuration=100\r\n", digit)))
		alice.want("200 INFO")
		if digit == '#' { // ends what is read
			break
		}
	}
	c.a.event("Event", "UserEvent", "UserEvent", "Digits", "Digits", "4")
	m := alice.want("INFO")
	if !strings.Contains(m.Body(), "Signal=4") || m.Value(sip.ContentType) != "application/dtmf-relay" {
		c.t.Errorf("no digit:\n%s", m)
	}
	alice.Reply(200, "", "INFO")
	alice.hangsUp()
	alice.quiet()
}

func pbxUpdates(c *pbxCase) { // RFC 3311
	alice := c.browser("alice")
	c.dial(alice, "116", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE")
	m := alice.want("UPDATE")
	var more []string
	if m.Body() != "" {
		more = append(more, "Content-Type: application/sdp", body(accepts(c.t)))
	}
	alice.Reply(200, "", "UPDATE", more...)
	alice.hangsUp()
	alice.quiet()
}

// RFC 4028: what the two agree on, and refresh, is none of ours.
func pbxTimers(c *pbxCase) {
	alice := c.browser("alice")
	m := c.dial(alice, "100", "Supported: timer", "Session-Expires: 120;refresher=uac", "Min-SE: 90")
	for _, method := range []string{"", "UPDATE", "INVITE"} {
		if method != "" {
			more := []string{"Supported: timer", "Session-Expires: 120;refresher=uac", "Min-SE: 90"}
			if method == "INVITE" {
				more = append(more, body(chromium(c.t)))
			}
			alice.InDialog(method, more...)
			m = alice.want("200 " + method)
		}
		if got := m.Named("Session-Expires"); got != "120;refresher=uac" || !m.HasOption(sip.Require, "timer") {
			c.t.Errorf("%s: Session-Expires %q:\n%s", method, got, m)
		}
	}
	alice.InDialog("ACK")
	alice.hangsUp()

	c.a.calls(c.reach("alice"), "113")
	if m := c.answers(alice); m.Named("Session-Expires") != "1800" || m.Named("Min-SE") != "90" {
		c.t.Errorf("what Asterisk asks for is lost:\n%s", m)
	}
	alice.hangsUp()
	alice.quiet()
}

// RFC 3262: a browser's PRACK reaches Asterisk.
func pbxReliable(c *pbxCase) {
	alice := c.browser("alice")
	c.asks(alice, "INVITE", "104", "Supported: 100rel", "Require: 100rel", body(chromium(c.t)))
	m := alice.want("183 INVITE")
	if !m.HasOption(sip.Require, "100rel") || m.Named("RSeq") == "" {
		c.t.Fatalf("not reliable:\n%s", m)
	}
	n, _ := m.CSeq()
	alice.InDialog("PRACK", fmt.Sprintf("RAck: %s %d INVITE", m.Named("RSeq"), n))
	alice.want("200 PRACK")
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	alice.quiet()
}

func pbxAcknowledges(c *pbxCase) {
	alice := c.browser("alice")
	c.a.calls(c.reach("alice"), "113")
	invite := alice.want("INVITE")
	if !invite.HasOption(sip.Supported, "100rel") {
		c.t.Errorf("no 100rel:\n%s", invite)
	}
	alice.Reply(180, "", "INVITE", "Require: 100rel", "RSeq: 4711")
	n, _ := invite.CSeq()
	if m := alice.want("PRACK"); m.Named("RAck") != fmt.Sprintf("4711 %d INVITE", n) {
		c.t.Errorf("RAck %q", m.Named("RAck"))
	}
	alice.Reply(200, "", "PRACK")
	alice.Reply(200, "", "INVITE", body(accepts(c.t)))
	alice.want("ACK")
	alice.hangsUp()
	alice.quiet()
}

// The call goes on over the browser's next socket, whoever speaks first.
func pbxReconnect(c *pbxCase) {
	alice := c.browser("alice")
	c.dial(alice, "100")
	alice.cut()
	c.back(alice)
	alice.InDialog("INVITE", body(chromium(c.t)))
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.hangsUp()

	channel := c.a.calls(c.reach("alice"), "113")
	c.answers(alice)
	alice.cut()
	c.a.hangup(channel) // while nobody is there
	c.reconnect(alice)
	alice.Register(600)
	alice.want("401 REGISTER")
	for range 2 { // the BYE has waited for who is behind the socket
		if m := alice.next("200 REGISTER and BYE"); m.IsRequest() {
			alice.Reply(200, "", "BYE")
		}
	}
	alice.quiet()
}

// back gives a browser that was cut its next socket, which it registers over.
func (c *pbxCase) back(p *phone) {
	c.t.Helper()
	c.reconnect(p)
	p.registers()
}

// The browser that rings answers over its next socket; the one that calls takes its answer there.
func pbxReconnectRinging(c *pbxCase) {
	alice := c.browser("alice")
	c.a.calls(c.reach("alice"), "113")
	alice.want("INVITE")
	alice.Reply(180, "", "INVITE")
	alice.cut()
	c.reconnect(alice)
	alice.Register(600)
	alice.want("401 REGISTER")
	alice.want("INVITE") // again: a page may have forgotten it with its socket
	alice.want("200 REGISTER")
	alice.Reply(200, "", "INVITE", body(accepts(c.t)))
	alice.want("ACK")
	alice.hangsUp()

	c.asks(alice, "INVITE", "112", body(chromium(c.t)))
	alice.want("180 INVITE")
	alice.cut()
	c.back(alice)
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	alice.quiet()
}

// Who has closed the page is no call's any more, and reachable as soon as it is open again.
func pbxGone(c *pbxCase) {
	alice, bob := c.browser("alice"), c.browser("bob")
	for range 2 {
		bob.closes()
		c.until("bob has gone", func() bool { return c.g.Snapshot().Flows["ws"] == 1 })
		c.asks(alice, "INVITE", "120", "X-Dial: "+c.reach("bob"), body(chromium(c.t)))
		alice.want("480 INVITE")
		c.back(bob)
		c.asks(alice, "INVITE", "120", "X-Dial: "+c.reach("bob"), body(chromium(c.t)))
		c.answers(bob)
		alice.want("180 INVITE")
		alice.want("200 INVITE")
		alice.InDialog("ACK")
		bob.hangsUp()
		alice.isHungUp()
	}
	alice.quiet()
	bob.quiet()
}
