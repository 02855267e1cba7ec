package proxy

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// fork sets up alice and n tabs of bob, and the INVITE to all of them.
func (r *rig) fork(n int) (alice *peer, tabs []*peer, invites []*sip.Message, text string) {
	r.t.Helper()
	alice = r.phone("alice", "")
	for i := range n {
		p := r.phone("bob", "-"+string(rune('a'+i)))
		tabs = append(tabs, p)
		r.aors["bob"] = append(r.aors["bob"], p.target())
	}
	text = alice.request("INVITE", "sip:bob@example.com", "c1")
	for _, p := range tabs {
		invites = append(invites, p.get("INVITE"))
	}
	return alice, tabs, invites, text
}

// RFC 3261 §16.7 steps 5 and 10, RFC 3326: the first 2xx wins, the others get a CANCEL that says why;
// RFC 5393 §5.3.3: the forks share Max-Breadth.
func TestForkFirst200CancelsTheRest(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(3)
		total := 0
		for i := range inv {
			n, err := r.proxy.maxBreadth(inv[i])
			if err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != 60 {
			t.Errorf("Max-Breadth of the forks adds up to %d, want 60", total)
		}
		tabs[0].answer(inv[0], 180)
		tabs[1].answer(inv[1], 180)
		alice.get("180")
		alice.get("180")
		tabs[1].answer(inv[1], 200)
		alice.get("200")
		c := tabs[0].get("CANCEL")
		if c.Value(sip.Reason) != `SIP;cause=200;text="Call completed elsewhere"` {
			t.Errorf("Reason %q", c.Value(sip.Reason))
		}
		tabs[0].answer(c, 200)
		tabs[0].answer(inv[0], 487)
		tabs[0].get("ACK")
		tabs[2].quiet() // §9.1: no CANCEL before a provisional
		tabs[2].answer(inv[2], 100)
		c = tabs[2].get("CANCEL")
		tabs[2].answer(c, 200)
		tabs[2].answer(inv[2], 487)
		tabs[2].get("ACK")
		alice.quiet()
	})
}

// RFC 3261 §16.7 step 5: a second 2xx, of another fork, is forwarded too, and so are retransmissions.
func TestDouble200IsForwarded(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(2)
		tabs[0].answer(inv[0], 200)
		alice.get("200")
		tabs[1].answer(inv[1], 200)
		second := alice.get("200")
		if second.ToTag() != "tobob-b" {
			t.Errorf("second 200 has To tag %s", second.ToTag())
		}
		tabs[0].answer(inv[0], 200)
		alice.get("200")
		d := alice.uac(second)
		d.send("ACK")
		tabs[1].get("ACK")
		d.send("BYE")
		tabs[1].answer(tabs[1].get("BYE"), 200)
		alice.get("200")
	})
}

// RFC 3261 §16.7 step 5: after a 6xx no further group is tried.
func Test6xxStopsSerialSearch(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, a, b := r.phone("alice", ""), r.phone("bob", "-a"), r.phone("bob", "-b")
		first, second := a.target(), b.target()
		first.Q, second.Q = 1000, 500
		r.aors["bob"] = []Target{first, second}
		alice.request("INVITE", "sip:bob@example.com", "c1")
		a.answer(a.get("INVITE"), 600)
		alice.get("600")
		b.quiet()
		r.clean()
	})
}

// A forked MESSAGE: the first 2xx goes back, no other final does, nothing is cancelled.
func TestForkedMessage(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, a, b := r.phone("alice", ""), r.phone("bob", "-a"), r.phone("bob", "-b")
		r.aors["bob"] = []Target{a.target(), b.target()}
		alice.request("MESSAGE", "sip:bob@example.com", "m1")
		one, two := a.get("MESSAGE"), b.get("MESSAGE")
		a.answer(one, 202)
		alice.get("202")
		b.answer(two, 200)
		alice.quiet()
		b.quiet()
		r.clean()
	})
}

// RFC 3261 §16.7 step 5: 6xx cancels the rest and is forwarded when all have ended.
func TestForked6xx(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(3)
		for i := range tabs[:2] {
			tabs[i].answer(inv[i], 180)
			alice.get("180")
		}
		tabs[0].answer(inv[0], 603)
		tabs[0].get("ACK")
		alice.quiet()
		c := tabs[1].get("CANCEL")
		if got := c.Value(sip.Reason); got != `SIP;cause=603;text="Decline"` { // RFC 3326 §2
			t.Errorf("Reason %q", got)
		}
		tabs[1].answer(c, 200)
		tabs[1].answer(inv[1], 487)
		tabs[1].get("ACK")
		alice.quiet()
		tabs[2].answer(inv[2], 486)
		tabs[2].get("ACK")
		alice.get("603")
	})
}

// A 2xx that crosses the CANCEL after a 6xx is forwarded, and then nothing else.
func TestForked6xxCrosses200(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(2)
		tabs[1].answer(inv[1], 180)
		alice.get("180")
		tabs[0].answer(inv[0], 603)
		tabs[1].get("CANCEL")
		tabs[1].answer(inv[1], 200)
		alice.get("200")
		alice.quiet()
	})
}

// RFC 3261 §16.7 steps 6 and 7.
func TestBestResponseOfForks(t *testing.T) {
	for _, c := range []struct {
		name   string
		codes  []int
		want   string
		header []string
		says   []string
	}{
		{"busy before not found", []int{404, 486}, "486", nil, nil},
		{"busy before unavailable", []int{480, 503, 486}, "486", nil, nil},
		{"what the caller can repair", []int{486, 407, 404}, "407", nil, nil},
		{"lowest class", []int{486, 302, 500}, "302", nil, nil},
		{"503 becomes 500", []int{503, 503}, "500", nil, nil},
		{"a phone's own 503 becomes 500", []int{503}, "500", nil, nil},
		{"own call answered 482 by a tab", []int{482, 480}, "480", nil, nil},
		{"430 is not for endpoints", []int{430}, "480", nil, nil},
		{"challenges are merged", []int{401, 486, 407}, "401",
			[]string{`WWW-Authenticate: Digest realm="a", nonce="1"`, "", `Proxy-Authenticate: Digest realm="b", nonce="2"`},
			[]string{`realm="a"`, `realm="b"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				alice, tabs, inv, _ := r.fork(len(c.codes))
				for i, code := range c.codes {
					alice.quiet()
					var extra []string
					if c.header != nil && c.header[i] != "" {
						extra = []string{c.header[i]}
					}
					tabs[i].answer(inv[i], code, extra...)
					tabs[i].get("ACK")
				}
				m := alice.get(c.want)
				for _, s := range c.says {
					if !strings.Contains(m.String(), s) {
						t.Errorf("lacks %s:\n%s", s, m)
					}
				}
			})
		})
	}
}

// RFC 3261 §16.6: groups of equal q one after another, highest first.
func TestSerialForkByQ(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		var tabs []*peer
		for i, q := range []int{100, 900, 900} {
			p := r.phone("bob", "-"+string(rune('a'+i)))
			tgt := p.target()
			tgt.Q = q
			tabs = append(tabs, p)
			r.aors["bob"] = append(r.aors["bob"], tgt)
		}
		alice.request("INVITE", "sip:bob@example.com", "c1")
		tabs[0].quiet()
		one, two := tabs[1].get("INVITE"), tabs[2].get("INVITE")
		tabs[1].answer(one, 486)
		tabs[0].quiet()
		tabs[2].answer(two, 404)
		three := tabs[0].get("INVITE")
		if n, _ := r.proxy.maxBreadth(three); n != 60 {
			t.Errorf("Max-Breadth %d of the second group, want 60: the first has ended", n)
		}
		tabs[0].answer(three, 480)
		alice.get("486")
	})
}

// RFC 5393 §5.3.3.1: with too little breadth for a parallel fork the targets are tried in turn.
func TestSerialForkWithinMaxBreadth(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		var tabs []*peer
		for _, i := range []string{"-a", "-b", "-c"} {
			p := r.phone("bob", i)
			r.aors["bob"] = append(r.aors["bob"], p.target())
			tabs = append(tabs, p)
		}
		for breadth, batches := range map[string][][]int{"1": {{0}, {1}, {2}}, "2": {{0, 1}, {2}}} {
			alice.request("INVITE", "sip:bob@example.com", "c"+breadth, "Max-Breadth: "+breadth)
			for _, batch := range batches {
				var inv []*sip.Message
				total := 0
				for _, i := range batch {
					m := tabs[i].get("INVITE")
					n, _ := r.proxy.maxBreadth(m)
					total, inv = total+n, append(inv, m)
				}
				if want := breadth; strconv.Itoa(total) != want {
					t.Errorf("branches share a Max-Breadth of %d, want %s", total, want)
				}
				for _, p := range tabs {
					p.quiet()
				}
				for k, i := range batch {
					tabs[i].answer(inv[k], 486)
					tabs[i].get("ACK")
				}
			}
			alice.get("486")
		}
		alice.request("INVITE", "sip:bob@example.com", "c0", "Max-Breadth: 0")
		alice.get("440")
	})
}

// RFC 5626 §5.3: 430 moves to the instance's next flow; a flow that is dead is skipped.
func TestInstanceNextFlow(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, two, three := r.phone("bob", "-1"), r.phone("bob", "-2"), r.phone("bob", "-3")
		who := r.keys.NameOf("bob@example.com", "urn:uuid:1", 0, "")
		for _, p := range []*peer{one, two, three} {
			tgt := p.target()
			tgt.Instance = who
			r.aors["bob"] = append(r.aors["bob"], tgt)
		}
		one.hangup(sip.CloseLost)
		alice.request("INVITE", "sip:bob@example.com", "c1")
		inv := two.get("INVITE")
		three.quiet()
		two.answer(inv, 430)
		two.get("ACK")
		alice.quiet()
		inv = three.get("INVITE")
		three.answer(inv, 486)
		alice.get("486")
	})
}

// clients answer 482 to a second branch: at most one per WebSocket flow.
func TestOneBranchPerWebSocketFlow(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, bob := r.phone("alice", ""), r.phone("bob", "")
		a, b := bob.target(), bob.target()
		a.Instance, b.Instance = r.keys.NameOf("1", "", 0, ""), r.keys.NameOf("2", "", 0, "")
		r.aors["bob"] = []Target{a, b}
		alice.request("INVITE", "sip:bob@example.com", "c1")
		inv := bob.get("INVITE")
		bob.quiet()
		bob.answer(inv, 486)
		alice.get("486")
	})
}

// RFC 3261 §16.8: Timer C cancels a branch that rings without a sign of life; 101–199 arm it again.
func TestTimerC(t *testing.T) {
	bubble(t, func(r *rig) {
		r.proxy.Times.Ring = time.Hour
		alice, tabs, inv, _ := r.fork(1)
		bob := tabs[0]
		bob.answer(inv[0], 180)
		alice.get("180")
		pass(180 * time.Second)
		bob.quiet()
		bob.answer(inv[0], 180)
		alice.get("180")
		pass(180 * time.Second)
		bob.quiet()
		pass(6 * time.Second)
		c := bob.get("CANCEL")
		bob.answer(c, 200)
		alice.quiet()
		bob.answer(inv[0], 487)
		alice.get("408")
		if r.proxy.Counters.TimerC.Load() != 1 {
			t.Error("Timer C was not counted")
		}
	})
}

// Timer C runs from the start, for a hop that says 100 and nothing more; the next hop is not tried then.
func TestTimerCWithoutRinging(t *testing.T) {
	bubble(t, func(r *rig) {
		r.proxy.Times.Ring = time.Hour
		alice := r.phone("alice", "")
		one, two := r.trunk(sip.UDP)
		alice.request("INVITE", "sip:200@example.com", "c1")
		one.answer(one.get("INVITE"), 100)
		pass(184 * time.Second)
		one.quiet()
		pass(1100 * time.Millisecond)
		one.get("CANCEL")
		pass(33 * time.Second)
		alice.get("100")
		alice.get("408")
		two.quiet()
		r.clean()
	})
}

// ring_timeout: CANCEL, then 480 for a phone that rang; also when the phone never answers the CANCEL.
func TestRingTimeout(t *testing.T) {
	for _, answers := range []bool{true, false} {
		bubble(t, func(r *rig) {
			alice, tabs, inv, _ := r.fork(1)
			tabs[0].answer(inv[0], 180)
			alice.get("180")
			pass(119 * time.Second)
			tabs[0].quiet()
			pass(2 * time.Second)
			c := tabs[0].get("CANCEL")
			if answers {
				tabs[0].answer(c, 200)
				tabs[0].answer(inv[0], 487)
			} else {
				alice.quiet()
				pass(33 * time.Second)
			}
			alice.get("480")
		})
	}
}
