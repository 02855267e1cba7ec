package trunk

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

var (
	provider1 = netip.MustParseAddrPort("192.0.2.1:5060")
	provider2 = netip.MustParseAddrPort("192.0.2.2:5060")
)

// response is a response of a provider with more header lines.
func response(t *testing.T, status int, cseq uint32, lines ...string) *sip.Message {
	t.Helper()
	text := fmt.Sprintf("SIP/2.0 %d %s\r\nVia: SIP/2.0/UDP us;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: %d REGISTER\r\n",
		status, sip.StatusText(status), cseq)
	for _, l := range lines {
		text += l + "\r\n"
	}
	m, err := sip.Parse(text+"Content-Length: 0\r\n\r\n", sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// right checks a digest response as RFC 7616 §3.4.1 has it, by other means than it was made.
func right(t *testing.T, line, user, password, method, uri string) *digest.Credentials {
	t.Helper()
	_, value, _ := strings.Cut(line, ": ")
	c, err := digest.ParseCredentials(value)
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	h := func(parts ...string) string {
		text := strings.Join(parts, ":")
		if c.Algorithm == "SHA-256" {
			sum := sha256.Sum256([]byte(text))
			return hex.EncodeToString(sum[:])
		}
		sum := md5.Sum([]byte(text))
		return hex.EncodeToString(sum[:])
	}
	want := h(h(user, c.Realm, password), c.Nonce, c.NC, c.CNonce, c.QOP, h(method, uri))
	if c.QOP == "" {
		want = h(h(user, c.Realm, password), c.Nonce, h(method, uri))
	}
	if c.Response != want || c.User != user || c.URI != uri {
		t.Errorf("wrong credentials: %s", line)
	}
	return &c
}

func TestAnswer(t *testing.T) { // RFC 7616 §3.4, RFC 8760 §2.3, RFC 3261 §22.4
	for _, c := range []struct {
		name, field, challenge string
		line, algorithm, qop   string
	}{
		{"MD5", "WWW-Authenticate", `Digest realm="r", nonce="n", qop="auth"`, "Authorization", "", "auth"},
		{"proxy", "Proxy-Authenticate", `Digest realm="r", nonce="n", qop="auth", algorithm=MD5`, "Proxy-Authorization", "MD5", "auth"},
		{"SHA-256", "Proxy-Authenticate", `Digest realm="r", nonce="n", qop="auth-int,auth", algorithm=SHA-256, opaque="o"`, "Proxy-Authorization", "SHA-256", "auth"},
		{"no qop", "WWW-Authenticate", `Digest realm="r", nonce="n"`, "Authorization", "", ""},
		{"the first that we know", "WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-512-256, qop=\"auth\"\r\n" +
			"WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"", "Authorization", "SHA-256", "auth"},
		{"beside another scheme", "Proxy-Authenticate", "NTLM realm=\"r\"\r\nProxy-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth\"", "Proxy-Authorization", "", "auth"},
	} {
		a := NewAccount(&Login{User: "u", Password: "p", Realm: "r"})
		line, next, err := a.Answer(provider1, response(t, 401, 1, c.field+": "+c.challenge), Nothing, "INVITE", "sip:1@x")
		if err != nil || next != Answered {
			t.Errorf("%s: %v, next %d", c.name, err, next)
			continue
		}
		got := right(t, line, "u", "p", "INVITE", "sip:1@x")
		if name, _, _ := strings.Cut(line, ":"); name != c.line || got.Algorithm != c.algorithm || got.QOP != c.qop || c.name == "SHA-256" && got.Opaque != "o" {
			t.Errorf("%s: %s", c.name, line)
		}
	}
}

func TestNotAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		line string
		want error
	}{
		"auth-int alone":  {`WWW-Authenticate: Digest realm="r", nonce="n", qop="auth-int"`, digest.ErrUnanswerable},
		"algorithm":       {`WWW-Authenticate: Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"`, digest.ErrUnanswerable},
		"another realm":   {`WWW-Authenticate: Digest realm="evil", nonce="n", qop="auth"`, ErrOtherRealm},
		"no nonce":        {`WWW-Authenticate: Digest realm="r"`, ErrUnreadable},
		"broken":          {`WWW-Authenticate: Digest realm="r`, ErrUnreadable},
		"no challenge":    {`Subject: x`, errNoChallenge},
		"basic, and more": {`WWW-Authenticate: Basic realm="r"`, ErrUnreadable},
	} {
		a := NewAccount(&Login{User: "u", Password: "p", Realm: "r"})
		if _, _, err := a.Answer(provider1, response(t, 401, 1, c.line), Nothing, "INVITE", "sip:1@x"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// RFC 7616 §3.4.6: a nonce serves many requests, each with the next nc, until the server has another; stale means that the
// password is not wrong.
func TestNonceIsUsedAgain(t *testing.T) {
	a := NewAccount(&Login{User: "u", Password: "p", Realm: "r"})
	challenge := func(nonce, more string) *sip.Message {
		return response(t, 407, 1, `Proxy-Authenticate: Digest realm="r", nonce="`+nonce+`", qop="auth"`+more)
	}
	if a.Known(provider1, "INVITE", "sip:1@x") != "" {
		t.Error("knows a nonce that nobody gave")
	}
	nc := func(line string, err error) string {
		t.Helper()
		if err != nil || line == "" {
			t.Fatalf("line %q, %v", line, err)
		}
		c := right(t, line, "u", "p", "INVITE", "sip:1@x")
		return c.Nonce + " " + c.NC
	}
	answer := func(at netip.AddrPort, m *sip.Message, tried Tried) string {
		line, _, err := a.Answer(at, m, tried, "INVITE", "sip:1@x")
		return nc(line, err)
	}
	known := func() string { return nc(a.Known(provider1, "INVITE", "sip:1@x"), nil) }
	for i, got := range []string{
		answer(provider1, challenge("n1", ""), Nothing), known(), known(), answer(provider1, challenge("n1", ""), Nothing),
		answer(provider1, challenge("n2", ", stale=true"), Unasked), known(),
	} {
		if want := []string{"n1 00000001", "n1 00000002", "n1 00000003", "n1 00000004", "n2 00000001", "n2 00000002"}[i]; got != want {
			t.Errorf("step %d: %s, want %s", i, got, want)
		}
	}
	if a.Known(provider2, "INVITE", "sip:1@x") != "" {
		t.Error("a server is sent another's nonce")
	}
	for _, c := range []struct {
		tried Tried
		more  string
		next  Tried
		err   error
	}{
		{Nothing, "", Answered, nil}, {Unasked, "", Answered, nil}, {Answered, ", stale=true", AnsweredX, nil},
		{Answered, "", 0, ErrRefused}, {Answered, ", stale=false", 0, ErrRefused}, {AnsweredX, ", stale=true", 0, ErrRefused},
	} {
		if _, next, err := a.Answer(provider2, challenge("x", c.more), c.tried, "INVITE", "sip:1@x"); next != c.next || !errors.Is(err, c.err) {
			t.Errorf("tried %d%s: next %d, %v", c.tried, c.more, next, err)
		}
	}
}

// A server whose nonces are for one request is asked without credentials, and now and then with them.
func TestNoncesForOneUse(t *testing.T) {
	a := NewAccount(&Login{User: "u", Password: "p", Realm: "r"})
	unasked := 0
	for i := range 3000 {
		tried := Nothing
		if a.Known(provider1, "INVITE", "sip:1@x") != "" {
			tried = Unasked
			unasked++
		}
		ch := response(t, 407, 1, fmt.Sprintf(`Proxy-Authenticate: Digest realm="r", nonce="n%d", qop="auth"`, i))
		if _, _, err := a.Answer(provider1, ch, tried, "INVITE", "sip:1@x"); err != nil {
			t.Fatal(err)
		}
	}
	if unasked < 6 || unasked > 30 {
		t.Errorf("%d of 3000 requests had credentials that nobody asked for", unasked)
	}
	if len(a.nonces) != 1 {
		t.Errorf("%d nonces", len(a.nonces))
	}
	for i := range 1000 {
		at := netip.AddrPortFrom(provider1.Addr(), uint16(i+1))
		_, _, _ = a.Answer(at, response(t, 407, 1, `Proxy-Authenticate: Digest realm="r", nonce="n", qop="auth"`), Nothing, "INVITE", "sip:1@x")
	}
	if len(a.nonces) > maxNonces {
		t.Errorf("%d nonces are kept", len(a.nonces))
	}
}

// RFC 3261 §22.3: credentials are for a realm. A provider's proxy passes on the challenges of whoever is called (§16.7 step 7); all but
// the first realm whose answer was taken hear nothing, and without qop, where the other side alone chooses what is hashed, nobody does.
func TestOneRealmIsAnswered(t *testing.T) {
	a := NewAccount(&Login{User: "u", Password: "p"})
	ask := func(method, realm, more string) (string, error) {
		line, _, err := a.Answer(provider1, response(t, 407, 1, `Proxy-Authenticate: Digest realm="`+realm+`", nonce="n"`+more), Nothing, method, "sip:1@x")
		return line, err
	}
	const qop = `, qop="auth"`
	if _, err := ask("INVITE", "evil", ""); !errors.Is(err, ErrNoQOP) {
		t.Errorf("RFC 2069: %v", err)
	}
	if _, err := ask("INVITE", "evil", qop); err != nil {
		t.Error(err) // nobody knows better yet
	}
	if line := a.Known(provider1, "INVITE", "sip:1@x"); line != "" {
		t.Errorf("sent unasked: %s", line)
	}
	accepted := func(realm, uri string) string {
		line, _, err := a.Answer(provider1, response(t, 407, 1, `Proxy-Authenticate: Digest realm="`+realm+`", nonce="n"`+qop), Nothing, "INVITE", uri)
		if err != nil {
			t.Error(err)
		}
		return a.Accepted(line)
	}
	if a.Accepted("") != "" || accepted("evil", "sip:6@x") != "" || accepted("evil", "sip:6@x") != "" || accepted("carrier", "sip:1@x") != "" {
		t.Error("one callee has it his way")
	}
	if accepted("carrier", "sip:2@x") != "carrier" || accepted("carrier", "sip:3@x") != "" {
		t.Error("two callees do not teach the realm, once")
	}
	for _, c := range []struct {
		realm, more string
		want        error
	}{{"evil", qop, ErrOtherRealm}, {"evil", "", ErrOtherRealm}, {"carrier", "", ErrNoQOP}, {"carrier", qop, nil}} {
		if _, err := ask("INVITE", c.realm, c.more); !errors.Is(err, c.want) {
			t.Errorf("%s %s: %v, want %v", c.realm, c.more, err, c.want)
		}
	}
	right(t, a.Known(provider1, "INVITE", "sip:1@x"), "u", "p", "INVITE", "sip:1@x")

	if _, err := ask("REGISTER", "new", ""); err != nil { // nobody but the registrar is asked that
		t.Error(err)
	}
	if _, err := ask("INVITE", "new", qop); !errors.Is(err, ErrOtherRealm) {
		t.Errorf("before it registers: %v", err)
	}
	a.Registered()
	for _, c := range []struct {
		realm string
		want  error
	}{{"carrier", ErrOtherRealm}, {"new", nil}} { // without qop as well: an old provider's registrar has that realm
		if _, err := ask("INVITE", c.realm, ""); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.realm, err, c.want)
		}
	}
}

// The operator's word stands, whatever the registrar says.
func TestConfiguredRealmStays(t *testing.T) {
	a := NewAccount(&Login{User: "u", Password: "p", Realm: "r"})
	for _, method := range []string{"REGISTER", "INVITE"} {
		_, _, err := a.Answer(provider1, response(t, 401, 1, `WWW-Authenticate: Digest realm="evil", nonce="n", qop="auth"`), Nothing, method, "sip:1@x")
		if !errors.Is(err, ErrOtherRealm) {
			t.Errorf("%s: %v", method, err)
		}
	}
	line, _, err := a.Answer(provider1, response(t, 401, 1, `WWW-Authenticate: Digest realm="r", nonce="n"`), Nothing, "INVITE", "sip:1@x")
	if a.Registered(); err != nil || a.Accepted(line) != "" {
		t.Errorf("%q, %v", line, err)
	}
}

// A registrar's nonces are its own: what INVITEs are asked for does not take their place.
func TestRegistrarsNonces(t *testing.T) {
	a := NewAccount(&Login{User: "u", Password: "p", Realm: "r"})
	for method, challenge := range map[string]string{"REGISTER": "WWW-Authenticate", "INVITE": "Proxy-Authenticate"} {
		_, _, _ = a.Answer(provider1, response(t, 401, 1, challenge+`: Digest realm="r", nonce="`+method+`", qop="auth"`), Nothing, method, "sip:1@x")
	}
	for _, method := range []string{"REGISTER", "INVITE"} {
		if line := a.Known(provider1, method, "sip:1@x"); !strings.Contains(line, `nonce="`+method+`"`) {
			t.Errorf("%s: %s", method, line)
		}
	}
}

// A realm that two callees have taught is not for ever: an upstream that has a new one asks for that whoever is called. One callee
// who asks for his, however often, and any number with an answer of ours taken between, change nothing.
func TestLearntRealmIsForgotten(t *testing.T) {
	a := NewAccount(&Login{User: "u", Password: "p"})
	ask := func(realm string, callee int) error {
		line, _, err := a.Answer(provider1, response(t, 407, 1, `Proxy-Authenticate: Digest realm="`+realm+`", nonce="n", qop="auth"`), Nothing, "INVITE", fmt.Sprintf("sip:%d@x", callee))
		if err == nil {
			a.Accepted(line)
		}
		return err
	}
	for callee := range 2 {
		if err := ask("old", callee); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 * maxStrays {
		if ask("evil", 6) == nil {
			t.Fatal("one callee has his realm answered")
		}
	}
	for callee := range 3 * maxStrays {
		if err := ask("new", callee); err == nil {
			t.Fatal("an answer between says that the realm is right")
		}
		if err := ask("old", callee); err != nil {
			t.Fatal(err)
		}
	}
	for callee := range maxStrays {
		if ask("new", callee) == nil {
			t.Fatal("so soon")
		}
	}
	for callee := range 3 {
		if err := ask("new", callee); err != nil {
			t.Fatal(err)
		}
	}
	if ask("old", 9) == nil {
		t.Error("the old realm is answered still")
	}
}
