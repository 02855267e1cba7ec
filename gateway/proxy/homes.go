package proxy

import (
	"strings"
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// A server of an upstream that connects to us does so from any port; where it listens, if it
// listens at all, its Via says (RFC 3261 §18.1.1). A request to that address takes the connection that is open
// (RFC 5923 §5), and only where there is none, a new one.

// home is the sent-by of a peer, and how it is reached there.
type home struct {
	host      string
	port      uint16
	transport sip.Transport
}

func homeOf(host string, port uint16, t sip.Transport) home {
	if port == 0 {
		port = defaultPort(t)
	}
	return home{strings.ToLower(host), port, t}
}

func defaultPort(t sip.Transport) uint16 {
	if t == sip.TLS {
		return 5061
	}
	return 5060
}

// homes are the connections that upstreams have opened, by sent-by.
type homes struct {
	mu sync.RWMutex
	of map[flow.ID]home
	at map[home]flow.ID // the newest connection
}

func (h *homes) init() {
	h.of, h.at = make(map[flow.ID]home), make(map[home]flow.ID)
}

// opened reports whether f is a connection that an upstream has made to us.
func opened(f *flow.Flow) bool {
	info := f.Info()
	return info.Transport.Reliable() && !info.Transport.WebSocket() && !info.Dialled && f.Upstream() != ""
}

// note keeps what a request over f says of its sender.
func (h *homes) note(f *flow.Flow, via *sip.ViaValue) {
	if !opened(f) {
		return
	}
	is := homeOf(via.Host, via.Port, f.Info().Transport)
	h.mu.RLock()
	had, id := h.of[f.ID], h.at[is]
	h.mu.RUnlock()
	if had == is && id == f.ID {
		return
	}
	is.host = strings.Clone(is.host)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetLocked(f.ID)
	h.of[f.ID], h.at[is] = is, f.ID
	if !f.Live() {
		h.forgetLocked(f.ID) // nobody else will
	}
}

func (h *homes) forget(id flow.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgetLocked(id)
}

func (h *homes) forgetLocked(id flow.ID) {
	is, ok := h.of[id]
	if !ok {
		return
	}
	delete(h.of, id)
	if h.at[is] == id {
		delete(h.at, is)
	}
}

// find is the connection of the peer that u leads to, by transport t if that is not 0.
func (h *homes) find(u *sip.URI, t sip.Transport) (id flow.ID) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, one := range [...]sip.Transport{sip.TCP, sip.TLS} {
		if t == 0 || t == one {
			if id := h.at[homeOf(u.Host, u.Port, one)]; id != 0 {
				return id
			}
		}
	}
	return 0
}

// wayTo is how a request in a dialog gets to u at an upstream, of which the dialog's token names
// the flow id: over a connection, or to hops. u can be a user's invention: it has nothing opened that is neither a
// hop nor what a server of the upstream has said of itself in that call.
func (p *Proxy) wayTo(upstream, callID string, id flow.ID, u *sip.URI) (flow.ID, []Hop) {
	f := p.Flows.ByID(id)
	if hop, ok := p.Identity.HopOf(upstream, u); ok {
		open := hop
		if t, _ := u.Transport(); t == 0 {
			open.Transport = 0 // over a connection that is there, whatever the hop has pinned
		}
		if reaches(f, &open) {
			return id, nil
		}
		if g := p.connection(p.homes.find(u, open.Transport), upstream); g != nil {
			return g.ID, nil
		}
		if p.mayReach(upstream, callID, &hop) {
			return id, []Hop{hop}
		}
	}
	if f != nil {
		return id, nil // a hop's connection, still open
	}
	return id, p.Identity.Hops(upstream)
}

// connection is the live TCP or TLS connection of that id if the upstream is at its other end, else nil.
func (p *Proxy) connection(id flow.ID, upstream string) *flow.Flow {
	f := p.Flows.ByID(id)
	if f == nil || !f.Live() || !f.Info().Transport.Reliable() || upstream == "" || f.Upstream() != upstream {
		return nil
	}
	return f
}

// reachOr is Network.Reach for a request in a dialog: where nobody listens at h, the connection that the
// dialog began over, if it is open, leads there all the same.
func (p *Proxy) reachOr(id flow.ID, upstream string, h Hop, size int, done func(*flow.Flow, error)) {
	p.Network.Reach(h, size, func(f *flow.Flow, err error) {
		if err != nil {
			if g := p.connection(id, upstream); g != nil {
				f, err = g, nil
			}
		}
		done(f, err)
	})
}
