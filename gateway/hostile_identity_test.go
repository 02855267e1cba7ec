package gateway_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

const (
	aliceURI   = "sip:alice@example.com"
	bobURI     = "sip:bob@example.com"
	malloryURI = "sip:mallory@example.com"
)

// TestHostileIdentity: From, To and Contact are those of who proved it, whatever the method
// (CVE-2025-47779, CVE-2021-37624, CVE-2021-41157).
func TestHostileIdentity(t *testing.T) {
	r := newHostileRig(t, "")
	m := r.wsFrom(attackerHost).register("mallory")
	r.bob.t = t
	for _, c := range []struct {
		name, method, uri, from, to string
		want                        int
		lines                       []string
	}{
		// The identity in From.
		{"MESSAGE in alice's name", "MESSAGE", bobURI, aliceURI, bobURI, 407, nil},
		{"INVITE in alice's name", "INVITE", bobURI, aliceURI, bobURI, 407, nil},
		{"SUBSCRIBE in alice's name", "SUBSCRIBE", bobURI, aliceURI, bobURI, 407, nil},
		{"NOTIFY in alice's name", "NOTIFY", bobURI, aliceURI, bobURI, 407, nil},
		{"REFER in alice's name", "REFER", bobURI, aliceURI, bobURI, 407, nil},
		{"PUBLISH in alice's name", "PUBLISH", bobURI, aliceURI, bobURI, 407, nil},
		{"INFO in alice's name", "INFO", bobURI, aliceURI, bobURI, 407, nil},
		{"an unknown method in alice's name", "HACK", bobURI, aliceURI, bobURI, 407, nil},
		{"a lower-case method in alice's name", "invite", bobURI, aliceURI, bobURI, 407, nil},
		{"OPTIONS in alice's name", "OPTIONS", bobURI, aliceURI, bobURI, 407, nil},
		{"alice escaped", "MESSAGE", bobURI, "sip:%61lice@example.com", bobURI, 407, nil},
		{"alice by the alias", "MESSAGE", bobURI, "sip:alice@sip.example.com", bobURI, 407, nil},
		{"alice by our address", "MESSAGE", bobURI, "sip:alice@" + r.sip.String(), bobURI, 407, nil},
		{"alice with a final dot", "MESSAGE", bobURI, "sip:alice@example.com.", bobURI, 407, nil},
		{"alice in the other domain", "MESSAGE", bobURI, "sip:alice@other.example", bobURI, 407, nil},
		{"mallory in the other domain", "MESSAGE", bobURI, "sip:mallory@other.example", bobURI, 407, nil},
		{"alice as sips", "MESSAGE", bobURI, "sips:alice@example.com", bobURI, 407, nil},
		{"alice with a password", "MESSAGE", bobURI, "sip:alice:x@example.com", bobURI, 407, nil},
		{"mallory's user in another case", "MESSAGE", bobURI, "sip:MALLORY@example.com", bobURI, 407, nil},
		{"nobody", "MESSAGE", bobURI, "sip:example.com", bobURI, 403, nil},
		{"a foreign From", "MESSAGE", bobURI, "sip:alice@evil.example", bobURI, 403, nil},
		{"a telephone number in From", "MESSAGE", bobURI, "tel:+15551234", bobURI, 403, nil},
		{"a foreign host that ends as ours", "MESSAGE", bobURI, "sip:alice@evilexample.com", bobURI, 403, nil},
		{"the upstream in From", "MESSAGE", bobURI, "sip:alice@" + r.addr(pbxHost).String(), bobURI, 403, nil},
		// The address-of-record in To of REGISTER.
		{"registering alice", "REGISTER", "sip:example.com", aliceURI, aliceURI, 401, []string{"Contact: <sip:x@h.invalid>"}},
		{"registering alice in mallory's name", "REGISTER", "sip:example.com", malloryURI, aliceURI, 401, []string{"Contact: <sip:x@h.invalid>"}},
		{"removing all of alice's", "REGISTER", "sip:example.com", malloryURI, aliceURI, 401, []string{"Contact: *", "Expires: 0"}},
		{"asking for alice's", "REGISTER", "sip:example.com", malloryURI, aliceURI, 401, nil},
		{"registering in a foreign domain", "REGISTER", "sip:example.com", malloryURI, "sip:mallory@evil.example", 403, nil},
		{"REGISTER with a To tag", "REGISTER", "sip:example.com", aliceURI, aliceURI + "#", 401, nil},
		// Where a client wants to be relayed to.
		{"a foreign domain", "MESSAGE", "sip:x@evil.example", malloryURI, bobURI, 403, nil},
		{"a foreign address", "MESSAGE", "sip:x@192.0.2.1", malloryURI, bobURI, 403, nil},
		{"a foreign IPv6 address", "MESSAGE", "sip:x@[2001:db8::1]:25", malloryURI, bobURI, 403, nil},
		{"loopback", "MESSAGE", "sip:x@127.0.0.1:9090", malloryURI, bobURI, 403, nil},
		{"our address, another port", "MESSAGE", fmt.Sprintf("sip:x@%s:22", r.addr(ourHost)), malloryURI, bobURI, 403, nil},
		{"a Route elsewhere", "MESSAGE", bobURI, malloryURI, bobURI, 403, []string{"Route: <sip:192.0.2.1;lr>"}},
		{"a Route elsewhere after ours", "MESSAGE", bobURI, malloryURI, bobURI, 403, []string{"Route: <sip:" + r.sip.String() + ";lr>, <sip:192.0.2.1;lr>"}},
		{"a Route elsewhere with our token's length", "MESSAGE", bobURI, malloryURI, bobURI, 403,
			[]string{"Route: <sip:" + strings.Repeat("A", 48) + "@" + r.sip.String() + ";lr>"}},
		{"a strict Route", "MESSAGE", "sip:" + strings.Repeat("A", 48) + "@" + r.sip.String() + ";lr", malloryURI, bobURI, 403,
			[]string{"Route: <sip:x@192.0.2.1>"}},
		{"a Route that is no URI", "MESSAGE", bobURI, malloryURI, bobURI, 400, []string{"Route: <x>"}},
		{"a To tag without Route", "MESSAGE", "sip:x@192.0.2.1", malloryURI, bobURI + "#", 403, nil},
		{"nobody we know", "MESSAGE", "sip:nobody@example.com", malloryURI, bobURI, 404, nil},
		{"a user who is away", "MESSAGE", "sip:dave@example.com", malloryURI, bobURI, 480, nil},
		{"a user who is away, by a foreign maddr", "MESSAGE", "sip:dave@example.com;maddr=192.0.2.1;transport=tcp", malloryURI, bobURI, 480, nil},
		{"a GRUU that was never made", "MESSAGE", "sip:bob@example.com;gr=urn:uuid:0", malloryURI, bobURI, 480, nil},
		{"a temporary GRUU made up", "MESSAGE", "sip:tgruu.7hs==jd7vnzga5w7fajsc7-ajd6fabz0f8g5@example.com;gr", malloryURI, bobURI, 404, nil},
		{"extensions we must know and don't", "MESSAGE", bobURI, malloryURI, bobURI, 420, []string{"Proxy-Require: x-hack"}},
		{"Max-Breadth 0", "MESSAGE", bobURI, malloryURI, bobURI, 440, []string{"Max-Breadth: 0"}},
		{"Max-Breadth of many digits", "MESSAGE", bobURI, malloryURI, bobURI, 400, []string{"Max-Breadth: 99999999999999999999"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m.on(t)
			to, tagged := strings.CutSuffix(c.to, "#")
			o := m.out(c.method, c.uri, c.from, to).add(c.lines...)
			if tagged {
				o.toTag = "made-up"
			}
			m.send(o.String())
			m.status(c.want)
			m.quiet()
			r.alive(t)
		})
	}
}

// TestHostileLogins: credentials fit one user, one realm, one URI, one method and one
// connection, once (RFC 7616 §5, RFC 3261 §22), and tell nothing of who exists.
func TestHostileLogins(t *testing.T) {
	r := newHostileRig(t, "")
	set := func(k, v string) func(map[string]string) { return func(c map[string]string) { c[k] = v } }
	elsewhere := r.wsFrom(otherHost)
	elsewhere.send(elsewhere.registration("mallory").String())
	foreignNonce := quotedIn(elsewhere.status(401).Value(sip.WWWAuthenticate), "nonce")
	for _, c := range []struct {
		name, user, pass string
		edit             func(map[string]string)
		want             int
		stale            bool
	}{
		{"right", "mallory", "pw-mallory", nil, 200, false},
		{"wrong password", "mallory", "x", nil, 401, false},
		{"no password", "mallory", "", nil, 401, false},
		{"another user's right password", "eve", "pw-eve", nil, 403, false},
		{"alice's name, mallory's password", "alice", "pw-mallory", nil, 401, false},
		{"nobody", "nobody", "pw-mallory", nil, 401, false},
		{"another realm", "mallory", "pw-mallory", set("realm", "other.example"), 401, false},
		{"an empty realm", "mallory", "pw-mallory", set("realm", ""), 401, false},
		{"a nonce of another connection", "mallory", "pw-mallory", set("nonce", foreignNonce), 401, true},
		{"a nonce made up", "mallory", "pw-mallory", set("nonce", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), 401, true},
		{"an empty nonce", "mallory", "pw-mallory", set("nonce", ""), 401, true},
		{"another URI", "mallory", "pw-mallory", set("uri", "sip:other.example"), 400, false},
		{"no qop", "mallory", "pw-mallory", set("qop", "-"), 400, false},
		{"auth-int", "mallory", "pw-mallory", set("qop", "auth-int"), 400, false},
		{"an algorithm not offered", "mallory", "pw-mallory", set("algorithm", "SHA-256"), 400, false},
		{"an unknown algorithm", "mallory", "pw-mallory", set("algorithm", "NONE"), 400, false},
		{"MD5-sess", "mallory", "pw-mallory", set("algorithm", "MD5-sess"), 400, false},
		{"nc 0", "mallory", "pw-mallory", set("nc", "00000000"), 400, false},
		{"a short nc", "mallory", "pw-mallory", set("nc", "1"), 400, false},
		{"an empty cnonce", "mallory", "pw-mallory", set("cnonce", ""), 400, false},
		{"an empty username", "", "pw-mallory", nil, 400, false},
		{"a short response", "mallory", "pw-mallory", set("response", "abc"), 400, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := r.open(sip.WS).on(t)
			defer p.close()
			o := p.registration("mallory")
			p.send(o.String())
			p.send(o.login(p.status(401), c.user, c.pass, c.edit).String())
			res := p.status(c.want)
			if stale := strings.Contains(res.Value(sip.WWWAuthenticate), "stale=true"); stale != c.stale {
				t.Errorf("stale %v in %q", stale, res.Value(sip.WWWAuthenticate))
			}
			r.alive(t)
		})
	}
}

// TestHostileReplay: what was overheard is of no use again (RFC 7616 §5.5).
func TestHostileReplay(t *testing.T) {
	r := newHostileRig(t, "")
	p := r.wsFrom(attackerHost)
	o := p.registration("mallory")
	p.send(o.String())
	challenge := p.status(401)
	first := o.login(challenge, "mallory", "pw-mallory", nil)
	p.send(first.String())
	p.status(200)
	for _, c := range []struct{ name, nc string }{{"the same nc", "00000001"}, {"a smaller one after a larger", "00000005"}, {"", "00000004"}} {
		o.cseq += 2
		again := o.login(challenge, "mallory", "pw-mallory", func(m map[string]string) { m["nc"] = c.nc })
		p.send(again.String())
		if c.nc == "00000005" {
			p.status(200)
			continue
		}
		if v := p.status(401).Value(sip.WWWAuthenticate); !strings.Contains(v, "stale=true") {
			t.Errorf("%s: %q is not stale", c.name, v)
		}
	}
	// An overheard login over UDP, for another method or user.
	u := r.udpFrom(attackerHost, 0)
	ask := u.out("MESSAGE", bobURI, malloryURI, bobURI)
	u.send(ask.String())
	login := ask.login(u.status(407), "mallory", "pw-mallory", nil)
	u.send(login.String())
	r.bob.send(hostileReply(r.bob.request("MESSAGE"), 200, "t"))
	u.status(200)
	spy := r.udpFrom(otherHost, 0)
	login.via, login.branch, login.cseq = spy.sentBy(), hostileID("z9hG4bKh"), login.cseq+1
	spy.send(login.String())
	spy.status(407)
	login.method, login.branch = "SUBSCRIBE", hostileID("z9hG4bKh")
	spy.send(login.String())
	spy.status(407)
	r.alive(t)
}

// TestHostileEnumeration: an unknown user, one without registration and a wrong password
// are answered alike, but for what is random.
func TestHostileEnumeration(t *testing.T) {
	r := newHostileRig(t, "")
	shape := func(user, pass string) string {
		p := r.open(sip.WS)
		defer p.close()
		o := p.registration(user)
		p.send(o.String())
		challenge := p.status(401)
		p.send(o.login(challenge, user, pass, nil).String())
		res := p.status(401).String()
		for _, random := range []string{quotedIn(res, "nonce"), user, p.local.String(), fmt.Sprint(p.local.Port())} {
			res = strings.ReplaceAll(res, random, "_")
		}
		var lines []string
		for l := range strings.SplitSeq(res, "\r\n") {
			name, _, _ := strings.Cut(l, ":")
			if name == "Via" || name == "From" || name == "To" || name == "Call-ID" {
				l = name
			}
			lines = append(lines, l)
		}
		return strings.Join(lines, "\n")
	}
	known, unknown := shape("alice", "wrong"), shape("nobody", "wrong")
	if known != unknown {
		t.Errorf("a known user is told from an unknown one:\n%s\n%s", known, unknown)
	}
	r.alive(t)
}

// TestHostileLockOut: guessing ends in 403 for a while, for who guesses alone.
func TestHostileLockOut(t *testing.T) {
	r := newHostileRig(t, "")
	p := r.wsFrom(attackerHost)
	guess := func() int {
		o := p.registration("alice")
		p.send(o.String())
		p.send(o.login(p.status(401), "alice", "guess", nil).String())
		return p.next("an answer").Status()
	}
	blocked := 0
	for range 12 {
		if guess() == 403 {
			blocked++
		}
	}
	if blocked != 2 {
		t.Errorf("%d of 12 guesses were answered 403 instead of 2", blocked)
	}
	p.register("mallory") // another user from the same address
	again := r.wsFrom(victimHost)
	again.register("alice")
	r.alice.close()
	again.close()
	r.alice = r.wsFrom(victimHost).register("alice")
	r.alive(t)
}

// TestHostileContacts: RFC 3261 §10.3, and what a Contact may not be.
func TestHostileContacts(t *testing.T) {
	r := newHostileRig(t, "")
	many := func(n int) (lines []string) {
		for i := range n {
			lines = append(lines, fmt.Sprintf("Contact: <sip:m%d@many.invalid>", i))
		}
		return lines
	}
	for _, c := range []struct {
		name  string
		lines []string
		want  int
	}{
		{"our domain", []string{"Contact: <sip:x@example.com>"}, 403},
		{"our alias", []string{"Contact: <sip:x@SIP.example.com.>"}, 403},
		{"our address", []string{"Contact: <sip:x@" + r.sip.String() + ">"}, 403},
		{"our address after a good one", []string{"Contact: <sip:x@h.invalid>, <sip:x@" + r.sip.String() + ">"}, 403},
		{"our WebSocket's address", []string{"Contact: <sip:x@" + r.ws.String() + ";transport=ws>"}, 403},
		{"bob's Contact", []string{"Contact: <" + r.bob.contactURI() + ">"}, 403},
		{"bob's Contact, escaped", []string{"Contact: <" + strings.Replace(r.bob.contactURI(), "sip:c", "sip:%63", 1) + ">"}, 403},
		{"bob's Contact in other case", []string{"Contact: <" + strings.Replace(r.bob.contactURI(), ".invalid", ".INVALID", 1) + ">"}, 403},
		{"bob's Contact beside a good one", []string{"Contact: <sip:x@h.invalid>", "Contact: <" + r.bob.contactURI() + ">"}, 403},
		{"http", []string{"Contact: <http://192.0.2.1/>"}, 400},
		{"tel", []string{"Contact: <tel:+15551234>"}, 400},
		{"no URI", []string{"Contact: <x>"}, 400},
		{"an empty Contact", []string{"Contact:"}, 400},
		{"a star without Expires", []string{"Contact: *"}, 400},
		{"a star with Expires 1", []string{"Contact: *", "Expires: 1"}, 400},
		{"a star and another", []string{"Contact: *, <sip:x@h.invalid>", "Expires: 0"}, 400},
		{"two stars in two lines and another", []string{"Contact: *", "Contact: <sip:x@h.invalid>", "Expires: 0"}, 400},
		{"21 Contacts", many(21), 400},
		{"11 Contacts", many(11), 403},
		{"a Contact over 2 KiB", []string{"Contact: <sip:" + strings.Repeat("a", 2100) + "@h.invalid>"}, 400},
		{"too brief", []string{"Contact: <sip:x@h.invalid>;expires=1"}, 423},
		{"q over 1", []string{"Contact: <sip:x@h.invalid>;q=2"}, 400},
		{"q of no number", []string{"Contact: <sip:x@h.invalid>;q=1e1"}, 400},
		{"reg-id 0", []string{`Contact: <sip:x@h.invalid>;+sip.instance="<urn:uuid:1>";reg-id=0`}, 400},
		{"reg-id 2^31", []string{`Contact: <sip:x@h.invalid>;+sip.instance="<urn:uuid:1>";reg-id=2147483648`}, 400},
		{"an instance of 300 letters", []string{`Contact: <sip:x@h.invalid>;+sip.instance="<` + strings.Repeat("a", 300) + `>"`}, 400},
		{"an extension demanded that we lack", []string{"Require: x-hack", "Contact: <sip:x@h.invalid>"}, 420},
		{"expires of 2^32 is shortened", []string{"Contact: <sip:x@h.invalid>;expires=4294967296"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := r.wsFrom(attackerHost).on(t)
			defer p.close()
			o := p.out("REGISTER", "sip:example.com", malloryURI, malloryURI).add(c.lines...)
			p.send(o.String())
			p.send(o.login(p.status(401), "mallory", "pw-mallory", nil).String())
			p.status(c.want)
			r.alive(t)
		})
	}
}

// TestHostilePath: Path, maddr, transport and a Contact's host that a client registers
// choose no socket: what is for it comes over its own connection.
func TestHostilePath(t *testing.T) {
	r := newHostileRig(t, "")
	lure := r.udpFrom(otherHost, 0)
	p := r.wsFrom(attackerHost)
	p.contact = fmt.Sprintf("sip:x@%s;maddr=%s;transport=udp", lure.local, lure.local.Addr())
	o := p.registration("mallory").add("Supported: path", "Path: <sip:"+lure.local.String()+";lr>")
	p.send(o.String())
	p.send(o.login(p.status(401), "mallory", "pw-mallory", nil).String())
	p.status(200)
	p.user = "mallory"
	r.ring(r.alice, p, malloryURI).answer().hangUp()
	lure.quiet()
	r.alive(t)
}
