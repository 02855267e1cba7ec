package transport

import (
	"errors"
	"net"
	"os"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// faulty runs a layer that counts its panics in count.Panics, and told sends what they were.
func faulty(t *testing.T, set func(*Config), urls ...string) (g *gateway, told chan any) {
	told = make(chan any, 100)
	g = start(t, func(c *Config) {
		c.Panicked = func(v any, _ []byte) { told <- v }
		c.Table.OnPanic(c.Panicked)
		if set != nil {
			set(c)
		}
	}, urls...)
	return g, told
}

// Those who wait for a connection are told on the goroutine that dials: one that panics neither ends the
// process nor keeps it from the others.
func TestPanicOfWhoWaitsForHop(t *testing.T) {
	g, told := faulty(t, nil, "tcp://127.0.0.1:0")
	server := start(t, nil, "tcp://127.0.0.1:0")
	for _, hop := range []Hop{
		{Addr: server.Addr(0), Transport: sip.TCP},
		{Addr: closedPort(t), Transport: sip.TCP},
	} {
		second := make(chan error, 1)
		g.hops.mu.Lock() // so that both wait for one dialling
		d := &dial{waiters: []*waiter{
			{done: func(*flow.Flow, error) { panic("reached") }},
			{done: func(_ *flow.Flow, err error) { second <- err }},
		}}
		g.hops.dialling[keyOf(hop)] = d
		g.hops.mu.Unlock()
		if !g.hops.begin(keyOf(hop), d) {
			t.Fatal("not begun")
		}
		want(t, "told", <-told, any("reached"))
		<-second
	}
	want(t, "counted", g.count.Panics.Load(), 2)
}

// The timer of one who waits only so long is a goroutine of its own.
func TestPanicOfWhoGivesUp(t *testing.T) {
	g, told := faulty(t, nil, "tcp://127.0.0.1:0")
	w := &waiter{done: func(_ *flow.Flow, err error) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			panic("given up")
		}
	}}
	g.hops.giveUp(&dial{waiters: []*waiter{w}}, w)
	want(t, "told", <-told, any("given up"))
}

// A dialling that panics is answered to those who wait.
func TestPanicInDialling(t *testing.T) {
	g, told := faulty(t, nil, "tcp://127.0.0.1:0")
	g.cfg.facing = nil // what choosing a listener calls
	_, err := reach(g, Hop{Addr: closedPort(t), Transport: sip.TCP}, 100)
	if !errors.Is(err, errPanic) {
		t.Errorf("reached with %v, want %v", err, errPanic)
	}
	<-told
}

// Whoever watches flows is called as a reader ends: the others are told, and the connection is gone.
func TestPanicOfWatcher(t *testing.T) {
	after := make(chan *flow.Flow, 1)
	g, told := faulty(t, func(c *Config) {
		c.Table.Watch(watcherFunc(func(*flow.Flow) { panic("watcher") }))
		c.Table.Watch(watcherFunc(func(f *flow.Flow) { after <- f }))
	}, "tcp://127.0.0.1:0")
	g.client("tcp", 0).Close()
	g.wantClosed(sip.CloseNormal)
	want(t, "told", <-told, any("watcher"))
	want(t, "live for the watcher after it", (<-after).Live(), false)
}

type watcherFunc func(f *flow.Flow)

func (watcherFunc) FlowNamed(*flow.Flow, flow.Name, *flow.Flow)    {}
func (w watcherFunc) FlowClosed(f *flow.Flow, why sip.CloseReason) { w(f) }

// A panic in Accepted ends that connection and not the listener.
func TestPanicInAccepted(t *testing.T) {
	bad := true
	g, told := faulty(t, func(c *Config) {
		c.Accepted = func(*flow.Flow) {
			if bad {
				bad = false
				panic("accepted")
			}
		}
	}, "tcp://127.0.0.1:0")
	g.client("tcp", 0)
	g.wantClosed(sip.ClosePanic)
	want(t, "told", <-told, any("accepted"))
	g.client("tcp", 0).Write(message("a", 0))
	<-g.got
}

// A connection that ends while it is being entered is no connection: who waits for it hears so, and the
// next one who wants it dials.
func TestHopEndsBeforeItIsEntered(t *testing.T) {
	g, _ := faulty(t, nil, "tcp://127.0.0.1:0")
	server := start(t, nil, "tcp://127.0.0.1:0")
	hop := Hop{Addr: server.Addr(0), Transport: sip.TCP}
	f, err := reach(g, hop, 100)
	if err != nil {
		t.Fatal(err)
	}
	f.Conn.Close(sip.CloseNormal)
	g.wantClosed(sip.CloseNormal)
	var got error
	d := &dial{waiters: []*waiter{{done: func(_ *flow.Flow, err error) { got = err }}}}
	g.hops.finish(keyOf(hop), d, f, nil)
	if !errors.Is(got, net.ErrClosed) {
		t.Errorf("told %v, want %v", got, net.ErrClosed)
	}
	g.hops.mu.Lock()
	left := len(g.hops.open)
	g.hops.mu.Unlock()
	want(t, "connections entered", left, 0)
	if f, err = reach(g, hop, 100); err != nil || !f.Live() {
		t.Errorf("the next one gets %v, %v", f, err)
	}
}
