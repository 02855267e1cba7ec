package proxy

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
)

// TestStorm lets many peers do at random what they may do at the same time: fork, ring,
// answer, refuse, cancel, hang up, die, come back. Whatever happens, when all is over
// nothing is held, no caller has got two final responses but 2xx, and no call is left.
func TestStorm(t *testing.T) {
	bubble(t, func(r *rig) {
		const users, rounds = 12, 25
		s := &storm{r: r, stop: make(chan struct{}), finals: map[string][]int{}, seen: map[string]bool{}}
		one, two := r.trunk(sip.UDP)
		for _, p := range []*peer{one, two} {
			s.live(p)
		}
		for u := range users {
			name := "user" + string(rune('a'+u))
			for tab := range 1 + u%3 {
				p := r.phone(name, "-"+string(rune('0'+tab)))
				r.mu.Lock() // the first peers call already
				r.aors[name] = append(r.aors[name], p.target())
				r.mu.Unlock()
				s.live(p)
			}
		}
		time.Sleep(rounds * 10 * time.Second)
		close(s.stop)
		s.peers.Wait()
		time.Sleep(10 * time.Minute) // every timer has run out
		synctest.Wait()
		if n := r.proxy.Counters.Contexts.Load(); n != 0 {
			t.Errorf("%d response contexts open", n)
		}
		if l := &r.proxy.waiting; l.n != 0 {
			t.Errorf("%d still wait", l.n)
		}
		answered := 0
		for call, codes := range s.finals {
			for i, c := range codes {
				if c < 300 {
					answered++
				}
				if i > 0 && (c >= 300 || codes[i-1] >= 300) {
					t.Errorf("%s got finals %v", call, codes)
				}
			}
		}
		if len(s.finals) < 100 || answered < 10 {
			t.Errorf("%d calls, %d answered: the storm did not blow", len(s.finals), answered)
		}
		for _, d := range Drops() {
			t.Logf("%s %d", d, r.proxy.Counters.Dropped(d))
		}
		c := &r.proxy.Counters
		t.Logf("%d calls, %d answered; forwarded %d, responses %d, cancels %d, failovers %d, moved %d, held %d, released %d, ghosts %d, byes %d",
			len(s.finals), answered, c.Forwarded.Load(), c.Responses.Load(), c.Cancels.Load(), c.Failovers.Load(), c.Moved.Load(),
			c.Held.Load(), c.Released.Load(), c.GhostAnswers.Load(), c.DeadPeerByes.Load())
	})
}

type storm struct {
	r     *rig
	stop  chan struct{}
	peers sync.WaitGroup

	mu     sync.Mutex
	calls  int
	finals map[string][]int // by Call-ID and caller; what is sent again counts once
	seen   map[string]bool
}

// live runs a peer on its own goroutine until the storm is over.
func (s *storm) live(p *peer) {
	s.peers.Go(func() {
		for {
			select {
			case <-s.stop:
				return
			case <-time.After(time.Duration(rand.IntN(200)) * time.Millisecond):
			}
			p = s.step(p)
		}
	})
}

func (s *storm) step(p *peer) *peer {
	p.mu.Lock()
	inbox := p.inbox
	p.inbox = nil
	p.mu.Unlock()
	for _, text := range inbox {
		if m, err := sip.Parse(text, sip.Frame); err == nil {
			s.take(p, m)
		}
	}
	switch n := rand.IntN(400); {
	case n < 4:
		s.invite(p)
	case n < 5 && p.info.Transport.WebSocket():
		p.hangup([]sip.CloseReason{sip.CloseGoingAway, sip.CloseLost, sip.CloseNormal}[rand.IntN(3)])
		time.Sleep(time.Duration(rand.IntN(8)) * time.Second)
		return p.back().register()
	}
	return p
}

func (s *storm) deliver(p *peer, text string) {
	framing := sip.Frame
	if p.info.Transport == sip.UDP {
		framing = sip.Datagram
	}
	if m, err := sip.Parse(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n"), framing); err == nil {
		s.r.table.Receive(m, p.current())
	} else {
		s.r.t.Errorf("%v\n%s", err, text)
	}
}

func (s *storm) invite(p *peer) {
	s.mu.Lock()
	s.calls++
	id := "storm" + string(rune('A'+s.calls%26)) + strings.Repeat("x", s.calls/26%40) + string(rune('a'+s.calls/1040%26))
	s.mu.Unlock()
	to := "200"
	if n := rand.IntN(14); n < 12 {
		to = "user" + string(rune('a'+n))
	}
	text := strings.Replace(inviteText(p, id), "sip:bob@", "sip:"+to+"@", 1)
	s.deliver(p, text)
	if rand.IntN(3) == 0 {
		time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
		s.deliver(p, strings.ReplaceAll(text, "INVITE", "CANCEL"))
	}
}

// take is what a peer does with a message.
func (s *storm) take(p *peer, m *sip.Message) {
	if !m.IsRequest() {
		if m.Method() != "INVITE" || m.Status() < 200 {
			return
		}
		s.mu.Lock()
		id := m.CallID() + "/" + p.name
		if !s.seen[p.name+m.String()] {
			s.seen[p.name+m.String()] = true
			s.finals[id] = append(s.finals[id], m.Status())
		}
		s.mu.Unlock()
		if m.Status() < 300 {
			s.confirm(p, m)
		}
		return
	}
	reply := func(status int) {
		r := sip.Reply{Status: status, ToTag: "to" + p.name}
		if m.Method() == "INVITE" && status < 300 {
			for v := range m.Values(sip.RecordRoute) {
				r.Headers = append(r.Headers, "Record-Route: "+v)
			}
			r.Headers = append(r.Headers, "Contact: <"+contactURI(p)+">")
		}
		s.deliver(p, string(m.AppendReply(nil, &r)))
	}
	switch m.Method() {
	case "ACK":
	case "CANCEL":
		reply(200)
		inv := strings.ReplaceAll(m.String(), "CANCEL", "INVITE")
		if i, err := sip.Parse(inv, sip.Frame); err == nil && rand.IntN(4) > 0 {
			r := sip.Reply{Status: 487, ToTag: "to" + p.name}
			s.deliver(p, string(i.AppendReply(nil, &r)))
		}
	case "INVITE":
		if rand.IntN(8) == 0 {
			return // silence
		}
		reply(180)
		time.Sleep(time.Duration(rand.IntN(3000)) * time.Millisecond)
		if status := []int{0, 200, 200, 486, 603, 404, 503, 430, 407}[rand.IntN(9)]; status > 0 {
			reply(status)
		}
	default:
		reply(200)
	}
}

// confirm sends the ACK and perhaps, later, the BYE.
func (s *storm) confirm(p *peer, ok *sip.Message) {
	d := p.uac(ok)
	request := func(method string) {
		text := method + " " + d.target + " SIP/2.0\nVia: SIP/2.0/UDP a.invalid;branch=z9hG4bK" + method + ok.CallID() + ok.ToTag() + "\nMax-Forwards: 70\n"
		for _, v := range d.routes {
			text += "Route: " + v + "\n"
		}
		cseq := "1"
		if method == "BYE" {
			cseq = "2"
		}
		s.deliver(p, text+"From: "+d.local+"\nTo: "+d.remote+"\nCall-ID: "+d.callID+"\nCSeq: "+cseq+" "+method+"\nContent-Length: 0\n\n")
	}
	request("ACK")
	if rand.IntN(4) > 0 {
		request("BYE")
	}
}
