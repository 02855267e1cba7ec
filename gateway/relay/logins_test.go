package relay

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// limit counts failures without an end to them.
type limit struct {
	max    int
	failed map[string]int
}

func (l limit) key(user, realm string, from netip.Addr) string {
	return fmt.Sprintf("%q %q %s", user, realm, from)
}

func (l limit) Blocked(user, realm string, from netip.Addr) bool {
	return l.failed[l.key(user, realm, from)] >= l.max
}

func (l limit) Failed(user, realm string, from netip.Addr) { l.failed[l.key(user, realm, from)]++ }

// phone is a peer that sends datagrams.
func (r *rig) phone(at string) *flow.Flow {
	return r.flows.Open(&conn{sip.ConnInfo{Transport: sip.UDP, Advertise: "192.0.2.1:5060", Remote: netip.MustParseAddrPort(at)}})
}

// guess is a Digest line; its password is always wrong.
func guess(name, realm, nonce string) string {
	return fmt.Sprintf("Authorization: Digest username=%q, realm=%q, nonce=%q, uri=\"sip:example.com\", response=\"00\"\r\n", name, realm, nonce)
}

// answer is what the registrar says to a request.
func (r *rig) answer(t testing.TB, req *sip.Message, status int, lines ...string) *sip.Message {
	t.Helper()
	m, err := sip.Parse(string(req.AppendReply(nil, &sip.Reply{Status: status, Headers: lines})), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const challenge = `WWW-Authenticate: Digest realm="asterisk", nonce="given"`

// tries sends a REGISTER whose login fails; false: it was refused here.
func (r *rig) tries(t testing.TB, f *flow.Flow, user string, status int, lines ...string) bool {
	t.Helper()
	req, err := sip.Parse(registerText(user, "<sip:a@a.invalid>", lines...), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	aor := user + "@example.com"
	if err := r.MayRegister(req, f, aor); err != nil {
		return false
	}
	x, err := r.Read(req, f, aor)
	if err != nil {
		t.Fatal(err)
	}
	x.Answers(r.answer(t, req, status, challenge), r.hop)
	return true
}

// passed is how many of n tries get to the registrar.
func passed(n int, try func(i int) bool) (all int) {
	for i := range n {
		if try(i) {
			all++
		}
	}
	return all
}

// attack: guesses of one user's password under ever other names, or behind a line for another realm, of which the registrar takes its own
// (RFC 3261 §22.3); and of ever other users' passwords. Whoever is registered as somebody else is no better.
func TestGuessesAreLimited(t *testing.T) {
	for _, c := range []struct {
		name string
		try  func(i int) (user string, lines []string)
		want int
	}{
		{"one name", func(int) (string, []string) { return "bob", []string{guess("bob", "asterisk", "given")} }, 3},
		{"other names", func(i int) (string, []string) {
			return "bob", []string{guess(fmt.Sprint("bob", i), "asterisk", "given")}
		}, 3},
		{"other users, one name", func(i int) (string, []string) {
			return fmt.Sprint("u", i), []string{guess("bob", "asterisk", "given")}
		}, 3},
		{"behind a decoy", func(i int) (string, []string) {
			return fmt.Sprint("u", i), []string{guess(fmt.Sprint("z", i), "x", "n"), guess("bob", "asterisk", "given")}
		}, 3},
		{"tokens", func(int) (string, []string) { return "bob", []string{"Authorization: Bearer x\r\n"} }, 3},
		{"other users and names", func(i int) (string, []string) {
			return fmt.Sprint("u", i), []string{guess(fmt.Sprint("u", i), "asterisk", "given")}
		}, 9},
		{"of many at once", func(i int) (string, []string) {
			return "bob", []string{guess("1", "a", "n"), guess("2", "a", "n"), guess("3", "a", "n"), guess("4", "a", "n"), guess("5", "a", "n")}
		}, 0},
	} {
		for _, proven := range []bool{false, true} {
			for _, status := range []int{401, 403, 407} {
				r := newRig(t, Upstream{Name: "pbx"})
				f := r.page()
				if proven {
					r.register(t, f, "alice", "<sip:k@a.invalid>;expires=60", nil)
				}
				r.tries(t, f, "bob", 401) // asks for a nonce
				got := passed(50, func(i int) bool {
					user, lines := c.try(i)
					return r.tries(t, f, user, status, lines...)
				})
				if got != c.want || r.Counters[LoginBlocked].Load() == 0 && c.want > 0 {
					t.Errorf("%s, %d, proven %v: %d guesses got through, want %d", c.name, status, proven, got, c.want)
				}
				if !r.tries(t, f, "bob", 401) {
					t.Errorf("%s: a REGISTER without credentials was refused", c.name)
				}
			}
		}
	}
}

// attack: whoever forges datagrams of an address has no nonce that the registrar gave to it (RFC 7616 §5.5), and what he tries with others
// costs those there nothing; nor do the nonces of before a restart.
func TestForgedLoginsLockNobodyOut(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	page, phone, forged := r.page(), r.phone("198.51.100.1:5060"), r.phone("198.51.100.1:6666")
	r.tries(t, page, "alice", 401)
	if got := passed(50, func(int) bool { return r.tries(t, forged, "alice", 401, guess("alice", "asterisk", "made-up")) }); got != 3 {
		t.Errorf("%d forged guesses got through", got)
	}
	if got := passed(50, func(int) bool { return r.tries(t, page, "alice", 401, guess("alice", "asterisk", "old")) }); got != 3 {
		t.Errorf("%d guesses with a nonce of nobody's got through", got)
	}
	for who, f := range map[string]*flow.Flow{"the page": page, "the phone": phone} {
		if !r.tries(t, f, "alice", 401, guess("alice", "asterisk", "given")) {
			t.Errorf("%s of the address is locked out", who)
		}
	}
	if got := passed(50, func(int) bool { return r.tries(t, phone, "alice", 401, guess("alice", "asterisk", "given")) }); got != 2 {
		t.Errorf("%d guesses of a phone that has its nonces got through", got)
	}
	if !r.tries(t, page, "alice", 401, guess("alice", "asterisk", "given")) {
		t.Error("the phone's locked the page out")
	}
}

// attack: the same from any address that a datagram can show.
func TestForgedLoginsOfAnyAddress(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	got := passed(50, func(i int) bool {
		return r.tries(t, r.phone(fmt.Sprintf("203.0.113.%d:5060", i+9)), "alice", 401, guess("alice", "asterisk", "made-up"))
	})
	if got != 9 {
		t.Errorf("%d forged guesses got through", got)
	}
	phone := r.phone("198.51.100.1:5060")
	r.tries(t, phone, "alice", 401)
	if !r.tries(t, phone, "alice", 401, guess("alice", "asterisk", "given")) {
		t.Error("one with a nonce of its own is locked out")
	}
}

// A user who is registered over a connection refreshes and calls there whatever others at his address try.
func TestTotalSparesTheRegistered(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	mine, other := r.page(), r.page()
	r.register(t, mine, "alice", "<sip:k@a.invalid>;expires=60", nil)
	r.tries(t, other, "x", 401)
	passed(50, func(i int) bool {
		u := fmt.Sprint("u", i)
		return r.tries(t, other, u, 401, guess(u, "asterisk", "given"))
	})
	if r.tries(t, other, "bob", 401, guess("bob", "asterisk", "given")) {
		t.Error("the address is not at its limit")
	}
	if !r.tries(t, mine, "alice", 401, guess("alice", "asterisk", "given")) {
		t.Error("her refresh is refused")
	}
	if _, err := r.MayAsk("pbx", r.asks(t, "MESSAGE", guess("alice", "asterisk", "given")), mine, "alice@example.com"); err != nil {
		t.Error("her message is refused:", err)
	}
}

func (r *rig) asks(t testing.TB, method string, lines ...string) *sip.Message {
	t.Helper()
	text := strings.ReplaceAll(registerText("alice", "<sip:k@a.invalid>", lines...), "REGISTER", method)
	m, err := sip.Parse(text, sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// attack: wrong passwords with any other request (RFC 3261 §22.3: a proxy asks for them, too). 403 to the user whom the registrar has taken
// for that name is no wrong password at first: what he calls is forbidden.
func TestEveryMethodLogsIn(t *testing.T) {
	const aor = "alice@example.com"
	for _, c := range []struct {
		method, name string
		status, want int
	}{
		{"MESSAGE", "al", 407, 3}, {"INVITE", "al", 401, 3}, {"SUBSCRIBE", "bob", 403, 3},
		{"INVITE", "al", 403, 9}, {"MESSAGE", "al", 404, 50}, {"REFER", "", 407, 50},
	} {
		r := newRig(t, Upstream{Name: "pbx"})
		f := r.page()
		r.login = guess("al", "asterisk", "given")
		r.register(t, f, "alice", "<sip:k@a.invalid>;expires=60", nil)
		r.tries(t, f, "alice", 401)
		line := ""
		if c.name != "" {
			line = guess(c.name, "asterisk", "given")
		}
		send := func(method string) (bare bool, err error) {
			req := r.asks(t, method, line)
			if bare, err = r.MayAsk("pbx", req, f, aor); err == nil && !bare {
				r.Asked("pbx", req, r.answer(t, req, c.status, challenge), f, aor)
			}
			return bare, err
		}
		got := passed(50, func(int) bool { _, err := send(c.method); return err == nil })
		if got != c.want {
			t.Errorf("%s as %q, %d: %d got through, want %d", c.method, c.name, c.status, got, c.want)
		}
		if got == 50 {
			continue
		}
		if bare, err := send("BYE"); !bare || err != nil {
			t.Errorf("%s: a BYE afterwards is to go without credentials: %v, %v", c.method, bare, err)
		}
		if bare, err := send("ACK"); bare || err != nil {
			t.Errorf("%s: an ACK afterwards: %v, %v", c.method, bare, err)
		}
	}
}

// What the limits remember is fixed, whoever asks for nonces.
func TestNonces(t *testing.T) {
	var n nonces
	n.init()
	a, b := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::1")
	n.gave("x", a)
	n.gave("x", b)
	if !n.has("x", a) || n.has("y", a) || n.has("x", netip.MustParseAddr("192.0.2.8")) || !n.has("x", netip.MustParseAddr("::ffff:192.0.2.7")) {
		t.Error("IPv4")
	}
	if !n.has("x", netip.MustParseAddr("2001:db8::2")) || n.has("x", netip.MustParseAddr("2001:db8:0:1::1")) {
		t.Error("IPv6: a /64 is one")
	}
}
