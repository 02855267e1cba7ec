package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// testLogin answers what it is asked: to any challenge, but for a second one to the same request.
type testLogin struct {
	mu      sync.Mutex
	known   string
	asked   []string
	refused []error
	took    []string
}

func (l *testLogin) Known(_ netip.AddrPort, method, uri string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == "" {
		return ""
	}
	return "Proxy-Authorization: Digest known=" + l.known + ", for=\"" + method + " " + uri + "\""
}

var errTestRefused = errors.New("wrong")

func (l *testLogin) Answer(at netip.AddrPort, resp *sip.Message, tried uint8, method, uri string) (string, uint8, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if tried > 1 {
		return "", 0, errTestRefused
	}
	l.asked = append(l.asked, fmt.Sprint(at.Addr(), " ", resp.Status(), " ", method, " ", uri))
	name, value := "Authorization", resp.Value(sip.WWWAuthenticate)
	if resp.Status() == 407 {
		name, value = "Proxy-Authorization", resp.Value(sip.ProxyAuthenticate)
	}
	return name + ": Digest answer=\"" + value + "\"", 2, nil
}

func (l *testLogin) Refused(_ netip.AddrPort, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = append(l.refused, err)
}

func (l *testLogin) Accepted(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, line)
}

// provider is a rig whose upstream pbx challenges, and the login for it.
func provider(t *testing.T, cfg Config, f func(r *rig, l *testLogin)) {
	t.Helper()
	l := &testLogin{}
	cfg.Terms = func(upstream string) *Terms {
		if upstream == "pbx" {
			return &Terms{Login: l}
		}
		return nil
	}
	bubbleWith(t, cfg, func(r *rig) { f(r, l) })
}

// challenge answers 407 to a request and takes the ACK of an INVITE; nonce names it.
func (p *peer) challenge(req *sip.Message, nonce string) {
	p.r.t.Helper()
	p.answer(req, 407, "Proxy-Authenticate: "+nonce)
	if req.Method() == "INVITE" {
		if ack := p.get("ACK"); numberOf(ack) != numberOf(req) {
			p.r.t.Errorf("the ACK to 407 (RFC 3261 §17.1.1.3):\n%s", ack)
		}
	}
}

// skip drops what has come again and again.
func (p *peer) skip() {
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inbox = nil
}

func numberOf(m *sip.Message) uint32 { n, _ := m.CSeq(); return n }

// numbered is the next message of p, which has that CSeq.
func (p *peer) numbered(what string, cseq uint32) *sip.Message {
	p.r.t.Helper()
	m := p.get(what)
	if numberOf(m) != cseq {
		p.r.t.Fatalf("%s got %s with CSeq %d, want %d:\n%s", p.name, what, numberOf(m), cseq, m)
	}
	return m
}

// answering fails unless m has the credentials for the challenge of that name.
func (p *peer) answering(m *sip.Message, nonce string) *sip.Message {
	p.r.t.Helper()
	if got, want := m.Value(sip.ProxyAuthorization), `Digest answer="`+nonce+`"`; got != want {
		p.r.t.Fatalf("%s to %s has credentials %q, want %q", m.Method(), p.name, got, want)
	}
	return m
}

// RFC 3261 §22.2, §22.3, §12.2.1.1: challenged INVITE, re-INVITE and BYE are sent again with credentials and the next CSeq; what
// follows is numbered on from there, the responses as the caller numbers them; the provider's own requests stay as they are.
func TestChallengesAreAnswered(t *testing.T) {
	provider(t, Config{}, func(r *rig, l *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote, Host: "provider.example"}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1", "Proxy-Authorization: Digest of=\"the caller\"")
		first := pbx.numbered("INVITE", 1)
		pbx.challenge(first, "n1")
		inv := pbx.answering(pbx.numbered("INVITE", 2), "n1")
		if inv.TopVia().Branch == first.TopVia().Branch || inv.CallID() != "c1" || inv.FromTag() != first.FromTag() || inv.RequestURI() != "sip:200@provider.example" {
			t.Errorf("the second try:\n%s", inv)
		}
		if n := countValues(inv, sip.ProxyAuthorization); n != 1 {
			t.Errorf("%d lines of credentials", n)
		}
		pbx.answer(inv, 180)
		alice.numbered("180", 1)
		pbx.answer(inv, 200)
		pbx.answer(inv, 200) // again
		from, to := alice.uac(alice.numbered("200", 1)), pbx.uas(inv)
		alice.numbered("200", 1)
		from.send("ACK")
		pbx.answering(pbx.numbered("ACK", 2), "n1")

		from.send("INVITE")
		again := pbx.numbered("INVITE", 3)
		pbx.challenge(again, "n2")
		re := pbx.answering(pbx.numbered("INVITE", 4), "n2")
		pbx.answer(re, 200)
		alice.numbered("200", 2)
		from.send("ACK")
		pbx.answering(pbx.numbered("ACK", 4), "n2")

		to.send("INFO")
		alice.answer(alice.numbered("INFO", 101), 200)
		pbx.numbered("200", 101)

		from.send("UPDATE")
		pbx.answer(pbx.numbered("UPDATE", 5), 200)
		alice.numbered("200", 3)

		from.send("BYE")
		pbx.challenge(pbx.numbered("BYE", 6), "n3")
		pbx.answer(pbx.answering(pbx.numbered("BYE", 7), "n3"), 200)
		alice.numbered("200", 4)
		if len(l.asked) != 3 || l.asked[0] != "203.0.113.1 407 INVITE sip:200@provider.example" {
			t.Errorf("asked for %q", l.asked)
		}
		for _, line := range l.took { // within a dialog the callee chooses the Request-URI
			if line != `Proxy-Authorization: Digest answer="n1"` {
				t.Errorf("told of %q", line)
			}
		}
		r.clean()
		r.noShifts()
	})
}

func (r *rig) noShifts() {
	r.t.Helper()
	if n := len(r.proxy.shifts.of); n != 0 {
		r.t.Errorf("the CSeqs of %d dialogs are kept", n)
	}
}

// RFC 3262 §7.2: a PRACK names the INVITE as the provider has it, also when it is challenged itself.
func TestChallengedPrack(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1", "Supported: 100rel")
		pbx.challenge(pbx.get("INVITE"), "n1")
		inv := pbx.numbered("INVITE", 2)
		pbx.answer(inv, 183, "Require: 100rel", "RSeq: 7")
		from := alice.uac(alice.numbered("183", 1))
		from.send("PRACK", "RAck: 7 1 INVITE")
		prack := pbx.numbered("PRACK", 3)
		pbx.challenge(prack, "n2")
		prack = pbx.answering(pbx.numbered("PRACK", 4), "n2")
		if got := prack.Value(sip.RAck); got != "7 2 INVITE" {
			t.Errorf("RAck: %s", got)
		}
		pbx.answer(prack, 200)
		alice.numbered("200", 2)
		pbx.answer(inv, 200)
		alice.numbered("200", 1)
		ack := *from
		ack.cseq = 1
		ack.send("ACK")
		pbx.answering(pbx.numbered("ACK", 2), "n1") // not what came after
		from.send("BYE")
		pbx.answer(pbx.numbered("BYE", 5), 200)
		alice.numbered("200", 3)
		r.clean()
		r.noShifts()
	})
}

// RFC 3261 §9.1: a CANCEL goes to what rings, with its number; one that comes before the second try stops that.
func TestCancelOfChallenged(t *testing.T) {
	provider(t, Config{}, func(r *rig, l *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		invite := alice.request("INVITE", "sip:200@example.com", "c1")
		pbx.challenge(pbx.get("INVITE"), "n1")
		inv := pbx.numbered("INVITE", 2)
		pbx.answer(inv, 180)
		alice.get("180")
		alice.cancel(invite)
		alice.get("200")
		pbx.answer(pbx.numbered("CANCEL", 2), 200)
		pbx.answer(inv, 487)
		pbx.numbered("ACK", 2)
		alice.numbered("487", 1)

		invite = alice.request("INVITE", "sip:200@example.com", "c2")
		inv = pbx.numbered("INVITE", 2)
		pbx.answer(inv, 100)
		alice.cancel(invite)
		alice.get("200")
		pbx.get("CANCEL")
		pbx.answer(inv, 407, "Proxy-Authenticate: n2")
		pbx.get("ACK")
		alice.get("487")
		pbx.quiet()
		if len(l.asked) != 1 {
			t.Errorf("answers for a call that is cancelled: %q", l.asked)
		}
		r.clean()
		r.noShifts()
	})
}

// The CANCEL comes while the second try is being made.
func TestCancelBetweenChallengeAndTry(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		invite := ""
		rewrite := 0
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx", Rewrite: func(*sip.Message, *sip.Splice) error {
			if rewrite++; rewrite == 2 {
				text := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(invite, "INVITE sip", "CANCEL sip"), " INVITE\n", " CANCEL\n"), "\n", "\r\n")
				m, err := sip.Parse(text, sip.Frame)
				if err != nil {
					t.Error(err)
					return nil
				}
				r.table.Receive(m, alice.flow)
			}
			return nil
		}}}
		invite = alice.request("INVITE", "sip:200@example.com", "c1")
		pbx.challenge(pbx.get("INVITE"), "n1")
		pbx.quiet()
		alice.get("200")
		alice.get("487")
		r.clean()
	})
}

// A caller never sees a challenge: it hears that our login is refused.
func TestLoginRefused(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE", "SUBSCRIBE", "OPTIONS"} {
		provider(t, Config{}, func(r *rig, l *testLogin) {
			alice := r.phone("alice", "")
			one, two := r.trunk(sip.UDP)
			alice.request(method, "sip:200@example.com", "c1")
			one.challenge(one.get(method), "n1")
			one.challenge(one.numbered(method, 2), "n2")
			if m := alice.numbered("503", 1); m.ReasonPhrase() != "Service Unavailable: upstream pbx refuses our login" || m.Has(sip.ProxyAuthenticate) {
				t.Errorf("alice got\n%s", m)
			}
			two.quiet()
			if len(l.refused) != 1 || r.proxy.Counters.LoginsRefused.Load() != 1 {
				t.Errorf("refused: %v", l.refused)
			}
			r.clean()
			r.noShifts()
		})
	}
}

// Requests that are no INVITE are answered for likewise; a subscription is numbered on from there.
func TestChallengedOthers(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, pbx := r.phone("alice", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{{Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		for _, method := range []string{"MESSAGE", "OPTIONS"} {
			alice.n = 0
			alice.request(method, "sip:200@example.com", method)
			pbx.answer(pbx.get(method), 401, "WWW-Authenticate: n1")
			m := pbx.numbered(method, 2)
			if m.Value(sip.Authorization) != `Digest answer="n1"` {
				t.Errorf("%s", m)
			}
			pbx.answer(m, 200)
			alice.numbered("200", 1)
			r.noShifts()
		}
		alice.n = 0
		alice.request("SUBSCRIBE", "sip:200@example.com", "s1", "Event: dialog", "Expires: 600")
		pbx.challenge(pbx.get("SUBSCRIBE"), "n1")
		sub := pbx.numbered("SUBSCRIBE", 2)
		routes := []string{"Contact: <sip:pbx@203.0.113.1:5060>", "Expires: 600"}
		for v := range sub.Values(sip.RecordRoute) {
			routes = append(routes, "Record-Route: "+v)
		}
		pbx.answer(sub, 200, routes...)
		from, to := alice.uac(alice.numbered("200", 1)), pbx.uas(sub)
		to.send("NOTIFY", "Event: dialog")
		alice.answer(alice.numbered("NOTIFY", 101), 200)
		pbx.get("200")
		pass(50 * time.Minute)
		from.send("SUBSCRIBE", "Event: dialog", "Expires: 0")
		pbx.answer(pbx.numbered("SUBSCRIBE", 3), 200)
		alice.numbered("200", 2)
		pass(2 * time.Hour)
		r.noShifts()
	})
}

// RFC 3261 §16.7: only the branch concerned is tried again; the others ring on, and who is challenged has not failed.
func TestChallengeOfOneBranch(t *testing.T) {
	provider(t, Config{}, func(r *rig, _ *testLogin) {
		alice, bob, pbx := r.phone("alice", ""), r.phone("bob", ""), r.pbx(sip.UDP, "203.0.113.1:5060")
		r.aors["200"] = []Target{bob.target(), {Hops: []Hop{{Addr: pbx.info.Remote}}, Upstream: "pbx"}}
		alice.request("INVITE", "sip:200@example.com", "c1")
		ringing := bob.numbered("INVITE", 1)
		bob.answer(ringing, 180)
		alice.get("180")
		pbx.challenge(pbx.get("INVITE"), "n1")
		inv := pbx.answering(pbx.numbered("INVITE", 2), "n1")
		bob.quiet()
		pbx.answer(inv, 180)
		alice.get("180")
		bob.answer(ringing, 200)
		from := alice.uac(alice.numbered("200", 1))
		pbx.answer(pbx.numbered("CANCEL", 2), 200)
		pbx.answer(inv, 487)
		pbx.numbered("ACK", 2)
		from.send("ACK")
		bob.numbered("ACK", 1)
		from.send("BYE")
		bob.answer(bob.numbered("BYE", 2), 200) // the offset is the provider's alone
		alice.get("200")
		r.clean()
	})
}
