package ws

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ringway/ringway/sip/transport"
)

// room limits half-open connections per address. Those of one address that come
// when its places are taken wait for one, unread, in order: a storm of
// reconnecting clients behind one NAT gets through, and costs others nothing.
type room struct {
	// Static after construction.
	perAddr, waitPerAddr, all int
	patience                  time.Duration

	// Guarded by mu. While somebody of an address waits, its places are taken, so
	// that each of them leaving calls the next.
	mu      sync.Mutex
	taken   transport.Quota
	waiting map[netip.Addr][]waiting
	waits   int
	closed  bool
}

// waiting is a connection that nobody has looked at.
type waiting struct {
	tcp   *net.TCPConn
	l     *listener
	since time.Time
}

// enter reports whether w may go on, or is refused; else it waits, or room has reset it.
func (r *room) enter(w waiting, from netip.Addr) (ok, refused bool) {
	from = transport.Holder(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		reset(w.tcp)
		return false, false
	case r.taken.Take(from, r.perAddr, r.all):
		return true, false
	case len(r.waiting[from]) >= r.waitPerAddr || r.waits >= r.all || r.taken.Total() >= r.all:
		return false, true
	}
	if r.waiting == nil {
		r.waiting = make(map[netip.Addr][]waiting)
	}
	r.waiting[from] = append(r.waiting[from], w)
	r.waits++
	return false, false
}

// leave gives a place back; next, if ok, has taken it.
func (r *room) leave(from netip.Addr) (next waiting, ok bool) {
	from = transport.Holder(from)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken.Release(from)
	for q := r.waiting[from]; len(q) > 0; q = r.waiting[from] {
		next = q[0]
		r.waits--
		if r.waiting[from] = q[1:]; len(q) == 1 {
			delete(r.waiting, from)
		}
		if time.Since(next.since) < r.patience && r.taken.Take(from, r.perAddr, r.all) {
			return next, true
		}
		reset(next.tcp)
	}
	return waiting{}, false
}

// close sends away all who wait.
func (r *room) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, q := range r.waiting {
		for _, w := range q {
			reset(w.tcp)
		}
	}
	r.waiting, r.waits = nil, 0
}

func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}
