package trunk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip/transaction"
)

const ourContact = "sip:line@192.0.2.99:5060"

// registrar plays a provider: it answers each REGISTER as told.
type registrarPlay struct {
	t    *testing.T
	r    *Registration
	now  time.Time
	tgt  []Target
	step Step
	seen []string // REGISTERs: hop, CSeq, Expires, and "auth"
}

func newPlay(t *testing.T, login *Login, random float64, hops ...string) *registrarPlay {
	g := Group{Name: "carrier", Login: login, Register: &Register{AOR: "sip:4930@carrier.example:5070;x=y", Expires: 10 * time.Minute, Contact: "line"}}
	for _, h := range hops {
		g.Hops = append(g.Hops, hop(t, h))
	}
	s := NewSet(Config{Groups: []Group{g}})
	return &registrarPlay{
		t: t, r: NewRegistration(&g, func() float64 { return random }), now: time.Unix(1_000_000, 0), tgt: s.Targets("carrier"),
	}
}

func (p *registrarPlay) did(s Step) {
	if s.Send != nil {
		what := fmt.Sprint(s.Send.Target.Addr.Addr(), " ", s.Send.CSeq, " ", s.Send.Expires.Seconds())
		if s.Send.Credentials != "" {
			right(p.t, s.Send.Credentials, "u", "p", "REGISTER", "sip:carrier.example:5070")
			what += " auth"
		}
		p.seen = append(p.seen, what)
	}
	p.step = s
}

func (p *registrarPlay) due() { p.did(p.r.Due(p.now, p.tgt)) }

func (p *registrarPlay) answer(status int, lines ...string) {
	p.did(p.r.Answered(p.now, response(p.t, status, p.r.cseq, lines...), ourContact))
}

// wants checks the REGISTERs since the last look, and the state with the seconds to wait.
func (p *registrarPlay) wants(state string, sent ...string) {
	p.t.Helper()
	if got := fmt.Sprint(p.r.State(), " ", p.step.Wait.Seconds()); got != state || !slices.Equal(p.seen, sent) {
		p.t.Errorf("%s after %q, want %s after %q", got, p.seen, state, sent)
	}
	p.seen = nil
}

const listed = "Contact: <" + ourContact + ">;expires="

func TestRegisterRefresh(t *testing.T) { // RFC 3261 §10.2.4: the registrar says for how long, in Contact or in Expires
	for _, c := range []struct {
		random float64
		lines  string
		state  string
		odd    string
	}{
		{0, listed + "600", "registered 300", ""}, {0.999999, listed + "600", "registered 540", ""},
		{0.5, listed + "3600", "registered 2520", ""},
		{0.5, "Contact: <" + ourContact + ">\r\nExpires: 120", "registered 84", ""},
		{0.5, "Contact: <" + ourContact + ">", "registered 420", ""}, // what was asked for (§10.2.1.1)
		{0.5, listed + "0", "failing 37.5", ""}, {0.5, listed + "4294967295", "registered 60480", ""}, {0.5, listed + "99999999999", "registered 420", ""},
		{0.5, "Contact: <sip:LINE@192.0.2.99:5060>;expires=60\r\nm: \"x, y\" <sip:line@192.0.2.99:5060;transport=udp>;q=1;expires=\"100\"", "registered 70", ""},
		{0.5, "Contact: <sip:line@198.51.100.7:61234>;expires=40, <" + ourContact + ">;expires=100", "registered 70", ""},
		{0.5, "Expires: 120", "registered 84", "lists no Contact"}, {0.5, "X: y", "registered 420", "lists no Contact"},
		{0.5, "Contact: <sip:other@192.0.2.9>;expires=20", "registered 420", "not list our"},
		{0.5, "Contact: <sip:line@198.51.100.7:61234>;expires=60\r\nExpires: 600", "registered 42", "another host or port"}, // what a NAT has made of it
		{0.5, "Contact: <sip:line@198.51.100.7:61234>\r\nExpires: 100", "registered 70", "another host or port"},
		{0.5, "Contact: <sip:line@192.0.2.98:5060>;expires=5, <sip:line@192.0.2.99>;expires=70\r\nExpires: 200", "registered 21", "another host or port"},
	} {
		p := newPlay(t, nil, c.random, "sip:192.0.2.1")
		p.due()
		p.answer(200, c.lines)
		if p.step.Wait = p.step.Wait.Round(time.Second / 2); p.r.Registered(p.now) != strings.HasPrefix(c.state, "registered") {
			t.Errorf("%s: registered %v", c.lines, p.r.Registered(p.now))
		}
		if p.step.Odd != (c.odd != "") || !strings.Contains(p.step.Cause, c.odd) || strings.Contains(p.step.Cause, ";") != p.step.Odd {
			t.Errorf("%s: said %q, odd %v", c.lines, p.step.Cause, p.step.Odd)
		}
		p.wants(c.state, "192.0.2.1 1 600")
	}
}

func TestRegisterLogin(t *testing.T) { // RFC 3261 §22.2: the next CSeq, once
	challenge := func(nonce string) string {
		return `WWW-Authenticate: Digest realm="r", nonce="` + nonce + `", qop="auth"`
	}
	p := newPlay(t, &Login{User: "u", Password: "p"}, 0.5, "sip:192.0.2.1")
	p.due()
	p.answer(401, challenge("n1"))
	p.answer(200, listed+"600")
	p.wants("registered 420", "192.0.2.1 1 600", "192.0.2.1 2 600 auth")
	p.due()
	p.answer(401, challenge("n2")) // restarted: it has forgotten its nonces
	p.answer(401, challenge("n3")+", stale=true")
	p.answer(200, listed+"600")
	p.wants("registered 420", "192.0.2.1 3 600 auth", "192.0.2.1 4 600 auth", "192.0.2.1 5 600 auth")

	p.due()
	p.answer(401, challenge("n4"))
	p.answer(401, challenge("n5"))
	p.wants("failing 37.5", "192.0.2.1 6 600 auth", "192.0.2.1 7 600 auth") // it was right the last time
	p.now = p.now.Add(p.step.Wait)
	p.due()
	p.answer(401, challenge("n6"))
	p.answer(401, challenge("n7"))
	if !p.step.Changed || !strings.Contains(p.step.Cause, "wrong") {
		t.Errorf("said %+v", p.step)
	}
	p.wants("refused 1575", "192.0.2.1 8 600", "192.0.2.1 9 600 auth") // and not by the nonce that was refused
	p.now = p.now.Add(p.step.Wait)
	p.due()
	p.answer(401, challenge("n8"))
	p.answer(403)
	if p.step.Changed {
		t.Error("says it twice")
	}
	if p.r.Again().Wait != 0 {
		t.Error("a hop that is back makes a wrong password right")
	}
	p.seen, p.now = nil, p.now.Add(p.step.Wait)
	p.due()
	p.answer(200, listed+"600")
	if !p.step.Changed || p.r.State() != Registered {
		t.Errorf("%+v", p.step)
	}

	p = newPlay(t, nil, 0.5, "sip:192.0.2.1")
	p.due()
	p.answer(401, challenge("n1"))
	p.wants("refused 1575", "192.0.2.1 1 600")
}

// What providers do with challenges (RFC 7616 §3.3, §3.6, RFC 8760 §2.4): each REGISTER is challenged so often at most, and one line says what
// is wrong.
func TestRegisterOddChallenges(t *testing.T) {
	const good = `Digest realm="r", nonce="n1", qop="auth"`
	type answers []string // challenges, "" for 200
	for _, c := range []struct {
		name    string
		realm   string // login.realm
		refresh answers
		state   string // after the refresh
		cause   string
		sent    []string
	}{
		{"hours later, no stale", "", answers{`Digest realm="r", nonce="n2", qop="auth"`, ""}, "registered 420", "", []string{"3 auth", "4 auth"}},
		{"hours later, stale", "", answers{`Digest realm="r", nonce="n2", qop="auth", stale=TRUE`, ""}, "registered 420", "", []string{"3 auth", "4 auth"}},
		{"an expired nonce again", "", answers{good, good}, "failing 37.5", "does not take the nonce that it gives", []string{"3 auth", "4 auth"}},
		{"an expired nonce again, said so", "", answers{good + ", stale=true", good + ", stale=true", good + ", stale=true", good}, "failing 37.5", "does not take the nonce", []string{"3 auth", "4 auth", "5 auth"}},
		{"stale for ever", "", answers{`Digest realm="r", nonce="a", stale=true, qop="auth"`, `Digest realm="r", nonce="b", stale=true, qop="auth"`, `Digest realm="r", nonce="c", stale=true, qop="auth"`}, "failing 37.5", "wrong", []string{"3 auth", "4 auth", "5 auth"}},
		{"another realm", "", answers{`Digest realm="new", nonce="n2", qop="auth"`, ""}, "registered 420", "", []string{"3 auth", "4 auth"}},
		{"another realm than was configured", "r", answers{`Digest realm="new", nonce="n2", qop="auth"`}, "failing 37.5", `another realm than login's: "new"`, []string{"3 auth"}},
		{"SHA-512-256 alone", "", answers{`Digest realm="r", nonce="n2", algorithm=SHA-512-256, qop="auth"`}, "failing 37.5", `algorithm "SHA-512-256"`, []string{"3 auth"}},
		{"auth-int alone", "", answers{`Digest realm="r", nonce="n2", qop="auth-int"`}, "failing 37.5", `qop "auth-int"`, []string{"3 auth"}},
		{"auth-int too", "", answers{`Digest realm="r", nonce="n2", qop="auth-int,auth"`, ""}, "registered 420", "", []string{"3 auth", "4 auth"}},
	} {
		p := newPlay(t, &Login{User: "u", Password: "p", Realm: c.realm}, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
		p.due()
		p.answer(401, "WWW-Authenticate: "+good)
		p.answer(200, listed+"600")
		p.seen, p.now = nil, p.now.Add(3*time.Hour)
		p.due()
		for _, a := range c.refresh {
			if a == "" {
				p.answer(200, listed+"600")
				continue
			}
			p.answer(401, "WWW-Authenticate: "+a) // after the end of the round: late, and nothing
			if p.r.State() != Registered && p.step.Changed && (!strings.Contains(p.step.Cause, c.cause) || strings.Contains(p.step.Cause, "\n")) {
				t.Errorf("%s: said %q", c.name, p.step.Cause)
			}
			if p.step.Wait > timerF {
				break
			}
		}
		for i := range c.sent {
			c.sent[i] = strings.Replace("192.0.2.1 "+c.sent[i], " auth", " 600 auth", 1)
		}
		t.Run(c.name, func(t *testing.T) { p.t = t; p.wants(c.state, c.sent...) })
		p.due() // the next round begins without what was refused
		p.answer(401, "WWW-Authenticate: "+`Digest realm="r", nonce="fresh", qop="auth"`)
		p.answer(200, listed+"600")
		if p.r.State() != Registered {
			t.Errorf("%s: does not recover: %v", c.name, p.r.State())
		}
	}
}

// Backoff: 30 s to 30 min, with jitter, from the first round without success to the next with one.
func TestRegisterBackoff(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		p := newPlay(t, nil, random, "sip:192.0.2.1", "sip:192.0.2.2")
		last := time.Duration(0)
		for i := range 12 {
			p.due()
			if p.step.Wait != silence {
				t.Errorf("waits %v for a hop", p.step.Wait)
			}
			p.due() // no answer: the next hop
			if p.step.Wait != timerF {
				t.Errorf("waits %v for the last hop", p.step.Wait)
			}
			p.did(p.r.Lost(p.now, p.r.cseq, errors.New("gone")))
			if w := p.step.Wait; w < 30*time.Second || w > 30*time.Minute || w < last || i == 0 && w > 45*time.Second {
				t.Errorf("round %d: waits %v after %v", i, w, last)
			}
			if p.step.Changed != (i == 0) {
				t.Errorf("round %d says %v", i, p.step.Changed)
			}
			last = p.step.Wait
		}
		if last < 20*time.Minute {
			t.Errorf("%v is all", last)
		}
		p.due()
		p.answer(200, listed+"600")
		p.due()
		p.answer(500, "Retry-After: 7")
		p.answer(503, "Retry-After: 900 (maintenance);duration=3600")
		if p.step.Wait != 900*time.Second {
			t.Errorf("Retry-After: waits %v", p.step.Wait)
		}
		p.due()
		p.answer(503, "Retry-After: 86400")
		p.answer(503)
		if p.step.Wait != 30*time.Minute {
			t.Errorf("Retry-After: waits %v", p.step.Wait)
		}
	}
}

// The hop that took the last REGISTER is asked first; none: later.
func TestRegisterHops(t *testing.T) {
	p := newPlay(t, nil, 0.5, "sip:192.0.2.1", "sip:192.0.2.2", "sip:192.0.2.3")
	p.due()
	p.answer(503)
	p.answer(200, listed+"600")
	p.wants("registered 420", "192.0.2.1 1 600", "192.0.2.2 2 600")
	p.due()
	p.did(p.r.Answered(p.now, response(t, 503, 2), ourContact)) // late, of another try
	if p.step.Send != nil || p.step.Wait != 0 {
		t.Errorf("a late answer: %+v", p.step)
	}
	p.answer(408)
	p.wants("registered 5", "192.0.2.2 3 600", "192.0.2.1 4 600")
	p.answer(200, listed+"600")
	p.tgt = nil
	p.due()
	p.wants("failing 37.5")
	if !p.r.Registered(p.now.Add(599*time.Second)) || p.r.Registered(p.now.Add(600*time.Second)) {
		t.Error("a refresh that fails does not end what was granted")
	}
}

func TestRegisterTooBrief(t *testing.T) { // RFC 3261 §10.2.8
	p := newPlay(t, nil, 0.5, "sip:192.0.2.1")
	p.due()
	p.answer(423, "Min-Expires: 3600")
	p.answer(200, listed+"3600")
	p.due()
	p.wants("registered 32", "192.0.2.1 1 600", "192.0.2.1 2 3600", "192.0.2.1 3 3600")
	p.answer(423, "Min-Expires: 7200")
	p.answer(423, "Min-Expires: 9000")
	p.wants("failing 37.5", "192.0.2.1 4 7200")
	p.due() // as long as the provider wants it
	p.answer(200, listed+"7200")
	p.wants("registered 5040", "192.0.2.1 5 7200")
	for _, lines := range []string{"X: y", "Min-Expires: 5", "Min-Expires: 7200"} {
		p.due()
		p.answer(423, lines)
		if p.r.State() != Failing || p.step.Send != nil {
			t.Errorf("%s: %+v", lines, p.step)
		}
	}
}

func TestUnregister(t *testing.T) { // RFC 3261 §10.2.2
	p := newPlay(t, &Login{User: "u", Password: "p"}, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
	p.due()
	p.answer(200, listed+"600")
	p.did(p.r.Leave(p.now))
	p.answer(401, `WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"`)
	p.answer(200)
	p.wants("left 0", "192.0.2.1 1 600", "192.0.2.1 2 0", "192.0.2.1 3 0 auth")
	if p.r.Registered(p.now) || p.r.Due(p.now, p.tgt).Send != nil || p.r.Again().Wait != 0 {
		t.Error("it goes on")
	}
	for _, end := range []func(p *registrarPlay){
		func(p *registrarPlay) { p.answer(500) }, func(p *registrarPlay) { p.answer(403) }, (*registrarPlay).due,
	} {
		p = newPlay(t, nil, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
		p.due() // may be granted yet
		p.did(p.r.Leave(p.now))
		end(p)
		p.wants("left 0", "192.0.2.1 1 600", "192.0.2.1 2 0")
	}
	p = newPlay(t, nil, 0.5, "sip:192.0.2.1")
	p.did(p.r.Leave(p.now))
	p.wants("left 0")
}

func TestRegisterAgain(t *testing.T) {
	p := newPlay(t, nil, 0.5, "sip:192.0.2.1")
	p.due()
	if p.r.Again().Wait != 0 {
		t.Error("one is on its way")
	}
	p.answer(200, listed+"600")
	if w := p.r.Again().Wait; w != 3*time.Second {
		t.Errorf("waits %v", w)
	}
}

// DNS names others (RFC 3263 §4.2), or the hop that granted it is down while others are up: they are asked, the former at the time of
// the refresh. A binding has a Call-ID of its own, whoever is asked (RFC 3261 §10.2).
func TestRegisterHopsChange(t *testing.T) {
	p := newPlay(t, nil, 0.5, "sip:192.0.2.1", "sip:192.0.2.2", "sip:192.0.2.3")
	all := p.tgt
	p.tgt = all[:1]
	p.due()
	call := p.step.Send.CallID
	p.answer(200, listed+"600")
	p.tgt = all[1:]
	p.due()
	if p.step.Send.CallID != call {
		t.Error("another Call-ID")
	}
	p.answer(200, listed+"600")
	p.wants("registered 420", "192.0.2.1 1 600", "192.0.2.2 2 600")

	for _, c := range []struct {
		hop  int
		wait time.Duration
	}{{0, 0}, {2, 0}, {1, 3 * time.Second}} {
		if got := p.r.HopDown(all[c.hop].Addr).Wait; got != c.wait {
			t.Errorf("hop %d is down: waits %v, want %v", c.hop, got, c.wait)
		}
	}
	if w0, w1 := p.r.HopUp(all[0].Addr).Wait, p.r.HopUp(all[1].Addr).Wait; w0 != 0 || w1 != 3*time.Second {
		t.Errorf("another is up: waits %v; the one that granted it: %v", w0, w1)
	}
	p.tgt = all[2:]
	p.due()
	if p.r.HopDown(all[1].Addr).Wait != 0 {
		t.Error("one is on its way")
	}
	p.answer(503)
	if p.wants("failing 37.5", "192.0.2.3 3 600"); p.r.HopDown(all[1].Addr).Wait != 0 {
		t.Error("hurries after a failure")
	}
	if p.r.HopUp(all[0].Addr).Wait != 3*time.Second {
		t.Error("does not ask one that is back")
	}
}

// RFC 3261 §18.4: a REGISTER whose connection ends is sent once more by a new one, with the credentials that it had; twice in a row is a
// failure of the hop. A provider may hang up with each of its answers.
func TestRegisterConnectionCut(t *testing.T) {
	challenge := `WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"`
	cut := fmt.Errorf("%w: reset", transaction.ErrTransport)
	p := newPlay(t, &Login{User: "u", Password: "p"}, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
	lost := func(err error) { p.did(p.r.Lost(p.now, p.r.cseq, err)) }
	p.due()
	lost(cut) // it was idle
	p.answer(401, challenge)
	lost(cut)
	p.answer(200, listed+"600")
	p.wants("registered 420", "192.0.2.1 1 600", "192.0.2.1 2 600", "192.0.2.1 3 600 auth", "192.0.2.1 4 600 auth")

	p.due()
	lost(cut)
	lost(cut)
	lost(errors.New("connection refused")) // no connection: nothing to send once more
	p.wants("failing 37.5", "192.0.2.1 5 600 auth", "192.0.2.1 6 600 auth", "192.0.2.2 7 600")
	if again := p.r.Lost(p.now, p.r.cseq, cut); again.Send != nil {
		t.Error("sent once more when nothing is on its way")
	}
}

// RFC 5626 §4.5: a connection that is lost is made anew at once, then ever later; one that lived long was no habit. Nobody is asked
// who refuses us, or sooner than it wants because it hangs up with a refusal.
func TestRegisterDisconnected(t *testing.T) {
	p := newPlay(t, nil, 0.5, "sip:192.0.2.1")
	disconnected := func() string {
		p.did(p.r.Disconnected(p.now))
		return p.step.Wait.String()
	}
	p.due()
	p.answer(200, listed+"600")
	for i, want := range []string{"500ms", "22.5s", "45s", "1m30s", "3m0s", "6m0s", "7m0s", "7m0s"} { // the refresh is due in 7 min
		if got := disconnected(); got != want {
			t.Errorf("loss %d: after %s, want %s", i+1, got, want)
		}
		p.now = p.now.Add(p.step.Wait)
		p.due()
		p.answer(200, listed+"600")
	}
	p.now = p.now.Add(settled)
	if got := disconnected(); got != "500ms" {
		t.Errorf("after a long life: %s", got)
	}
	p.due()
	if got := disconnected(); got != "0s" {
		t.Errorf("with a REGISTER on its way: %s", got)
	}
	p.answer(503, "Retry-After: 300")
	if p.wants("failing 300", slices.Clone(p.seen)...); disconnected() != "0s" {
		t.Error("hurries at a provider that has no time")
	}
	p.now = p.now.Add(300 * time.Second)
	p.due()
	p.answer(403)
	if disconnected() != "0s" {
		t.Error("hurries at a provider that refuses us")
	}
}

// RFC 3261 §10.3 step 5: 404 says that this server does not know the AOR. One that is starting, or has lost its users, is no reason not
// to ask the next; where nobody knows us it is asked again soon, then ever later, and at once when a hop is back. Not so with a
// password that is wrong: that would lock the account.
func TestRegisterUnknownAtAHop(t *testing.T) {
	for _, status := range []int{403, 404, 604} {
		p := newPlay(t, nil, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
		p.due()
		p.answer(status)
		p.answer(200, listed+"600")
		p.wants("registered 420", "192.0.2.1 1 600", "192.0.2.2 2 600")

		p = newPlay(t, nil, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
		for _, want := range []string{"refused 37.5", "refused 75", "refused 150"} {
			p.due()
			p.answer(status)
			p.answer(status)
			n := p.r.cseq
			p.wants(want, fmt.Sprintf("192.0.2.1 %d 600", n-1), fmt.Sprintf("192.0.2.2 %d 600", n))
		}
		if s := p.r.HopUp(p.tgt[0].Addr); s.Wait == 0 || s.Wait > 5*time.Second {
			t.Errorf("%d: a hop that is back is asked after %v", status, s.Wait)
		}
	}
	p := newPlay(t, &Login{User: "u", Password: "p"}, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
	p.due()
	p.answer(401, `WWW-Authenticate: Digest realm="r", nonce="n1", qop="auth"`)
	p.answer(403)
	p.wants("refused 1575", "192.0.2.1 1 600", "192.0.2.1 2 600 auth")
	if p.r.HopUp(p.tgt[0].Addr).Wait != 0 {
		t.Error("tries a wrong password again")
	}
	p = newPlay(t, nil, 0.5, "sip:192.0.2.1", "sip:192.0.2.2")
	p.due()
	p.answer(200, listed+"600")
	p.did(p.r.Leave(p.now))
	p.answer(404)
	p.wants("left 0", "192.0.2.1 1 600", "192.0.2.1 2 0")
}
