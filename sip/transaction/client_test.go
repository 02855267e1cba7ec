package transaction_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// RFC 3261 §17.1.1.2: timer A doubles without bound, timer B ends it.
func TestTimerAAndB(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		r.send("INVITE", bob)
		r.wait(time.Minute)
		r.wantSent(bob, "INVITE", "500ms INVITE", "1.5s INVITE", "3.5s INVITE", "7.5s INVITE", "15.5s INVITE", "31.5s INVITE")
		r.wantEvents("32s failed: transaction timed out")
	})
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		r.send("INVITE", bob)
		r.wait(time.Minute)
		r.wantSent(bob, "INVITE")
		r.wantEvents("32s failed: transaction timed out")
	})
}

// RFC 3261 §17.1.1.2: a provisional response ends timers A and B; what follows is the proxy's timer C.
func TestProvisionalStopsTimersAAndB(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.WS} {
		inBubble(t, func(r *rig) {
			bob := r.bob(tr)
			_, id := r.send("INVITE", bob)
			bob.Write(response(100, "INVITE", id))
			r.wait(10 * time.Minute)
			bob.Write(response(180, "INVITE", id))
			bob.Write(response(200, "INVITE", id))
			r.wantSent(bob, "INVITE")
			r.wantEvents("response 100", "10m0s response 180", "10m0s response 200")
			r.wait(time.Minute)
		})
	}
}

// RFC 3261 §17.1.1.2: the ACK to a non-2xx is the transaction's; timer D lets retransmissions in and answers them.
func TestNon2xxIsAckedAgain(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		_, id := r.send("INVITE", bob)
		bob.Write(response(486, "INVITE", id))
		bob.Write(response(486, "INVITE", id))
		r.wait(31 * time.Second)
		bob.Write(response(486, "INVITE", id))
		bob.Write(response(180, "INVITE", id)) // overtaken
		r.wait(time.Second)
		bob.Write(response(486, "INVITE", id)) // timer D is over
		r.wantSent(bob, "INVITE", "ACK", "ACK", "31s ACK")
		r.wantEvents("response 486")
		s := r.Stats()
		if s.Drops[transaction.LateResponse] != 1 || s.Drops[transaction.StrayResponse] != 1 {
			t.Errorf("drops %v", s.Drops)
		}
	})
	inBubble(t, func(r *rig) { // a second one: it gets its ACK and goes no further, but is counted
		bob := r.bob(sip.UDP)
		_, id := r.send("INVITE", bob)
		bob.Write(response(486, "INVITE", id))
		bob.Write(response(500, "INVITE", id))
		r.wantSent(bob, "INVITE", "ACK", "ACK")
		r.wantEvents("response 486")
		if n := r.Stats().Drops[transaction.LateResponse]; n != 1 {
			t.Errorf("late_response %d, want 1", n)
		}
	})
	inBubble(t, func(r *rig) { // timer D is zero
		bob := r.bob(sip.TCP)
		_, id := r.send("INVITE", bob)
		bob.Write(response(486, "INVITE", id))
		if live := r.Stats().Live[transaction.ClientInvite]; live != 0 {
			t.Errorf("%d transactions left", live)
		}
		r.wantSent(bob, "INVITE", "ACK")
	})
}

// RFC 3261 §17.1.1.3: the ACK has the INVITE's Request-URI, our one Via, From, Call-ID and CSeq number, and the response's To.
func TestAckToNon2xxIsTheInvitesOwn(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		_, id := r.send("INVITE", bob)
		bob.Write(response(486, "INVITE", id))
		sent := bob.Take()
		inv, _ := sip.Parse(sent[0].Text, sip.Datagram)
		ack, err := sip.Parse(sent[1].Text, sip.Datagram)
		if err != nil {
			t.Fatal(err)
		}
		n, method := ack.CSeq()
		if ack.RequestURI() != inv.RequestURI() || ack.TopVia().Branch != inv.TopVia().Branch || strings.Count(sent[1].Text, "Via:") != 1 ||
			ack.ToTag() != "b1" || ack.CallID() != inv.CallID() || ack.FromTag() != inv.FromTag() || n != 1 || method != "ACK" {
			t.Errorf("ACK:\n%s", sent[1].Text)
		}
	})
}

// RFC 6026 §7.2: every 2xx reaches the user until timer M, in Accepted; other responses don't.
func TestEvery2xxIsPassed(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.WS} {
		inBubble(t, func(r *rig) {
			bob := r.bob(tr)
			_, id := r.send("INVITE", bob)
			for _, status := range []int{180, 200, 200, 486, 180} {
				bob.Write(response(status, "INVITE", id))
			}
			r.wait(31 * time.Second)
			bob.Write(response(200, "INVITE", id))
			r.wait(2 * time.Second)
			bob.Write(response(200, "INVITE", id))
			r.wantEvents("response 180", "response 200", "response 200", "31s response 200")
			r.wantSent(bob, "INVITE")
		})
	}
}

// A proxy behind us may have a 2xx after another final response (RFC 3261 §16.7 step 5).
func Test2xxAfterNon2xxIsPassed(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		_, id := r.send("INVITE", bob)
		bob.Write(response(486, "INVITE", id))
		bob.Write(response(200, "INVITE", id))
		r.wantEvents("response 486", "response 200")
	})
}

// RFC 3261 §17.1.2.2: timer E doubles up to T2, timer F ends it.
func TestTimerEAndF(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		r.send("MESSAGE", bob)
		r.wait(time.Minute)
		r.wantSent(bob, "MESSAGE", "500ms MESSAGE", "1.5s MESSAGE", "3.5s MESSAGE", "7.5s MESSAGE", "11.5s MESSAGE",
			"15.5s MESSAGE", "19.5s MESSAGE", "23.5s MESSAGE", "27.5s MESSAGE", "31.5s MESSAGE")
		r.wantEvents("32s failed: transaction timed out")
	})
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		r.send("MESSAGE", bob)
		r.wait(time.Minute)
		r.wantSent(bob, "MESSAGE")
		r.wantEvents("32s failed: transaction timed out")
	})
}

// RFC 3261 §17.1.2.2: in Proceeding timer E is T2, and timer F runs on.
func TestNonInviteProceedingRetransmitsEveryT2(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		_, id := r.send("MESSAGE", bob)
		r.wait(100 * time.Millisecond)
		bob.Write(response(100, "MESSAGE", id))
		r.wait(10 * time.Second)
		r.wantSent(bob, "MESSAGE", "500ms MESSAGE", "4.5s MESSAGE", "8.5s MESSAGE")
		r.wait(time.Minute)
		r.wantEvents("100ms response 100", "32s failed: transaction timed out")
	})
}

// RFC 3261 §17.1.2.2: timer K absorbs retransmitted finals on UDP and is zero elsewhere.
func TestTimerK(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		_, id := r.send("MESSAGE", bob)
		bob.Write(response(200, "MESSAGE", id))
		bob.Write(response(200, "MESSAGE", id))
		r.wait(4 * time.Second)
		if live := r.Stats().Live[transaction.ClientOther]; live != 1 {
			t.Errorf("after 4 s: %d transactions, want 1", live)
		}
		r.wait(time.Second)
		if live := r.Stats().Live[transaction.ClientOther]; live != 0 {
			t.Errorf("after 5 s: %d transactions, want 0", live)
		}
		r.wantEvents("response 200")
		r.wantSent(bob, "MESSAGE")
	})
}

// A forgotten request is not sent again, nobody is told, and its answer is a stray one. An
// INVITE cannot be forgotten: its final response needs an ACK (RFC 3261 §17.1.1.3).
func TestForget(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		tx, id := r.send("OPTIONS", bob)
		r.wait(time.Second)
		tx.Forget()
		tx.Forget()
		bob.Write(response(200, "OPTIONS", id))
		r.wait(time.Minute)
		r.wantSent(bob, "OPTIONS", "500ms OPTIONS")
		r.wantEvents()
		if s := r.Stats(); s.Live[transaction.ClientOther] != 0 || s.Drops[transaction.StrayResponse] != 1 {
			t.Errorf("%d live, %d stray", s.Live[transaction.ClientOther], s.Drops[transaction.StrayResponse])
		}
	})
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		tx, id := r.send("INVITE", bob)
		tx.Forget()
		bob.Write(response(486, "INVITE", id))
		r.wantEvents("response 486")
	})
}

// RFC 3261 §9.1: CANCEL waits for a provisional response.
func TestCancelWaitsForProvisional(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		tx, id := r.send("INVITE", bob)
		tx.Cancel()
		tx.Cancel()
		r.wait(time.Second)
		r.wantSent(bob, "INVITE")
		bob.Write(response(100, "INVITE", id))
		r.wantSent(bob, "1s CANCEL")
		bob.Write(response(200, "CANCEL", id))
		bob.Write(response(487, "INVITE", id))
		r.wantSent(bob, "1s ACK")
		r.wantEvents("1s response 100", "1s response 487")
	})
	for tr, sent := range map[sip.Transport][]string{
		sip.WS:  {"INVITE"},
		sip.UDP: {"INVITE", "500ms INVITE", "1.5s INVITE", "3.5s INVITE", "7.5s INVITE", "15.5s INVITE", "31.5s INVITE"}, // timer A goes on: a provisional that was lost would leave it ringing
	} {
		inBubble(t, func(r *rig) { // none comes: timer B
			bob := r.bob(tr)
			tx, _ := r.send("INVITE", bob)
			tx.Cancel()
			r.wait(time.Minute)
			r.wantSent(bob, sent...)
			r.wantEvents("32s failed: transaction timed out")
		})
	}
	inBubble(t, func(r *rig) { // the CANCEL goes again by its own timer E
		bob := r.bob(sip.UDP)
		tx, id := r.send("INVITE", bob)
		r.wait(time.Second)
		tx.Cancel()
		r.wait(9 * time.Second)
		r.wantSent(bob, "INVITE", "500ms INVITE", "1.5s INVITE", "3.5s INVITE", "7.5s INVITE")
		bob.Write(response(180, "INVITE", id))
		r.wait(time.Second)
		r.wantSent(bob, "10s CANCEL", "10.5s CANCEL")
		r.wantEvents("10s response 180")
	})
	inBubble(t, func(r *rig) { // a final response comes first
		bob := r.bob(sip.WS)
		tx, id := r.send("INVITE", bob)
		tx.Cancel()
		bob.Write(response(200, "INVITE", id))
		r.wantSent(bob, "INVITE")
		r.wantEvents("response 200")
	})
}

// A request that has gone elsewhere meanwhile is not sent again; its answer is still taken.
func TestQuiet(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		inBubble(t, func(r *rig) {
			bob := r.bob(sip.UDP)
			tx, id := r.send(method, bob)
			r.wait(time.Second)
			tx.Quiet()
			r.wait(20 * time.Second)
			r.wantSent(bob, method, "500ms "+method)
			bob.Write(response(200, method, id))
			r.wantEvents("21s response 200")
		})
	}
}

// RFC 3261 §9.1: the CANCEL has the INVITE's branch and goes again by timer E until it is answered.
func TestCancelIsRetransmittedOverUDP(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		tx, id := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", id))
		tx.Cancel(`Reason: SIP;cause=200;text="Call completed elsewhere"`)
		bob.Write(response(100, "CANCEL", id)) // no answer yet
		r.wait(2 * time.Second)
		var branches []string
		for _, a := range bob.Take() {
			m, _ := sip.Parse(a.Text, sip.Datagram)
			branches = append(branches, r.at(a.At)+m.Method()+" "+m.TopVia().Branch)
			if m.Method() == "CANCEL" && m.Value(sip.Reason) != `SIP;cause=200;text="Call completed elsewhere"` {
				t.Errorf("CANCEL without its Reason:\n%s", a.Text)
			}
		}
		b := string(transaction.AppendBranch(nil, id, 7))
		r.same("sent", branches, []string{"INVITE " + b, "CANCEL " + b, "500ms CANCEL " + b, "1.5s CANCEL " + b})
		bob.Write(response(200, "CANCEL", id))
		r.wait(10 * time.Second)
		r.wantSent(bob)
		bob.Write(response(487, "INVITE", id))
		r.wantSent(bob, "12s ACK")
		r.wantEvents("response 180", "12s response 487")
	})
}

// RFC 3261 §9.1: no final response within 64*T1 after CANCEL ends the transaction.
func TestCancelWithoutFinalTimesOut(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.WS} {
		inBubble(t, func(r *rig) {
			bob := r.bob(tr)
			tx, id := r.send("INVITE", bob)
			bob.Write(response(180, "INVITE", id))
			r.wait(10 * time.Second)
			tx.Cancel()
			bob.Write(response(200, "CANCEL", id))
			bob.Write(response(180, "INVITE", id))
			r.wait(time.Minute)
			r.wantSent(bob, "INVITE", "10s CANCEL")
			r.wantEvents("response 180", "10s response 180", "42s failed: transaction timed out")
		})
	}
}

// A 2xx that crosses the CANCEL is a response like any (RFC 3261 §16.10).
func TestCancelCrossing200(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		tx, id := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", id))
		tx.Cancel()
		bob.Write(response(200, "INVITE", id))
		bob.Write(response(481, "CANCEL", id))
		r.wait(time.Minute)
		r.wantSent(bob, "INVITE", "CANCEL")
		r.wantEvents("response 180", "response 200")
		tx.Cancel()
		r.wantSent(bob)
	})
}

// A flow that takes nothing fails the transaction, but not from within Start (the rig holds its lock there).
func TestStartOnClosedFlowFails(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		bob.Hangup(sip.CloseLost)
		r.send("INVITE", bob)
		r.wantEvents("failed: transport failed")
		if live := r.Stats().Live; live != [4]int64{} {
			t.Errorf("live %v, want none", live)
		}
	})
}

// Responses that match nothing go nowhere and are counted.
func TestStrayResponses(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.UDP)
		_, id := r.send("MESSAGE", bob)
		bob.Write(response(200, "MESSAGE", id+1))
		bob.Write(response(200, "INVITE", id))
		bob.Write(response(200, "CANCEL", id))
		bob.Write(strings.Replace(response(200, "MESSAGE", id), "branch=z9hG4bK", "branch=z9hG4bK0", 1))
		bob.Write(strings.Replace(response(200, "MESSAGE", id), "CSeq: 1 ", "CSeq: 2 ", 1)) // RFC 3261 §8.2.6.2: it is copied
		r.wantEvents()
		if n := r.Stats().Drops[transaction.StrayResponse]; n != 5 {
			t.Errorf("stray_response %d, want 5", n)
		}
	})
}

// What serves nobody is told of, so that somebody can put an end to it; what says something new is not.
func TestWasted(t *testing.T) {
	wasted := 0
	inBubbleWith(t, transaction.Config{Wasted: func(*flow.Flow) { wasted++ }}, func(r *rig) {
		bob := r.bob(sip.UDP)
		tx, id := r.send("INVITE", bob)
		check := func(what string, want int, text string) {
			t.Helper()
			wasted = 0
			bob.Write(text)
			if synctest.Wait(); wasted != want {
				t.Errorf("%s: told %d times, want %d", what, wasted, want)
			}
		}
		check("180", 0, response(180, "INVITE", id))
		check("answer to no CANCEL", 1, response(200, "CANCEL", id))
		tx.Cancel()
		check("answer to the CANCEL", 0, response(200, "CANCEL", id))
		check("again", 1, response(200, "CANCEL", id))
		check("486", 0, response(486, "INVITE", id))
		check("again", 1, response(486, "INVITE", id))
		check("late", 1, response(180, "INVITE", id))
		check("stray", 1, response(200, "INVITE", id+1))
		check("another CSeq", 1, strings.Replace(response(200, "INVITE", id), "CSeq: 1 ", "CSeq: 2 ", 1))
		check("CANCEL of nothing", 1, request("CANCEL", branch1))
		check("no SIP", 1, "GET / HTTP/1.1\r\n\r\n")
	})
}

// A response is taken from the peer that was asked only: its agent, its host over UDP and TCP, or its upstream.
func TestWhoMayAnswer(t *testing.T) {
	other := netip.MustParseAddrPort("203.0.113.9:5060")
	for _, c := range []struct {
		name     string
		to, from sip.Transport
		addr     netip.AddrPort
		upstream bool
		ok       bool
	}{
		{"same UDP peer", sip.UDP, sip.UDP, bobAddr, false, true},
		{"other port of the UDP peer", sip.UDP, sip.UDP, netip.AddrPortFrom(bobAddr.Addr(), 40000), false, true},
		{"other host", sip.UDP, sip.UDP, other, false, false},
		{"other host of the upstream", sip.UDP, sip.UDP, other, true, true},
		{"other connection of the TCP peer", sip.TCP, sip.TCP, netip.AddrPortFrom(bobAddr.Addr(), 40000), false, true},
		{"other TCP host", sip.TCP, sip.TCP, other, false, false},
		{"UDP from the TCP peer's host", sip.TCP, sip.UDP, bobAddr, false, false},
		{"another WebSocket of that host", sip.WS, sip.WS, netip.AddrPortFrom(bobAddr.Addr(), 40000), false, false},
		{"UDP from the WebSocket's host", sip.WS, sip.UDP, bobAddr, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				bob := r.bob(c.to)
				from := bob
				if c.to != c.from || c.addr != bobAddr {
					from = r.net.Connect(c.from, c.addr)
				}
				if c.upstream {
					bob, from = r.adopt(bob, "pbx"), r.adopt(from, "pbx")
				}
				_, id := r.send("MESSAGE", bob)
				from.Write(response(200, "MESSAGE", id))
				if c.ok {
					r.wantEvents("response 200")
				} else if r.wantEvents(); r.Stats().Drops[transaction.ForeignResponse] != 1 {
					t.Errorf("drops %v", r.Stats().Drops)
				}
			})
		})
	}
}
