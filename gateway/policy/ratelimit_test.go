package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	maxFailures = 10
	blockedFor  = 90 * time.Second
)

func TestFailedLoginsBlock(t *testing.T) { // so many per user and address a minute → a while of 403
	r := newRoom(t)
	try := func(user, password, remote string) int {
		t.Helper()
		f, _ := r.open(sip.UDP, remote)
		from := "<sip:" + user + "@example.org>"
		e := sip.AsStatus(r.id.Admit(r.request("REGISTER", "", from, from), f))
		err := r.id.Admit(r.request("REGISTER", "", from, from, r.answer(e, user, password, "REGISTER", "sip:example.org")), f)
		if err == nil {
			return 0
		}
		return sip.AsStatus(err).Code
	}
	for i := range maxFailures {
		if code := try("alice", "wrong", "198.51.100.2:5060"); code != 401 {
			t.Fatalf("failure %d: %d", i+1, code)
		}
	}
	for _, c := range []struct {
		name, user, remote string
		after              time.Duration
		code               int
	}{
		{"right password while blocked", "alice", "198.51.100.2:5060", 0, 403},
		{"from another port", "alice", "198.51.100.2:9", 0, 403},
		{"another address", "alice", "198.51.100.3:5060", 0, 0},
		{"another user", "bob", "198.51.100.2:5060", 0, 0},
		{"just before the end", "alice", "198.51.100.2:5060", blockedFor - 1, 403},
		{"after the end", "alice", "198.51.100.2:5060", 1, 0},
	} {
		r.now = r.now.Add(c.after)
		if code := try(c.user, "pw", c.remote); code != c.code {
			t.Errorf("%s: %d, want %d", c.name, code, c.code)
		}
	}
	for range maxFailures - 1 {
		try("bob", "wrong", "198.51.100.2:5060")
	}
	r.now = r.now.Add(failureWindow) // nine a minute are nobody's business
	try("bob", "wrong", "198.51.100.2:5060")
	if code := try("bob", "pw", "198.51.100.2:5060"); code != 0 {
		t.Errorf("blocked after 9 and 1 failures: %d", code)
	}
}

func TestLoginsCountAnIPv6NetworkAsOne(t *testing.T) {
	l := NewLogins(LoginLimit{Failures: maxFailures, Penalty: blockedFor}, nil)
	for range maxFailures {
		l.Failed("alice", "example.org", netip.MustParseAddr("2001:db8::1"))
		l.Failed("alice", "example.org", netip.MustParseAddr("::ffff:192.0.2.1"))
	}
	for addr, want := range map[string]bool{"2001:db8::ffff:1": true, "2001:db8:0:1::1": false, "192.0.2.1": true, "192.0.2.2": false} {
		if got := l.Blocked("alice", "example.org", netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s blocked: %v, want %v", addr, got, want)
		}
	}
	if l.Blocked("lice", "example.orga", netip.MustParseAddr("192.0.2.1")) {
		t.Error("another user is blocked")
	}
}

func TestFloodOnConnection(t *testing.T) { // burst of 100, then 503, then closed
	r := newRoom(t)
	f, c := r.open(sip.WS, "198.51.100.1:4000")
	m := r.request("INVITE", "", alice, bob)
	for range 100 {
		r.want(407, m, f)
	}
	for range 100 {
		e := r.want(503, m, f)
		if c.closed != "" || len(e.Headers) != 1 || e.Headers[0] != "Retry-After: 5" {
			t.Fatalf("closed: %q; %q", c.closed, e.Headers)
		}
	}
	r.want(407, m, r.ws()) // others go on
	r.want(503, m, f)
	r.want(503, m, f)
	if c.closed != sip.CloseFlood {
		t.Errorf("closed: %q, want flood", c.closed)
	}
	if r.flood.Stats.Refused.Load() != 102 || r.flood.Stats.Closed.Load() == 0 {
		t.Errorf("counted %d refused, %d closed", r.flood.Stats.Refused.Load(), r.flood.Stats.Closed.Load())
	}
}

// A UDP peer that takes another port, or another address of its /64, for each request is one
// attacker; many phones behind one NAT, each within its own limit, are not.
func TestFloodOfManyPorts(t *testing.T) {
	r := newRoom(t)
	m := r.request("INVITE", "", alice, bob)
	flood := func(n int, addr func(i int) string) (served int) {
		for i := range n {
			f, _ := r.open(sip.UDP, addr(i))
			if r.admit(m, f).Code == 407 {
				served++
			}
		}
		return served
	}
	ports := func(i int) string { return fmt.Sprintf("198.51.100.9:%d", 1024+i) }
	if n := flood(20_000, ports); n != 100*addressShare {
		t.Errorf("%d requests from as many ports are served at once, want %d", n, 100*addressShare)
	}
	if n := flood(20_000, func(i int) string { return fmt.Sprintf("[2001:db8::%x:1]:5060", i) }); n != 100*addressShare {
		t.Errorf("%d requests from one /64 are served at once, want %d", n, 100*addressShare)
	}
	r.want(407, m, r.udp("198.51.100.8:1024")) // others go on
	r.want(407, m, r.udp("[2001:db8:0:1::1]:5060"))
	r.now = r.now.Add(time.Second)
	if n := flood(20_000, ports); n != 20*addressShare {
		t.Errorf("%d requests are served after a second, want %d", n, 20*addressShare)
	}
	if n := flood(3_000, func(i int) string { return fmt.Sprintf("198.51.100.7:%d", 1024+i%1000) }); n != 3_000 {
		t.Errorf("%d of 3,000 requests of 1,000 phones behind one NAT are served", n)
	}
}

func (r *room) udp(remote string) *flow.Flow {
	f, _ := r.open(sip.UDP, remote)
	return f
}

// TestFloodLimits: the rate and the burst are those that were set.
func TestFloodLimits(t *testing.T) {
	for _, limit := range []FloodLimit{{Rate: 1, Burst: 1}, {Rate: 5, Burst: 3}, {Rate: 200, Burst: 40}} {
		r := newRoom(t)
		r.flood = NewFlood(limit, func() time.Time { return r.now })
		f, _ := r.open(sip.UDP, "198.51.100.1:4000")
		served := func(n int) (served int) {
			for range n {
				if r.flood.Admit(nil, f) == nil {
					served++
					r.flood.Charge(f)
				}
			}
			return served
		}
		if n := served(1000); n != limit.Burst {
			t.Errorf("%+v: %d at once", limit, n)
		}
		total := 0
		for range 10 * limit.Rate {
			r.now = r.now.Add(time.Second / time.Duration(limit.Rate))
			total += served(5)
		}
		if total != 10*limit.Rate {
			t.Errorf("%+v: %d in 10 seconds", limit, total)
		}
	}
}

func TestFloodRate(t *testing.T) { // 20 a second, for ever
	r := newRoom(t)
	m := r.request("INVITE", "", alice, bob)
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP} {
		f, c := r.open(tr, "198.51.100.1:4000")
		for range 100 {
			r.want(407, m, f)
		}
		for range 400 {
			r.now = r.now.Add(time.Second / 20)
			r.want(407, m, f)
		}
		if c.closed != "" {
			t.Error("closed")
		}
	}
	f, _ := r.open(sip.UDP, "198.51.100.1:4000")
	served := 0
	for range 2000 { // 200 a second for 10 s over UDP: served at the allowed pace
		r.now = r.now.Add(time.Second / 200)
		if r.admit(m, f).Code == 407 {
			served++
		}
	}
	g, _ := r.open(sip.UDP, "198.51.100.1:4001") // behind the same NAT
	r.want(407, m, g)
	if served < 295 || served > 305 {
		t.Errorf("served %d of 2000 in 10 s, want the burst and 200", served)
	}
}

func TestFloodSparesProvenAndUpstream(t *testing.T) {
	r := newRoom(t)
	f := r.ws()
	r.register(f, "alice", "example.org")
	pbx, _ := r.open(sip.UDP, "192.0.2.50:5060")
	for range 1000 {
		r.want(0, r.request("INVITE", "", alice, bob), f)
		r.want(0, r.request("INVITE", "", alice, bob), pbx)
		r.want(403, r.request("INVITE", "", "<sip:eve@foreign.example>", bob), f)
	}
}

// Who has logged in may send a thousand useless messages at once and 200 a second for ever, and not more; an upstream
// and a UDP peer, in whose name others may send, may.
func TestWaste(t *testing.T) {
	r := newRoom(t)
	f, c := r.open(sip.WS, "198.51.100.1:4000")
	r.register(f, "alice", "example.org")
	waste := func(n int, f *flow.Flow) {
		for range n {
			r.flood.Waste(f)
		}
	}
	waste(1000, f)
	for range 2000 {
		r.now = r.now.Add(time.Second / 200)
		waste(1, f)
	}
	if c.closed != "" {
		t.Fatalf("closed within the limit: %q", c.closed)
	}
	other, oc := r.open(sip.WS, "198.51.100.1:4001")
	r.register(other, "bob", "example.org")
	waste(1, f)
	if c.closed != sip.CloseFlood || r.flood.Stats.Closed.Load() != 1 {
		t.Errorf("closed: %q, counted %d; want flood, once", c.closed, r.flood.Stats.Closed.Load())
	}
	waste(1000, other)
	pbx, pc := r.open(sip.TCP, "192.0.2.50:5060")
	r.source.Mark(pbx)
	udp, uc := r.open(sip.UDP, "198.51.100.2:5060")
	waste(5000, pbx)
	waste(5000, udp)
	if oc.closed != "" || pc.closed != "" || uc.closed != "" {
		t.Errorf("closed: another %q, the upstream %q, the UDP peer %q", oc.closed, pc.closed, uc.closed)
	}
}

func TestWrongPasswordsOnAProvenFlowCount(t *testing.T) {
	r := newRoom(t)
	f := r.ws()
	r.register(f, "alice", "example.org")
	e := r.want(401, r.request("REGISTER", "", alice, alice), f)
	r.now = r.now.Add(time.Second) // its own first challenge is forgotten
	for i := range 100 {
		user := string(rune('a'+i%26)) + string(rune('a'+i/26))
		r.want(401, r.request("REGISTER", "", alice, alice, r.answer(e, user, "x", "REGISTER", "sip:example.org")), f)
	}
	r.want(503, r.request("REGISTER", "", alice, alice), f)
}

// wrong sends a REGISTER with a wrong password and a nonce that was sent to another UDP peer.
func (r *room) wrong(user string, nonceOf, as *flow.Flow) *sip.StatusError {
	r.t.Helper()
	aor := "<sip:" + user + "@example.org>"
	e := r.want(401, r.request("REGISTER", "", aor, aor), nonceOf)
	return r.admit(r.request("REGISTER", "", aor, aor, r.answer(e, user, "wrong", "REGISTER", "sip:example.org")), as)
}

// attack: wrong passwords in the name of an address whose nonces the sender cannot receive lock nobody out
// (RFC 7616 §5.5: a nonce bound to the client's address).
func TestForgedFailuresLockNobodyOut(t *testing.T) {
	for _, c := range []struct{ mine, victims, websocket string }{
		{"203.0.113.9:5060", "198.51.100.2:5060", "198.51.100.2:4000"},
		{"[2001:db8:9::1]:5060", "[2001:db8::1]:5060", "[2001:db8::1]:4000"},
	} {
		r := newRoom(t)
		for range 2 * maxFailures {
			e := r.wrong("alice", r.udp(c.mine), r.udp(c.victims))
			if e == nil || e.Code != 401 || !strings.Contains(e.Headers[0], "stale=true") {
				t.Fatalf("a nonce of another address is answered %v, want 401 stale", e)
			}
		}
		if n := r.id.Digest.Stats.Failed.Load(); n != 0 {
			t.Errorf("%d failed logins are counted", n)
		}
		f, _ := r.open(sip.WS, c.websocket)
		r.register(f, "alice", "example.org")
		r.register(r.udp(c.victims), "alice", "example.org")
	}
}

// A NAT may give the phone another port, an IPv6 host another address of its /64, between challenge and answer.
func TestNonceHoldsForTheAddress(t *testing.T) {
	r := newRoom(t)
	for _, c := range []struct {
		to, from string
		code     int
	}{
		{"198.51.100.2:5060", "198.51.100.2:1024", 0},
		{"[::ffff:198.51.100.2]:5060", "198.51.100.2:1024", 0},
		{"198.51.100.2:5060", "198.51.100.3:5060", 401},
		{"[2001:db8::1]:5060", "[2001:db8::2]:5060", 0},
		{"[2001:db8::1]:5060", "[2001:db8:0:1::1]:5060", 401},
	} {
		e := r.want(401, r.request("REGISTER", "", alice, alice), r.udp(c.to))
		r.want(c.code, r.request("REGISTER", "", alice, alice, r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")), r.udp(c.from))
	}
}

// attack: what is forged in the name of a PBX or of a registered phone takes no INVITE from it.
func TestForgedFloodSilencesNoUpstreamNorRegisteredPhone(t *testing.T) {
	r := newRoom(t)
	pbx, phone := r.udp("192.0.2.50:5060"), r.udp("198.51.100.2:5060")
	r.register(phone, "bob", "example.org")
	phone = r.flows.Adopt(phone)
	for i := range 400 {
		r.now = r.now.Add(time.Millisecond)
		user := fmt.Sprint("user", i) // a block of one user's logins is not at stake here
		e := r.want(401, r.request("REGISTER", "", alice, alice), r.udp(fmt.Sprintf("203.0.113.%d:5060", i%100)))
		forged := r.request("REGISTER", "", alice, alice, r.answer(e, user, "wrong", "REGISTER", "sip:example.org"))
		r.admit(forged, pbx)
		r.admit(forged, phone)
	}
	for i := range 20_000 { // the share of the phone's address is used up
		r.admit(r.request("INVITE", "", alice, bob), r.udp(fmt.Sprintf("198.51.100.2:%d", 10_000+i)))
	}
	r.want(503, r.request("INVITE", "", alice, bob), r.udp("198.51.100.2:9999"))
	r.want(0, r.request("INVITE", "", "<sip:900@192.0.2.50>", bob), pbx)
	r.want(407, r.request("INVITE", "", bob, alice), phone)
}

// A registered UDP phone that guesses passwords pays for that.
func TestWrongPasswordsOfAProvenUDPPeerCount(t *testing.T) {
	r := newRoom(t)
	phone := r.udp("198.51.100.2:5060")
	r.register(phone, "bob", "example.org")
	phone = r.flows.Adopt(phone)
	for i := range 100 {
		if e := r.wrong(fmt.Sprint("user", i), phone, phone); e.Code != 401 {
			t.Fatalf("%d: %v", i, e)
		}
	}
	r.want(503, r.request("REGISTER", "", alice, alice), phone)
	other := r.udp("198.51.100.2:5061")
	r.want(401, r.request("REGISTER", "", alice, alice), other) // and nobody else does
}
