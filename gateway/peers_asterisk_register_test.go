//go:build linux

package gateway_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/siptest"
)

// registerCase is what a user may meet whom Asterisk keeps, with what is special of its endpoint, AOR
// and password there.
type registerCase struct {
	name                string
	contact             []string
	endpoint, aor, auth string
	play                func(c *pbxCase, user string)
}

var registerCases = []registerCase{
	{"digest", []string{"path", "alias"}, "", "", "", pbxProves},
	{"SHA-256", []string{"path", "alias"}, "", "", "supported_algorithms_uas = SHA-256,MD5\n", pbxProves},
	{"wrong passwords", []string{"path"}, "", "", "", pbxLimits},
	{"no Path", []string{"path"}, "", "support_path = no\n", "", pbxLacksPath},
	{"no Path needed", []string{"alias"}, "", "support_path = no\n", "", pbxRings},
	{"the user's name in Contact", []string{"named"}, "", "", "", pbxRings},
	{"rewrite_contact", []string{"calls by path", "alias"}, "rewrite_contact = yes\n", "", "", pbxRings},
	{"a page loaded again", []string{"alias"}, "", "max_contacts = 1\n", "", pbxReload},
	{"a page loaded again, several Contacts", []string{"alias"}, "", "", "", pbxReload},
	{"a page loaded again, the last Contact wins", []string{"calls by path"}, "", "max_contacts = 1\nremove_existing = yes\n", "", pbxReload},
	{"too many Contacts", []string{"path", "alias"}, "", "max_contacts = 1\n", "", pbxTooMany},
	{"two pages", []string{"alias"}, "", "", "", pbxTwoPages},
	{"a lamp that nobody asked for", []string{"calls by path", "alias"}, "mailboxes = 150@default\n", "", "", pbxUnasked},
	{"minimum_expiration", []string{"path", "alias"}, "", "minimum_expiration = 300\n", "", pbxExpires(30, 120, 300)},
	{"maximum_expiration", []string{"path", "alias"}, "", "maximum_expiration = 60\n", "", pbxExpires(600, 60, 60)},
	{"relay_expires", []string{"path", "alias"}, "", "", "", pbxExpires(600, 120, 120)},
	{"un-REGISTER", []string{"path", "alias"}, "", "", "", pbxSignsOff},
	{"a dead client", []string{"calls by path", "alias"}, "", "", "", pbxEnds(false)},
	{"a dead client of somebody trusted", []string{"path", "alias"}, "", "", "-", pbxEnds(true)},
}

// Registrations by way of us at an Asterisk, with what its administrators set. 16 finds the Path only of a Contact that
// has the user's name.
func TestAsteriskRegisters(t *testing.T) {
	for _, suite := range asterisks {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			a := newNet(t).asterisk(suite, map[string]string{"USERS": registrants(suite)})
			for i, one := range registerCases {
				for j, contact := range one.contact {
					if suite == "bullseye" && contact == "calls by path" {
						continue
					}
					t.Run(one.name+" "+contact, func(t *testing.T) {
						c := &pbxCase{live: newNet(t), a: a.as(t), transport: "udp", contact: contact}
						one.play(c, registrant(i, j))
						c.over()
					})
				}
			}
		})
	}
}

// registrant is the user of a case.
func registrant(i, j int) string { return fmt.Sprintf("user%d%d", i, j) }

// registrants are the users of the cases, as Asterisk is told of them.
func registrants(suite string) string {
	var b strings.Builder
	for i, one := range registerCases {
		auth, more := "auth = %[1]s\n", one.auth
		switch {
		case one.auth == "-": // wants no password
			auth, more = "; nothing of %[1]s\n", ""
		case suite == "bullseye": // knows MD5 alone
			more = ""
		}
		for j := range one.contact {
			user := registrant(i, j)
			fmt.Fprintf(&b, "[%[1]s](user)\n"+auth+"aors = %[1]s\n%[2]s[%[1]s](phones)\n%[3]s[%[1]s](password)\nusername = %[1]s\n%[4]s",
				user, one.endpoint, one.aor, more)
		}
	}
	return b.String()
}

// serves runs the gateway as a case's name for the contact tells, and gives the user's page, which has not
// registered.
func (c *pbxCase) serves(user string, more ...string) *phone {
	c.t.Helper()
	contact := "q9f8" + user
	switch c.contact {
	case "named":
		contact, c.contact = "", "path"
	case "calls by path":
		c.contact = "path"
	}
	c.up(more...)
	return c.tab(user, user+"@example.com", password, contact)
}

// contacts are the Contact URIs that Asterisk has of a user.
func (a *asterisk) contacts(user string) (uris []string) {
	a.t.Helper()
	for id := range strings.SplitSeq(a.value("PJSIP_AOR("+user+",contact)"), ",") {
		if id != "" {
			uris = append(uris, a.value("PJSIP_CONTACT("+id+",uri)"))
		}
	}
	return uris
}

// value is what a function of the dialplan gives.
func (a *asterisk) value(function string) string {
	a.t.Helper()
	return a.do("Getvar", "Variable", function).Get("Value")
}

// has waits until Asterisk has so many Contacts of a user.
func (c *pbxCase) has(user string, n int) {
	c.t.Helper()
	c.until(fmt.Sprintf("Asterisk has %d Contacts of %s", n, user), func() bool { return len(c.a.contacts(user)) == n })
}

// says waits for a line in the gateway's log.
func (c *pbxCase) says(text string) {
	c.t.Helper()
	c.until("the gateway says: "+text, func() bool { return strings.Contains(c.log.String(), text) })
}

// What proves the password reaches Asterisk byte for byte, by each algorithm that it asks for (RFC 3261 §22.3, RFC 8760).
func pbxProves(c *pbxCase, user string) {
	c.up()
	p := c.play(user, siptest.UAOptions{Transport: sip.WS, AOR: user + "@example.com", Manual: true}, c.dialWS(), netip.AddrPort{})
	p.Register(600)
	m := p.want("401 REGISTER")
	algorithms := []string{"MD5"}
	if strings.Contains(c.t.Name(), "SHA-256") && c.a.major > 16 {
		algorithms = []string{"SHA-256", "MD5"}
	}
	for _, f := range m.Fields() {
		if f.Header != sip.WWWAuthenticate {
			continue
		}
		ch, err := digest.ParseChallenge(m.FieldValue(f))
		if err != nil || len(algorithms) == 0 || ch.Algorithm != algorithms[0] {
			c.t.Fatalf("%v, want challenges by %v:\n%s", err, algorithms, m)
		}
		algorithms = algorithms[1:]
		answer := must(digest.Answer(&ch, user, password, "REGISTER", "sip:example.com", "00000001", "f00"))
		answer = strings.Replace(answer, ", realm", " ,x-ringway=\"a, b\", realm", 1)
		p.Register(600, "Authorization: "+answer)
		p.want("200 REGISTER")
		c.a.knows("proof", "\nAuthorization: "+answer)
	}
	if len(algorithms) > 0 {
		c.t.Errorf("no challenge by %v:\n%s", algorithms, m)
	}
}

// After so many wrong passwords Asterisk, which might ban the gateway, gets no more of them.
func pbxLimits(c *pbxCase, user string) {
	c.serves(user)
	for range 10 {
		c.forged(user, "wrong", "401 REGISTER")
	}
	for _, guess := range []string{"wrong", password} {
		if m := c.forged(user, guess, "403 REGISTER"); !strings.Contains(m.ReasonPhrase(), "too many failed logins") {
			c.t.Errorf("refused by\n%s", m)
		}
	}
	c.caller()
	c.a.knows("caller", `Authorization: Digest username="user00"`)
	if n := strings.Count(c.a.log(), `Authorization: Digest username="`+user+`"`); n != 10 {
		c.t.Errorf("Asterisk got %d passwords", n)
	}
}

// forged is a REGISTER with a password and what it is answered.
func (c *pbxCase) forged(user, guess, want string) *sip.Message {
	c.t.Helper()
	p := c.tab("eve", user+"@example.com", guess, "")
	p.Register(600)
	p.want("401 REGISTER")
	return p.want(want)
}

// caller is a registered browser of somebody else's.
func (c *pbxCase) caller() *phone {
	c.t.Helper()
	p := c.tab("caller", registrant(0, 0)+"@example.com", password, "q9f8caller")
	p.registers()
	return p
}

// tells has somebody call by way of Asterisk, and hear no.
func (c *pbxCase) tells(who, want string) {
	c.t.Helper()
	p := c.caller()
	c.asks(p, "INVITE", "120", "X-Dial: "+who, body(chromium(c.t)))
	p.want(want)
	p.quiet()
	p.leaves()
}

// Asterisk takes no Path where it is not told to, and does not say so; calls would not reach the browser.
func pbxLacksPath(c *pbxCase, user string) {
	p := c.serves(user)
	if m := p.registers(); m.Has(sip.Path) {
		c.t.Errorf("it takes Path:\n%s", m)
	}
	c.says("the registrar returns no Path")
}

// The browser is called by what it has registered, whatever Asterisk was told instead or has made of it.
func pbxRings(c *pbxCase, user string) {
	p := c.serves(user)
	m := p.registers()
	uri := strings.Trim(strings.Split(m.Value(sip.Contact), ">")[0], "<")
	if !strings.HasSuffix(uri, "@"+user+".invalid;transport=ws") {
		c.t.Errorf("Contact is not the browser's:\n%s", m)
	}
	c.rings(p, user, uri)
}

// rings has Asterisk call a browser.
func (c *pbxCase) rings(p *phone, user, uri string) {
	c.t.Helper()
	c.a.calls(user, "113")
	if m := c.answers(p); m.RequestURI() != uri {
		c.t.Errorf("it is called %s, want %s", m.RequestURI(), uri)
	}
	p.hangsUp()
	p.quiet()
}

// A page that is loaded again takes the place of what it was: Asterisk has it once, and calls nobody else.
func pbxReload(c *pbxCase, user string) {
	p := c.serves(user)
	p.registers()
	for _, contact := range []string{"second", "third"} {
		p.closes()
		p = c.tab(user, user+"@example.com", password, contact)
		p.registers()
		c.has(user, 1)
		c.rings(p, user, "sip:"+contact+"@"+user+".invalid;transport=ws")
	}
}

func pbxTooMany(c *pbxCase, user string) {
	p := c.serves(user)
	p.registers()
	c.forged(user, password, "403 REGISTER") // by another page
	c.says("more contacts than it takes (Asterisk: max_contacts, remove_existing)")
	c.has(user, 1)
	p.registers()
	p.quiet()
}

// Both of a user's pages ring, and stop when one is answered.
func pbxTwoPages(c *pbxCase, user string) {
	p, q := c.serves(user), c.tab("second", user+"@example.com", password, "second")
	p.registers()
	q.registers()
	c.has(user, 2)
	var dial []string
	for _, uri := range c.a.contacts(user) {
		dial = append(dial, user+"/"+uri)
	}
	caller := c.caller()
	c.asks(caller, "INVITE", "120", "X-Dial: "+strings.Join(dial, "&PJSIP/"), body(chromium(c.t)))
	q.want("INVITE")
	p.want("INVITE")
	q.Reply(180, "", "INVITE")
	caller.want("180 INVITE")
	p.Reply(200, "", "INVITE", body(accepts(c.t)))
	p.want("ACK")
	q.want("CANCEL")
	q.Reply(487, "", "INVITE")
	q.want("ACK")
	caller.want("200 INVITE")
	caller.InDialog("ACK")
	caller.hangsUp()
	p.isHungUp()
	for _, each := range []*phone{p, q, caller} {
		each.quiet()
	}
}

// pbxUnasked: to who registers Asterisk tells of messages by itself, now and then before it has answered (RFC 3842 §5.1).
func pbxUnasked(c *pbxCase, user string) {
	p := c.serves(user)
	p.Register(600)
	p.want("401 REGISTER")
	for range 2 {
		switch m := p.next("200 and the lamp"); what(m) {
		case "200 REGISTER":
		case "NOTIFY":
			if !strings.HasPrefix(m.Body(), "Messages-Waiting: ") {
				c.t.Errorf("no lamp:\n%s", m)
			}
			p.Reply(200, "", "NOTIFY")
		default:
			c.t.Fatalf("got %s", m)
		}
	}
	p.quiet()
}

// pbxExpires: both are told what Asterisk grants, but not for longer than we want, so that it soon forgets whom we have
// lost. It answers no 423 (RFC 3261 §10.3): it raises what is too brief.
func pbxExpires(ask, want, there int) func(c *pbxCase, user string) {
	return func(c *pbxCase, user string) {
		p := c.serves(user)
		p.Register(ask)
		p.want("401 REGISTER")
		m := p.want("200 REGISTER")
		contact := must(sip.ParseNameAddr(m.Value(sip.Contact)))
		v, _ := contact.Params.Value("expires")
		if n := must(strconv.Atoi(v)); n > want || n < want-2 {
			c.t.Errorf("expires is %s, want %d:\n%s", v, want, m)
		}
		id := c.a.value("PJSIP_AOR(" + user + ",contact)")
		ends := time.Unix(int64(must(strconv.Atoi(c.a.value("PJSIP_CONTACT("+id+",expiration_time)")))), 0)
		if n := time.Until(ends).Seconds(); n > float64(there+1) || n < float64(there)-patience.Seconds() {
			c.t.Errorf("Asterisk keeps it for %v s, want %d", n, there)
		}
	}
}

// Who signs off is so at Asterisk, too, and no user of the gateway's any more.
func pbxSignsOff(c *pbxCase, user string) {
	p := c.serves(user)
	for _, contact := range []string{"", "Contact: *"} {
		p.registers()
		c.has(user, 1)
		if contact == "" {
			p.leaves()
		} else {
			p.Register(0, contact, "Expires: 0")
			p.want("401 REGISTER")
			p.want("200 REGISTER")
		}
		c.has(user, 0)
		p.Request("INVITE", "100", body(chromium(c.t)))
		p.want("403 INVITE")
	}
}

// Whom Asterisk lets in by his name alone the gateway signs off when he is gone. Else Asterisk wants the password: the
// Contact stays, and nobody who calls it has to wait.
func pbxEnds(trusts bool) func(c *pbxCase, user string) {
	return func(c *pbxCase, user string) {
		p := c.serves(user, "unregister: true, ")
		if !trusts {
			p.registers()
			c.has(user, 1)
			p.closes()
			c.says(`"status":401,"message":"un-REGISTER for a client that is gone"`)
			c.has(user, 1)
			c.tells(user, "480 INVITE")
			return
		}
		p.Register(600)
		p.want("200 REGISTER")
		c.has(user, 1)
		p.closes()
		c.says(`"status":200,"message":"un-REGISTER for a client that is gone"`)
		c.has(user, 0)
	}
}
