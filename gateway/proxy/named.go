package proxy

import (
	"encoding/binary"
	"hash/maphash"
	"sync"

	"github.com/ringway/ringway/sip"
)

// The Request-URI and the Route of a request within a dialog are what a user says that the upstream said. Beside its
// configured hops we open nothing for them but what its own messages of that call have named (RFC 3261 §12.1: the next hop is
// the nearest Record-Route, or else the Contact). Losing this costs the way to another port of a hop's host: the request
// goes to the hop.

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

func (n *named) key(upstream, callID string, h *Hop) uint64 {
	var m maphash.Hash
	m.SetSeed(n.seed)
	m.WriteString(upstream)
	m.WriteByte(0)
	m.WriteString(callID)
	m.WriteByte(0)
	a := h.Addr.Addr().As16()
	m.Write(a[:])
	var b [3]byte
	binary.BigEndian.PutUint16(b[:], h.Addr.Port())
	b[2] = byte(h.Transport)
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

// noteNamed keeps where the upstream that sent m wants the next requests of the dialog.
func (p *Proxy) noteNamed(upstream string, m *sip.Message) {
	if upstream == "" {
		return
	}
	p.noteSubscribed(m)
	next := ""
	if m.Status() == 0 {
		if !recordsRoute(m.Method()) {
			return
		}
		next = nearestAbove(m)
	} else {
		if _, method := m.CSeq(); m.Status() <= 100 || m.Status() >= 300 || !recordsRoute(method) {
			return
		}
		next = p.nearestBelow(m)
	}
	if next == "" {
		return
	}
	u, err := sip.ParseURI(next)
	if err != nil {
		return
	}
	if hop, ok := p.Identity.HopOf(upstream, &u); ok && hop.Beside {
		p.named.add(p.named.key(upstream, m.CallID(), &hop))
	}
}

// nearestAbove is the URI of the element next to us that a request came by and its dialog's requests go back to.
func nearestAbove(m *sip.Message) string {
	if m.Has(sip.RecordRoute) {
		for v := range m.Values(sip.RecordRoute) {
			uri, _ := addrOf(v)
			return uri
		}
	}
	return contactOf(m)
}

// nearestBelow is the same of a response: the Record-Route above ours. What is below ours the caller wrote.
func (p *Proxy) nearestBelow(m *sip.Message) (uri string) {
	if !m.Has(sip.RecordRoute) {
		return contactOf(m)
	}
	for v := range m.Values(sip.RecordRoute) {
		u, err := routeURI(v)
		if err != nil {
			return ""
		}
		if p.Identity.Own(u.Host, u.Port) {
			if uri == "" {
				return contactOf(m)
			}
			return uri
		}
		uri, _ = addrOf(v)
	}
	return "" // none is ours
}

// mayReach reports whether a request of that call may open a way to h.
func (p *Proxy) mayReach(upstream, callID string, h *Hop) bool {
	return !h.Beside || p.named.has(p.named.key(upstream, callID, h))
}
