package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// tagged is d with another To tag.
func (d *dialog) tagged(tag string) *dialog {
	o := *d
	before, _, _ := strings.Cut(o.remote, ";tag=")
	o.remote = before + ";tag=" + tag
	return &o
}

// RFC 3261 §12.2.2: what has a To tag that no side of its call has, is in no dialog: 481 from us, for a server may take
// it as a call of its own. What ends dialogs that we may not know passes.
func TestToTagOfNobody(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		from, to := r.call(alice, one, "200", "c1")
		for _, method := range []string{"INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "PUBLISH", "INFO", "OPTIONS"} {
			d := from.tagged("invented")
			d.cseq = from.cseq
			d.send(method)
			alice.get("481")
			one.quiet()
			from.cseq = d.cseq
		}
		for _, method := range []string{"BYE", "PRACK", "UPDATE", "NOTIFY"} {
			d := from.tagged("invented")
			d.send(method)
			one.answer(one.get(method), 481)
			alice.get("481")
			from.cseq = d.cseq
		}
		from.send("INFO")
		one.answer(one.get("INFO"), 200)
		alice.get("200")
		to.send("INFO")
		alice.answer(alice.get("INFO"), 200)
		one.get("200")
	})
}

// A call that is not known, after a restart or because the table was full, is the parties' own matter; so is one that
// has ended, and another dialog of the same Call-ID.
func TestToTagOfAnUnknownCall(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		first, _ := r.call(alice, one, "200", "c1")
		for c := range r.proxy.calls.calls {
			r.proxy.calls.take(r.proxy.calls.calls[c])
		}
		if n := len(r.proxy.calls.byID); n != 0 {
			t.Errorf("%d Call-IDs are left of no call", n)
		}
		first.tagged("invented").send("INFO")
		one.answer(one.get("INFO"), 481)
		alice.get("481")
	})
}

// RFC 3261 §13.2.2.4: the caller may keep every dialog of a call that two have answered.
func TestToTagOfASecondAnswer(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		bob, carol := r.phone("bob", ""), r.phone("carol", "")
		r.aors["200"] = []Target{bob.target(), carol.target()}
		alice.request("INVITE", "sip:200@example.com", "c1")
		one, two := bob.get("INVITE"), carol.get("INVITE")
		carol.answer(two, 180)
		alice.get("180")
		bob.answer(one, 200)
		alice.uac(alice.get("200")).send("ACK")
		bob.get("ACK")
		carol.get("CANCEL")
		carol.answer(two, 200) // crosses the CANCEL
		second := alice.uac(alice.get("200"))
		second.send("ACK")
		carol.get("ACK")
		second.send("INFO")
		carol.answer(carol.get("INFO"), 200)
		alice.get("200")
	})
}

// The dialogs of one Call-ID come and go in any order.
func TestTwinsOfACallID(t *testing.T) {
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		bubble(t, func(r *rig) {
			p, tags := r.proxy, []string{"a", "b", "c"}
			calls := make([]*call, len(tags))
			for i, tag := range tags {
				c := &call{p: p, key: p.calls.key("c1", "from", tag)}
				c.CallID, c.FromTag, c.ToTag, c.due = "c1", "from", tag, time.Now().Add(time.Hour)
				calls[i] = c
				p.calls.enter(c)
			}
			for n, i := range order {
				if !p.calls.take(calls[i]) {
					t.Fatal("it was not there")
				}
				left := 0
				for c := p.calls.byID[p.calls.hash(p.calls.seeds[0], "c1")]; c != nil; c = c.twin {
					left++
				}
				if left != len(tags)-n-1 || len(p.calls.byID) != min(1, left) {
					t.Errorf("%v: %d left after %d", order, left, n+1)
				}
			}
		})
	}
}
