package trunk

import (
	"cmp"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ringway/ringway/gateway/trunk/locate"
	"github.com/ringway/ringway/sip"
)

// Target is an address to try.
type Target struct {
	Upstream string
	Hop      *Hop
	Addr     netip.AddrPort
	// Transport is UDP, TCP or TLS, 0 for either of UDP and TCP by the size of the request.
	Transport sip.Transport
	// Peer is who is told what became of the try.
	Peer *Peer

	local  bool    // the machine's hosts file says so
	tier   int     // lower ones are tried first
	record int     // the addresses of one DNS record, or of one hop, have it in common
	weight float64 // the record's share within the tier
	each   float64 // this address's part of it
}

// candidate is a target that a call may go to.
type candidate struct {
	*Target
	rank float64 // lower ones are tried first within the tier
	at   int     // in the tier; equals keep their order
}

// maxTries is how many addresses one call tries at most.
const maxTries = 32

// Retry-After of a group that has nobody to ask.
const (
	retryUnresolved = 5 * time.Second
	retryLongest    = 5 * time.Minute
)

// Select appends to dst the addresses that a call is to try now, in order, at most 32:
// those of the named group that are neither down nor drained; those that are busy for what may be one callee's doing where there
// is no other. When there is none, retryAfter says when to try again. It takes no lock and, where dst has room, allocates
// nothing.
func (s *Set) Select(dst []Target, group, callID string) (targets []Target, retryAfter time.Duration) {
	v := s.now.Load().views[group]
	if v == nil {
		return dst, retryUnresolved
	}
	var room [128]candidate
	fit, now := room[:0], int64(0)
	for i := range v.targets {
		if t := &v.targets[i]; t.Peer.usable(&now) {
			fit = append(fit, candidate{Target: t})
		}
	}
	if len(fit) == 0 {
		for i := range v.targets {
			if t := &v.targets[i]; t.Peer.spare.Load() {
				fit = append(fit, candidate{Target: t})
			}
		}
	}
	if len(fit) == 0 {
		return dst, v.retryAfter()
	}
	var turn uint64
	if v.sel == RoundRobin || v.sel == LeastBusy {
		turn = v.turn.Add(1) - 1
	}
	arrange(v.sel, fit, turn, callID, rand.Float64)
	for i := range min(len(fit), maxTries) {
		dst = append(dst, *fit[i].Target)
	}
	return dst, 0
}

// arrange puts the candidates of each tier into the order of trial; tiers stay in theirs.
// turn counts calls, random is uniform over [0, 1).
func arrange(sel Selection, cs []candidate, turn uint64, callID string, random func() float64) {
	for len(cs) > 0 {
		n := 1
		for n < len(cs) && cs[n].tier == cs[0].tier {
			n++
		}
		if n > 1 {
			rankTier(sel, cs[:n], turn, callID, random)
			slices.SortFunc(cs[:n], before)
		}
		cs = cs[n:]
	}
}

func before(a, b candidate) int {
	switch {
	case a.rank < b.rank:
		return -1
	case a.rank > b.rank:
		return 1
	}
	return a.at - b.at
}

// rankTier gives each candidate of a tier its rank. Drawing -ln(u)/weight and taking the
// smallest first is drawing one after the other in proportion to the weights, as RFC 2782
// has it; with u hashed from the call and the address, an address that comes or
// goes moves its own calls and no others. Where records are drawn, the addresses of one
// stay together (RFC 3263 §4.2); the other selections share among addresses.
func rankTier(sel Selection, cs []candidate, turn uint64, callID string, random func() float64) {
	n := uint64(len(cs))
	turn %= n
	call := fnv(fnvOffset, callID)
	for i := range cs {
		c := &cs[i]
		c.at = i
		after := float64((uint64(i) + n - turn) % n)
		switch sel {
		case RoundRobin:
			c.rank = after
		case LeastBusy:
			c.rank = float64(c.Peer.calls.Load())/c.each + after*1e-9 // equals take turns
		case HashCallID:
			c.rank = -math.Log(hashed(call, c.Addr)) / c.each
		default:
			if i > 0 && c.record == cs[i-1].record {
				c.rank = cs[i-1].rank
			} else {
				c.rank = -math.Log(1-random()) / c.weight
			}
		}
	}
}

// FNV-1a.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func fnv(h uint64, s string) uint64 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint64(s[i])) * fnvPrime
	}
	return h
}

// hashed is a number in (0, 1) that a call and an address have in every process.
func hashed(h uint64, addr netip.AddrPort) float64 {
	for _, b := range addr.Addr().As16() {
		h = (h ^ uint64(b)) * fnvPrime
	}
	h = (h ^ uint64(addr.Port())) * fnvPrime
	for range 2 { // FNV's high bits know little of the last octets
		h ^= h >> 32
		h *= 0xd6e8feb86659fd93
	}
	h ^= h >> 32
	return (float64(h>>11) + 0.5) / (1 << 53)
}

// retryAfter is when the first of the group's addresses may be asked again.
func (v *view) retryAfter() time.Duration {
	if len(v.targets) == 0 {
		return retryUnresolved
	}
	wait, now := retryLongest, time.Now()
	for i := range v.targets {
		wait = min(wait, v.targets[i].Peer.back(now))
	}
	return max(wait, time.Second)
}

// lineUp is the targets of g in tiers: by priority, spares (weight 0) after the others, and
// by the priorities that DNS gives within a hop. With Order each hop makes tiers of
// its own. known is where each hop leads now. No address is tried twice.
func lineUp(g *Group, known func(hop int) []locate.Server) []Target {
	var out []Target
	var levels []level
	records := 0
	for i := range g.Hops {
		h := &g.Hops[i]
		servers := known(i)
		l := level{priority: h.Priority}
		if h.Weight == 0 {
			l.spare = 1
		}
		if g.Select == Order {
			l.hop = i
		}
		for j := range servers {
			s := &servers[j]
			if j > 0 && s.Priority != servers[j-1].Priority {
				l.srv++
			}
			if j == 0 || !sameRecord(s, &servers[j-1]) {
				records++
			}
			t := Target{Upstream: g.Name, Hop: h, Addr: s.Addr, Transport: s.Transport, local: s.Local, record: records, tier: len(out)}
			t.weight, t.each = shares(servers, j, max(h.Weight, 1))
			if !slices.ContainsFunc(out, func(o Target) bool { return o.Addr == t.Addr && o.Transport == t.Transport }) {
				out, levels = append(out, t), append(levels, l)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Target) int { return levels[a.tier].compare(levels[b.tier]) })
	setTiers(out, levels)
	return out
}

// level is what orders the targets of a group before any selection.
type level struct{ priority, spare, hop, srv int }

func (l level) compare(o level) int {
	return cmp.Or(l.priority-o.priority, l.spare-o.spare, l.hop-o.hop, l.srv-o.srv)
}

// setTiers numbers the levels; until then a target's tier is the index of its level.
func setTiers(ts []Target, levels []level) {
	tier, last := -1, level{}
	for i := range ts {
		if l := levels[ts[i].tier]; i == 0 || l != last {
			tier, last = tier+1, l
		}
		ts[i].tier = tier
	}
}

// sameRecord reports whether two neighbours are addresses of one record.
func sameRecord(a, b *locate.Server) bool {
	return a.Name == b.Name && a.Addr.Port() == b.Addr.Port() && a.Transport == b.Transport && a.Priority == b.Priority && a.Weight == b.Weight
}

// shares are the parts of a hop's weight that the record of its j-th server, and that server
// itself, have among the servers of the same SRV priority.
func shares(servers []locate.Server, j, weight int) (record, each float64) {
	var sum float64
	addrs := 0
	for i := range servers {
		s := &servers[i]
		if s.Priority != servers[j].Priority {
			continue
		}
		if i == 0 || !sameRecord(s, &servers[i-1]) {
			sum += srvWeight(s)
		}
		if sameRecord(s, &servers[j]) {
			addrs++
		}
	}
	record = float64(weight) * (srvWeight(&servers[j]) / sum)
	return record, record / float64(addrs)
}

// srvWeight leaves a record of weight 0 the small chance that RFC 2782 gives it.
func srvWeight(s *locate.Server) float64 { return max(float64(s.Weight), 0.01) }
