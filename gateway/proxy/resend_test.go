package proxy

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// lostPeer collects what is said of a hop.
type lostPeer struct {
	mu   sync.Mutex
	errs []string
}

func (p *lostPeer) Began()                           {}
func (p *lostPeer) Ended()                           {}
func (p *lostPeer) Heard(int, time.Duration, uint64) {}
func (p *lostPeer) Lost(err error, _ bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err.Error())
}

func (p *lostPeer) said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.errs)
}

// A hop over UDP says 100 and dies: timer A is over and no connection ends. Once it is found dead the call goes to the next
// hop, and ends with 503 when there is none (RFC 3261 §16.7 step 6). What rings stays.
func TestHopGoesDownAfter100(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		peers := []*lostPeer{{}, {}}
		for i, p := range peers {
			r.aors["200"][0].Hops[i].Peer = p
		}
		alice.request("INVITE", "sip:200@example.com", "c1")
		late := one.get("INVITE")
		one.answer(late, 100)
		alice.request("INVITE", "sip:200@example.com", "c2")
		rings := one.get("INVITE")
		one.answer(rings, 100)
		one.answer(rings, 180)
		alice.get("180")
		alice.request("INVITE", "sip:200@example.com", "c3")
		silent := one.get("INVITE")
		pass(time.Second)
		r.proxy.HopDown(peers[0])
		settle()
		second := two.get("INVITE")
		if second.CallID() != "c1" {
			t.Errorf("%s goes on", second.CallID())
		}
		two.answer(second, 100)
		r.proxy.HopDown(peers[0]) // nobody waits for it any more
		r.proxy.HopDown(peers[1])
		for alice.inbox[0][:11] == "SIP/2.0 100" {
			alice.inbox = alice.inbox[1:]
		}
		if m := alice.get("503"); m.CallID() != "c1" || m.Named("Retry-After") != "10" {
			t.Errorf("503:\n%s", m)
		}
		one.answer(rings, 486)
		alice.get("486")
		one.answer(silent, 486)
		alice.get("486")
		if n := r.proxy.Counters.Failovers.Load(); n != 1 {
			t.Errorf("%d failovers, want 1", n)
		}
		if n := len(r.proxy.mutes.first); n != 0 {
			t.Errorf("%d peers are waited for still", n)
		}
		r.clean()
	})
}

// The list of those who wait for a peer, whatever leaves it first.
func TestMuteIndex(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		var x muteIndex
		x.init()
		peer := &lostPeer{}
		all := []*branch{{peer: peer}, {peer: peer}, {peer: peer}}
		for _, b := range all {
			x.add(b)
			x.add(b)
		}
		x.add(&branch{})
		for left, i := range order {
			if n := len(x.of(peer)); n != 3-left {
				t.Errorf("%v: %d wait, want %d", order, n, 3-left)
			}
			x.remove(all[i])
			x.remove(all[i])
			if slices.Contains(x.of(peer), all[i]) {
				t.Errorf("%v: %d is there still", order, i)
			}
		}
		if len(x.first) != 0 {
			t.Errorf("%v: the list of nobody stays", order)
		}
	}
}

// anew lets a hop over TCP be dialled again, once its connection has ended.
func (r *rig) anew(p *peer) *peer {
	q := r.pbx(p.info.Transport, p.info.Remote.String())
	q.name = p.name
	return q
}

// The hop closes its connection after 180 and the caller cancels: 487 at once, and the CANCEL goes by a new connection,
// with the branch of its INVITE (RFC 3261 §9.1). A 2xx that comes all the same is acknowledged and ended there.
func TestCancelAfterTheConnectionEnded(t *testing.T) {
	for _, late := range []bool{false, true} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, two := r.trunk(sip.TCP)
			text := alice.request("INVITE", "sip:200@example.com", "c1")
			inv := one.get("INVITE")
			one.answer(inv, 180)
			alice.get("180")
			one.hangup(sip.CloseNormal)
			again := r.anew(one)
			alice.cancel(text)
			alice.get("200")
			alice.get("487")
			c := again.get("CANCEL")
			if c.TopVia().Branch != inv.TopVia().Branch {
				t.Errorf("the CANCEL has branch %q", c.TopVia().Branch)
			}
			if late {
				again.answer(inv, 200)
				again.get("ACK")
				again.answer(again.get("BYE"), 200)
			} else {
				again.answer(c, 200)
				again.answer(inv, 487)
				again.get("ACK")
			}
			two.quiet()
			alice.quiet()
			r.clean()
		})
	}
}

// The connection ends between CANCEL and 487: nobody waits for that, and the hop hears CANCEL again.
func TestConnectionEndsAfterCancel(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.TCP)
		text := alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 180)
		alice.get("180")
		alice.cancel(text)
		alice.get("200")
		one.get("CANCEL")
		again := r.anew(one)
		one.hangup(sip.CloseNormal)
		alice.get("487")
		again.answer(again.get("CANCEL"), 200)
		again.answer(inv, 487)
		again.get("ACK")
		r.clean()
	})
}

// The hop is gone when the caller cancels: 487 at once all the same, nothing stays, and a 2xx over a connection of the
// hop's own is ended over another.
func TestCancelWhenTheHopIsGone(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.TCP)
		said := &lostPeer{}
		r.aors["200"][0].Hops[0].Peer = said
		text := alice.request("INVITE", "sip:200@example.com", "c1")
		inv := one.get("INVITE")
		one.answer(inv, 180)
		alice.get("180")
		one.hangup(sip.CloseNormal)
		r.refusing[one.info.Remote] = true
		alice.cancel(text)
		alice.get("200")
		alice.get("487")
		if got := said.said(); len(got) != 1 || got[0] != "connection refused" {
			t.Errorf("its peer hears %q", got)
		}
		r.refusing[one.info.Remote] = false
		again := r.anew(one)
		again.answer(inv, 200)
		again.get("ACK")
		again.answer(again.get("BYE"), 200)
		pass(time.Minute)
		r.clean()
	})
}

// A request within a dialog is written to a connection that the hop is just closing: it goes once more over a new one, as the
// retransmission that it may be (RFC 3261 §18.4); a second end is the end, at once.
func TestBYEMeetsAClosingConnection(t *testing.T) {
	for _, again := range []string{"answers", "closes", "refuses"} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, two := r.trunk(sip.TCP)
			from, _ := r.call(alice, one, "200", "c1")
			from.send("BYE")
			bye := one.get("BYE")
			next := r.anew(one)
			r.refusing[one.info.Remote] = again == "refuses"
			one.hangup(sip.CloseNormal)
			switch again {
			case "answers":
				b := next.get("BYE")
				if b.TopVia().Branch != bye.TopVia().Branch {
					t.Errorf("another transaction: %q", b.TopVia().Branch)
				}
				next.answer(b, 200)
				alice.get("200")
			case "closes":
				next.get("BYE")
				next.hangup(sip.CloseNormal)
				alice.get("503")
			case "refuses":
				alice.get("503")
			}
			two.quiet()
			alice.quiet()
			pass(time.Minute)
			alice.quiet()
		})
	}
}

// The connection takes nothing any more, but its end is not told yet: the request has not left, and leaves by the next.
func TestBYEIsRefusedByItsConnection(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.TCP)
		from, _ := r.call(alice, one, "200", "c1")
		one.mu.Lock()
		one.closed = true
		one.mu.Unlock()
		next := r.anew(one)
		from.send("BYE")
		pass(time.Second)
		next.answer(next.get("BYE"), 200)
		alice.get("200")
		next.quiet()
		r.flows.Closed(one.flow, sip.CloseNormal)
		settle()
		alice.quiet()
		next.quiet()
	})
}

// The same without a dialog: first the same hop, which may only have been idle, then the next.
func TestMESSAGEMeetsAClosingConnection(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.TCP)
		alice.request("MESSAGE", "sip:200@example.com", "c1")
		one.get("MESSAGE")
		next := r.anew(one)
		one.hangup(sip.CloseNormal)
		next.get("MESSAGE")
		next.hangup(sip.CloseNormal)
		two.answer(two.get("MESSAGE"), 202)
		alice.get("202")
		r.clean()
	})
}

// A WebSocket cannot be dialled: what is for it waits for the client.
func TestBYEForAWebSocketWaits(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		r.aors["bob"] = []Target{bob.target()}
		from, _ := r.call(alice, bob, "bob", "c1")
		from.send("BYE")
		bob.get("BYE")
		bob.hangup(sip.CloseLost)
		alice.quiet()
		if n := r.proxy.Counters.Reopened.Load(); n != 0 {
			t.Errorf("%d connections are opened", n)
		}
		back := bob.back().register()
		back.answer(back.get("BYE"), 200)
		for alice.inbox[0][:11] == "SIP/2.0 100" {
			alice.inbox = alice.inbox[1:]
		}
		alice.get("200")
	})
}

// causeOfEnd is a connection that knows what ended it.
type causeOfEnd struct{ *peer }

func (causeOfEnd) Cause() error { return errors.New("remote error: tls: certificate required") }

// The hop's peer hears what ended the connection, where that is known.
func TestCauseOfALostConnection(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.TCP)
		one.flow = r.flows.Open(causeOfEnd{one})
		one.flow.SetUpstream("pbx")
		said := &lostPeer{}
		r.aors["200"][0].Hops[0].Peer = said
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.get("INVITE")
		one.hangup(sip.CloseLost)
		two.get("INVITE")
		if got := said.said(); len(got) != 1 || got[0] != "transport failed: remote error: tls: certificate required" {
			t.Errorf("its peer hears %q", got)
		}
	})
}
