package transaction_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

// Many goroutines do everything at once: flows die and move, requests come twice, CANCELs cross answers.
// Every transaction ends, each user is told so once, and nothing is left in the table or the wheel.
func TestStorm(t *testing.T) {
	for seed := range uint64(4) {
		inBubble(t, func(r *rig) {
			s := &storm{rig: r}
			r.onRequest = s.serve
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() { s.client(rand.New(rand.NewPCG(seed, uint64(i))), i) })
			}
			wg.Wait()
			r.wait(3 * time.Minute)
			if n := r.Residue(); n != 0 {
				t.Errorf("seed %d: %d entries left in the table: %+v", seed, n, r.Stats().Live)
			}
			if n := r.Wheel().Armed(); n != 0 {
				t.Errorf("seed %d: %d timers left", seed, n)
			}
			if got, want := s.ended, s.served; got != want {
				t.Errorf("seed %d: Ended told %d times for %d transactions", seed, got, want)
			}
		})
	}
}

type storm struct {
	*rig
	mu            sync.Mutex
	served, ended int
	clients       uint64
}

// serve answers at random: at once, later from the wheel, or by its end.
func (s *storm) serve(tx *transaction.Server) {
	s.mu.Lock()
	s.served++
	s.mu.Unlock()
	tx.SetUser(s)
	answer := func(status int) {
		tx.Reply(&sip.Reply{Status: status})
		tx.Forward(status, []byte("SIP/2.0 200 late"))
	}
	switch rand.IntN(4) {
	case 0:
		answer(200)
	case 1:
		answer(486)
	default:
		tx.Reply(&sip.Reply{Status: 180})
		s.Wheel().After(new(transaction.Timer), time.Duration(rand.IntN(40))*time.Second, transaction.AlarmFunc(func() { answer(480) }))
	}
}

func (s *storm) Cancelled(tx *transaction.Server, _ *sip.Message) { tx.Reply(&sip.Reply{Status: 487}) }

func (s *storm) Ended(*transaction.Server, error) {
	s.mu.Lock()
	s.ended++
	s.mu.Unlock()
}

func (s *storm) Response(tx *transaction.Client, m *sip.Message) {
	if m.Status() < 200 { // timer C, as a proxy has it
		s.Wheel().After(new(transaction.Timer), time.Duration(rand.IntN(20))*time.Second, transaction.AlarmFunc(func() { tx.Cancel() }))
	}
}

func (s *storm) Failed(*transaction.Client, error) {}

var stormTransports = []sip.Transport{sip.WS, sip.UDP, sip.TCP, sip.WS}

func (s *storm) client(rng *rand.Rand, i int) {
	c := s.net.Connect(stormTransports[i%4], s.net.NextAddr(5060))
	for n := range 60 {
		branch := fmt.Sprintf("z9hG4bK-%d-%d", i, n/2)
		switch method := []string{"INVITE", "MESSAGE"}[n/2%2]; rng.IntN(8) {
		case 0, 1, 2:
			c.Write(request(method, branch))
		case 3:
			c.Write(request("CANCEL", branch))
		case 4:
			c.Write(request("ACK", branch))
		case 5:
			s.ask(rng, c, method)
		case 6:
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
		case 7:
			c = s.again(rng, c)
		}
	}
}

// ask sends a request to c and has it answered in no good order.
func (s *storm) ask(rng *rand.Rand, c *siptest.Conn, method string) {
	s.mu.Lock()
	s.clients++
	id := s.clients
	s.mu.Unlock()
	tx := s.Client(id, method, c.Flow(), s)
	m, _ := sip.Parse(request(method, branch1), sip.Datagram)
	out := m.Splice()
	out.PushVia("SIP/2.0/UDP 192.0.2.1;branch=" + string(transaction.AppendBranch(nil, id, 7)))
	tx.Start(&out)
	for range rng.IntN(4) {
		c.Write(response([]int{100, 180, 200, 486}[rng.IntN(4)], method, id))
	}
}

// again loses the connection: its agent comes back, or does not.
func (s *storm) again(rng *rand.Rand, c *siptest.Conn) *siptest.Conn {
	info := c.Info()
	if info.Transport == sip.UDP {
		return c
	}
	c.Hangup(sip.CloseLost)
	next := s.net.Connect(info.Transport, s.net.NextAddr(5060))
	if rng.IntN(2) == 0 {
		s.FailFlow(c.Flow())
		return next
	}
	name := flow.Name{byte(c.Flow().ID), byte(c.Flow().ID >> 8), 2}
	s.flows.Bind(c.Flow(), name)
	s.flows.Bind(next.Flow(), name)
	s.FlowMoved(c.Flow(), next.Flow())
	return next
}
