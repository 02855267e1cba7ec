package proxy

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// The Request-URI and the Route of a request within a dialog are what a user says that the upstream said; so are the Contacts
// and Record-Routes that a proxy upstream passes on, for users of ours as for strangers. Beside its configured hops we open
// nothing for them but what its servers have said of themselves: the topmost Via of a request that one sends in that call is its own (RFC 3261
// §18.1.1), and so is the port that a datagram comes from. Losing this costs the way to another port of a hop's host: the request goes over the flow that
// the dialog began over, or to a hop.

// maxNamed bounds one half of what is remembered. Ordinary calls need none: they name a hop.
const maxNamed = 1 << 15

// named are hashes of upstream, call and address. What is used again stays, the rest goes by halves.
type named struct {
	seed maphash.Seed

	mu       sync.Mutex // a leaf
	now, old map[uint64]struct{}
}

func (n *named) init() {
	n.seed = maphash.MakeSeed()
	n.now = make(map[uint64]struct{})
}

func (n *named) key(upstream, callID string, at netip.AddrPort, t sip.Transport) uint64 {
	var m maphash.Hash
	m.SetSeed(n.seed)
	m.WriteString(upstream)
	m.WriteByte(0)
	m.WriteString(callID)
	m.WriteByte(0)
	a := at.Addr().As16()
	m.Write(a[:])
	var b [3]byte
	binary.BigEndian.PutUint16(b[:], at.Port())
	b[2] = byte(t)
	m.Write(b[:])
	return m.Sum64()
}

func (n *named) add(key uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addLocked(key)
}

func (n *named) addLocked(key uint64) {
	if len(n.now) >= maxNamed {
		n.old, n.now = n.now, make(map[uint64]struct{})
	}
	n.now[key] = struct{}{}
}

func (n *named) has(key uint64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.now[key]; ok {
		return true
	}
	_, ok := n.old[key]
	if ok {
		n.addLocked(key)
	}
	return ok
}

// noteNamed keeps where the server that sent req over f takes requests, if that is beside the hops of its upstream: over UDP the port
// that it sends from (RFC 3581 §4), else that of its Via.
func (p *Proxy) noteNamed(upstream string, req *sip.Message, f *flow.Flow) {
	if upstream == "" {
		return
	}
	p.noteSubscribed(req)
	info := f.Info()
	if info.Transport.WebSocket() || !recordsRoute(req.Method()) {
		return
	}
	at := info.Remote
	if via := req.TopVia(); info.Transport.Reliable() {
		at = netip.AddrPortFrom(at.Addr(), homeOf("", via.Port, info.Transport).port)
	}
	u := sip.URI{Scheme: "sip", Host: hostOf(at.Addr().Unmap()), Port: at.Port(), Params: transportParams[info.Transport]}
	if hop, ok := p.Identity.HopOf(upstream, &u); ok && hop.Beside {
		p.named.add(p.named.key(upstream, req.CallID(), at, info.Transport))
	}
}

var transportParams = map[sip.Transport]sip.Params{sip.UDP: ";transport=udp", sip.TCP: ";transport=tcp", sip.TLS: ";transport=tls"}

// hostOf is an address as a URI has it.
func hostOf(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// mayReach reports whether a request of that call may open a way to h, whose transport it settles.
func (p *Proxy) mayReach(upstream, callID string, h *Hop) bool {
	if !h.Beside {
		return true
	}
	for _, t := range [...]sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		if (h.Transport == 0 || h.Transport == t) && p.named.has(p.named.key(upstream, callID, h.Addr, t)) {
			h.Transport = t
			return true
		}
	}
	return false
}
