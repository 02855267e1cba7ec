package trunk

import (
	"net/netip"
	"slices"
	"strings"
)

// Withheld is an address that a look-up gave and that names nobody: calls go there, what comes from there is
// not the upstream's.
type Withheld struct {
	Upstream string
	Host     string // that was looked up
	Addr     netip.AddrPort
	Why      string
}

// ownersLocked says whose each address is. What the operator wrote (addresses of hops, From, hosts files) comes first, in
// the order of the file; an answer of the DNS takes nothing from it, and is no upstream where it leads to ourselves.
func (s *Set) ownersLocked(n *snapshot) {
	for _, looked := range [...]bool{false, true} {
		for _, g := range s.groups {
			for i := range n.views[g.Name].targets {
				t := &n.views[g.Name].targets[i]
				if (!t.Hop.Addr.IsValid() && !t.local) != looked {
					continue
				}
				addr := t.Addr.Addr()
				if why := s.unfit(n, g.Name, t.Addr); looked && why != "" {
					s.withholdLocked(Withheld{g.Name, t.Hop.Host, t.Addr, why})
				} else if _, taken := n.owner[addr]; !taken {
					n.owner[addr] = g.Name
				}
			}
		}
	}
}

// unfit is why an address that was looked up makes nobody that upstream, "" where it does.
func (s *Set) unfit(n *snapshot, upstream string, at netip.AddrPort) string {
	a := at.Addr()
	i := slices.IndexFunc(n.from, func(o owned) bool { return o.prefix.Contains(a.WithZone("")) })
	switch other := n.owner[a]; {
	case other == upstream:
		return ""
	case other != "":
		return "it is upstream " + other + "'s"
	case i >= 0 && n.from[i].name != upstream:
		return "it is of upstream " + n.from[i].name + "'s from"
	case i >= 0:
		return "" // the operator's word
	case a.IsLoopback():
		return "it is a loopback address"
	case a.IsLinkLocalUnicast():
		return "it is a link-local address"
	case a.IsUnspecified() || a.IsMulticast():
		return "it is no address of a server"
	case s.cfg.Own != nil && s.cfg.Own(at):
		return "this gateway listens there"
	}
	return ""
}

// maxWithheld bounds what is told of once.
const maxWithheld = 256

// withholdLocked counts w and tells of it, each address of a name once.
func (s *Set) withholdLocked(w Withheld) {
	key := strings.Join([]string{w.Upstream, w.Host, w.Addr.String(), w.Why}, " ")
	if s.withheld[key] || len(s.withheld) >= maxWithheld {
		return
	}
	s.withheld[key] = true
	s.conflicts.Add(1)
	if s.cfg.Withheld != nil {
		s.cfg.Withheld(w)
	}
}

// Conflicts is how many addresses that were looked up name nobody.
func (s *Set) Conflicts() uint64 { return s.conflicts.Load() }
