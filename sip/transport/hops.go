package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	maxRoutes  = 4096
	routeTime  = time.Minute // how long the choice of a listener is kept
	maxRefused = 4096
)

// hops are the connections that we opened, and what is known of where to.
type hops struct {
	// Static after construction.
	layer  *Layer
	ctx    context.Context
	cancel context.CancelFunc

	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	open     map[hopKey]*flow.Flow
	dialling map[hopKey]*dial
	without  map[netip.AddrPort]time.Time // no TCP there until
	routes   map[netip.Addr]route
}

type hopKey struct {
	addr      netip.AddrPort
	transport sip.Transport
	host      string
	tls       *ClientTLS
}

// route is the listeners to send from.
type route struct {
	udp      *udpSocket
	tcp, tls *listener
	until    time.Time
}

// dial is a connection being made and those who wait for it.
type dial struct {
	until   time.Time // the TLS handshake ends by then, too
	waiters []*waiter
}

type waiter struct {
	done  func(*flow.Flow, error)
	timer *time.Timer
}

func (h *hops) init(l *Layer) {
	h.layer = l
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.open = make(map[hopKey]*flow.Flow)
	h.dialling = make(map[hopKey]*dial)
	h.without = make(map[netip.AddrPort]time.Time)
	h.routes = make(map[netip.Addr]route)
}

// end gives up what is being dialled.
func (h *hops) end() { h.cancel() }

// route chooses the listeners for a peer: bound to the address that faces it,
// else to all addresses, else any that may do.
func (h *hops) route(to netip.AddrPort) route {
	now := time.Now()
	h.mu.Lock()
	r, ok := h.routes[to.Addr()]
	h.mu.Unlock()
	if ok && now.Before(r.until) {
		return r
	}
	from := h.layer.cfg.facing(to)
	r = h.find(to.Addr(), from)
	if !from.IsValid() {
		return r // not known now, perhaps the next time
	}
	r.until = now.Add(routeTime)
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.routes) >= maxRoutes {
		clear(h.routes)
	}
	h.routes[to.Addr()] = r
	return r
}

// find is route for a peer that is faced by our address from.
func (h *hops) find(to, from netip.Addr) (r route) {
	best := map[sip.Transport]int{}
	for _, one := range h.layer.listeners {
		fit := one.serves(to, from)
		if fit <= best[one.transport] {
			continue
		}
		switch one.transport {
		case sip.UDP:
			i := slices.IndexFunc(one.udp, func(s *udpSocket) bool { return s.local.Addr().Is4() == to.Is4() })
			if i < 0 {
				continue
			}
			r.udp = one.udp[i]
		case sip.TCP:
			r.tcp = one
		case sip.TLS:
			r.tls = one
		}
		best[one.transport] = fit
	}
	return r
}

// from is the listener that a connection opened to key counts for.
func (h *hops) from(key hopKey) *listener {
	r := h.route(key.addr)
	switch {
	case key.transport == sip.TLS && r.tls != nil:
		return r.tls
	case r.tcp != nil:
		return r.tcp
	case r.udp != nil:
		return r.udp.one
	}
	return nil
}

// refused remembers that no connection could be made.
func (h *hops) refused(a netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.without) >= maxRefused {
		clear(h.without)
	}
	h.without[a] = time.Now().Add(h.layer.cfg.RefusedTime)
}

func (h *hops) refuses(a netip.AddrPort) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	until, ok := h.without[a]
	if ok && time.Now().After(until) {
		delete(h.without, a)
		return false
	}
	return ok
}

// connect gives the open connection to key, or dials one with all others who want it.
func (h *hops) connect(key hopKey, within time.Duration, done func(*flow.Flow, error)) {
	h.mu.Lock()
	if f := h.open[key]; f != nil && usable(f) {
		h.mu.Unlock()
		done(f, nil)
		return
	}
	d := h.dialling[key]
	fresh := d == nil
	if fresh {
		d = &dial{}
		h.dialling[key] = d
	}
	w := &waiter{done: done}
	d.waiters = append(d.waiters, w)
	if within < h.layer.cfg.DialTime {
		w.timer = time.AfterFunc(within, func() { h.giveUp(d, w) })
	}
	h.mu.Unlock()
	if fresh && !h.begin(key, d) {
		h.finish(key, d, nil, errEnding)
	}
}

func usable(f *flow.Flow) bool {
	c, ok := f.Conn.(*stream)
	return ok && f.Live() && c.sock.Reason() == ""
}

// giveUp ends one waiting; the dialling goes on for others and the next time.
func (h *hops) giveUp(d *dial, w *waiter) {
	h.mu.Lock()
	i := slices.Index(d.waiters, w)
	if i >= 0 {
		d.waiters = slices.Delete(d.waiters, i, i+1)
	}
	h.mu.Unlock()
	if i >= 0 {
		h.tell(w, nil, os.ErrDeadlineExceeded)
	}
}

// begin dials on a goroutine; false when everything ends.
func (h *hops) begin(key hopKey, d *dial) bool {
	l := h.layer
	l.starting.RLock()
	defer l.starting.RUnlock()
	if l.ended {
		return false
	}
	l.readers.Add(1)
	go func() {
		defer l.readers.Done()
		defer func() {
			if v := recover(); v != nil {
				l.faults.Pass(v)
				h.finish(key, d, nil, errPanic)
			}
		}()
		h.dial(key, d)
	}()
	return true
}

func (h *hops) dial(key hopKey, d *dial) {
	one := h.from(key)
	d.until = time.Now().Add(h.layer.cfg.DialTime)
	dialer := net.Dialer{Deadline: d.until, KeepAliveConfig: keepAlive}
	if one != nil && one.host.IsValid() && !one.host.IsUnspecified() {
		dialer.LocalAddr = &net.TCPAddr{IP: one.host.AsSlice()}
	}
	t, err := dialer.DialContext(h.ctx, "tcp", key.addr.String())
	if err != nil {
		h.finish(key, d, nil, err)
		return
	}
	sock, err := NewSocket(t.(*net.TCPConn), h.layer.cfg.sendLimits())
	if err != nil {
		t.Close()
		h.finish(key, d, nil, err)
		return
	}
	c := newStream(h.layer, sock)
	c.ended = func() { h.closed(key, c) }
	c.info = sip.ConnInfo{Transport: key.transport, Dialled: true}
	c.info.Local, c.info.Remote = sock.AddrPorts()
	c.info.Advertise = c.info.Local.String()
	if one != nil {
		c.info.Listener, c.info.Advertise = one.index, one.advertised(c.info.Local.Addr())
	}
	h.dialled(key, d, c)
}

// dialled makes a flow of a connection.
func (h *hops) dialled(key hopKey, d *dial, c *stream) {
	started := func(err error) {
		if err == nil && !c.start() {
			err = errEnding
		}
		h.finish(key, d, c.flow, err)
	}
	if key.transport != sip.TLS {
		started(nil)
		return
	}
	if !h.layer.handshake(c, tls.Client(c.sock, h.layer.clientConfig(key)), d.until, started) {
		h.finish(key, d, nil, errEnding)
	}
}

// finish tells all who wait, in the order in which they came.
func (h *hops) finish(key hopKey, d *dial, f *flow.Flow, err error) {
	count := &h.layer.count
	h.mu.Lock()
	if h.dialling[key] == d {
		delete(h.dialling, key)
	}
	if err == nil && !usable(f) {
		err = cmp.Or(f.Cause(), net.ErrClosed) // it ended before it was entered, and nobody would take it out again
	}
	if err == nil {
		count.Dialled.Add(1)
		h.open[key] = f
		delete(h.without, key.addr)
	} else {
		count.DialFailed.Add(1)
		err = fmt.Errorf("dial %s %s: %w", key.transport, key.addr, err)
		f = nil
	}
	waiters := d.waiters
	d.waiters = nil
	h.mu.Unlock()
	for _, w := range waiters {
		if w.timer != nil {
			w.timer.Stop()
		}
		h.tell(w, f, err)
	}
}

// tell keeps a panic of one who waits from the others, and from the process: nobody else would catch it.
func (h *hops) tell(w *waiter, f *flow.Flow, err error) {
	defer h.layer.faults.Catch()
	w.done(f, err)
}

// closed forgets a connection that ended.
func (h *hops) closed(key hopKey, c *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[key] == c.flow {
		delete(h.open, key)
	}
}
