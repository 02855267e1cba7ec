package transaction_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

// reconnect is the user agent of old back on a new WebSocket, named as before.
func (r *rig) reconnect(old *siptest.Conn) *siptest.Conn {
	name := flow.Name{byte(old.Flow().ID), byte(old.Flow().ID >> 8), 1}
	r.flows.Bind(old.Flow(), name)
	c := r.net.Connect(sip.WS, netip.AddrPortFrom(old.Info().Remote.Addr(), old.Info().Remote.Port()+1000))
	r.flows.Bind(c.Flow(), name)
	return c
}

// Two WebSocket clients that use the same branch and sent-by are two transactions.
func TestKeysAreIsolatedBetweenWebSockets(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice, mallory := r.alice(sip.WS), r.net.Connect(sip.WS, netip.MustParseAddrPort("203.0.113.66:1"))
		alice.Write(request("INVITE", branch1))
		tx := r.server
		mallory.Flow().AuthenticatedAs("mallory@example.com")
		mallory.Write(request("CANCEL", branch1))
		r.wantSent(mallory, "481 CANCEL")
		mallory.Write(request("INVITE", branch1))
		r.wantEvents("request INVITE", "request INVITE")
		m, _ := sip.Parse(response(486, "INVITE", 1), sip.Datagram)
		s := m.Splice()
		tx.Forward(486, s.Append(nil))
		mallory.Write(request("ACK", branch1)) // to its own INVITE, which has no answer
		r.wantSent(alice, "486")
		r.wantSent(mallory)
		alice.Write(request("ACK", branch1))
		r.wantEvents("ended")
	})
}

// RFC 3261 §17.2.3: over UDP and TCP the branch, sent-by and method are the key: a TCP peer may come back on a new connection,
// which has to prove that it is the same user before it cancels.
func TestTCPPeerReopensItsConnection(t *testing.T) {
	inBubble(t, func(r *rig) {
		a := r.alice(sip.TCP)
		a.Flow().AuthenticatedAs("alice@example.com")
		a.Write(request("INVITE", branch1))
		b := r.net.Connect(sip.TCP, netip.AddrPortFrom(aliceAddr.Addr(), 40000))
		b.Write(request("CANCEL", branch1))
		b.Flow().AuthenticatedAs("alice@example.com")
		b.Write(request("CANCEL", branch1))
		r.wantSent(b, "481 CANCEL", "200 CANCEL")
		r.wantEvents("request INVITE", "cancelled")
	})
}

// RFC 3261 §17.2.3: what tells transactions apart, and what does not.
func TestServerKeys(t *testing.T) {
	via := func(s string) string { return "Via: SIP/2.0/UDP " + s }
	base := []string{"OPTIONS", via("a.invalid;branch=z9hG4bK1"), "1"}
	for _, c := range []struct {
		name  string
		other []string
		same  bool
	}{
		{"the same again", base, true},
		{"other branch", []string{"OPTIONS", via("a.invalid;branch=z9hG4bK2"), "1"}, false},
		{"other sent-by", []string{"OPTIONS", via("b.invalid;branch=z9hG4bK1"), "1"}, false},
		{"other port", []string{"OPTIONS", via("a.invalid:5070;branch=z9hG4bK1"), "1"}, false},
		{"other method", []string{"MESSAGE", via("a.invalid;branch=z9hG4bK1"), "1"}, false},
		{"host in capitals", []string{"OPTIONS", via("A.invalid;branch=z9hG4bK1"), "1"}, true},
		{"rport added", []string{"OPTIONS", via("a.invalid;rport;branch=z9hG4bK1"), "1"}, true},
		{"CSeq is not asked", []string{"OPTIONS", via("a.invalid;branch=z9hG4bK1"), "2"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := []string{"request " + base[0]}
			if !c.same {
				want = append(want, "request "+c.other[0])
			}
			twoRequests(t, base, c.other, want)
		})
	}
	old := []string{"OPTIONS", via("a.invalid;branch=1"), "1"}
	twoRequests(t, old, old, []string{"request OPTIONS"})
	twoRequests(t, old, []string{"OPTIONS", via("a.invalid;branch=1"), "2"}, []string{"request OPTIONS", "request OPTIONS"})
}

func twoRequests(t *testing.T, a, b, want []string) {
	t.Helper()
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		for _, q := range [][]string{a, b} {
			alice.Write(fmt.Sprintf("%s sip:bob@example.com SIP/2.0\r\n%s\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n"+
				"Call-ID: c\r\nCSeq: %s %s\r\nContent-Length: 0\r\n\r\n", q[0], q[1], q[2], q[0]))
		}
		r.wantEvents(want...)
	})
}

// RFC 3261 §17.2.3, RFC 2543: without the cookie an ACK is found by Request-URI, From tag, Call-ID, CSeq and Via.
func TestOldClientsAckIsAbsorbed(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.UDP)
		alice.Write(request("INVITE", "old1"))
		r.forward(486)
		alice.Write(request("ACK", "old1", "To: <sip:bob@example.com>;tag=b1"))
		r.wait(10 * time.Second)
		r.wantSent(alice, "486")
		r.wantEvents("request INVITE", "5s ended")
	})
}

// The client comes back on another WebSocket: CANCEL, ACK and the INVITE again find their transaction.
func TestReconnectedClientFindsItsTransaction(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		alice.Hangup(sip.CloseLost)
		alice2 := r.reconnect(alice)
		r.FlowMoved(alice.Flow(), alice2.Flow())
		alice2.Write(request("INVITE", branch1))
		r.wantSent(alice2, "100")
		alice2.Write(request("CANCEL", branch1))
		r.wantSent(alice2, "200 CANCEL")
		r.forward(487)
		alice2.Write(request("ACK", branch1))
		r.wantSent(alice2, "487")
		r.wantEvents("request INVITE", "cancelled", "ended")
	})
}

// A CANCEL that comes before anybody knows that its sender has moved waits for that, 5 s at most.
func TestCancelWaitsForItsSender(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		alice.Hangup(sip.CloseLost)
		late := r.net.Connect(sip.WS, netip.MustParseAddrPort("198.51.100.9:1"))
		late.Write(request("CANCEL", branch1))
		late.Write(request("CANCEL", branch1)) // again: it waits already
		late.Write(request("CANCEL", "z9hG4bK-2"))
		r.wantSent(late, "481 CANCEL") // one for each flow
		r.wait(4900 * time.Millisecond)
		r.wantSent(late)
		r.wait(200 * time.Millisecond)
		r.wantSent(late, "5s 481 CANCEL")
		alice2 := r.net.Connect(sip.WS, netip.MustParseAddrPort("198.51.100.9:2"))
		alice2.Write(request("CANCEL", branch1))
		r.wantSent(alice2)
		name := flow.Name{1}
		r.flows.Bind(alice.Flow(), name)
		r.flows.Bind(alice2.Flow(), name)
		r.FlowMoved(alice.Flow(), alice2.Flow())
		r.wantSent(alice2, "5.1s 200 CANCEL")
		r.wantEvents("request INVITE", "5.1s cancelled")
		r.FailFlow(alice2.Flow())
	})
}

// A final response that the dead flow could not take waits for its client.
func TestFinalFollowsTheClient(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		end    string
	}{{"INVITE", 200, "32s ended"}, {"INVITE", 486, "32s ended: transaction timed out"}, {"MESSAGE", 200, "2s ended"}} {
		inBubble(t, func(r *rig) {
			alice := r.alice(sip.WS)
			alice.Write(request(c.method, branch1))
			alice.Hangup(sip.CloseLost)
			r.forward(c.status)
			r.wait(2 * time.Second)
			alice2 := r.reconnect(alice)
			r.FlowMoved(alice.Flow(), alice2.Flow())
			r.wantSent(alice2, fmt.Sprintf("2s %d", c.status))
			r.wait(time.Minute)
			r.wantEvents("request "+c.method, c.end)
			r.wantSent(alice2)
		})
	}
}

// A non-2xx that went into a half-open connection is sent again, as no ACK has come.
func TestUnackedFinalIsSentToTheNewFlow(t *testing.T) {
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("INVITE", branch1))
		alice.Freeze()
		r.forward(486)
		alice2 := r.reconnect(alice)
		r.FlowMoved(alice.Flow(), alice2.Flow())
		r.wantSent(alice2, "486")
		alice2.Write(request("ACK", branch1))
		r.wantEvents("request INVITE", "ended")
	})
}

// Nobody comes back: who waits is told, once, and what was kept is counted.
func TestFailFlow(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		bob.Write(request("INVITE", "z9hG4bK-1")) // pending
		bob.Write(request("INVITE", "z9hG4bK-2")) // answered: goes its own way
		r.forward(200)
		_, ringing := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", ringing))
		r.send("MESSAGE", bob)
		_, answered := r.send("INVITE", bob)
		bob.Write(response(200, "INVITE", answered))
		r.wantEvents("request INVITE", "request INVITE", "response 180", "response 200")
		bob.Hangup(sip.CloseLost)
		r.wantEvents()
		r.FailFlow(bob.Flow())
		r.FailFlow(bob.Flow())
		r.wantEvents("failed: transport failed", "failed: transport failed", "ended: transport failed")
		r.wait(time.Minute)
		r.wantEvents("32s ended")
		if live := r.Stats().Live; live != [4]int64{} {
			t.Errorf("live %v, want none", live)
		}
	})
	inBubble(t, func(r *rig) {
		alice := r.alice(sip.WS)
		alice.Write(request("MESSAGE", branch1))
		alice.Hangup(sip.CloseLost)
		r.forward(200)
		r.FailFlow(alice.Flow())
		r.wantEvents("request MESSAGE", "ended: transport failed")
		if n := r.Stats().Drops[transaction.Undelivered]; n != 1 {
			t.Errorf("undelivered %d, want 1", n)
		}
	})
}

// Nobody comes back, and nobody says so: what was kept goes when it is of no use any more.
func TestUndeliveredEnds(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		inBubble(t, func(r *rig) {
			alice := r.alice(sip.WS)
			alice.Write(request(method, branch1))
			alice.Hangup(sip.CloseLost)
			r.forward(200)
			r.wait(time.Minute)
			r.wantEvents("request "+method, "32s ended: transport failed")
			if n := r.Residue(); n != 0 {
				t.Errorf("%d entries left", n)
			}
		})
	}
}

// The callee comes back: its answer is taken from the new flow, ACK and CANCEL go there, and
// a request that it had not answered at all goes again.
func TestCalleeMoves(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		_, silent := r.send("INVITE", bob)
		tx, id := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", id))
		bob.Freeze()
		tx.Cancel()
		bob2 := r.reconnect(bob)
		r.FlowMoved(bob.Flow(), bob2.Flow())
		r.wantSent(bob2, "INVITE", "CANCEL")
		bob2.Write(response(200, "CANCEL", id))
		bob2.Write(response(487, "INVITE", id))
		bob2.Write(response(486, "INVITE", silent))
		r.wantSent(bob2, "ACK", "ACK")
		r.wantEvents("response 180", "response 487", "response 486")
	})
	inBubble(t, func(r *rig) { // the CANCEL had its answer; the new flow is lost as well
		bob := r.bob(sip.WS)
		tx, id := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", id))
		tx.Cancel()
		bob.Write(response(200, "CANCEL", id))
		bob.Hangup(sip.CloseLost)
		bob2 := r.reconnect(bob)
		r.FlowMoved(bob.Flow(), bob2.Flow())
		r.wantSent(bob2)
		r.FailFlow(bob.Flow())
		r.wantEvents("response 180")
		r.FailFlow(bob2.Flow())
		r.wantEvents("failed: transport failed")
	})
}

// What rings may have been forgotten with the connection: it goes to the new one, as a retransmission (RFC 3261
// §17.2.1), and is taken back there.
func TestRingingCalleeMoves(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		tx, id := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", id))
		bob.Hangup(sip.CloseLost)
		bob2 := r.reconnect(bob)
		r.FlowMoved(bob.Flow(), bob2.Flow())
		bob2.Write(response(180, "INVITE", id))
		tx.Cancel()
		r.wantSent(bob2, "INVITE", "CANCEL")
		bob2.Write(response(487, "INVITE", id))
		r.wantSent(bob2, "ACK")
		r.wantEvents("response 180", "response 180", "response 487")
	})
}

// An INVITE that its sender has taken back before anything was heard of it does not
// ring on the new flow.
func TestCancelledInviteDoesNotMove(t *testing.T) { // RFC 3261 §9.1
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		tx, _ := r.send("INVITE", bob)
		bob.Freeze()
		tx.Cancel()
		bob2 := r.reconnect(bob)
		r.FlowMoved(bob.Flow(), bob2.Flow())
		r.wantSent(bob2)
		r.wantEvents("failed: transport failed")
	})
}

// A flow that lost one of its names to another flow, but lives on for others, keeps its transactions.
func TestFlowMovedNeedsTakeover(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		r.flows.Bind(bob.Flow(), flow.Name{99})
		_, id := r.send("INVITE", bob)
		bob2 := r.reconnect(bob)
		r.FlowMoved(bob.Flow(), bob2.Flow())
		r.wantSent(bob2)
		bob.Write(response(486, "INVITE", id))
		r.wantSent(bob, "INVITE", "ACK")
		r.wantEvents("response 486")
	})
}

// One connection's messages keep their order.
func TestOrderOfOneConnection(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.WS)
		var want []string
		for range 100 {
			_, id := r.send("INVITE", bob)
			for _, status := range []int{100, 180, 183, 200} {
				bob.Write(response(status, "INVITE", id))
				want = append(want, fmt.Sprintf("response %d", status))
			}
		}
		r.wantEvents(want...)
		r.wait(time.Minute)
	})
}

// RFC 3261 §18.4: the connection to a server has ended. What has no answer goes over the new one with the same branch,
// and so does a CANCEL; what has its final response stays where it is.
func TestMove(t *testing.T) {
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.TCP)
		tx, id := r.send("BYE", bob)
		bob.Hangup(sip.CloseNormal)
		bob2 := r.bob(sip.TCP)
		if !tx.Move(bob2.Flow()) {
			t.Error("a request without an answer does not move")
		}
		r.wantSent(bob2, "BYE")
		r.FailFlow(bob.Flow()) // not its flow any more
		bob2.Write(response(200, "BYE", id))
		r.wantEvents("response 200")
		if tx.Move(bob2.Flow()) {
			t.Error("what is over moves")
		}
		r.wantSent(bob2)
	})
	inBubble(t, func(r *rig) {
		bob := r.bob(sip.TCP)
		tx, id := r.send("INVITE", bob)
		bob.Write(response(180, "INVITE", id))
		bob.Hangup(sip.CloseNormal)
		bob2 := r.bob(sip.TCP)
		tx.Move(bob2.Flow())
		r.wantSent(bob2)
		tx.Cancel()
		r.wantSent(bob2, "CANCEL")
		bob3 := r.bob(sip.TCP)
		tx.Move(bob3.Flow())
		r.wantSent(bob3, "CANCEL")
		bob3.Write(response(200, "CANCEL", id))
		bob3.Write(response(487, "INVITE", id))
		r.wantSent(bob3, "ACK")
		r.wantEvents("response 180", "response 487")
	})
}
