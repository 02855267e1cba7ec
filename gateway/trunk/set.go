package trunk

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/gateway/trunk/locate"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
)

// Locator finds the servers of a name; *locate.Resolver is one.
type Locator interface {
	Locate(ctx context.Context, t locate.Target) locate.Result
}

// NewLocator asks the DNS servers given ("address" or "address:port"), without any those of
// the machine; timeout is for one try at one server. panicked is told of a panic over an answer.
func NewLocator(servers []string, timeout time.Duration, panicked fault.Handler) Locator {
	return locate.New(locate.Config{Servers: servers, Timeout: timeout, Panicked: panicked})
}

// Config is what a Set needs.
type Config struct {
	Groups  []Group
	Locator Locator // nil where no hop has a name
	Prober  Prober  // nil: nothing is probed
	// Phase is when, within the time given, an address is probed first; nil: at random, so that
	// not all are at once.
	Phase func(within time.Duration) time.Duration
	// Changed is told of each change of an address's state, in their order, by Run. Optional.
	Changed func(Transition)
	// Own reports whether we listen at an address. Optional.
	Own func(netip.AddrPort) bool
	// Withheld is told once of each address that was looked up and makes nobody an upstream. It must not call the
	// Set. Optional.
	Withheld func(Withheld)
	// Panicked is told of a panic in a look-up, which then has no answer. Whoever runs Run, and the Prober, Changed and Withheld
	// that are given, see to their own.
	Panicked fault.Handler
}

// askAgain bounds from below how often a name is looked up.
const askAgain = time.Second

// Set is all groups with the addresses their hops have now, their health and their
// load. Reading it takes no lock: what changes is swapped in as one immutable snapshot,
// or is an atomic.
type Set struct {
	// Static after construction.
	cfg    Config
	groups []*Group
	byName map[string]*Group
	byHost map[string]string // hop host → group name
	named  []*named
	turns  map[string]*atomic.Uint64 // calls so far by group name

	now   atomic.Pointer[snapshot]
	woken chan struct{}

	changes struct { // not told yet
		sync.Mutex // a leaf
		queue      []Transition
	}

	conflicts atomic.Uint64

	mu    sync.Mutex // guards what follows; one snapshot is made at a time
	known map[*Hop]locate.Result
	peers map[peerKey]*Peer

	withheld map[string]bool // told
}

// named is a hop whose address is to be looked up.
type named struct {
	hop  *Hop
	want locate.Target
}

// snapshot is never changed after it is published.
type snapshot struct {
	views  map[string]*view      // by group name
	owner  map[netip.Addr]string // hop address → group name
	from   []owned
	peers  []*Peer
	failed map[string]error // host name → why the last look-up was not what it should be
}

// view is what a snapshot has of a group.
type view struct {
	sel     Selection
	targets []Target // in tiers
	turn    *atomic.Uint64
}

type owned struct {
	prefix netip.Prefix
	name   string
}

// NewSet holds groups; it looks nothing up before Refresh or Run.
func NewSet(cfg Config) *Set {
	s := &Set{
		cfg: cfg, byName: map[string]*Group{}, byHost: map[string]string{}, turns: map[string]*atomic.Uint64{},
		woken: make(chan struct{}, 1), known: map[*Hop]locate.Result{}, peers: map[peerKey]*Peer{},
		withheld: map[string]bool{},
	}
	if cfg.Phase == nil {
		s.cfg.Phase = rand.N[time.Duration]
	}
	for i := range cfg.Groups {
		g := cfg.Groups[i]
		g.Hops, g.Health = slices.Clone(g.Hops), g.Health.withDefaults()
		s.groups = append(s.groups, &g)
		s.byName[g.Name], s.turns[g.Name] = &g, new(atomic.Uint64)
		for j := range g.Hops {
			s.addHop(&g, &g.Hops[j])
		}
	}
	s.publish()
	return s
}

func (s *Set) addHop(g *Group, h *Hop) {
	if _, taken := s.byHost[h.Host]; !taken { // the first group in the file owns a host that two name
		s.byHost[h.Host] = g.Name
	}
	if h.Addr.IsValid() {
		s.known[h] = locate.Result{Servers: []locate.Server{{Addr: netip.AddrPortFrom(h.Addr, h.Port), Transport: h.Transport, Name: h.Host}}}
		return
	}
	s.named = append(s.named, &named{h, locate.Target{Host: h.Host, Port: h.Port, Transport: h.Transport, Secure: h.secure()}})
}

// Run looks names up when their answers expire, and probes, until ctx ends. It closes a
// Locator that can be closed, so it is called once.
func (s *Set) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, n := range s.named {
		running.Go(func() { s.keep(ctx, n) })
	}
	s.watch(ctx)
	running.Wait()
	if c, ok := s.cfg.Locator.(interface{ Close() }); ok {
		c.Close()
	}
	return ctx.Err()
}

// keep holds what is known of one name fresh.
func (s *Set) keep(ctx context.Context, n *named) {
	for {
		fresh := s.ask(ctx, n)
		timer := time.NewTimer(max(fresh, askAgain))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// Refresh looks every name up once.
func (s *Set) Refresh(ctx context.Context) {
	var asking sync.WaitGroup
	for _, n := range s.named {
		asking.Go(func() { s.ask(ctx, n) })
	}
	asking.Wait()
}

// ask is locate where a panic ends this one look-up: what is known stays, and is asked for again.
func (s *Set) ask(ctx context.Context, n *named) (fresh time.Duration) {
	defer s.cfg.Panicked.Catch()
	return s.locate(ctx, n)
}

// locate asks for one name. Without servers those of before stay: the DNS of a PBX
// that is there must not take it out.
func (s *Set) locate(ctx context.Context, n *named) (fresh time.Duration) {
	r := s.cfg.Locator.Locate(ctx, n.want)
	r.Servers = usable(r.Servers)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil && len(r.Servers) == 0 {
		return 0
	}
	before := s.known[n.hop]
	if len(r.Servers) == 0 {
		r.Servers = before.Servers
	}
	s.known[n.hop] = r
	if !slices.Equal(r.Servers, before.Servers) || (r.Err == nil) != (before.Err == nil) || r.Err != nil {
		s.publishLocked()
	}
	return r.Fresh
}

// usable leaves out what no server can have, and knows IPv4 in only one form.
func usable(servers []locate.Server) []locate.Server {
	out := make([]locate.Server, 0, len(servers))
	for _, srv := range servers {
		a := srv.Addr.Addr().Unmap()
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || srv.Addr.Port() == 0 {
			continue
		}
		srv.Addr = netip.AddrPortFrom(a, srv.Addr.Port())
		out = append(out, srv)
	}
	return out
}

func (s *Set) publish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publishLocked()
}

// publishLocked makes and publishes the snapshot of what is known now.
func (s *Set) publishLocked() {
	n := &snapshot{views: map[string]*view{}, owner: map[netip.Addr]string{}, failed: map[string]error{}}
	living := map[peerKey]bool{}
	for _, g := range s.groups {
		v := &view{sel: g.Select, turn: s.turns[g.Name]}
		v.targets = lineUp(g, func(hop int) []locate.Server { return s.known[&g.Hops[hop]].Servers })
		for i := range v.targets {
			t := &v.targets[i]
			t.Peer = s.peerLocked(g, t)
			living[t.Peer.key] = true
			n.peers = append(n.peers, t.Peer)
		}
		n.views[g.Name] = v
		for _, p := range g.From {
			n.from = append(n.from, owned{p.Masked(), g.Name})
		}
	}
	// The narrowest network says most about whose an address is.
	slices.SortStableFunc(n.from, func(a, b owned) int { return b.prefix.Bits() - a.prefix.Bits() })
	s.ownersLocked(n)
	for _, one := range s.named {
		if err := s.known[one.hop].Err; err != nil {
			n.failed[one.hop.Host] = err
		}
	}
	for key, p := range s.peers {
		if !living[key] && p.calls.Load() <= 0 {
			delete(s.peers, key)
		}
	}
	s.now.Store(n)
	s.wake()
}

// peerLocked is who stands for t: as before where it has been there before.
func (s *Set) peerLocked(g *Group, t *Target) *Peer {
	key := peerKey{g.Name, t.Addr, t.Transport}
	p := s.peers[key]
	if p == nil {
		p = &Peer{set: s, cfg: &g.Health, key: key}
		s.peers[key] = p
	}
	own := *t
	own.Peer = p
	p.target.Store(&own)
	return p
}

// Group is the group of that name, or nil.
func (s *Set) Group(name string) *Group { return s.byName[name] }

// Targets are all addresses of the named group, healthy or not, in the order of their
// priorities; nil when there is no such group or none of its names has an address yet. Not
// to be changed.
func (s *Set) Targets(name string) []Target {
	if v := s.now.Load().views[name]; v != nil {
		return v.targets
	}
	return nil
}

// Find is the target of the named group with an address, of any transport if t is 0;
// nil for none. A request within a dialog names its address itself.
func (s *Set) Find(name string, addr netip.AddrPort, t sip.Transport) *Target {
	all := s.Targets(name)
	i := slices.IndexFunc(all, func(o Target) bool { return o.Addr == addr && (t == 0 || o.Transport == t) })
	if i < 0 {
		i = slices.IndexFunc(all, func(o Target) bool { return o.Addr == addr && o.Transport == 0 })
	}
	if i < 0 {
		return nil
	}
	return &all[i]
}

// State is what is known of every address now, in the order of the file.
func (s *Set) State() []Status {
	peers := s.now.Load().peers
	all := make([]Status, len(peers))
	for i, p := range peers {
		all[i] = p.status()
	}
	return all
}

// Drain takes the address out for calls that begin from now on, Enable lets it in
// again; addr with port 0 is every port. They report how many addresses that were.
func (s *Set) Drain(name string, addr netip.AddrPort) int { return s.drain(name, addr, true) }

// Enable undoes Drain.
func (s *Set) Enable(name string, addr netip.AddrPort) int { return s.drain(name, addr, false) }

func (s *Set) drain(name string, addr netip.AddrPort, out bool) (n int) {
	for _, t := range s.Targets(name) {
		if t.Addr == addr || addr.Port() == 0 && t.Addr.Addr() == addr.Addr() {
			t.Peer.drain(out)
			n++
		}
	}
	return n
}

// UpstreamOf is the name of the group that a peer belongs to, whatever its port: it
// has a hop's address, or one in From. "" for none.
func (s *Set) UpstreamOf(peer netip.AddrPort) string {
	n := s.now.Load()
	addr := peer.Addr().Unmap()
	if name, ok := n.owner[addr]; ok {
		return name
	}
	addr = addr.WithZone("")
	for i := range n.from {
		if n.from[i].prefix.Contains(addr) {
			return n.from[i].name
		}
	}
	return ""
}

// Believed is UpstreamOf for those groups that are known by their address: neither by
// credentials nor by a certificate.
func (s *Set) Believed(peer netip.AddrPort) string {
	name := s.UpstreamOf(peer)
	if g := s.byName[name]; g == nil || g.Auth != nil || g.Certificate != "" {
		return ""
	}
	return name
}

// ByCertificate is the name of the group that is known by a name in a TLS client
// certificate, "" for none.
func (s *Set) ByCertificate(name string) string {
	for _, g := range s.groups {
		if g.Certificate != "" && strings.EqualFold(hostKey(g.Certificate), hostKey(name)) {
			return g.Name
		}
	}
	return ""
}

// ByUser is the name of the group that is known by the credentials of that user, "" for none.
func (s *Set) ByUser(user string) string {
	for _, g := range s.groups {
		if g.Auth != nil && g.Auth.Name == user {
			return g.Name
		}
	}
	return ""
}

// Challenged reports whether the named group is known by its credentials.
func (s *Set) Challenged(name string) bool {
	g := s.byName[name]
	return g != nil && g.Auth != nil
}

// MayCall reports whether a group that is known by its credentials may call from there: from
// its hops and From, or, if it has no From, from anywhere.
func (s *Set) MayCall(peer netip.AddrPort) bool {
	for _, g := range s.groups {
		if g.Auth != nil && (len(g.From) == 0 || s.UpstreamOf(peer) == g.Name) {
			return true
		}
	}
	return false
}

// ByHost is the name of the group one of whose hops is host: as its URI names it,
// or by one of its addresses. IPv6 with or without brackets.
func (s *Set) ByHost(host string) (name string, ok bool) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if a, err := netip.ParseAddr(host); err == nil {
		name, ok = s.now.Load().owner[a.Unmap()]
		return name, ok
	}
	name, ok = s.byHost[hostKey(host)]
	return name, ok
}

// Unresolved yields the names whose last look-up failed, in part or whole, with the cause;
// those that keep an older answer are among them.
func (s *Set) Unresolved() map[string]error { return s.now.Load().failed }
