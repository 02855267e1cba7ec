package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// conn is a peer's end without a wire: no stage may write to one.
type conn struct {
	t      testing.TB
	info   sip.ConnInfo
	closed sip.CloseReason
}

func (c *conn) Send([]byte) error         { c.t.Error("a stage wrote to the wire"); return nil }
func (c *conn) Info() *sip.ConnInfo       { return &c.info }
func (c *conn) Close(why sip.CloseReason) { c.closed = why }

// domains: example.org (with alias example.com) and example.net are ours.
type domains struct{}

func (domains) Domain(host string, _ uint16) (string, bool) {
	switch strings.ToLower(host) {
	case "example.org", "example.com", "192.0.2.100":
		return "example.org", true
	case "example.net":
		return "example.net", true
	}
	return "", false
}

// room is the stages as the gateway wires them, over a clock that stands still.
type room struct {
	t      testing.TB
	now    time.Time
	flows  *flow.Table
	source *Source
	flood  *Flood
	id     *Identity
	stages []stage
}

func newRoom(t testing.TB) *room {
	r := &room{t: t, now: time.Now(), flows: flow.NewTable()}
	now := func() time.Time { return r.now }
	var us []digest.User
	for _, n := range []string{"alice@example.org", "bob@example.org", "dora@example.net", "j\xc3\xb6rg@example.org"} {
		name, realm, _ := strings.Cut(n, "@")
		us = append(us, digest.User{Name: name, Realm: realm, MD5: digest.HA1(digest.MD5, name, realm, "pw"), SHA256: digest.HA1(digest.SHA256, name, realm, "pw")})
	}
	users, err := digest.NewTable(us)
	if err != nil {
		t.Fatal(err)
	}
	r.source = &Source{UpstreamOf: func(a netip.AddrPort) string {
		if a.Addr() == netip.MustParseAddr("192.0.2.50") {
			return "pbx"
		}
		return ""
	}}
	r.flood = NewFlood(FloodLimit{Rate: 20, Burst: 100}, now)
	r.id = &Identity{Domains: domains{}, Flood: r.flood, Realm: "example.org",
		Digest: &Digest{Authority: digest.New(digest.Config{TTL: time.Minute, Now: now}), Users: users,
			Logins: NewLogins(LoginLimit{Failures: maxFailures, Penalty: blockedFor}, now)}}
	r.stages = []stage{r.flood, r.id}
	return r
}

func (r *room) open(tr sip.Transport, remote string) (*flow.Flow, *conn) {
	c := &conn{t: r.t, info: sip.ConnInfo{Transport: tr, Remote: netip.MustParseAddrPort(remote), Local: netip.MustParseAddrPort("192.0.2.100:5060")}}
	if tr == sip.UDP {
		return r.flows.Datagram(c), c
	}
	return r.flows.Open(c), c
}

func (r *room) ws() *flow.Flow {
	f, _ := r.open(sip.WS, "198.51.100.1:4000")
	return f
}

// request makes a message; uri "" is sip:bob@example.org, or for REGISTER sip:example.org.
func (r *room) request(method, uri, from, to string, lines ...string) *sip.Message {
	r.t.Helper()
	if uri == "" {
		if uri = "sip:bob@example.org"; method == "REGISTER" {
			uri = "sip:example.org"
		}
	}
	text := fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: %s;tag=1\r\nTo: %s\r\nCall-ID: 1\r\nCSeq: 1 %s\r\n",
		method, uri, from, to, method)
	for _, l := range lines {
		text += l + "\r\n"
	}
	m, err := sip.Parse(text+"Content-Length: 0\r\n\r\n", sip.Frame)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, text)
	}
	return m
}

func (r *room) admit(m *sip.Message, from *flow.Flow) *sip.StatusError {
	r.source.Mark(from)
	for _, s := range r.stages {
		if err := s.Admit(m, from); err != nil {
			return sip.AsStatus(err)
		}
	}
	return nil
}

// want admits and expects a status, 0 for none.
func (r *room) want(code int, m *sip.Message, from *flow.Flow) *sip.StatusError {
	r.t.Helper()
	e := r.admit(m, from)
	switch {
	case e == nil && code != 0:
		r.t.Errorf("admitted, want %d:\n%s", code, m)
		return &sip.StatusError{}
	case e != nil && e.Code != code:
		r.t.Errorf("%v, want %d:\n%s", e, code, m)
	}
	return e
}

// answer makes the credentials line for a refusal's first challenge.
func (r *room) answer(e *sip.StatusError, user, password, method, uri string) string {
	r.t.Helper()
	if len(e.Headers) == 0 {
		r.t.Fatalf("%v is no challenge", e)
	}
	field, value, _ := strings.Cut(e.Headers[0], ": ")
	ch, err := digest.ParseChallenge(value)
	if err != nil {
		r.t.Fatal(err)
	}
	v, err := digest.Answer(&ch, user, password, method, uri, "00000001", "c0ffee")
	if err != nil {
		r.t.Fatal(err)
	}
	if field == "WWW-Authenticate" {
		return "Authorization: " + v
	}
	return "Proxy-Authorization: " + v
}

// register proves aor on a flow.
func (r *room) register(f *flow.Flow, user, domain string) {
	r.t.Helper()
	aor, uri := "<sip:"+user+"@"+domain+">", "sip:"+domain
	e := r.want(401, r.request("REGISTER", uri, aor, aor), f)
	r.want(0, r.request("REGISTER", uri, aor, aor, r.answer(e, user, "pw", "REGISTER", uri)), f)
}

const (
	alice = "<sip:alice@example.org>"
	bob   = "<sip:bob@example.org>"
)

// stage is a step of admission, as the gateway sees it.
type stage interface {
	Admit(req *sip.Message, from *flow.Flow) error
}
