package transaction_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

// RFC 3261 §17.2.1: 100 after 200 ms unless something was sent.
func TestInviteIsAnswered100After200ms(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", branch1))
		r.wait(time.Second)
		r.wantSent(alice, "200ms 100")
		r.forward(180)
		r.wantSent(alice, "1s 180")
	})
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		r.forward(180)
		r.wait(time.Second)
		r.wantSent(alice, "180")
	})
}

// RFC 3261 §17.2.1: a retransmitted INVITE gets the most recent provisional response again.
func TestRetransmittedInviteGetsLastProvisional(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", branch1))
		alice.Write(request("INVITE", branch1))
		r.wantSent(alice, "100") // at once
		r.wait(time.Second)
		r.wantSent(alice) // and not again
		r.forward(180)
		alice.Write(request("INVITE", branch1))
		r.wantSent(alice, "1s 180", "1s 180")
		r.wantEvents("request INVITE")
	})
}

// RFC 3261 §17.2.1: timer G doubles from T1 to T2, timer H ends it.
func TestTimerGAndH(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", branch1))
		r.forward(486)
		r.wait(time.Minute)
		r.wantSent(alice, "486", "500ms 486", "1.5s 486", "3.5s 486", "7.5s 486", "11.5s 486",
			"15.5s 486", "19.5s 486", "23.5s 486", "27.5s 486", "31.5s 486")
		r.wantEvents("request INVITE", "32s ended: transaction timed out")
		if s := r.Stats(); s.Live[transaction.ServerInvite] != 0 || s.TimedOut[transaction.ServerInvite] != 1 || s.ResentResponses != 10 {
			t.Errorf("stats %+v", s)
		}
	})
}

// RFC 3261 §17.2.1: no timer G on reliable transports, but timer H.
func TestReliableFinalIsSentOnce(t *testing.T) {
	for _, tr := range []sip.Transport{sip.TCP, sip.TLS, sip.WS, sip.WSS} {
		inBubble(t, func(r *rig) {
			alice := r.alice(tr)
			alice.Write(request("INVITE", branch1))
			r.forward(486)
			r.wait(time.Minute)
			r.wantSent(alice, "486")
			r.wantEvents("request INVITE", "32s ended: transaction timed out")
		})
	}
}

// RFC 3261 §17.2.1: the ACK ends timer G; Confirmed absorbs further ACKs for timer I.
func TestAckToNon2xxIsAbsorbed(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", branch1))
		r.forward(486)
		r.wait(600 * time.Millisecond)
		alice.Write(request("ACK", branch1))
		alice.Write(request("ACK", branch1))
		alice.Write(request("INVITE", branch1)) // late retransmission: no answer any more
		r.wait(time.Minute)
		r.wantSent(alice, "486", "500ms 486")
		r.wantEvents("request INVITE", "5.6s ended")
	})
	inBubble(t, func(r *rig) { // timer I is zero
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		r.forward(486)
		alice.Write(request("ACK", branch1))
		r.wantEvents("request INVITE", "ended")
	})
}

// RFC 6026 §7.1: Accepted absorbs the INVITE, passes 2xx on, gives ACKs to the user, and ends with timer L.
func TestAcceptedState(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.WS} {
		inBubble(t, func(r *rig) {
			alice := r.alice(tr)
			alice.Write(request("INVITE", branch1))
			r.forward(200)
			if r.server.Request() != nil {
				t.Error("Accepted still holds the INVITE")
			}
			alice.Write(request("INVITE", branch1))
			r.wait(time.Second)
			r.forward(200) // of another branch, or retransmitted by the callee
			r.forward(486)
			r.wantSent(alice, "200", "1s 200")
			alice.Write(request("ACK", branch1))
			r.wantEvents("request INVITE", "1s ack")
			r.wait(time.Minute)
			r.wantEvents("32s ended")
			alice.Write(request("ACK", branch1))
			r.wantEvents("1m1s ack")
		})
	}
}

// RFC 3261 §16.7 step 5: a 2xx is forwarded even after another final response.
func Test2xxAfterAnotherFinal(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		r.forward(487)
		r.forward(200)
		alice.Write(request("ACK", branch1))
		r.forward(200)
		r.forward(180)
		r.wantSent(alice, "487", "200", "200")
	})
}

// RFC 3261 §9.2: CANCEL is answered 200 with the INVITE's To tag; the user hears of it once.
func TestCancelTellsUserOnce(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", branch1))
		r.forward(180)
		alice.Take()
		alice.Write(request("CANCEL", branch1))
		alice.Write(request("CANCEL", branch1))
		r.wantSent(alice, "200 CANCEL", "200 CANCEL")
		r.wantEvents("request INVITE", "cancelled")
		r.server.Reply(&sip.Reply{Status: 487})
		alice.Write(request("CANCEL", branch1))
		var tags []string
		for _, a := range alice.Take() {
			m, _ := sip.Parse(a.Text, sip.Datagram)
			tags = append(tags, m.ToTag())
		}
		if len(tags) != 2 || tags[0] == "" || tags[0] != tags[1] {
			t.Errorf("To tags of 487 and of 200 to CANCEL: %q, want the same one", tags)
		}
		r.wantEvents()
	})
}

// RFC 3261 §9.2: a CANCEL after the final response is answered 200 and does nothing.
func TestCancelAfterFinal(t *testing.T) {
	for _, status := range []int{200, 486} {
		inBubble(t, func(r *rig) {
			alice := r.alice(sip.WS)
			alice.Write(request("INVITE", branch1))
			r.forward(status)
			alice.Take()
			alice.Write(request("CANCEL", branch1))
			r.wantSent(alice, "200 CANCEL")
			r.wantEvents("request INVITE")
		})
	}
}

// RFC 3261 §9.2: a CANCEL that matches nothing is answered 481.
func TestStrayCancel(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Flow().AuthenticatedAs("alice@example.com")
		alice.Write(request("CANCEL", branch1))
		alice.Write(request("OPTIONS", "z9hG4bK-2"))
		alice.Write(request("CANCEL", "z9hG4bK-2")) // not cancellable
		r.wantSent(alice, "481 CANCEL", "481 CANCEL")
		if n := r.Stats().Drops[transaction.StrayCancel]; n != 2 {
			t.Errorf("stray_cancel %d, want 2", n)
		}
	})
}

// RFC 3261 §9.2 matches a CANCEL by branch and sent-by, which anybody can copy: from
// another host it is nobody's, and so is an ACK.
func TestCancelOfAnotherHost(t *testing.T) {
	for _, kind := range []sip.Transport{sip.UDP, sip.TCP} {
		inBubble(t, func(r *rig) {
			alice, bob := r.alice(kind), r.bob(kind)
			alice.Write(request("INVITE", branch1))
			r.forward(180)
			alice.Take()
			bob.Write(request("CANCEL", branch1))
			r.wantSent(bob, "481 CANCEL")
			r.wantEvents("request INVITE")
			r.forward(486)
			bob.Write(request("ACK", branch1))
			r.wantEvents("ack") // on to the proxy, which wants a token
			alice.Take()
			alice.Write(request("ACK", branch1)) // absorbed
			if kind == sip.TCP {
				r.wantEvents("ended")
			} else {
				r.wantEvents() // in timer I
			}
		})
	}
}

// RFC 3261 §9.1: a CANCEL takes the way of its INVITE. Who only shares its host is nobody; the same
// user on another connection, and any port of the same upstream, may.
func TestCancelOfAnotherPeerAtTheSameHost(t *testing.T) {
	const user = "alice@example.com"
	other := netip.AddrPortFrom(aliceAddr.Addr(), 5070)
	for _, c := range []struct {
		name     string
		kind     sip.Transport
		from     netip.AddrPort
		aors     [2]string // what the caller and the other have proved
		upstream string
		may      bool
	}{
		{"UDP, same port", sip.UDP, aliceAddr, [2]string{}, "", true},
		{"UDP, another port", sip.UDP, other, [2]string{}, "", false},
		{"UDP, another port that registered once", sip.UDP, other, [2]string{user, user}, "", false},
		{"UDP, another port of an upstream", sip.UDP, other, [2]string{}, "pbx", true},
		{"TCP, another connection", sip.TCP, other, [2]string{}, "", false},
		{"TCP, another user's connection", sip.TCP, other, [2]string{user, "eve@example.com"}, "", false},
		{"TCP, the same user's connection", sip.TCP, other, [2]string{user, user}, "", true},
		{"TCP, another connection of an upstream", sip.TCP, other, [2]string{}, "pbx", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, func(r *rig) {
				alice := r.alice(c.kind)
				two := alice
				if c.from != aliceAddr {
					two = r.net.Connect(c.kind, c.from)
				}
				for i, p := range []*siptest.Conn{alice, two} {
					f := r.flows.Adopt(p.Flow())
					f.SetUpstream(c.upstream)
					if c.aors[i] != "" {
						f.AuthenticatedAs(c.aors[i])
					}
				}
				alice.Write(request("INVITE", branch1))
				alice.Take()
				two.Write(request("CANCEL", branch1))
				if c.may {
					r.wantSent(two, "200 CANCEL")
					r.wantEvents("request INVITE", "cancelled")
				} else {
					r.wantSent(two, "481 CANCEL")
					r.wantEvents("request INVITE")
				}
			})
		})
	}
}

// A CANCEL that overtakes the hand-over of its INVITE waits for SetUser, and never comes from within it.
func TestCancelBeforeSetUser(t *testing.T) {
	inBubble(t, func(r *rig) {
		r.onRequest = func(*transaction.Server) {}
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		alice.Write(request("CANCEL", branch1))
		r.wantEvents("request INVITE")
		r.lock.Lock()
		r.server.SetUser(r)
		r.lock.Unlock()
		r.wantEvents("cancelled")
	})
}

// RFC 3261 §17.2.2: the final response is kept for timer J on UDP; RFC 4320 §4.1: 100 only when the client's timer E has reached T2.
func TestNonInviteServer(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("MESSAGE", branch1))
		r.wait(time.Second)
		alice.Write(request("MESSAGE", branch1)) // Trying: discarded
		r.forward(180)                           // RFC 4320 §4.1: never
		r.forward(100)                           // and not yet
		r.wait(3 * time.Second)
		r.wantSent(alice, "3.5s 100")
		alice.Write(request("MESSAGE", branch1))
		r.forward(200)
		r.wait(30 * time.Second)
		alice.Write(request("MESSAGE", branch1))
		r.forward(404)
		r.wantSent(alice, "4s 100", "4s 200", "34s 200")
		r.wait(30 * time.Second)
		r.wantEvents("request MESSAGE", "36s ended")
		s := r.Stats()
		if s.Drops[transaction.UnsentInterim] != 2 || s.Drops[transaction.UnsentLate] != 1 {
			t.Errorf("drops %v", s.Drops)
		}
	})
	inBubble(t, func(r *rig) { // RFC 4320 §4.1: 100 at any time on reliable transports
		alice := r.alice(sip.WS)
		alice.Write(request("MESSAGE", branch1))
		r.forward(100)
		r.wait(time.Minute)
		r.wantSent(alice, "100")
	})
	inBubble(t, func(r *rig) { // timer J is zero
		alice := r.alice(sip.TCP)
		alice.Write(request("MESSAGE", branch1))
		r.forward(200)
		r.wantEvents("request MESSAGE", "ended")
		r.wantSent(alice, "200")
	})
}

// RFC 4320 §4.2: no 408 to a non-INVITE request, and no response once its client has given up.
func TestNonInviteNever408NorLate(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.WS} {
		inBubble(t, func(r *rig) {
			alice := r.alice(tr)
			alice.Write(request("MESSAGE", branch1))
			r.forward(408)
			r.wait(time.Minute)
			r.wantSent(alice)
			if n := r.Stats().Drops[transaction.Unsent408]; n != 1 {
				t.Errorf("unsent_408 %d, want 1", n)
			}
		})
		inBubble(t, func(r *rig) {
			alice := r.alice(tr)
			alice.Write(request("MESSAGE", branch1))
			r.wait(33 * time.Second)
			r.forward(200)
			r.wantSent(alice, "3.5s 100")
			r.wantEvents("request MESSAGE", "32s ended: transaction timed out")
		})
	}
}

// A refusal before SetUser keeps nothing: the same To tag again, its ACK absorbed (RFC 3261 §8.2.7).
func TestRefuseIsStateless(t *testing.T) {
	for _, tr := range []sip.Transport{sip.UDP, sip.WS} {
		inBubble(t, func(r *rig) {
			r.onRequest = func(tx *transaction.Server) {
				tx.Refuse(&sip.StatusError{Code: 407, Reason: "Prove It", Headers: []string{"X-Why: because"}})
			}
			alice := r.alice(tr)
			alice.Write(request("INVITE", branch1))
			alice.Write(request("INVITE", branch1))
			got := alice.Take()
			if len(got) != 2 || got[0].Text != got[1].Text || !strings.Contains(got[0].Text, "X-Why: because\r\n") {
				t.Fatalf("answers %q, want the same twice", got)
			}
			m, _ := sip.Parse(got[0].Text, sip.Datagram)
			if m.Status() != 407 || m.ReasonPhrase() != "Prove It" || m.ToTag() == "" {
				t.Errorf("answer %q", got[0].Text)
			}
			alice.Write(request("ACK", branch1, "To: <sip:bob@example.com>;tag="+m.ToTag()))
			r.wantEvents("request INVITE", "request INVITE")
			if live := r.Stats().Live; live != [4]int64{} {
				t.Errorf("live %v, want none", live)
			}
		})
	}
}

// A refusal by a user that has taken the request is a final response like any.
func TestRefuseAfterSetUserIsRetransmitted(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", branch1))
		r.server.Refuse(sip.Refuse(404, "Not Found"))
		r.wait(time.Second)
		r.wantSent(alice, "404", "500ms 404")
		alice.Write(request("ACK", branch1))
		r.wait(time.Minute)
		r.wantEvents("request INVITE", "6s ended")
	})
}

// Beyond MaxPending: 503 without state; answered requests count no more, upstreams never.
func TestMaxPending(t *testing.T) {
	run := func(upstream bool, want ...string) {
		inBubbleWith(t, transaction.Config{MaxPending: 2}, func(r *rig) {
			alice := r.alice(sip.WS)
			if upstream {
				alice.Flow().SetUpstream("pbx")
			}
			alice.Write(request("INVITE", "z9hG4bK-1"))
			alice.Write(request("INVITE", "z9hG4bK-2"))
			r.forward(200)
			for _, b := range []string{"z9hG4bK-3", "z9hG4bK-4"} {
				alice.Write(request("INVITE", b))
			}
			r.wantSent(alice, want...)
			r.FailFlow(alice.Flow())
		})
	}
	run(false, "200", "503")
	run(true, "200")
}

// Shutdown refuses what would begin something new, and nothing else.
func TestShutdown(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		r.Shutdown()
		alice.Write(request("INVITE", "z9hG4bK-2"))
		got := alice.Take()
		if len(got) != 1 || !strings.HasPrefix(got[0].Text, "SIP/2.0 503 ") || !strings.Contains(got[0].Text, "\r\nRetry-After: ") {
			t.Errorf("answer %q, want 503 with Retry-After", got)
		}
		r.forward(180)
		alice.Write(request("PRACK", "z9hG4bK-3", "To: <sip:bob@example.com>;tag=b1"))
		r.wantSent(alice, "180")
		r.wantEvents("request INVITE", "request PRACK")
	})
}

// RFC 3261 §8.2: what is malformed is answered with what is wrong; ACK and responses never.
func TestReceiveBad(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1, "Call-ID: call-2"))
		alice.Write(request("ACK", branch1, "Call-ID: call-2"))
		alice.Write("SIP/2.0 200 OK\r\nCall-ID: x\r\n\r\n")
		alice.Write("hello\r\n\r\n")
		r.wantSent(alice, "400")
		r.wantEvents()
		s := r.Stats()
		if s.Drops[transaction.BadRequest] != 1 || s.Drops[transaction.BadMessage] != 3 {
			t.Errorf("drops %v", s.Drops)
		}
	})
}
