package gateway

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/relay"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
)

const flowDir = "../testdata/flows/"

// TestFlows plays the call-flow scripts against the whole gateway but its sockets:
// see testdata/flows/README.md.
func TestFlows(t *testing.T) {
	siptest.RunScripts(t, flowDir+"*.txt", func(t *testing.T) siptest.Setup {
		s := newTheatre(t)
		t.Cleanup(s.leavesNothing)
		return siptest.Setup{Net: s.net, Commands: map[string]func([]string) string{
			"restart": s.restart, "forget": s.forget, "drops": s.drops, "state": s.state, "upstreams": s.upstreams,
			"relayed": s.relayed,
			"leave":   s.leave, "registrations": s.registrations,
		}}
	})
}

// theatre is a gateway with a network in memory, within a bubble.
type theatre struct {
	t    *testing.T
	cfg  *Config
	net  *siptest.Net
	gw   *Gateway
	stop func()

	stopProbes func()
}

func newTheatre(t *testing.T) *theatre {
	t.Helper()
	cfg, err := Load(configFile(t))
	if err != nil {
		t.Fatal(err)
	}
	cfg.StateDir = t.TempDir()
	s := &theatre{t: t, cfg: cfg}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// configFile is the script's own, or that of all scripts.
func configFile(t *testing.T) string {
	own := flowDir + path.Base(t.Name()) + ".yaml"
	if strings.HasPrefix(t.Name(), "TestTorture") {
		own = flowDir + "torture.yaml"
	}
	for name := strings.TrimSuffix(own, ".yaml"); strings.HasPrefix(name, flowDir); {
		if _, err := os.Stat(name + ".yaml"); err == nil {
			return name + ".yaml"
		}
		dash := strings.LastIndexByte(name, '-')
		if dash < 0 {
			break
		}
		name = name[:dash]
	}
	return flowDir + "gateway.yaml"
}

// start runs a gateway; the parts that have sockets are left out.
func (s *theatre) start() {
	s.gw = &Gateway{}
	s.gw.network = (*inMemory)(s)
	s.gw.phase = func(time.Duration) time.Duration { return time.Second }
	s.gw.random = func() float64 { return 0.5 }
	if err := s.gw.wire(s.cfg, zerolog.Nop()); err != nil {
		s.t.Fatal(err)
	}
	if s.net == nil {
		s.net = siptest.NewNet(wire{s.gw}, s.gw.flows)
	} else {
		s.net.Attach(wire{s.gw}, s.gw.flows)
	}
	ctx, cancel := context.WithCancel(context.Background())
	parts := []func(context.Context) error{s.gw.transactions.Run, s.gw.registrar.Run, s.probes()}
	ended := make(chan struct{})
	for _, part := range parts {
		go func() { _ = part(ctx); ended <- struct{}{} }()
	}
	s.stop = func() {
		cancel()
		for range parts {
			<-ended
		}
	}
}

// probes runs the upstreams' part until stopProbes.
func (s *theatre) probes() func(context.Context) error {
	stop := make(chan struct{})
	s.stopProbes = sync.OnceFunc(func() { close(stop) })
	run := s.gw.trunks.Run
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-stop:
			case <-ctx.Done():
			}
			cancel()
		}()
		var registering sync.WaitGroup
		registering.Go(func() { _ = s.gw.registrations.run(ctx) })
		defer registering.Wait()
		return run(ctx)
	}
}

// leave un-registers at providers, as a shutdown does.
func (s *theatre) leave([]string) string {
	go s.gw.leaveProviders(context.Background())
	return ""
}

// registrations are ours at providers.
func (s *theatre) registrations([]string) string {
	now := s.gw.registrations.registered()
	var out []string
	for _, r := range s.gw.registrations.all {
		r.mu.Lock()
		out = append(out, fmt.Sprintf("%s %v, registered %d", r.upstream, r.machine.State(), now[r.upstream]))
		r.mu.Unlock()
	}
	return strings.Join(out, "\n")
}

// restart is a new process on the same state directory: connections are gone.
func (s *theatre) restart([]string) string {
	s.stop()
	s.start()
	return ""
}

// forget is a restart with an empty state directory.
func (s *theatre) forget([]string) string {
	s.cfg.StateDir = s.t.TempDir()
	return s.restart(nil)
}

// drops are the drop counters that are not zero.
func (s *theatre) drops([]string) string {
	all := s.gw.Snapshot().Drops
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name] > 0 {
			out = append(out, fmt.Sprintf("%s %d", name, all[name]))
		}
	}
	if out == nil {
		return "none dropped"
	}
	return "dropped: " + strings.Join(out, ", ")
}

// upstreams are the addresses of upstreams and what is known of them.
func (s *theatre) upstreams([]string) string {
	var out []string
	for _, st := range s.gw.trunks.State() {
		out = append(out, fmt.Sprintf("%s %s %v, calls %d", st.Upstream, st.Hop, st.State, st.Calls))
	}
	return strings.Join(out, "\n")
}

// relayed is how many users of upstreams are registered, and what became of their registrations.
func (s *theatre) relayed([]string) string {
	out := fmt.Sprintf("relayed bindings %d", s.gw.relayed.Len())
	for _, c := range relay.Changes() {
		if n := s.gw.relayed.Counters[c].Load(); n > 0 {
			out += fmt.Sprintf(", %s %d", c, n)
		}
	}
	return out
}

// state is what the gateway holds now.
func (s *theatre) state([]string) string {
	n := s.gw.Snapshot()
	return fmt.Sprintf("bindings %d, calls %d, pending requests %d, server transactions %d, client transactions %d",
		n.Bindings, n.Calls, s.gw.proxy.Counters.Contexts.Load(), n.ServerTransactions, n.ClientTransactions)
}

// leavesNothing holds every script to this: once all timers have run out, no request is pending and no
// transaction is left, and nothing panicked.
func (s *theatre) leavesNothing() {
	s.stopProbes()
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	n := s.gw.Snapshot()
	if c := s.gw.proxy.Counters.Contexts.Load(); c != 0 || n.ServerTransactions+n.ClientTransactions != 0 || n.Panics != 0 {
		s.t.Errorf("in the end: %s, panics %d", s.state(nil), n.Panics)
	}
}

// wire is where the transports hand over what they read (siptest.Gateway).
type wire struct{ *Gateway }

func (w wire) Receive(m *sip.Message, from *flow.Flow) { w.receive(m, from) }

func (w wire) ReceiveBad(m *sip.Message, err error, from *flow.Flow) {
	w.transactions.ReceiveBad(m, err, from)
}

// inMemory reaches next hops over the network of the scripts (proxy.Network). It
// chooses the transport as the transports do: beyond 1300 octets TCP, where it answers.
type inMemory theatre

func (n *inMemory) Reach(h proxy.Hop, size int, done func(*flow.Flow, error)) {
	dial := func(tr sip.Transport) (*flow.Flow, error) { return n.net.Dial(tr, h.Addr) }
	tr := h.Transport
	if tr == 0 && size > 1300 {
		if f, err := dial(sip.TCP); err == nil {
			n.gw.source.Mark(f)
			done(f, nil)
			return
		}
	}
	if tr == 0 {
		tr = sip.UDP
	}
	f, err := dial(tr)
	if err == nil {
		n.gw.source.Mark(f)
	}
	if tr == sip.UDP {
		done(f, err)
		return
	}
	go done(f, err) // as after a dial
}

func (n *inMemory) Ping(f *flow.Flow, within time.Duration, done func(alive bool)) {
	c, ok := f.Conn.(*siptest.Conn)
	switch {
	case !ok || c.Closed():
		done(false)
	case c.Frozen():
		time.AfterFunc(within, func() { done(false) })
	default:
		go done(true) // by the reader of the pong
	}
}
