package digest

import (
	"strings"
	"testing"
	"time"
)

const ttl = 90 * time.Second

// clock is a wall clock that tests set.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func testUsers(t testing.TB) *Table {
	t.Helper()
	var us []User
	for _, n := range []string{"alice", "bob", `al\"ice`} {
		us = append(us, User{n, "example.org", HA1(MD5, n, "example.org", n+"-pw"), HA1(SHA256, n, "example.org", n+"-pw")})
	}
	tab, err := NewTable(us)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// room is an authority, its users and its clock.
type room struct {
	t     testing.TB
	a     *Authority
	clock *clock
	users *Table
}

func newRoom(t testing.TB) *room {
	c := &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	a := New(Config{TTL: ttl, Now: c.now})
	c.t = c.t.Add(time.Second)
	return &room{t, a, c, testUsers(t)}
}

func (r *room) challenge(flow uint64, alg Algorithm) *Challenge {
	r.t.Helper()
	c, err := ParseChallenge(r.a.Challenge("", "example.org", flow, false, []Algorithm{alg})[0])
	if err != nil {
		r.t.Fatal(err)
	}
	return &c
}

func (r *room) answer(ch *Challenge, user, password, nc string) string {
	r.t.Helper()
	v, err := Answer(ch, user, password, "REGISTER", "sip:example.org", nc, "0a4f113b")
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func (r *room) verify(value string, flow uint64) (Outcome, error) {
	c, err := ParseCredentials(value)
	if err != nil {
		return Malformed, err
	}
	return r.a.Verify(&c, &Request{"example.org", "REGISTER", "sip:example.org", flow}, r.users)
}

func (r *room) want(value string, flow uint64, out Outcome, why error) {
	r.t.Helper()
	if got, err := r.verify(value, flow); got != out || err != why {
		r.t.Errorf("%s\nis %d, %v, want %d, %v", value, got, err, out, why)
	}
}

func TestVerifyRefuses(t *testing.T) { // RFC 7616 §3.4, §5; RFC 3261 §22.4
	r := newRoom(t)
	ch := r.challenge(7, MD5)
	good := r.answer(ch, "alice", "alice-pw", "00000001")
	edit := func(old, new string) string {
		t.Helper()
		if !strings.Contains(good, old) {
			t.Fatalf("no %s in %s", old, good)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range []struct {
		name, value string
		out         Outcome
		why         error
	}{
		{"wrong password", r.answer(ch, "alice", "bob-pw", "00000001"), BadCredentials, ErrPassword},
		{"unknown user", r.answer(ch, "carol", "carol-pw", "00000001"), BadCredentials, ErrPassword},
		{"another user's name", edit(`"alice"`, `"bob"`), BadCredentials, ErrPassword},
		{"nc that was not hashed", edit("nc=00000001", "nc=00000002"), BadCredentials, ErrPassword},
		{"cnonce that was not hashed", edit("0a4f113b", "0a4f113c"), BadCredentials, ErrPassword},
		{"upper-case response", strings.Replace(good, resp(good), strings.ToUpper(resp(good)), 1), BadCredentials, ErrPassword},
		{"no user", edit(`"alice"`, `""`), Malformed, errUser},
		{"another realm", edit(`"example.org"`, `"example.net"`), Malformed, errRealm},
		{"another request's uri", edit(`"sip:example.org"`, `"sip:example.net"`), Malformed, errURI},
		{"uri that is none", edit(`"sip:example.org"`, `"example"`), Malformed, errURI},
		{"RFC 2069, no qop", edit(", qop=auth, nc=00000001, cnonce=\"0a4f113b\"", ""), Malformed, errQOP},
		{"qop=auth-int", edit("qop=auth", "qop=auth-int"), Malformed, errQOP},
		{"no cnonce", edit(`, cnonce="0a4f113b"`, ""), Malformed, errCNonce},
		{"no nc", edit(", nc=00000001", ""), Malformed, errNC},
		{"nc 0", edit("nc=00000001", "nc=00000000"), Malformed, errNC},
		{"short nc", edit("nc=00000001", "nc=1"), Malformed, errNC},
		{"nc not hexadecimal", edit("nc=00000001", "nc=0000000g"), Malformed, errNC},
		{"MD5-sess", edit("algorithm=MD5", "algorithm=MD5-sess"), Malformed, errAlgorithm},
		{"algorithm of another length", edit("algorithm=MD5", "algorithm=SHA-256"), Malformed, errResponse},
		{"short response", strings.Replace(good, resp(good), "abc", 1), Malformed, errResponse},
		{"nonce of nobody", edit(ch.Nonce, strings.Repeat("A", nonceLen)), Stale, ErrForeign},
		{"changed nonce", edit(ch.Nonce, flip(ch.Nonce)), Stale, ErrForeign},
		{"short nonce", edit(ch.Nonce, ch.Nonce[:31]), Stale, ErrForeign},
		{"nonce that is no base64", edit(ch.Nonce, "!"+ch.Nonce[1:]), Stale, ErrForeign},
	} {
		if got, err := r.verify(c.value, 7); got != c.out || err != c.why {
			t.Errorf("%s: %d, %v, want %d, %v\n%s", c.name, got, err, c.out, c.why, c.value)
		}
	}
	if got, err := r.a.Verify(must(ParseCredentials(good)), &Request{"example.org", "INVITE", "sip:example.org", 7}, r.users); got != BadCredentials {
		t.Errorf("another method: %d, %v", got, err)
	}
	r.want(good, 8, Stale, ErrForeign) // the nonce of another connection
	r.want(good, 0, Stale, ErrForeign)
	other := must(ParseCredentials(good))
	other.Realm = "example.net"
	if got, err := r.a.Verify(other, &Request{"example.net", "REGISTER", "sip:example.org", 7}, r.users); got != Stale || err != ErrForeign {
		t.Errorf("nonce of another realm: %d, %v", got, err)
	}
	r.want(good, 7, OK, nil) // nothing of the above used it up
}

func resp(v string) string { c, _ := ParseCredentials(v); return c.Response }

func flip(nonce string) string {
	c := byte('A')
	if nonce[5] == c {
		c = 'B'
	}
	return nonce[:5] + string(c) + nonce[6:]
}

func must(c Credentials, err error) *Credentials {
	if err != nil {
		panic(err)
	}
	return &c
}

func TestSHA256NotOfferedIsRefused(t *testing.T) { // RFC 8760 §2.3: only what was offered
	r := newRoom(t)
	var err error
	if r.users, err = NewTable([]User{
		{"alice", "example.org", HA1(MD5, "alice", "example.org", "a"), HA1(SHA256, "alice", "example.org", "a")},
		{"bob", "example.org", HA1(MD5, "bob", "example.org", "b"), ""},
	}); err != nil {
		t.Fatal(err)
	}
	if got := r.users.Algorithms(); len(got) != 1 || got[0] != MD5 {
		t.Errorf("offered %v, though bob has no SHA-256", got)
	}
	r.want(r.answer(r.challenge(1, SHA256), "alice", "a", "00000001"), 1, Malformed, errAlgorithm)
	r.want(r.answer(r.challenge(1, MD5), "alice", "a", "00000001"), 1, OK, nil)
}

func TestVerifyAccepts(t *testing.T) {
	for _, alg := range []Algorithm{MD5, SHA256} {
		r := newRoom(t)
		ch := r.challenge(7, alg)
		r.want(r.answer(ch, "alice", "alice-pw", "00000001"), 7, OK, nil)
		r.want(r.answer(ch, "bob", "bob-pw", "0000000A"), 7, OK, nil)
		r.want(r.answer(ch, `al\"ice`, `al\"ice-pw`, "000000ff"), 7, OK, nil)
		c := must(ParseCredentials(r.answer(r.challenge(7, alg), "alice", "alice-pw", "00000001")))
		c.URI = "SIP:example.ORG" // RFC 3261 §19.1.4: an equal URI, and what is hashed
		ha1, _ := r.users.HA1("alice", "example.org", alg)
		c.Response = string(appendResponse(nil, alg, ha1, "REGISTER", c))
		r.want(c.String(), 7, OK, nil)
	}
}

// TestKnownAnswers are the examples of RFC 7616 §3.9.1, made with HTTP.
func TestKnownAnswers(t *testing.T) {
	for alg, want := range map[Algorithm]string{
		MD5:    "8ca523f5e9506fed4657c9700eebdbec",
		SHA256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		v, err := Answer(&Challenge{Realm: "http-auth@example.org", Nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", Algorithm: alg.String(), QOP: "auth, auth-int"},
			"Mufasa", "Circle of Life", "GET", "/dir/index.html", "00000001", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
		if err != nil || resp(v) != want {
			t.Errorf("%v: %s, %v, want %s", alg, v, err, want)
		}
	}
	// RFC 2617 without qop, as old servers challenge: HA1:nonce:HA2.
	v, _ := Answer(&Challenge{Realm: "testrealm@host.com", Nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093"}, "Mufasa", "CircleOfLife", "GET", "/dir/index.html", "", "")
	if resp(v) != "1949323746fe6a43ef61f9606e7febea" || strings.Contains(v, "qop") {
		t.Errorf("without qop: %s", v)
	}
	for _, ch := range []Challenge{{Algorithm: "AKAv1-MD5"}, {QOP: "auth-int"}} {
		if v, err := Answer(&ch, "a", "b", "c", "d", "e", "f"); err != ErrUnanswerable {
			t.Errorf("%+v answered %s", ch, v)
		}
	}
}

func TestNonceCountRises(t *testing.T) { // RFC 7616 §3.4: nc rises strictly
	r := newRoom(t)
	ch := r.challenge(7, MD5)
	first := r.answer(ch, "alice", "alice-pw", "00000001")
	r.want(first, 7, OK, nil)
	r.want(first, 7, Stale, ErrReplayed) // SIP.js does so with its next REGISTER
	r.want(r.answer(ch, "alice", "alice-pw", "00000005"), 7, OK, nil)
	r.want(r.answer(ch, "alice", "alice-pw", "00000004"), 7, Stale, ErrReplayed)
	r.want(r.answer(ch, "alice", "alice-pw", "00000006"), 7, OK, nil)
	r.want(r.answer(ch, "alice", "wrong", "00000007"), 7, BadCredentials, ErrPassword)
	r.want(r.answer(ch, "alice", "alice-pw", "00000007"), 7, OK, nil) // a wrong password uses nothing up
}

func TestNonceExpires(t *testing.T) {
	r := newRoom(t)
	v := r.answer(r.challenge(0, MD5), "alice", "alice-pw", "00000001")
	r.clock.t = r.clock.t.Add(ttl)
	r.want(v, 0, OK, nil)
	v = r.answer(r.challenge(0, MD5), "alice", "alice-pw", "00000001")
	r.clock.t = r.clock.t.Add(ttl + time.Millisecond)
	r.want(v, 0, Stale, ErrExpired)
}

// TestClockJump: an hour or a day either way costs one more round, no more (R6).
func TestClockJump(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		r := newRoom(t)
		r.a.counts.sets = r.a.counts.sets[:16]
		for range 16 * 2 * countWays { // more than the table holds now: sets have dropped some
			r.clock.t = r.clock.t.Add(2 * time.Millisecond)
			r.want(r.answer(r.challenge(7, MD5), "alice", "alice-pw", "00000001"), 7, OK, nil)
		}
		v := r.answer(r.challenge(7, MD5), "alice", "alice-pw", "00000001")
		r.clock.t = r.clock.t.Add(jump)
		r.want(v, 7, Stale, ErrExpired)
		for range 100 {
			r.clock.t = r.clock.t.Add(time.Millisecond)
			v = r.answer(r.challenge(7, MD5), "alice", "alice-pw", "00000001")
			r.want(v, 7, OK, nil)
			r.want(v, 7, Stale, ErrReplayed)
		}
	}
}

// TestForgottenNonceIsUsedUp: the bounded table forgets, and does not forgive.
func TestForgottenNonceIsUsedUp(t *testing.T) {
	r := newRoom(t)
	r.a.counts.sets = r.a.counts.sets[:16]
	old := r.answer(r.challenge(0, MD5), "alice", "alice-pw", "00000001")
	r.want(old, 0, OK, nil)
	unused := r.answer(r.challenge(0, MD5), "alice", "alice-pw", "00000001")
	for range 4 * 16 * countWays {
		r.clock.t = r.clock.t.Add(time.Millisecond)
		r.want(r.answer(r.challenge(0, MD5), "bob", "bob-pw", "00000001"), 0, OK, nil)
	}
	r.want(old, 0, Stale, ErrReplayed)
	r.want(unused, 0, Stale, ErrReplayed) // cannot be told from one that was used
	r.want(r.answer(r.challenge(0, MD5), "alice", "alice-pw", "00000001"), 0, OK, nil)
}

func TestRestartForgetsNonces(t *testing.T) {
	r := newRoom(t)
	key := []byte("0123456789abcdef0123456789abcdef")
	r.a = New(Config{TTL: ttl, key: key, Now: r.clock.now})
	r.clock.t = r.clock.t.Add(time.Second)
	v := r.answer(r.challenge(0, MD5), "alice", "alice-pw", "00000001")
	r.want(v, 0, OK, nil)
	r.clock.t = r.clock.t.Add(time.Second)
	r.a = New(Config{TTL: ttl, key: key, Now: r.clock.now})
	r.clock.t = r.clock.t.Add(time.Second)
	r.want(v, 0, Stale, ErrReplayed)
}

func TestChallengeLines(t *testing.T) { // RFC 7616 §3.3, RFC 8760 §2.4
	r := newRoom(t)
	lines := r.a.Challenge("WWW-Authenticate: ", "example.org", 3, true, []Algorithm{MD5, SHA256})
	if len(lines) != 2 {
		t.Fatalf("%q", lines)
	}
	for i, alg := range []string{"MD5", "SHA-256"} {
		v, ok := strings.CutPrefix(lines[i], "WWW-Authenticate: ")
		c, err := ParseChallenge(v)
		if !ok || err != nil || c.Realm != "example.org" || c.Algorithm != alg || c.QOP != "auth" || !c.Stale || len(c.Nonce) > 48 {
			t.Errorf("%s: %+v, %v", lines[i], c, err)
		}
	}
	if one := r.a.Challenge("", "example.org", 3, false, []Algorithm{MD5})[0]; strings.Contains(one, "stale") {
		t.Errorf("first challenge is stale: %s", one)
	}
	if a, b := r.challenge(3, MD5), r.challenge(3, MD5); a.Nonce == b.Nonce {
		t.Error("two challenges have one nonce")
	}
}

func TestParseCredentials(t *testing.T) { // RFC 3261 §25.1 with what clients make of it
	for _, in := range []string{
		"", "Digest", "Digest\"", "Basic YTpi", "Digestusername=x", "Digest a", "Digest =b", "Digest a=b c=d", `Digest a="b`, `Digest a="b\"`, `Digest a="b"c`, `Digest a=b"c"`,
		"Digest a=\"b\r\nc\"", "Digest a=\"b\x00\"", "Digest a=\"\\\n\"", "Digest a=b\r\n", "Digest realm=a, Realm=b", "Digest username=\"a\", username=\"a\"",
		"Digest " + strings.Repeat("x=y,", maxParams+1),
	} {
		if c, err := ParseCredentials(in); err == nil {
			t.Errorf("ParseCredentials(%q) = %+v, want an error", in, c)
		}
	}
	in := "dIGEST\tUSERNAME = \"a\\\"b\" ,\trealm=\"x,y=z\",, nonce=n/o.n+c=e, uri=\"sip:a@b;c=\\\\\"\t, response=r,algorithm=\"MD5\",cnonce=\"\",nc=00000001,qop=\"auth\",opaque=o,x_y=\"q\", auth-param=1,"
	want := Credentials{User: `a\"b`, Realm: "x,y=z", Nonce: "n/o.n+c=e", URI: `sip:a@b;c=\\`, Response: "r", Algorithm: "MD5", NC: "00000001", QOP: "auth", Opaque: "o"}
	if got, err := ParseCredentials(in); err != nil || got != want {
		t.Errorf("ParseCredentials(%q)\n= %+v, %v\nwant %+v", in, got, err, want)
	}
	if !IsBearer("bearer x") || IsBearer("Bearer") || IsBearer("Bearerx y") {
		t.Error("IsBearer")
	}
}

func FuzzCredentials(f *testing.F) {
	r := newRoom(f)
	f.Add(r.answer(r.challenge(7, MD5), "alice", "alice-pw", "00000001"))
	f.Add("Digest username=\"a\\\"b\",\trealm=x,,nc=1,")
	f.Fuzz(func(t *testing.T, s string) {
		if out, _ := r.verify(s, 9); out == OK { // the seeds' nonce is of flow 7
			t.Errorf("%q let in", s)
		}
		ParseChallenge(s)
		c, err := ParseCredentials(s)
		if err != nil {
			return
		}
		for _, p := range []string{c.User, c.Realm, c.Nonce, c.URI, c.Response, c.Algorithm, c.CNonce, c.NC, c.QOP, c.Opaque} {
			if strings.ContainsAny(p, "\r\n\x00") || !strings.Contains(s, p) {
				t.Errorf("%q has %q", s, p)
			}
		}
	})
}
