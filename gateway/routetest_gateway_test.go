package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/siptest"
)

// The configuration whose explanations are compared with what its gateway does.
const explained = `domains: { example.com: { aliases: [ sip.example.com ] }, kept.example: { registrar: pbx } }
listen: [ "ws://192.0.2.1:80/ws", "udp://192.0.2.1:5060", "tcp://192.0.2.1:5060" ]
admin: off
users: { alice: { password: secret }, bob: { password: secret }, carol: { password: secret } }
upstreams:
  pbx: { hops: [ "sip:203.0.113.1:5080;transport=udp" ], health: off }
  c: { hops: [ "sip:203.0.113.11;transport=udp" ], health: off, trusted: false, ruri_host: keep }
routes:
  - { name: premium, match: { prefix: "0900" }, reject: 403 No premium numbers }
  - { name: tidy, match: { prefix: "07" }, to: pbx, rewrite: { prefix: "9", asserted: { display: Desk }, set: { Diversion: "<sip:desk@example.com>" } } }
  - { name: out, match: "^0", to: c, rewrite: { e164: "49", from: { user: "4930" } } }
  - { name: hidden, match: { prefix: "*31*" }, to: c, rewrite: { strip: 4, privacy: id } }
  - { name: always, match: "^carol$", to: c, always: true }
  - { name: desk, match: "^bob$", to: pbx }
  - { name: in, from: [ c ], match: { prefix: "+49" }, to: pbx }
  - { name: alias, match: { prefix: "77" }, to: location, rewrite: { strip: 2 } }
`

// TestRouteTestTellsTheTruth asks `route test` about calls, makes the same of a gateway, and compares.
func TestRouteTestTellsTheTruth(t *testing.T) {
	for _, c := range []RouteCall{
		{From: "alice", To: "0301234"}, {From: "alice", To: "0900123"}, {From: "alice", To: "07123"}, {From: "alice", To: "*31*030"},
		{From: "alice@sip.example.com", To: "07123@sip.example.com"}, {From: "alice", To: "0301234@192.0.2.1"},
		{From: "alice", To: "bob"}, {From: "alice", To: "bob", Registered: true}, {From: "alice", To: "carol"}, {From: "alice", To: "carol", Registered: true},
		{From: "alice", To: "77bob"}, {From: "alice", To: "77bob", Registered: true}, {From: "alice", To: "77nobody"}, {From: "alice", To: "nobody"}, {From: "alice", To: "alice"},
		// A server of an upstream by its address: the rules are asked (byHost).
		{From: "alice", To: "sip:600@203.0.113.1"}, {From: "alice", To: "sip:600@203.0.113.1:5080"}, {From: "alice", To: "sip:600@203.0.113.11"}, {From: "alice", To: "sip:0900123@203.0.113.1"},
		{From: "alice", To: "sip:07123@203.0.113.1"}, {From: "alice", To: "sip:0301234@203.0.113.1"}, {From: "alice", To: "sip:0301234@203.0.113.11"}, {From: "alice", To: "sip:77nobody@203.0.113.1"},
		{From: "alice", To: "sip:bob@203.0.113.11"}, {From: "alice", To: "sip:bob@203.0.113.11", Registered: true},
		{From: "alice", To: "sip:600@203.0.113.99"}, {From: "alice", To: "x@evil.example"},
		// Whom an upstream keeps: his calls go there whatever the rules say; calls to him by the rules, else there.
		{From: "dave@kept.example", To: "0301234@kept.example"}, {From: "dave@kept.example", To: "bob"}, {From: "dave@kept.example", To: "600@kept.example"}, {From: "dave@kept.example", To: "0900123@kept.example"},
		{From: "dave@kept.example", To: "sip:600@203.0.113.1"}, {From: "dave@kept.example", To: "sip:600@203.0.113.11"}, {From: "dave@kept.example", To: "x@evil.example"},
		{From: "alice", To: "dave@kept.example"}, {From: "alice", To: "0301234@kept.example"}, {From: "alice", To: "carol@kept.example"}, {From: "alice", To: "77bob@kept.example"},
		{From: "100@kept.example", To: "dave@kept.example", Source: "pbx"}, {From: "100@kept.example", To: "dave@kept.example", Source: "pbx", Registered: true}, {From: "+44@c.example", To: "dave@kept.example", Source: "c"},
		// Who says From (RFC 3261 §22, RFC 3323 §4.1.1.3).
		{From: "alice@evil.example", To: "0301234"}, {From: "nobody", To: "0301234"}, {From: "tel:+4930", To: "0301234"}, {From: "anonymous@anonymous.invalid", To: "0301234"}, {From: "nobody", To: "sip:600@203.0.113.1"},
		{From: "+4411@c.example", To: "+49301", Source: "c"}, {From: "+4411@c.example", To: "bob", Source: "c"}, {From: "+4411@c.example", To: "bob", Source: "c", Registered: true},
		{From: "+4411@c.example", To: "sip:600@203.0.113.1", Source: "c"}, {From: "100@203.0.113.1", To: "0301234", Source: "pbx"},
		// RFC 3261 §19.1.1, §8.2.2.1
		{From: "alice", To: "sip:12@example.com?X=1"}, {From: "alice", To: "tel:+49301"}, {From: "nobody", To: "tel:+49301"}, {From: "nobody", To: "sip:0301234@example.com?X=1"},
		// Headers.
		{From: "alice", To: "0301234", Headers: lines("Diversion: <sip:1@b.example>", "X-A: 1", "P-Asserted-Identity: <sip:boss@example.com>")}, {From: "alice", To: "07123", Headers: lines("Diversion: <sip:1@b.example>", "History-Info: <sip:1@b.example>;index=1", "Privacy: id")},
		{From: "alice", To: "sip:600@203.0.113.1", Headers: lines("P-Called-Party-ID: <sip:1@b.example>")}, {From: "dave@kept.example", To: "600@kept.example", Headers: lines("Diversion: <sip:1@b.example>", "X-A: 1")},
		{From: "alice", To: "77bob", Registered: true, Headers: lines("Diversion: <sip:1@b.example>", "Remote-Party-ID: <sip:b@b.example>")},
		{From: "+4411@c.example", To: "+49301", Source: "c", Headers: lines("Diversion: <sip:1@b.example>", "P-Asserted-Identity: <sip:1@c.example>")},
	} {
		name := strings.TrimSpace(fmt.Sprintf("%s to %s %s %v", c.From, c.To, c.Source, c.Registered))
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { compareWithGateway(t, explained, &c) }) })
	}
}

func lines(texts ...string) (all []RouteHeader) {
	for _, l := range texts {
		name, value, _ := strings.Cut(l, ": ")
		all = append(all, RouteHeader{Name: name, Value: value})
	}
	return all
}

// shown are the headers that are compared.
var shown = []string{"Diversion", "History-Info", "P-Called-Party-ID", "P-Asserted-Identity", "Remote-Party-ID", "X-A", "Privacy"}

func compareWithGateway(t *testing.T, config string, c *RouteCall) {
	cfg, err := Parse("c.yaml", []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	e, err := cfg.ExplainRoute(c)
	if err != nil {
		t.Fatal(err)
	}
	said := fmt.Sprintf("%d %s", e.Status, e.Reason)
	if e.To != "" {
		said = "goes to " + e.To
		if e.To != "location" { // else his Contact
			said += " " + e.URI
		}
		for _, name := range shown {
			for _, h := range e.Headers {
				if strings.EqualFold(h.Name, name) {
					said += "\n" + name + ": " + h.Value
				}
			}
		}
		said += "\nFrom: " + e.From
	}
	if done := newTroupe(t, cfg).perform(c); done != said {
		t.Errorf("%+v\nsaid: %s (%s)\ndone: %s\n%s", *c, said, e.Note, done, config[strings.Index(config, "routes:"):])
	}
}

// troupe is a gateway of explained with everybody whom it can lead to.
type troupe struct {
	*theatre
	conns     map[string]*siptest.Conn
	challenge string // Proxy-Authenticate of the last answer
}

func newTroupe(t *testing.T, cfg *Config) *troupe {
	s := &troupe{theatre: &theatre{t: t, cfg: cfg}, conns: map[string]*siptest.Conn{}}
	s.start()
	s.net = siptest.NewNet(wire{s.gw}, s.gw.flows)
	t.Cleanup(func() { s.stop() })
	at := func(name string, tr sip.Transport, addr string) {
		s.conns[name] = s.net.Connect(tr, netip.MustParseAddrPort(addr))
	}
	at("pbx", sip.UDP, "203.0.113.1:5080")
	at("c", sip.UDP, "203.0.113.11:5060")
	at("user", sip.WS, "198.51.100.1:4000")
	at("location", sip.WS, "198.51.100.2:4000")
	return s
}

// say sends a request from a connection.
func (s *troupe) say(from, method, uri, caller, to, id string, more ...string) {
	via := map[string]string{"pbx": "UDP 203.0.113.1:5080", "c": "UDP 203.0.113.11:5060"}[from]
	if via == "" {
		via = "WS h.invalid"
	}
	s.conns[from].Write(fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/%s;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\nFrom: %s;tag=1\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: 1 %s\r\n"+
		"Contact: <sip:x@h.invalid;transport=ws>\r\n%sContent-Length: 0\r\n\r\n", method, uri, via, id, caller, to, id, method, strings.Join(append(more, ""), "\r\n")))
	synctest.Wait()
}

// register makes an address-of-record known over a connection; where an upstream keeps it, that accepts.
func (s *troupe) register(conn, aor string) {
	f := s.conns[conn].Flow()
	if strings.HasSuffix(aor, "@example.com") {
		f.AuthenticatedAs(aor)
		if conn != "location" {
			return
		}
		r := s.gw.registrar
		m, err := sip.Parse("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS h.invalid;branch=z9hG4bK9\r\nFrom: <sip:"+aor+">;tag=9\r\nTo: <sip:"+aor+">\r\nCall-ID: 9\r\nCSeq: 1 REGISTER\r\n"+
			"Contact: <sip:x@h.invalid;transport=ws>\r\nContent-Length: 0\r\n\r\n", sip.Frame)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, err := r.Register(s.t.Context(), m, f, aor); err != nil {
			s.t.Fatal(err)
		}
		return
	}
	s.say(conn, "REGISTER", "sip:kept.example", "<sip:"+aor+">", "<sip:"+aor+">", "reg-"+conn)
	for _, a := range s.conns["pbx"].Take() {
		m, _ := sip.Parse(a.Text, sip.Datagram)
		vias := ""
		for _, f := range m.Fields() {
			if f.Header == sip.Via {
				vias += "Via: " + m.FieldValue(f) + "\r\n"
			}
		}
		s.conns["pbx"].Write("SIP/2.0 200 OK\r\n" + vias + "From: " + m.Value(sip.From) + "\r\nTo: " + m.Value(sip.To) + ";tag=p\r\nCall-ID: " + m.CallID() +
			"\r\nCSeq: 1 REGISTER\r\nContact: " + strings.Split(m.Value(sip.Contact), ";expires=")[0] + ";expires=600\r\nContent-Length: 0\r\n\r\n")
	}
	synctest.Wait()
}

// perform makes the call and says what became of it in the words of compareWithGateway.
func (s *troupe) perform(c *RouteCall) string {
	uri := func(who string) string {
		switch {
		case strings.HasPrefix(who, "sip:") || strings.HasPrefix(who, "tel:"):
			return who
		case strings.Contains(who, "@"):
			return "sip:" + who
		}
		return "sip:" + who + "@example.com"
	}
	from, _, _ := strings.Cut(c.Source, " ")
	if from == "" || from == "ws" {
		from = "user"
		s.register("user", "alice@example.com")
		if strings.HasSuffix(c.From, "@kept.example") {
			s.register("user", c.From)
		}
	}
	if c.Registered {
		callee, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(c.To, "sip:"), "77"), "@")
		domain := "@example.com"
		if strings.HasSuffix(c.To, "@kept.example") {
			domain = "@kept.example"
		}
		s.register("location", callee+domain)
	}
	var more []string
	for _, h := range c.Headers {
		more = append(more, h.Name+": "+h.Value)
	}
	for _, conn := range s.conns {
		conn.Take()
	}
	to, _, _ := strings.Cut(uri(c.To), "?")
	s.say(from, "INVITE", uri(c.To), "<"+uri(c.From)+">", "<"+to+">", "call", more...)
	done := s.seen(from)
	if !strings.HasPrefix(done, "407") {
		return done
	}
	ch, err := digest.ParseChallenge(s.challenge) // the credentials he has
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := digest.Answer(&ch, "alice", "secret", "INVITE", uri(c.To), "00000001", "c")
	if err != nil {
		s.t.Fatal(err)
	}
	s.say(from, "INVITE", uri(c.To), "<"+uri(c.From)+">", "<"+to+">", "call2", append(more, "Proxy-Authorization: "+answer)...)
	return s.seen(from)
}

// seen is where the INVITE came out, or the final answer.
func (s *troupe) seen(from string) string {
	for _, name := range []string{"location", "pbx", "c"} {
		for _, a := range s.conns[name].Take() {
			m, err := sip.Parse(a.Text, s.conns[name].Framing())
			if err != nil {
				s.t.Fatal(err)
			}
			switch {
			case m.IsRequest():
				return "goes to " + name + asSeen(m, name)
			case m.Status() >= 200:
				return fmt.Sprintf("%d %s", m.Status(), m.ReasonPhrase())
			}
		}
	}
	for _, a := range s.conns["user"].Take() {
		m, err := sip.Parse(a.Text, sip.Frame)
		if err != nil {
			s.t.Fatal(err)
		}
		if m.Status() >= 200 {
			s.challenge = m.Value(sip.ProxyAuthenticate)
			return fmt.Sprintf("%d %s", m.Status(), m.ReasonPhrase())
		}
	}
	return "nothing"
}

func asSeen(m *sip.Message, name string) (out string) {
	if name != "location" {
		out = " " + m.RequestURI()
	}
	for _, h := range shown {
		for _, f := range m.Fields() {
			if n := m.Name(f); strings.EqualFold(n, h) {
				out += "\n" + h + ": " + m.FieldValue(f)
			}
		}
	}
	value, _, _ := strings.Cut(m.Value(sip.From), ";tag=")
	return out + "\nFrom: " + value
}
