package proxy

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

var callerVia = regexp.MustCompile(`Via: SIP/2\.0/WS[^\r]*\r\n`)

// forget answers without the caller's Via, as SIPp and some PBXs do to an INVITE
// that was cancelled.
func (p *peer) forget(req *sip.Message, status int) {
	r := sip.Reply{Status: status, ToTag: "to" + p.tag(), Headers: []string{"Contact: <sip:200@203.0.113.1>"}}
	p.write(callerVia.ReplaceAllString(string(req.AppendReply(nil, &r)), ""))
}

// RFC 3261 §16.7 step 3: a response without another Via is not forwarded. The caller
// hears a status all the same, made by us.
func TestResponseWithoutTheCallersVia(t *testing.T) {
	for _, c := range []struct {
		status int
		want   string
	}{{486, "486"}, {603, "603"}, {401, "401"}, {200, "502"}} {
		bubble(t, func(r *rig) {
			alice := r.phone("alice", "")
			one, _ := r.trunk(sip.UDP)
			alice.request("INVITE", "sip:200@example.com", "c1")
			inv := one.get("INVITE")
			one.forget(inv, 180)
			one.forget(inv, c.status)
			for alice.inbox[0][:11] == "SIP/2.0 100" {
				alice.inbox = alice.inbox[1:]
			}
			if m := alice.get(c.want); m.ViaCount() != 1 {
				t.Errorf("%d Via at the caller's", m.ViaCount())
			}
			one.get("ACK")
			if c.status == 200 { // the callee must not believe to be in a call
				one.answer(one.get("BYE"), 200)
			}
			if n := r.proxy.Counters.Dropped(DropNoVia); n != 2 {
				t.Errorf("%d counted, want 2", n)
			}
		})
	}
}

// The 487 of a cancelled call ends it even so.
func TestCancelledWithoutTheCallersVia(t *testing.T) {
	bubble(t, func(r *rig) {
		alice := r.phone("alice", "")
		one, _ := r.trunk(sip.UDP)
		inv := alice.request("INVITE", "sip:200@example.com", "c1")
		got := one.get("INVITE")
		one.answer(got, 180)
		alice.get("180")
		alice.cancel(inv)
		alice.get("200")
		one.answer(one.get("CANCEL"), 200)
		one.forget(got, 487)
		alice.get("487")
		one.get("ACK")
	})
}

// RFC 3261 §16.7 step 3, §8.2.6.2: below our Via a response has those of the request. What a callee adds,
// leaves out or changes does not reach the caller, who would drop it (§8.1.3.3); another spelling of the same does.
func TestResponseWithOtherVias(t *testing.T) {
	const top, low = "SIP/2.0/WS alice.invalid;branch=z9hG4bKalicec11;received=198.51.100.1;rport=10001", "SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKlow"
	for _, c := range []struct {
		name   string
		below  []string
		mended bool
	}{
		{"as they were", []string{top, low}, false},
		{"on one line", []string{top + "," + low}, false},
		{"in another order of parameters", []string{"SIP/2.0/WS ALICE.invalid;rport=10001;received=198.51.100.1;branch=z9hG4bKalicec11", low}, false},
		{"one more at the end", []string{top, low, "SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx"}, true},
		{"one more between", []string{"SIP/2.0/UDP 203.0.113.66;branch=z9hG4bKx", top, low}, true},
		{"one less", []string{top}, true},
		{"another branch", []string{strings.Replace(top, "alicec", "bobc", 1), low}, true},
		{"another sent-by", []string{top, strings.Replace(low, "77", "78", 1)}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				alice, bob := r.phone("alice", ""), r.phone("bob", "")
				r.aors["bob"] = []Target{bob.target()}
				alice.request("INVITE", "sip:bob@example.com", "c1", "Via: "+low)
				inv := bob.get("INVITE")
				ours := values(inv, sip.Via)[0]
				for _, status := range []int{180, 200, 200} { // the second 200 comes when the request is gone
					rep := sip.Reply{Status: status, ToTag: "b", Headers: []string{"Contact: <sip:b@phone.invalid>"}}
					text := allVias.ReplaceAllString(string(inv.AppendReply(nil, &rep)), "")
					at := strings.Index(text, "\r\n") + 2
					bob.write(text[:at] + "Via: " + ours + "\r\nVia: " + strings.Join(c.below, "\r\nVia: ") + "\r\n" + text[at:])
					got := alice.get(strconv.Itoa(status))
					want := c.below
					if c.mended {
						want = []string{top + ", " + low}
					}
					if have := allVias.FindAllString(got.String(), -1); strings.Join(have, "") != "Via: "+strings.Join(want, "\r\nVia: ")+"\r\n" {
						t.Errorf("%d came with\n%q, want\n%q", status, have, want)
					}
				}
				if n := r.proxy.Counters.ViasMended.Load(); (n == 3) != c.mended {
					t.Errorf("%d counted", n)
				}
			})
		})
	}
}

var allVias = regexp.MustCompile(`Via: [^\r]*\r\n`)

// The request is gone and no response of its call had wrong Vias before: it is dropped and counted.
func TestLate200WithOtherVias(t *testing.T) {
	bubble(t, func(r *rig) {
		alice, tabs, inv, _ := r.fork(2)
		tabs[0].answer(inv[0], 200)
		alice.get("200")
		rep := sip.Reply{Status: 200, ToTag: "x"}
		tabs[1].write(strings.Replace(string(inv[1].AppendReply(nil, &rep)), "From:", "Via: SIP/2.0/UDP 192.0.2.99;branch=z9hG4bKx\r\nFrom:", 1))
		alice.quiet()
		if n := r.proxy.Counters.Dropped(DropForeignVia); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
	})
}
