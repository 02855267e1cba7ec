//go:build linux

package gateway_test

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/ringway/ringway/sip"
)

var pbxEventCases = []namedCase{
	{"texts", pbxMessages},
	{"a busy lamp", pbxLamp},
	{"a message waiting", pbxMailbox},
	{"options", pbxOptions},
	{"what it does not take", pbxPublish},
}

func pbxMessages(c *pbxCase) { // RFC 3428
	alice := c.page("alice")
	if c.contact == "path" { // for a text Asterisk finds the Path only by a Contact that has the user's name
		alice = c.tab("alice", c.user("alice")+"@example.com", password, "")
	}
	alice.registers()
	text := "f\u00fcr \u00d6l \u2603"
	c.asks(alice, "MESSAGE", "100", "X-Dial: "+c.reach("alice"), "Content-Type: text/plain;charset=UTF-8", body(text))
	got := map[string]*sip.Message{}
	for range 2 {
		m := alice.next("the answer and the text")
		got[what(m)] = m
	}
	m := got["MESSAGE"]
	if got["202 MESSAGE"] == nil || m == nil || m.Body() != text {
		c.t.Fatalf("got %v", got)
	}
	alice.Reply(200, "", "MESSAGE")
	alice.quiet()
}

// A subscription, what it tells, and its end (RFC 6665, RFC 4235).
func pbxLamp(c *pbxCase) {
	alice := c.browser("alice")
	number, lamp := "130", "DEVICE_STATE(Custom:lamp)"
	if c.transport == "tcp" { // one of its own: nobody else may change it meanwhile
		number, lamp = "131", "DEVICE_STATE(Custom:lamp131)"
	}
	c.a.do("SetVar", "Variable", lamp, "Value", "NOT_INUSE")
	c.asks(alice, "SUBSCRIBE", number, "Event: dialog", "Accept: application/dialog-info+xml", "Expires: 60")
	m := c.subscribed(alice)
	if !strings.Contains(m.Body(), "<state>terminated</state>") {
		c.t.Errorf("the lamp is lit:\n%s", m)
	}
	told := func(state string) {
		c.t.Helper()
		for {
			m := alice.want("NOTIFY")
			alice.Reply(200, "", "NOTIFY")
			if m.Value(sip.ContentType) != "application/dialog-info+xml" || !strings.HasPrefix(m.Named("Subscription-State"), "active") {
				c.t.Fatalf("no lamp:\n%s", m)
			}
			if strings.Contains(m.Body(), "<state>"+state+"</state>") {
				return
			}
		}
	}
	for _, state := range [][2]string{{"RINGING", "early"}, {"INUSE", "confirmed"}, {"NOT_INUSE", "terminated"}} {
		c.a.do("SetVar", "Variable", lamp, "Value", state[0])
		told(state[1])
	}
	c.unsubscribes(alice, "dialog")
}

// subscribed takes the answer and the first NOTIFY, which may overtake it (RFC 6665 §4.1.2.4).
func (c *pbxCase) subscribed(p *phone) (notify *sip.Message) {
	c.t.Helper()
	for range 2 {
		switch m := p.next("the subscription's begin"); what(m) {
		case "NOTIFY":
			p.Reply(200, "", "NOTIFY")
			notify = m
		case "200 SUBSCRIBE":
		default:
			c.t.Fatalf("%s got %s", p.Name, m)
		}
	}
	return notify
}

func (c *pbxCase) unsubscribes(p *phone, event string) {
	c.t.Helper()
	p.InDialog("SUBSCRIBE", "Event: "+event, "Expires: 0")
	for answered, told := false, c.a.major < 20; !answered || !told; { // what it told meanwhile may come first, and 16 tells of no end
		m := p.next("the end of the subscription")
		if !m.IsRequest() && m.Status() == 200 {
			answered = true
			continue
		}
		p.Reply(200, "", "NOTIFY")
		told = told || strings.HasPrefix(m.Named("Subscription-State"), "terminated")
	}
	p.quiet()
}

func pbxMailbox(c *pbxCase) { // RFC 3842
	alice := c.browser("alice")
	c.asks(alice, "SUBSCRIBE", "150", "Event: message-summary", "Accept: application/simple-message-summary", "Expires: 60")
	m := c.subscribed(alice)
	if !strings.Contains(m.Body(), "Messages-Waiting: ") {
		c.t.Errorf("no summary:\n%s", m)
	}
	if strings.Contains(m.Body(), "Messages-Waiting: no") {
		c.a.leavesMessage()
		m = alice.want("NOTIFY")
		alice.Reply(200, "", "NOTIFY")
	}
	if !strings.Contains(m.Body(), "Messages-Waiting: yes") || !strings.Contains(m.Body(), "Voice-Message: 1/0") {
		c.t.Errorf("nobody waits:\n%s", m)
	}
	c.unsubscribes(alice, "message-summary")
}

// leavesMessage puts a message into the mailbox.
func (a *asterisk) leavesMessage() {
	a.t.Helper()
	inbox := filepath.Join(a.dir, "voicemail/default/150/INBOX")
	if err := os.MkdirAll(inbox, 0o700); err != nil {
		a.t.Fatal(err)
	}
	for name, text := range map[string]string{"msg0000.sln": strings.Repeat("\x00", 1600), "msg0000.txt": "[message]\norigtime=1\nduration=1\n"} {
		if err := os.WriteFile(filepath.Join(inbox, name), []byte(text), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
}

func pbxOptions(c *pbxCase) {
	alice := c.browser("alice")
	c.asks(alice, "OPTIONS", "100")
	if m := alice.want("200 OPTIONS"); !strings.Contains(m.Named("Accept"), "application/sdp") {
		c.t.Errorf("not Asterisk's:\n%s", m)
	}
	alice.quiet()
}

// RFC 3903: it has nobody to publish to, and says so to who asks.
func pbxPublish(c *pbxCase) {
	alice := c.browser("alice")
	c.asks(alice, "PUBLISH", "100", "Event: presence", "Expires: 60", "Content-Type: application/pidf+xml", body("<presence/>"))
	alice.want("489 PUBLISH")
	alice.quiet()
}
