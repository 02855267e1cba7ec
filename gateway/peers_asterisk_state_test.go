//go:build linux

package gateway_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// eachAsterisk runs a test with an Asterisk of its own, in each mode.
func eachAsterisk(t *testing.T, f func(c *pbxCase, suite string)) {
	for _, m := range []struct{ suite, contact, transport string }{
		{"sid", "", "udp"}, {"sid", "path", "tcp"}, {"sid", "alias", "udp"}, {"bullseye", "", "tcp"}, {"bullseye", "alias", "udp"},
	} {
		t.Run(m.suite+" "+cmp.Or(m.contact, "trunk")+" "+m.transport, func(t *testing.T) {
			t.Parallel()
			f(&pbxCase{live: newNet(t), contact: m.contact, transport: m.transport}, m.suite)
		})
	}
}

// forget has the next event be one that is yet to come.
func (a *asterisk) forget() {
	a.ami.mu.Lock()
	a.ami.events = nil
	a.ami.mu.Unlock()
}

// Asterisk asks every second whether somebody is there; we know, also while the browser sleeps. Who is away is so
// told, and who is back as well.
func TestAsteriskQualifies(t *testing.T) {
	eachAsterisk(t, func(c *pbxCase, suite string) {
		qualify, strict := "qualify_frequency = 1\n", suite != "bullseye" // 16 is content with any answer
		if strict {
			qualify += "qualify_2xx_only = yes\n"
		}
		user := c.user("alice")
		users := keptUser(user, qualify)
		if c.contact == "" {
			users = fmt.Sprintf("[%s]\ntype = aor\ncontact = %s\n%s[%[1]s](browser)\naors = %[1]s\n", user, strings.TrimPrefix(c.reach(user), "ringway/"), qualify)
		}
		c.a = c.asterisk(suite, map[string]string{"USERS": users})
		c.up()
		alice := c.browser("alice") // who answers nothing
		c.a.event("Event", "ContactStatus", "AOR", user, "ContactStatus", "Reachable")
		alice.quiet()
		if !strict {
			return
		}
		c.a.forget()
		alice.closes()
		c.a.event("Event", "ContactStatus", "AOR", user, "ContactStatus", "Unreachable")
		c.a.forget()
		c.back(alice)
		c.a.event("Event", "ContactStatus", "AOR", user, "ContactStatus", "Reachable")
		alice.quiet()
	})
}

// crash ends it without a word to anybody.
func (a *asterisk) crash() {
	a.t.Helper()
	_ = a.cmd.Process.Kill()
	<-a.done
}

// Asterisk is started anew under calls, and has forgotten who has registered: none of the calls stays with us, and after
// one refresh everybody calls and is called. Nobody reaches whoever is gone.
func TestAsteriskRestarts(t *testing.T) {
	eachAsterisk(t, func(c *pbxCase, suite string) {
		c.a = c.asterisk(suite, map[string]string{"USERS": keptUsers(1)})
		c.up()
		alice, bob, carol := c.browser("alice"), c.browser("bob"), c.browser("carol")
		c.dial(alice, "100")
		c.a.calls(c.reach("bob"), "113")
		c.answers(bob)
		c.a.crash()
		carol.closes()
		if err := os.Remove(filepath.Join(c.a.dir, "astdb.sqlite3")); err != nil {
			c.t.Fatal(err)
		}
		c.a.start()
		for _, p := range []*phone{alice, bob} {
			p.InDialog("BYE")
			p.want("481 BYE")
			p.registers()
		}
		c.dial(alice, "100")
		alice.hangsUp()
		c.bridged(alice, bob)
		bob.hangsUp()
		alice.isHungUp()
		c.asks(alice, "INVITE", "120", "X-Dial: "+c.reach("carol"), body(chromium(c.t)))
		alice.want(map[bool]string{true: "480 INVITE", false: "404 INVITE"}[c.contact == ""])
		c.back(carol)
		c.bridged(carol, alice)
		carol.hangsUp()
		alice.isHungUp()
		c.over()
		alice.quiet()
		bob.quiet()
	})
}
