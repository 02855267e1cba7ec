package proxy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// Servers of the upstream, or of nobody, that connect to us over TCP from a port of the kernel's.
const listens = "203.0.113.1:5060" // where they would, by Via and Contact

func (r *rig) ephemeral(port int, upstream string) *peer {
	p := r.connect("pbx", sip.TCP, fmt.Sprintf("203.0.113.1:%d", port))
	p.flow.SetUpstream(upstream)
	return p
}

// calls sends an INVITE whose Via and Contact name sentBy and contact.
func (p *peer) calls(callID, sentBy, contact string) {
	p.write("INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/TCP " + sentBy + ";branch=z9hG4bK" + callID + "\nMax-Forwards: 70\n" +
		"From: <sip:200@example.com>;tag=pbx\nTo: <sip:bob@example.com>\nCall-ID: " + callID + "\nCSeq: 1 INVITE\nContact: <sip:200@" + contact +
		";transport=tcp>\nContent-Length: 0\n\n")
}

func (r *rig) answered(caller, bob *peer, callID, sentBy, contact string) (from, to *dialog) {
	caller.calls(callID, sentBy, contact)
	inv := bob.get("INVITE")
	bob.answer(inv, 200)
	from, to = caller.uac(caller.get("200")), bob.uas(inv)
	from.send("ACK")
	bob.get("ACK")
	return from, to
}

// The PBX does not listen at its Contact: requests in the dialog take the connection that it opened, which the
// token names (RFC 5626 §5.3), whatever its Via says.
func TestInDialogOverTheConnectionThatThePBXOpened(t *testing.T) {
	for _, sentBy := range []string{listens, "203.0.113.1", "pbx.invalid:5080"} {
		bubble(t, func(r *rig) {
			bob, pbx := r.phone("bob", ""), r.ephemeral(40001, "pbx")
			r.aors["bob"] = []Target{bob.target()}
			_, to := r.answered(pbx, bob, "c1", sentBy, listens)
			for _, method := range []string{"INFO", "INVITE", "BYE"} {
				to.send(method)
				pbx.answer(pbx.get(method), 200)
				bob.get("200")
				if method == "INVITE" {
					to.send("ACK")
					pbx.get("ACK")
				}
			}
			r.clean()
		})
	}
}

// It has connected anew since, from another port: its Via says that it is the same (RFC 5923 §5).
func TestInDialogOverALaterConnection(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, pbx := r.phone("bob", ""), r.ephemeral(40001, "pbx")
		r.aors["bob"] = []Target{bob.target()}
		_, to := r.answered(pbx, bob, "c1", listens, listens)
		pbx.hangup(sip.CloseLost)
		to.send("INFO")
		bob.get("503") // nobody is there
		later, other := r.ephemeral(40002, "pbx"), r.ephemeral(40003, "pbx")
		r.answered(later, bob, "c2", listens, listens)
		r.answered(other, bob, "c3", "203.0.113.1:5070", "203.0.113.1:5070") // another server of that host
		to.send("INFO")
		later.answer(later.get("INFO"), 200)
		bob.get("200")
		other.quiet()
		later.hangup(sip.CloseLost)
		other.hangup(sip.CloseLost)
		if h := &r.proxy.homes; len(h.of) != 0 || len(h.at) != 0 {
			t.Errorf("%d connections are remembered after their end", len(h.of))
		}
	})
}

// The Contact is another server, which has connected too: the connection of whoever sent the INVITE is not its.
func TestInDialogToAnotherServerOfTheHost(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, pbx, other := r.phone("bob", ""), r.ephemeral(40001, "pbx"), r.ephemeral(40002, "pbx")
		r.aors["bob"] = []Target{bob.target()}
		r.answered(other, bob, "c0", "203.0.113.1:5080", "203.0.113.1:5080")
		_, to := r.answered(pbx, bob, "c1", listens, "203.0.113.1:5080")
		to.send("INFO")
		other.answer(other.get("INFO"), 200)
		bob.get("200")
		pbx.quiet()
	})
}

// The survivor of a dead peer does not listen either: our BYE takes its connection.
func TestByeOverTheConnectionThatThePBXOpened(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, pbx := r.phone("bob", ""), r.ephemeral(40001, "pbx")
		r.aors["bob"] = []Target{bob.target()}
		r.answered(pbx, bob, "c1", listens, listens)
		bob.hangup(sip.CloseGoingAway)
		pass(61 * time.Second)
		pbx.answer(pbx.get("BYE"), 200)
		r.clean()
	})
}

// RFC 3261 §18.2.2: the connection that the request came over is closed: its response, a final one or not, goes over
// a new one to where the request came from, at the port of sent-by. Nobody but an upstream makes us connect.
func TestResponseOverANewConnection(t *testing.T) {
	for _, c := range []struct {
		name, upstream, sentBy, at string
		statuses                   []int
	}{
		{"2xx", "pbx", listens, listens, []int{200}},
		{"refusal", "pbx", listens, listens, []int{486}},
		{"default port", "pbx", "pbx.invalid", listens, []int{486}},
		{"another port", "pbx", "198.51.100.99:5090", "203.0.113.1:5090", []int{180, 183, 200}},
		{"ours", "pbx", listens, listens, []int{480}},
		{"a stranger's", "", listens, "", []int{180, 200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(r *rig) {
				bob, pbx, home := r.phone("bob", ""), r.ephemeral(40001, c.upstream), &peer{}
				if home = r.pbx(sip.TCP, listens); c.at != "" {
					home = r.pbx(sip.TCP, c.at)
				}
				r.aors["bob"] = []Target{bob.target()}
				pbx.calls("c1", c.sentBy, listens)
				inv := bob.get("INVITE")
				pbx.hangup(sip.CloseLost)
				if c.name == "ours" {
					bob.hangup(sip.CloseGoingAway)
					home.get("480")
					return
				}
				for _, status := range c.statuses {
					bob.answer(inv, status)
					if c.at == "" {
						continue
					}
					if m := home.get(fmt.Sprint(status)); m.ViaCount() != 1 || m.TopVia().Branch != "z9hG4bKc1" {
						t.Errorf("the response is not the caller's:\n%s", m)
					}
				}
				home.quiet()
				if c.at != "" && r.proxy.Counters.Reopened.Load() != 1 {
					t.Errorf("%d connections opened, want 1", r.proxy.Counters.Reopened.Load())
				}
			})
		})
	}
}

// Nobody listens there either: counted. A response on its way while the connection is being made goes
// behind nothing that came later.
func TestResponseThatCannotReturn(t *testing.T) {
	bubble(t, func(r *rig) {
		bob, pbx := r.phone("bob", ""), r.ephemeral(40001, "pbx")
		r.aors["bob"] = []Target{bob.target()}
		pbx.calls("c1", listens, listens)
		inv := bob.get("INVITE")
		pbx.hangup(sip.CloseLost)
		bob.answer(inv, 180)
		if n := r.proxy.Counters.Dropped(DropReturn); n != 1 {
			t.Errorf("%d counted, want 1", n)
		}
		home := r.pbx(sip.TCP, listens)
		at := netip.MustParseAddrPort(listens)
		r.slow[at] = []func(){}
		bob.answer(inv, 183)
		bob.answer(inv, 200)
		home.quiet()
		for _, connected := range r.slow[at] {
			connected()
		}
		if m := home.get("200"); !strings.Contains(m.String(), "Contact: ") {
			t.Errorf("at the PBX:\n%s", m)
		}
		home.quiet()
	})
}
