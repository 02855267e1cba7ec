package policy

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

func TestRegisterIsAlwaysChallenged(t *testing.T) { // RFC 3261 §10.3 step 3
	for _, tr := range []sip.Transport{sip.WS, sip.WSS, sip.TCP, sip.TLS, sip.UDP} {
		r := newRoom(t)
		f, _ := r.open(tr, "198.51.100.1:4000")
		for range 2 {
			e := r.want(401, r.request("REGISTER", "", alice, alice), f)
			if len(e.Headers) != 2 || !strings.HasPrefix(e.Headers[0], `WWW-Authenticate: Digest realm="example.org"`) ||
				!strings.Contains(e.Headers[0], "algorithm=SHA-256,") || !strings.Contains(e.Headers[1], "algorithm=MD5,") {
				t.Errorf("%v: %q", tr, e.Headers) // RFC 8760 §2.4, MD5 last for browsers (docs/adr/0004)
			}
			r.want(0, r.request("REGISTER", "", alice, alice, r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")), f)
			if !f.Is("alice@example.org") {
				t.Errorf("%v: flow is not alice", tr)
			}
		}
	}
	r := newRoom(t)
	f, _ := r.open(sip.UDP, "192.0.2.50:5060")
	r.want(401, r.request("REGISTER", "", alice, alice), f) // an upstream's address is no password
}

func TestRegisterRefused(t *testing.T) {
	r := newRoom(t)
	f := r.ws()
	e := r.want(401, r.request("REGISTER", "", alice, alice), f)
	good := r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")
	for _, c := range []struct {
		name string
		m    *sip.Message
		code int
	}{
		{"To of another user", r.request("REGISTER", "", alice, bob, good), 403},
		{"To of another domain's user", r.request("REGISTER", "", alice, "<sip:alice@foreign.example>", good), 403},
		{"To without user", r.request("REGISTER", "", alice, "<sip:example.org>", good), 403},
		{"To that is no SIP URI", r.request("REGISTER", "", alice, "<tel:+1>", good), 403},
		{"wrong password", r.request("REGISTER", "", alice, alice, r.answer(e, "alice", "no", "REGISTER", "sip:example.org")), 401},
		{"unknown user", r.request("REGISTER", "", alice, alice, r.answer(e, "carol", "no", "REGISTER", "sip:example.org")), 401},
		{"credentials for another request", r.request("REGISTER", "sip:example.com", alice, alice, good), 400},
		{"credentials in the proxy's field", r.request("REGISTER", "", alice, alice, "Proxy-"+good), 401},
		{"broken credentials", r.request("REGISTER", "", alice, alice, `Authorization: Digest realm="x`), 400},
		{"no qop", r.request("REGISTER", "", alice, alice, strings.Replace(good, "qop=auth", "x=y", 1)), 400},
		{"another scheme", r.request("REGISTER", "", alice, alice, "Authorization: Basic YTpi"), 401},
		{"another realm alone", r.request("REGISTER", "", alice, alice, `Authorization: Digest realm="foreign.example", username="alice"`), 401},
	} {
		if e := r.admit(c.m, f); e == nil || e.Code != c.code {
			t.Errorf("%s: %v, want %d", c.name, e, c.code)
		} else if c.code == 401 && strings.Contains(e.Headers[0], "stale") {
			t.Errorf("%s: told that its nonce is stale", c.name)
		}
		if f.Proven() {
			t.Fatalf("%s: flow is proven", c.name)
		}
	}
	// Last, so that the above can have used up nothing: "To of another user" had a right password.
	e = r.want(401, r.request("REGISTER", "", alice, alice), f)
	r.want(0, r.request("REGISTER", "", alice, alice, `Authorization: Digest realm="foreign.example", username="x`+`"`, "Authorization: Digest broken", // §22.3
		r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")), f)
}

func TestStaleCredentialsGetAFreshChallenge(t *testing.T) { // SIP.js replays its last Authorization
	r := newRoom(t)
	f := r.ws()
	e := r.want(401, r.request("REGISTER", "", alice, alice), f)
	line := r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")
	r.want(0, r.request("REGISTER", "", alice, alice, line), f)
	for range 2 * maxFailures { // never a failed login
		if e = r.want(401, r.request("REGISTER", "", alice, alice, line), f); !strings.Contains(e.Headers[0], "stale=true") {
			t.Fatalf("%q, want stale=true", e.Headers)
		}
	}
	r.want(0, r.request("REGISTER", "", alice, alice, r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")), f)
	g := r.ws()
	e = r.want(401, r.request("REGISTER", "", alice, alice, r.answer(e, "alice", "pw", "REGISTER", "sip:example.org")), g)
	if !strings.Contains(e.Headers[0], "stale=true") { // another connection's nonce
		t.Errorf("%q, want stale=true", e.Headers)
	}
	if s := &r.id.Digest.Stats; s.Replayed.Load() != 2*maxFailures || s.Foreign.Load() != 1 || s.Failed.Load() != 0 {
		t.Errorf("counted %d replayed, %d foreign, %d failed", s.Replayed.Load(), s.Foreign.Load(), s.Failed.Load())
	}
}

// Every out-of-dialog method: CVE-2021-37624 (MESSAGE) and CVE-2021-41157 (SUBSCRIBE) went without.
var methods = []string{"INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS", "NOTIFY", "PUBLISH", "REFER", "INFO", "UPDATE", "PRACK", "BYE", "FOO"}

func TestRequestsRefused(t *testing.T) {
	for _, method := range methods {
		r := newRoom(t)
		unknown := r.ws()
		proven := r.ws()
		r.register(proven, "alice", "example.org")
		udp, _ := r.open(sip.UDP, "198.51.100.2:5060")
		tcp, _ := r.open(sip.TCP, "198.51.100.2:5060")
		near, _ := r.open(sip.WS, "192.0.2.50:5060") // a browser behind the upstream's address
		for _, c := range []struct {
			name string
			code int
			from string
			on   *flow.Flow
		}{
			{"ours, nothing proved", 407, alice, unknown},
			{"ours by alias", 407, "<sip:alice@example.com>", unknown},
			{"ours by address", 407, "<sip:alice@192.0.2.100>", unknown},
			{"ours over UDP", 407, alice, udp},
			{"ours over TCP", 407, alice, tcp},
			{"another user of ours on an authenticated flow", 407, bob, proven}, // CVE-2025-47779
			{"the same name in another domain", 407, "<sip:alice@example.net>", proven},
			{"another case of the name", 407, "<sip:Alice@example.org>", proven},
			{"foreign, unknown source", 403, "<sip:eve@foreign.example>", udp},
			{"foreign over TCP", 403, "<sip:eve@foreign.example>", tcp},
			{"foreign on WebSocket", 403, "<sip:eve@foreign.example>", unknown},
			{"foreign on an authenticated flow", 403, "<sip:eve@foreign.example>", proven},
			{"tel on an authenticated flow", 403, "<tel:+1>", proven},
			{"no user", 403, "<sip:example.org>", proven},
			{"no URI", 400, "<sip:al%ice@example.org>", proven},
			{"anonymous, nothing proved", 407, `"Anonymous" <sip:anonymous@anonymous.invalid>`, unknown},
			{"anonymous over UDP from nowhere", 403, `"Anonymous" <sip:anonymous@anonymous.invalid>`, udp},
			{"ours behind the upstream's address", 407, alice, near},
		} {
			m := r.request(method, "", c.from, bob)
			if e := r.admit(m, c.on); e == nil || e.Code != c.code {
				t.Errorf("%s, %s: %v, want %d", method, c.name, e, c.code)
			} else if c.code == 407 && !strings.HasPrefix(e.Headers[0], "Proxy-Authenticate: Digest realm=") {
				t.Errorf("%s, %s: %q", method, c.name, e.Headers)
			}
		}
	}
}

func TestRequestsAdmitted(t *testing.T) {
	for _, method := range methods {
		r := newRoom(t)
		for _, tr := range []sip.Transport{sip.WS, sip.WSS, sip.TCP, sip.TLS} { // registered: trusted
			f, _ := r.open(tr, "198.51.100.1:4000")
			r.register(f, "alice", "example.org")
			for _, from := range []string{alice, "sip:alice@EXAMPLE.com:5060", `"x" <sips:%61lice@example.org;x=y>`, "<sip:anonymous@anonymous.invalid>"} {
				r.want(0, r.request(method, "", from, bob), f)
			}
		}
		for _, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} { // an upstream speaks for whom it likes
			f, _ := r.open(tr, "192.0.2.50:7777")
			for _, from := range []string{alice, "<sip:eve@foreign.example>", "<tel:+1>"} {
				r.want(0, r.request(method, "", from, bob), f)
			}
		}
	}
}

func TestProxyCredentials(t *testing.T) { // RFC 3261 §22.3
	r := newRoom(t)
	f := r.ws()
	e := r.want(407, r.request("INVITE", "", alice, bob), f)
	r.want(403, r.request("INVITE", "", bob, bob, r.answer(e, "alice", "pw", "INVITE", "sip:bob@example.org")), f) // who you are not
	if f.Proven() {
		t.Error("proven as somebody by a request that was refused")
	}
	e = r.want(407, r.request("INVITE", "", alice, bob), f)
	r.want(0, r.request("INVITE", "", alice, bob, r.answer(e, "alice", "pw", "INVITE", "sip:bob@example.org")), f)
	r.want(0, r.request("MESSAGE", "", alice, bob), f) // from then on trusted
	e = r.want(407, r.request("INVITE", "", "<sip:dora@example.net>", bob), f)
	if !strings.Contains(e.Headers[0], `realm="example.net"`) { // realm = domain
		t.Errorf("%q", e.Headers)
	}
	r.want(0, r.request("INVITE", "", "<sip:dora@example.net>", bob, r.answer(e, "dora", "pw", "INVITE", "sip:bob@example.org")), f)
	r.want(0, r.request("INVITE", "", alice, bob), f) // two accounts on one connection
	e = r.want(407, r.request("INVITE", "", "<sip:j%C3%B6rg@example.org>", bob), f)
	r.want(0, r.request("INVITE", "", "<sip:j%c3%b6rg@example.org>", bob, r.answer(e, "j\xc3\xb6rg", "pw", "INVITE", "sip:bob@example.org")), f)
}

func TestUDPIsChallengedEachTime(t *testing.T) {
	r := newRoom(t)
	f, _ := r.open(sip.UDP, "198.51.100.2:5060")
	r.register(f, "alice", "example.org")
	f = r.flows.Adopt(f)
	for range 3 {
		e := r.want(407, r.request("INVITE", "", alice, bob), f)
		line := r.answer(e, "alice", "pw", "INVITE", "sip:bob@example.org")
		other, _ := r.open(sip.UDP, "198.51.100.2:6060") // a NAT moved the port
		r.want(0, r.request("INVITE", "", alice, bob, line), other)
		r.want(407, r.request("INVITE", "", alice, bob, line), f)
	}
	const anonymous = "<sip:anonymous@anonymous.invalid>" // known by its registration, but who sends now?
	e := r.want(407, r.request("INVITE", "", anonymous, bob), f)
	r.want(0, r.request("INVITE", "", anonymous, bob, r.answer(e, "alice", "pw", "INVITE", "sip:bob@example.org")), f)
}

func TestSourceKnowsUpstreams(t *testing.T) { // upstreams are known by their addresses
	r := newRoom(t)
	for _, c := range []struct {
		name, remote, had, want string
		tr                      sip.Transport
		dialled                 bool
	}{
		{"its address", "192.0.2.50:9", "", "pbx", sip.UDP, false},
		{"another address", "192.0.2.51:9", "", "", sip.UDP, false},
		{"an address no longer its", "192.0.2.51:9", "pbx", "", sip.TCP, false},
		{"dialled by another address", "192.0.2.51:5060", "pbx", "pbx", sip.TCP, true},
		{"WebSocket from its address", "192.0.2.50:9", "", "", sip.WSS, false},
	} {
		f, conn := r.open(c.tr, c.remote)
		conn.info.Dialled = c.dialled
		f.SetUpstream(c.had)
		if r.source.Mark(f); f.Upstream() != c.want {
			t.Errorf("%s: %q, want %q", c.name, f.Upstream(), c.want)
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	r := newRoom(t)
	udp, _ := r.open(sip.UDP, "198.51.100.2:5060")
	m := r.request("INVITE", "", "<sip:eve@foreign.example>", bob)
	if a, b := r.want(403, m, udp).Reason, r.want(403, m, r.ws()).Reason; !strings.Contains(a, "upstream") || !strings.Contains(b, "From") {
		t.Errorf("over UDP %q, over WebSocket %q", a, b)
	}
	e := r.want(400, r.request("REGISTER", "", alice, alice, `Authorization: Digest realm="example.org", username="alice"`), r.ws())
	if e.Reason != "Bad Request: Authorization: qop=auth is required" {
		t.Errorf("%q", e.Reason)
	}
}

func TestAckAndCancelAreNeverChallenged(t *testing.T) { // RFC 3261 §22.1
	r := newRoom(t)
	for _, method := range []string{"ACK", "CANCEL"} {
		r.want(0, r.request(method, "", "<sip:eve@foreign.example>", bob), r.ws())
		f, _ := r.open(sip.UDP, "198.51.100.2:5060")
		r.want(0, r.request(method, "", alice, bob), f)
	}
}

func TestAnonymousProvesSomebody(t *testing.T) {
	r := newRoom(t)
	f := r.ws()
	const anonymous = "<sip:anonymous@anonymous.invalid>"
	e := r.want(407, r.request("INVITE", "", anonymous, bob), f)
	r.want(0, r.request("INVITE", "", anonymous, bob, r.answer(e, "bob", "pw", "INVITE", "sip:bob@example.org")), f)
	if !f.Is("bob@example.org") {
		t.Error("flow is not bob")
	}
}

func TestProveInDialog(t *testing.T) { // a valid token on a flow not yet authenticated: 407
	r := newRoom(t)
	f := r.ws()
	m := r.request("BYE", "sip:x@y.invalid", "<sip:100@example.net>", "<sip:200@pbx>;tag=2")
	e := sip.AsStatus(r.id.Prove(m, f))
	if e.Code != 407 || !strings.Contains(e.Headers[0], `realm="example.net"`) {
		t.Fatalf("%v", e)
	}
	m = r.request("BYE", "sip:x@y.invalid", "<sip:100@example.net>", "<sip:200@pbx>;tag=2", r.answer(e, "dora", "pw", "BYE", "sip:x@y.invalid"))
	if err := r.id.Prove(m, f); err != nil || !f.Is("dora@example.net") {
		t.Errorf("%v, %v", err, f.AORs())
	}
	if e := sip.AsStatus(r.id.Prove(r.request("BYE", "", "<sip:100@pbx>", bob), r.ws())); !strings.Contains(e.Headers[0], `realm="example.org"`) {
		t.Errorf("%v", e.Headers)
	}
}
