package trunk

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Resolver looks names up; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	refreshEvery = 30 * time.Second
	retryEvery   = 2 * time.Second // while some name has no answer yet
	lookupLimit  = 5 * time.Second
)

// Set is all groups with the addresses their hops have now. Reading it takes no
// lock: each refresh swaps one immutable snapshot in.
type Set struct {
	// Static after construction.
	groups   []*Group
	byName   map[string]*Group
	byHost   map[string]string // hop host → group name
	names    []string          // host names to look up
	resolver Resolver

	now       atomic.Pointer[snapshot]
	refreshMu sync.Mutex // one refresh at a time
}

// snapshot is never changed after it is published.
type snapshot struct {
	answers map[string][]netip.Addr // host name → its last known addresses
	failed  map[string]error        // host name → why the last look-up gave none
	targets map[string][]Target     // group name → what to try, in order
	owner   map[netip.Addr]string   // hop address → group name
	from    []owned
}

type owned struct {
	prefix netip.Prefix
	name   string
}

// NewSet holds groups; it looks nothing up before Refresh or Run.
func NewSet(groups []Group, r Resolver) *Set {
	s := &Set{byName: map[string]*Group{}, byHost: map[string]string{}, resolver: r}
	for i := range groups {
		g := groups[i]
		g.Hops = slices.Clone(g.Hops)
		s.groups = append(s.groups, &g)
		s.byName[g.Name] = &g
		for j := range g.Hops {
			h := &g.Hops[j]
			if _, taken := s.byHost[h.Host]; taken {
				continue // the first group in the file owns a host that two name
			}
			s.byHost[h.Host] = g.Name
			if !h.Addr.IsValid() {
				s.names = append(s.names, h.Host)
			}
		}
	}
	s.now.Store(s.snapshot(map[string][]netip.Addr{}, nil))
	return s
}

// Run refreshes the names' addresses until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	if len(s.names) == 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	for {
		s.Refresh(ctx)
		wait := refreshEvery
		if len(s.now.Load().answers) < len(s.names) {
			wait = retryEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// Refresh looks every name up once, A and AAAA. A name that gives no answer keeps
// the addresses it had.
func (s *Set) Refresh(ctx context.Context) {
	s.refreshMu.Lock()
	defer s.refreshMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	addrs, errs := make([][]netip.Addr, len(s.names)), make([]error, len(s.names))
	var wg sync.WaitGroup
	for i, name := range s.names {
		wg.Go(func() { addrs[i], errs[i] = s.resolver.LookupNetIP(ctx, "ip", name) })
	}
	wg.Wait()
	answers, failed := map[string][]netip.Addr{}, map[string]error{}
	for i, name := range s.names {
		got := usable(addrs[i])
		if errs[i] != nil {
			failed[name] = errs[i]
		}
		if len(got) == 0 {
			got = s.now.Load().answers[name]
		}
		if len(got) > 0 {
			answers[name] = got
		}
	}
	s.now.Store(s.snapshot(answers, failed))
}

// usable sorts addresses so that one answer in another order is the same answer:
// IPv4 first, since a PBX that has both is likelier to listen there.
func usable(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		a = a.Unmap()
		if a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}

func (s *Set) snapshot(answers map[string][]netip.Addr, failed map[string]error) *snapshot {
	n := &snapshot{answers: answers, failed: failed, targets: map[string][]Target{}, owner: map[netip.Addr]string{}}
	for _, g := range s.groups {
		n.targets[g.Name] = Targets(g, func(host string) []netip.Addr { return answers[host] })
		for _, t := range n.targets[g.Name] {
			if _, taken := n.owner[t.Addr.Addr()]; !taken {
				n.owner[t.Addr.Addr()] = g.Name
			}
		}
		for _, p := range g.From {
			n.from = append(n.from, owned{p.Masked(), g.Name})
		}
	}
	// The narrowest network says most about whose an address is.
	slices.SortStableFunc(n.from, func(a, b owned) int { return b.prefix.Bits() - a.prefix.Bits() })
	return n
}

// Targets is what to try for a call to g: hop by hop in the order of the file,
// each address of a hop's host in turn, none twice.
func Targets(g *Group, addrs func(host string) []netip.Addr) []Target {
	var out []Target
	for i := range g.Hops {
		h := &g.Hops[i]
		list := []netip.Addr{h.Addr}
		if !h.Addr.IsValid() {
			list = addrs(h.Host)
		}
		for _, a := range list {
			t := Target{Hop: h, Addr: netip.AddrPortFrom(a, cmp.Or(h.Port, 5060))}
			if !slices.ContainsFunc(out, func(o Target) bool { return o.Addr == t.Addr && o.Hop.Transport == h.Transport }) {
				out = append(out, t)
			}
		}
	}
	return out
}

// Group is the group of that name, or nil.
func (s *Set) Group(name string) *Group { return s.byName[name] }

// Targets is what to try now for a call to the named group, in order; nil when
// there is no such group or none of its names has an address yet. Not to be changed.
func (s *Set) Targets(name string) []Target { return s.now.Load().targets[name] }

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

// Unresolved yields the names whose last look-up failed, with the cause; those
// that keep an older answer are among them.
func (s *Set) Unresolved() map[string]error { return s.now.Load().failed }
