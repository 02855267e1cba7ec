// Package gateway assembles Ringway: it reads the configuration, wires the rooms
// together, decides which of them serves a request, and runs them. It is the only place
// where siblings know each other.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/policy"
	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/gateway/ws"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
	"github.com/ringway/ringway/sip/transport"
)

// Gateway is one running Ringway.
type Gateway struct {
	cfg *Config
	log zerolog.Logger

	flows         *flow.Table
	keys          *flow.Keys
	transactions  *transaction.Table
	transports    *transport.Layer // UDP, TCP, TLS
	web           *ws.Server       // WebSocket
	trunks        *trunk.Set
	probes        *probes
	registrar     *registrar.Registrar
	relayed       *relayed // users whom upstreams keep
	proxy         *proxy.Proxy
	network       proxy.Network                     // over transports and web
	phase         func(time.Duration) time.Duration // of the first probes; nil: random
	hopTLS        map[*trunk.HopTLS]*transport.ClientTLS
	registrations *registrations            // of ours, at providers
	accounts      map[string]*trunk.Account // logins of upstreams for our callers' requests
	random        func() float64            // of their times; nil: at random
	core          *core
	identity      *policy.Identity
	source        *policy.Source
	digest        *policy.Digest
	flood         *policy.Flood
	count         counters
	admin         *adminServer
	certificates  []*certificate // of listeners and hops

	ready chan struct{}
	state atomic.Pointer[string] // why not ready; "" when it is
}

// New checks cfg and wires everything; nothing is opened or started before Run.
// Errors say in one line what is wrong and where.
func New(cfg *Config, log zerolog.Logger) (*Gateway, error) {
	g := &Gateway{}
	g.network = (*network)(g)
	if err := g.wire(cfg, log); err != nil {
		return nil, err
	}
	return g, nil
}

// wire is New but for the network, which tests have in memory.
func (g *Gateway) wire(cfg *Config, log zerolog.Logger) error {
	g.cfg, g.log, g.flows, g.ready = cfg, log, flow.NewTable(), make(chan struct{})
	g.say("starting")
	g.flows.OnPanic(g.panicked)
	var err error
	if err = makeStateDir(cfg.StateDir, log); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	if g.keys, err = flow.OpenKeys(cfg.StateDir); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	own, err := newOwn(cfg, net.InterfaceAddrs)
	if err != nil {
		return fmt.Errorf("own addresses: %w", err)
	}
	users, err := digest.NewTable(cfg.secrets())
	if err != nil {
		return err
	}
	g.core = &core{own: own, log: log}
	transactions := cfg.transactionLimits()
	transactions.User, transactions.OnPanic, transactions.Wasted = g.core, g.panicked, g.wasted
	g.transactions = transaction.NewTable(transactions)
	g.probes = newProbes()
	g.trunks = trunk.NewSet(trunk.Config{
		Groups: cfg.Upstreams, Locator: trunk.NewLocator(cfg.Resolver.Servers, cfg.Resolver.Timeout, g.panicked), Prober: (*prober)(g), Changed: g.upstreamChanged,
		Phase: g.phase, Own: own.listens, Withheld: g.identityWithheld, Panicked: g.panicked,
	})
	g.wirePolicy(own, users)
	g.wireRelay(own)
	if err := g.wireRegistrar(own); err != nil {
		return err
	}
	if err := g.wireProxy(own, users); err != nil {
		return err
	}
	if err := g.wireTransports(); err != nil {
		return err
	}
	for _, w := range []flow.Watcher{&g.count, newFlowLog(log), g.probes, g.registrar, g.relayed, g.proxy} {
		g.flows.Watch(w)
	}
	g.registrations = newRegistrations(g)
	g.registrations.share(g.accounts)
	g.flows.Watch(g.registrations)
	g.admin = newAdmin(g)
	return nil
}

// wirePolicy sets the order of admission: how much of it, then who they are. Whether
// an upstream sent it is known before: receive marks the flow.
func (g *Gateway) wirePolicy(own *own, users *digest.Table) {
	g.source = &policy.Source{
		UpstreamOf: g.trunks.Believed, ByCertificate: g.trunks.ByCertificate, Challenged: g.trunks.Challenged,
	}
	g.flood = policy.NewFlood(g.cfg.floodLimit(), nil)
	g.digest = &policy.Digest{
		Authority: digest.New(g.cfg.nonceLimits()), Users: users, Logins: policy.NewLogins(g.cfg.loginLimit(), nil),
	}
	identity := &policy.Identity{Domains: own, Digest: g.digest, Flood: g.flood, Realm: own.first, Upstreams: g.trunks}
	g.core.stages, g.core.flood = []stage{g.flood, identity}, g.flood
	g.core.prove, g.identity = identity.Prove, identity
}

func (g *Gateway) wireRegistrar(own *own) (err error) {
	c := g.cfg.registrarLimits()
	c.Store, c.Flows, c.Edge, c.Own = registrar.NewMemory(), g.flows, &edge{g.keys}, own.Own
	c.Key = g.keys.Derive("temporary GRUU")
	c.OnEvent = g.bindingChanged
	g.registrar, err = registrar.New(c)
	g.core.registrar = g.registrar
	return err
}

func (g *Gateway) wireProxy(own *own, users *digest.Table) error {
	rules, found := route.Compile(g.cfg.Routes)
	for _, f := range found {
		if f.Severity == route.Error {
			return fmt.Errorf("routes[%d].%s: %s", f.Rule, f.Key, f.Text)
		}
	}
	g.core.router = &router{own: own, registrar: g.registrar, known: knownOf(users), trunks: g.trunks, rules: rules, relayed: g.relayed}
	c := g.cfg.proxyLimits()
	c.Table, c.Wheel, c.Flows, c.Keys = g.transactions, g.transactions.Wheel(), g.flows, g.keys
	id := newIdentity(own, g.trunks, g.cfg.Upstreams, g.keys)
	c.Router, c.Network, c.Identity, c.Terms = g.core.router, g.network, id, g.termsOf(id)
	c.Authenticate, c.Caller, c.Bound, c.Agents = g.core.authenticate, own.caller, g.bound, g.relayed
	c.Barred, c.Again = g.core.router.barred, g.core.router.again
	c.Branch, c.Relay, c.Finished, c.Wasted, c.Panicked = g.leave, g.relay, g.finished, g.wasted, g.panicked
	g.proxy = proxy.New(c)
	g.core.proxy = g.proxy
	return nil
}

// leave is the hygiene of every copy that leaves (proxy.Config.Branch).
func (g *Gateway) leave(req *sip.Message, out *sip.Splice, from, to *flow.Flow, t *proxy.Target) error {
	up, router := from.Upstream(), g.core.router
	believed := up != "" && router.trusts(up)
	policy.Scrub(req, out, believed, g.relayed.keeps(req, from, t), g.core.own.isRealm)
	switch {
	case t.Upstream == "":
		if believed {
			policy.Withhold(req, out)
		}
	case up != "":
		if believed && !router.trusts(t.Upstream) {
			out.RemoveAll(sip.PAssertedIdentity) // RFC 3325 §5
		}
	case req.ToTag() == "" && t.Rewrite == nil && router.trusts(t.Upstream):
		if aor := g.core.own.proved(req, from); aor != "" && !g.relayed.KeepsUser(aor) { // whom an upstream keeps it knows itself
			policy.AssertIdentity(out, aor)
		}
	}
	switch {
	case up != "" && t.Upstream == "":
		g.relayed.Inward(up, t.Name, req, out)
	case up == "" && t.Upstream != "":
		policy.ScrubUser(req, out)
		g.relayed.Outward(t.Upstream, from, req, out, to.Info())
		g.lendContact(req, out, from, to, t.Upstream)
		return g.relayed.mayAsk(req, out, from, t.Upstream)
	}
	return nil
}

// relay is the hygiene of every response that goes back (proxy.Config.Relay).
func (g *Gateway) relay(tx *transaction.Server, resp *sip.Message, out *sip.Splice, up *flow.Flow) {
	switch name := up.Upstream(); {
	case name == "" || !g.core.router.trusts(name):
		policy.ScrubResponse(resp, out)
	case tx.Flow().Upstream() == "":
		policy.Withhold(resp, out)
	}
	switch to := tx.Flow(); {
	case up.Upstream() == "" && to.Upstream() != "":
		policy.ScrubUser(resp, out)
		g.relayed.Outward(to.Upstream(), up, resp, out, to.Info())
	case up.Upstream() != "" && to.Upstream() == "":
		g.relayed.asked(up.Upstream(), tx.Request(), resp, to)
	}
}

// receive takes each message that a transport read.
func (g *Gateway) receive(m *sip.Message, from *flow.Flow) {
	g.source.Mark(from)
	method := ""
	if m.IsRequest() {
		method = m.Method()
		g.count.request(method)
	}
	if (method == "" || method == "ACK" || method == "CANCEL") && !g.flood.Stray(from) {
		return // nobody answers these for want of credentials
	}
	g.transactions.Receive(m, from)
}

// wasted is told of what a peer sent in vain.
func (g *Gateway) wasted(from *flow.Flow) { g.flood.Waste(from) }

// Ready is closed once everything that is to be listened on is open.
func (g *Gateway) Ready() <-chan struct{} { return g.ready }

func (g *Gateway) say(state string) { g.state.Store(&state) }

// Run opens what is to be listened on and serves until ctx ends or a part fails.
// A port in use is an error at once.
func (g *Gateway) Run(ctx context.Context) error {
	if err := g.listen(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := []func(context.Context) error{
		g.transactions.Run, g.registrar.Run, g.trunks.Run, g.transports.Run, g.web.Run, g.registrations.run, g.admin.run, g.rotateKeys, newMemory().run, g.watchCertificates,
	}
	ended := make(chan error, len(parts))
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() { ended <- g.runPart(ctx, part) })
	}
	g.say("")
	close(g.ready)
	g.log.Info().Int("users", len(g.cfg.Users)).Int("upstreams", len(g.cfg.Upstreams)).Msg("ready")
	var first error
	for range parts {
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			first = errors.Join(first, err)
			cancel() // one part down: all down, a supervisor starts us again
		}
	}
	running.Wait()
	return first
}

// listen opens all sockets, or none.
func (g *Gateway) listen() error {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := g.transports.Listen(); err != nil {
		return err
	}
	if err := g.web.Listen(); err != nil {
		return errors.Join(err, g.transports.Run(done)) // whose context has ended closes what it opened
	}
	if err := g.admin.listen(); err != nil {
		return errors.Join(err, g.transports.Run(done), g.web.Run(done))
	}
	return nil
}

// Shutdown takes no new calls, lets those in set-up finish, ends what still rings, and
// closes the flows with 1012 spread over the time until ctx's deadline.
func (g *Gateway) Shutdown(ctx context.Context) error {
	g.say("draining")
	g.transactions.Shutdown()
	g.web.Drain()
	g.leaveProviders(ctx)
	g.settle(ctx)
	g.proxy.Stop()
	return errors.Join(g.web.Shutdown(ctx), g.transports.Shutdown(ctx))
}

// leaveProviders takes us off the providers' registrars, so that their callers hear at once that nobody is there.
func (g *Gateway) leaveProviders(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	g.registrations.leave(ctx)
}

// settle waits until no request is without its final response, or for half of
// the time there is: the rest is for closing.
func (g *Gateway) settle(ctx context.Context) {
	limit := 5 * time.Second
	if end, ok := ctx.Deadline(); ok {
		limit = time.Until(end) / 2
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for g.proxy.Counters.Contexts.Load() > 0 {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// rotateKeys brings in new token keys when their day is over.
func (g *Gateway) rotateKeys(ctx context.Context) error {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-hourly.C:
			if err := g.keys.Rotate(now); err != nil {
				g.log.Error().Err(err).Msg("flow keys were not rotated; the old ones stay")
			}
		}
	}
}
