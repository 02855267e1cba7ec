package proxy

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// witness is a Peer that writes down what it is told.
type witness struct {
	mu    sync.Mutex
	told  []string
	calls int
	ended int
}

func (w *witness) say(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, s)
}

func (w *witness) Began() { w.mu.Lock(); w.calls++; w.mu.Unlock() }
func (w *witness) Ended() { w.mu.Lock(); w.ended++; w.mu.Unlock() }
func (w *witness) Heard(status int, retryAfter time.Duration, callee uint64) {
	if (callee != 0) != (status == 503) {
		w.say("no callee")
	}
	w.say(strings.TrimSuffix(fmt.Sprintf("%d %v", status, retryAfter), " 0s"))
}
func (w *witness) Lost(err error, counts bool) {
	what := "lost: "
	if !counts {
		what = "doubt: "
	}
	w.say(what + err.Error())
}

// watched is a trunk of two hops with a witness each.
func (r *rig) watched(tr sip.Transport) (one, two *peer, at [2]*witness) {
	one, two = r.trunk(tr)
	at = [2]*witness{{}, {}}
	hops := r.aors["200"][0].Hops
	hops[0].Peer, hops[1].Peer = at[0], at[1]
	return one, two, at
}

// check compares what a witness was told, and how many calls are there now.
func (w *witness) check(t testing.TB, when string, calls int, told ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := strings.Join(w.told, ", "); got != strings.Join(told, ", ") {
		t.Errorf("%s: told %q, want %q", when, got, told)
	}
	if w.calls-w.ended != calls {
		t.Errorf("%s: %d calls there, want %d", when, w.calls-w.ended, calls)
	}
}

const (
	silent = "lost: transaction timed out"
	broken = "lost: transport failed"
)

// until discards what alice hears before.
func (p *peer) until(what string) *sip.Message {
	for len(p.inbox) > 0 && !strings.HasPrefix(p.inbox[0], "SIP/2.0 "+what) {
		p.inbox = p.inbox[1:]
	}
	return p.get(what)
}

// What a hop does wrong is told to its address, once, and the next one has the call until its BYE.
func TestPeersAreTold(t *testing.T) {
	for how, want := range map[string][]string{
		"refused":             {"lost: connection refused"},
		"503":                 {"503"},
		"503 for a while":     {"503 30s"},
		"503 in words":        {"503 18s"},
		"503 for ever":        {"503 2777h46m39s"},
		"503 by date":         {"503"},
		"silent":              {silent},
		"breaks":              {broken},
		"100 and then breaks": {"100", broken},
	} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			tr := sip.UDP
			if strings.Contains(how, "breaks") {
				tr = sip.TCP
			}
			one, two, at := r.watched(tr)
			r.refusing[one.info.Remote] = how == "refused"
			alice.request("INVITE", "sip:200@example.com", "c1")
			retry := map[string]string{"503 for a while": "30", "503 in words": "18 (in a meeting);duration=3600", "503 for ever": "99999999999999999999", "503 by date": "Sat, 29 Oct 1994"}[how]
			switch {
			case how == "503":
				one.answer(one.get("INVITE"), 503)
				one.get("ACK")
			case retry != "":
				one.answer(one.get("INVITE"), 503, "Retry-After: "+retry)
				one.get("ACK")
			case how == "silent":
				one.get("INVITE")
				at[0].check(t, how, 1)
				pass(2*time.Second + 50*time.Millisecond)
			case how == "breaks":
				one.get("INVITE")
				one.hangup(sip.CloseLost)
			case how != "refused":
				one.answer(one.get("INVITE"), 100)
				one.hangup(sip.CloseLost)
			}
			inv := two.get("INVITE")
			at[0].check(t, how, 0, want...)
			at[1].check(t, how, 1)
			two.answer(inv, 180)
			two.answer(inv, 183)
			two.answer(inv, 200)
			from := alice.uac(alice.until("200"))
			from.send("ACK")
			two.get("ACK")
			at[1].check(t, "answered", 1, "180", "200")
			from.send("BYE")
			two.answer(two.get("BYE"), 200)
			alice.get("200")
			at[1].check(t, "over", 0, "180", "200")
			at[0].check(t, "over", 0, want...)
		})
	}
}

// Whoever is unknown, and whatever is no INVITE, takes no hop out: servers drop without a word (RFC 3261 §26.3.2.4) and refuse what
// they do not like in a request, and who forwards a MESSAGE swallows its 408 (RFC 4320 §4.1). It is a doubt, which probes settle.
func TestWhatMayBeForTheRequestIsADoubt(t *testing.T) {
	for _, c := range []struct{ who, method, what, want string }{
		{"stranger", "REGISTER", "silence", "doubt: transaction timed out"}, {"alice", "REGISTER", "silence", "doubt: transaction timed out"},
		{"stranger", "REGISTER", "503", "doubt: 503"}, {"alice", "MESSAGE", "503", "doubt: 503"}, {"alice", "SUBSCRIBE", "silence", "doubt: transaction timed out"},
		{"stranger", "INVITE", "silence", "doubt: transaction timed out"}, {"stranger", "INVITE", "503", "doubt: 503"}, {"stranger", "INVITE", "end", "doubt: transport failed"},
		{"alice", "MESSAGE", "end", "doubt: transport failed"}, {"alice", "INVITE", "silence", silent}, {"alice", "INVITE", "503", "503 1m0s"}, {"alice", "INVITE", "end", broken},
		{"stranger", "REGISTER", "refused", "lost: connection refused"}, // whatever was to be sent
		{"stranger", "REGISTER", "401", "401"},                          // alive
	} {
		bubble(t, func(r *rig) {
			from := r.connect("stranger", sip.UDP, "198.51.100.7:5060")
			if c.who == "alice" {
				from = r.phone("alice", "")
			}
			tr := sip.UDP
			if c.what == "end" {
				tr = sip.TCP
			}
			one, _, at := r.watched(tr)
			r.aors["200"][0].Hops = r.aors["200"][0].Hops[:1]
			r.refusing[one.info.Remote] = c.what == "refused"
			from.request(c.method, "sip:200@example.com", "c1")
			switch c.what {
			case "silence":
				pass(40 * time.Second)
			case "503":
				one.answer(one.get(c.method), 503, "Retry-After: 60")
			case "401":
				one.answer(one.get(c.method), 401)
			case "end":
				one.hangup(sip.CloseLost)
			}
			settle()
			at[0].check(t, fmt.Sprint(c), 0, c.want)
		})
	}
}

// What a registrar's 503 says is of that user (Kamailio's "Too many registered contacts"); as 503 it would have the user agent leave
// us (RFC 3261 §16.7 step 6), when to come again stays (§21.5.1).
func Test503OfARegistrar(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two, _ := r.watched(sip.UDP)
		alice.request("REGISTER", "sip:200@example.com", "c1")
		for _, p := range []*peer{one, two} {
			text := string(p.get("REGISTER").AppendReply(nil, &sip.Reply{Status: 503, Reason: "Too many registered contacts", Headers: []string{"Retry-After: 300"}}))
			p.write(text)
		}
		if m := alice.get("500"); m.ReasonPhrase() != "Too many registered contacts" || m.Value(sip.RetryAfter) != "300" {
			t.Errorf("alice got\n%s", m)
		}
	})
}

// RFC 3261 §16.7 step 6: after a 180 a 503 is of who rang, whatever Retry-After it has; the server is alive.
func Test503OfWhoRang(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _, at := r.watched(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 183)
		one.answer(inv, 503, "Retry-After: 60")
		one.get("ACK")
		at[0].check(t, "503", 0, "183", "500")
	})
}

// However a call ends, nobody has it any more: refused by the callee, cancelled, not answered, lost with the
// last hop.
func TestPeersLoseCalls(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _, at := r.watched(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.answer(one.get("INVITE"), 486)
		one.get("ACK")
		alice.get("486")
		at[0].check(t, "busy", 0, "486")

		invite := alice.request("INVITE", "sip:200@example.com", "c2")
		inv := one.get("INVITE")
		one.answer(inv, 180)
		alice.get("180")
		alice.cancel(invite)
		alice.get("200")
		one.answer(one.get("CANCEL"), 200)
		at[0].check(t, "cancelled", 1, "486", "180")
		one.answer(inv, 487)
		one.get("ACK")
		alice.get("487")
		at[0].check(t, "cancelled", 0, "486", "180", "487")
	})
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _, at := r.watched(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.get("INVITE")
		pass(40 * time.Second)
		alice.until("503")
		at[0].check(t, "nobody answers", 0, silent)
		at[1].check(t, "nobody answers", 0, silent) // after try_timeout, though there is nobody else
		r.clean()
	})
}

// The late 180 of a hop that was given up gets a CANCEL, its late 200 once another has won ACK and
// BYE (issue); the call is counted where it is.
func TestPeersLateAnswers(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two, at := r.watched(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		pass(2*time.Second + 50*time.Millisecond)
		one.forgetAll()
		one.answer(inv, 180)
		one.answer(one.get("CANCEL"), 200)
		two.answer(two.get("INVITE"), 200)
		alice.uac(alice.until("200")).send("ACK")
		two.get("ACK")
		one.answer(inv, 200) // crosses the CANCEL
		one.get("ACK")
		one.answer(one.get("BYE"), 200)
		at[0].check(t, "late", 0, silent, "180", "200")
		at[1].check(t, "late", 1, "200")
	})
	bubble(t, func(r *rig) { // it is the first to answer after all
		alice := r.phone("alice", "")
		one, two, at := r.watched(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		pass(2*time.Second + 50*time.Millisecond)
		one.forgetAll()
		second := two.get("INVITE")
		two.answer(second, 180)
		one.answer(inv, 200)
		from := alice.uac(alice.until("200"))
		from.send("ACK")
		one.get("ACK")
		two.answer(two.get("CANCEL"), 200)
		two.answer(second, 487)
		two.get("ACK")
		at[0].check(t, "first", 1, silent, "200")
		at[1].check(t, "first", 0, "180", "487")
		from.send("BYE")
		one.answer(one.get("BYE"), 200)
		at[0].check(t, "over", 0, silent, "200")
	})
}

// CANCEL while the second hop is being tried: both are cancelled, nobody rings on, and each count ends once.
func TestPeersCancelDuringFailover(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two, at := r.watched(sip.UDP)
		invite := alice.request("INVITE", "sip:200@example.com", "c1")
		first := one.get("INVITE")
		pass(2*time.Second + 50*time.Millisecond)
		one.forgetAll()
		second := two.get("INVITE")
		alice.cancel(invite)
		alice.until("200")
		one.quiet()
		two.quiet() // RFC 3261 §9.1: no CANCEL before a provisional response
		two.answer(second, 100)
		two.answer(two.get("CANCEL"), 200)
		one.answer(first, 180)
		one.answer(one.get("CANCEL"), 200)
		two.answer(second, 487)
		two.get("ACK")
		alice.get("487")
		one.answer(first, 487)
		one.get("ACK")
		for i := range at {
			if at[i].calls != 1 || at[i].ended != 1 {
				t.Errorf("hop %d: %d calls began, %d ended", i, at[i].calls, at[i].ended)
			}
		}
		r.clean()
	})
}

// A retransmission while hops are tried starts nothing anew.
func TestRetransmissionDuringFailover(t *testing.T) {
	bubble(t, func(r *rig) {
		caller := r.pbx(sip.UDP, "203.0.113.9:5060")
		one, two, at := r.watched(sip.UDP)
		invite := caller.request("INVITE", "sip:200@example.com", "c1")
		one.get("INVITE")
		caller.write(invite)
		one.quiet()
		pass(2*time.Second + 50*time.Millisecond)
		one.forgetAll()
		inv := two.get("INVITE")
		caller.write(invite)
		one.quiet()
		two.quiet()
		two.answer(inv, 486)
		two.get("ACK")
		caller.until("486")
		if at[0].calls != 1 || at[1].calls != 1 {
			t.Errorf("calls began: %d and %d", at[0].calls, at[1].calls)
		}
	})
}

// forgetAll drops what p got.
func (p *peer) forgetAll() { p.mu.Lock(); p.inbox = nil; p.mu.Unlock() }
