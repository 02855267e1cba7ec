package trunk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip/transaction"
)

// oracle is a Prober whose addresses answer as the test says.
type oracle struct {
	start time.Time

	mu     sync.Mutex
	says   says
	probes []string // "seconds address"
}

// says is what happens to a probe, by address; none: silence.
type says map[string]func(done func(int, error))

func (o *oracle) Probe(t Target, _ time.Duration, done func(int, error)) {
	o.mu.Lock()
	o.probes = append(o.probes, fmt.Sprintf("%g %s", time.Since(o.start).Seconds(), t.Addr.Addr()))
	say := o.says[t.Addr.Addr().String()]
	o.mu.Unlock()
	if say != nil {
		say(done)
	}
}

func (o *oracle) say(addr string, f func(done func(int, error))) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.says[addr] = f
}

func status(code int) func(func(int, error)) { return func(done func(int, error)) { done(code, nil) } }

func (o *oracle) sent() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	sent := o.probes
	o.probes = nil
	return sent
}

// rig runs a Set whose first probes go at once, in a bubble; say is what the addresses answer.
func rig(t *testing.T, say says, groups ...Group) (s *Set, o *oracle, log func() string) {
	o = &oracle{start: time.Now(), says: say}
	var mu sync.Mutex
	var lines []string
	s = NewSet(Config{Groups: groups, Prober: o, Phase: func(time.Duration) time.Duration { return 0 }, Changed: func(tr Transition) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, fmt.Sprintf("%g %s %s %v→%v (%s)", time.Since(o.start).Seconds(), tr.Upstream, tr.Hop, tr.From, tr.To, tr.Cause))
	}})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = s.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return s, o, func() string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		text := strings.Join(lines, "\n")
		lines = nil
		return text
	}
}

func same(t *testing.T, what, got string, want ...string) {
	t.Helper()
	if all := strings.Join(want, "\n"); got != all {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, all)
	}
}

// Every 10 s while it is up, every 5 s while it is not; 3 misses are down, 2 answers up.
func TestProbeSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, o, log := rig(t, says{"10.0.0.1": status(200)}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1")}})
		time.Sleep(24 * time.Second)
		same(t, "probes of one that is up", strings.Join(o.sent(), ", "), "0 10.0.0.1, 10 10.0.0.1, 20 10.0.0.1")
		same(t, "log", log(), "0 pbx 10.0.0.1:5060 unknown→up (answers probes)")

		o.say("10.0.0.1", nil)
		time.Sleep(40 * time.Second) // 64
		same(t, "log", log(), "52 pbx 10.0.0.1:5060 up→down (3 probes without an answer: no answer in 2s)")
		same(t, "probes of one that goes", strings.Join(o.sent(), ", "), "30 10.0.0.1, 40 10.0.0.1, 50 10.0.0.1, 55 10.0.0.1, 60 10.0.0.1")

		o.say("10.0.0.1", status(404)) // any answer but 408 and 503: it is alive
		time.Sleep(20 * time.Second)   // 84
		same(t, "log", log(), "70 pbx 10.0.0.1:5060 down→up (2 probes answered)")
		same(t, "probes of one that comes back", strings.Join(o.sent(), ", "), "65 10.0.0.1, 70 10.0.0.1, 80 10.0.0.1")
	})
}

// What counts as a miss: 408, 503, an error, and an answer after 2 s, which is not
// the answer to the next one either.
func TestProbeMisses(t *testing.T) {
	for name, say := range map[string]func(func(int, error)){
		"408":   status(408),
		"503":   status(503),
		"error": func(done func(int, error)) { done(0, errors.New("connection refused")) },
		"late":  func(done func(int, error)) { time.AfterFunc(2100*time.Millisecond, func() { done(200, nil) }) },
		"after the next": func(done func(int, error)) {
			time.AfterFunc(5100*time.Millisecond, func() { done(200, nil) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _, _ := rig(t, says{"10.0.0.1": say}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1")}})
				time.Sleep(13 * time.Second) // probes at 0, 5 and 10: of an unknown one
				synctest.Wait()
				if st := s.State()[0]; st.State != Down || st.LastError == "" {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestProbesOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o, log := rig(t, nil, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1")}, Health: HealthConfig{Off: true}})
		s.State()[0].find(s).Lost(errRefused, true)
		time.Sleep(time.Minute)
		same(t, "log", log(), "0 pbx 10.0.0.1:5060 unknown→down (connection refused)", "10 pbx 10.0.0.1:5060 down→unknown (left alone for long enough)")
		if got := o.sent(); len(got) != 0 {
			t.Errorf("probed: %v", got)
		}
	})
}

func (st *Status) find(s *Set) *Peer { return s.Find(st.Upstream, st.Addr, st.Transport).Peer }

// A call that fails has the address probed at once: a lost packet is forgiven before
// the next call, a dead one is found before the next caller waits for it.
func TestDoubtIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o, log := rig(t, says{"10.0.0.1": status(200), "10.0.0.2": status(200)},
			Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1"), hop(t, "sip:10.0.0.2")}})
		time.Sleep(time.Second)
		log()
		o.sent()
		s.State()[0].find(s).Lost(transaction.ErrTimeout, true)
		synctest.Wait()
		same(t, "probes", strings.Join(o.sent(), ", "), "1 10.0.0.1")
		same(t, "log", log())
		o.say("10.0.0.1", nil)
		s.State()[0].find(s).Lost(transaction.ErrTimeout, true)
		time.Sleep(2 * time.Second)
		same(t, "log", log(), "3 pbx 10.0.0.1:5060 up→down (a call failed and a probe has no answer: no answer in 2s)")
	})
}

// What may be for the request alone is a doubt: the address is probed at once, and then once a second at most; nothing
// but probes takes it out (RFC 3261 §8.1.3.1 makes silence a 408, and says nothing of the server).
func TestDoubtCountsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, o, log := rig(t, says{"10.0.0.1": status(200)}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1")}})
		time.Sleep(2500 * time.Millisecond)
		log()
		o.sent()
		p := s.State()[0].find(s)
		for range 5 {
			for range 100 {
				p.Lost(transaction.ErrTimeout, false)
				p.Lost(transaction.ErrTransport, false)
				p.Lost(errors.New("503"), false)
			}
			time.Sleep(500 * time.Millisecond)
		}
		same(t, "probes", strings.Join(o.sent(), ", "), "2.5 10.0.0.1, 3.5 10.0.0.1, 4.5 10.0.0.1")
		same(t, "log", log())
		if st := s.State()[0]; st.State != Up || st.LastError != "503" {
			t.Errorf("%+v", st)
		}
		o.say("10.0.0.1", nil)
		for range 20 { // dead: the probes that doubts make count as any
			p.Lost(transaction.ErrTimeout, false)
			time.Sleep(500 * time.Millisecond)
		}
		if text := log(); !strings.Contains(text, "up→down (3 probes without an answer") {
			t.Errorf("log %q", text)
		}
	})
}

// Who looks at the state hears what ended the connection under a call; a transition names its peer.
func TestCauseOfALostCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down []*Peer
		s := NewSet(Config{
			Groups:  []Group{{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1;transport=tls")}, Health: HealthConfig{Off: true}}},
			Changed: func(tr Transition) { down = append(down, tr.Peer) },
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		p := s.State()[0].find(s)
		for range 2 {
			p.Lost(fmt.Errorf("%w: %w", transaction.ErrTransport, errors.New("remote error: tls: certificate required")), true)
		}
		synctest.Wait()
		if st := s.State()[0]; st.State != Down || st.Cause != "2 calls failed: transport failed: remote error: tls: certificate required" {
			t.Errorf("%+v", st)
		}
		cancel()
		running.Wait()
		if len(down) != 1 || down[0] != p {
			t.Errorf("%d transitions", len(down))
		}
	})
}

// RFC 3261 §16.7 step 6 has proxies pass on no 503 of who is behind, and many do: what one callee says takes the last server from nobody,
// however often; two that say so with no call answered between speak of the server (§21.5.4).
func TestOneCallees503(t *testing.T) {
	for _, c := range []struct {
		callees string // "." is a call that is answered, "-" 20 s
		wait    time.Duration
		want    State
		calls   bool // go there when there is nobody else
	}{
		{"aaaaaaaa", time.Minute, Busy, true}, {"aaaaaaaa", 0, Up, true}, {"a.b", time.Minute, Busy, true}, {"a-.b", time.Minute, Busy, true}, {"a--b", time.Minute, Busy, true},
		{"ab", time.Minute, Busy, false}, {"aab", time.Minute, Busy, false}, {"a-ba", time.Minute, Busy, false}, {"ab", 0, Down, false}, {"a-a-a-a", 0, Up, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, o, _ := rig(t, says{"10.0.0.1": status(200)}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1")}})
			time.Sleep(2500 * time.Millisecond)
			o.sent()
			p := s.State()[0].find(s)
			for _, what := range c.callees {
				switch what {
				case '.':
					p.Heard(180, 0, 9)
				case '-':
					time.Sleep(20 * time.Second)
				default:
					p.Heard(503, c.wait, uint64(what))
				}
			}
			if st := s.State()[0]; st.State != c.want {
				t.Errorf("%s, %v: %v (%s)", c.callees, c.wait, st.State, st.Cause)
			}
			if got, _ := s.Select(nil, "pbx", ""); len(got) == 1 != c.calls {
				t.Errorf("%s, %v: calls go to %v", c.callees, c.wait, addrs(got))
			}
			synctest.Wait()
			if got := o.sent(); len(got) == 0 && c.want == Up {
				t.Errorf("%s, %v: not probed", c.callees, c.wait)
			}
		})
	}
}

// A busy server that may be well is a spare: the others go first, and no drained one is.
func TestBusySpares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := rig(t, says{"10.0.0.1": status(200), "10.0.0.2": status(200)}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1"), hop(t, "sip:10.0.0.2")}})
		time.Sleep(time.Second)
		wants := func(want ...string) {
			t.Helper()
			if got, _ := s.Select(nil, "pbx", ""); !slices.Equal(addrs(got), want) {
				t.Errorf("calls go to %v, want %v", addrs(got), want)
			}
		}
		one, two := s.State()[0].find(s), s.State()[1].find(s)
		one.Heard(503, time.Minute, 1)
		wants("10.0.0.2:5060")
		two.Heard(503, time.Minute, 1)
		wants("10.0.0.1:5060", "10.0.0.2:5060")
		s.Drain("pbx", s.State()[0].Addr)
		wants("10.0.0.2:5060")
		two.Heard(503, time.Minute, 2)
		wants()
	})
}

// 503 with Retry-After is honoured and expires (RFC 3261 §21.5.4).
func TestRetryAfterExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, log := rig(t, says{"10.0.0.1": status(200)}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1")}})
		time.Sleep(time.Second)
		log()
		for callee := range uint64(2) {
			s.State()[0].find(s).Heard(503, 30*time.Second, callee)
		}
		if got, wait := s.Select(nil, "pbx", ""); len(got) != 0 || wait != 30*time.Second {
			t.Errorf("Select = %v, %v", addrs(got), wait)
		}
		time.Sleep(30*time.Second - time.Millisecond)
		if got, _ := s.Select(nil, "pbx", ""); len(got) != 0 {
			t.Errorf("too early: %v", addrs(got))
		}
		time.Sleep(time.Millisecond)
		if got, _ := s.Select(nil, "pbx", ""); len(got) != 1 {
			t.Errorf("too late: %v", addrs(got))
		}
		time.Sleep(10 * time.Second)
		same(t, "log", log(), "1 pbx 10.0.0.1:5060 up→busy (503 with Retry-After: 30s)",
			"31 pbx 10.0.0.1:5060 busy→unknown (Retry-After is over)", "35 pbx 10.0.0.1:5060 unknown→up (answers probes)")
	})
}

// Each address has a time of its own, within the interval.
func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hops []Hop
		for i := range 20 {
			hops = append(hops, hop(t, fmt.Sprintf("sip:10.0.0.%d", i+1)))
		}
		o := &oracle{start: time.Now(), says: says{}}
		s := NewSet(Config{Groups: []Group{{Name: "pbx", Hops: hops}}, Prober: o})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = s.Run(ctx) })
		time.Sleep(5 * time.Second)
		cancel()
		running.Wait()
		times := map[string]bool{}
		for _, p := range o.sent() {
			at, _, _ := strings.Cut(p, " ")
			times[at] = true
		}
		if len(times) < 15 {
			t.Errorf("20 addresses are probed at %d times", len(times))
		}
	})
}

func TestStateIsObservable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(done func(int, error)) { time.AfterFunc(20*time.Millisecond, func() { done(200, nil) }) }
		s, _, _ := rig(t, says{"10.0.0.1": slow}, Group{Name: "pbx", Hops: []Hop{hop(t, "sip:10.0.0.1;transport=tcp"), hop(t, "sip:10.0.0.2")}})
		time.Sleep(time.Second)
		s.State()[0].find(s).Began()
		s.Drain("pbx", s.State()[1].Addr)
		s.State()[1].find(s).Lost(errRefused, true)
		var got []string
		for _, st := range s.State() {
			got = append(got, fmt.Sprintf("%s %s %v %v %v %d %d %s", st.Upstream, st.Hop, st.State, st.Usable(), st.Probe, st.Calls, st.Downs, st.LastError))
		}
		want := []string{"pbx 10.0.0.1:5060/tcp up true 20ms 1 0 ", "pbx 10.0.0.2:5060 drained false 0s 0 1 connection refused"}
		if !slices.Equal(got, want) {
			t.Errorf("State = %q, want %q", got, want)
		}
	})
}
