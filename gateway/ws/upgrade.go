package ws

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// subprotocol is echoed to clients that offered it, and to nobody else.
const subprotocol = "sip"

var chosen = http.Header{"Sec-Websocket-Protocol": {subprotocol}}

// readBuffer is all that gorilla keeps for reading: a control frame. What
// arrives is in the Socket's pooled buffer.
const readBuffer = 128

// noBuffers keeps gorilla from keeping a write buffer: it writes only the
// handshake and, seldom, a close frame; Flow writes all else.
type noBuffers struct{}

func (noBuffers) Get() any { return nil }
func (noBuffers) Put(any)  {}

var upgrader = websocket.Upgrader{
	ReadBufferSize:  readBuffer,
	WriteBufferSize: readBuffer,
	WriteBufferPool: noBuffers{},
	CheckOrigin:     func(*http.Request) bool { return true }, // checked before
	Error: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
		http.Error(w, strings.TrimPrefix(reason.Error(), "websocket: "), status)
	},
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.faults.Catch() // net/http would swallow it
	l := listenerOf(r)
	switch {
	case !slices.Contains(l.paths, r.URL.Path):
		s.cfg.Pages.ServeHTTP(w, r)
	case !websocket.IsWebSocketUpgrade(r):
		s.notWebSocket(w, r)
	case s.draining.Load():
		unavailable(w, &s.count.RefusedDraining, "restarting")
	default:
		s.handshake(w, r, l)
	}
}

// notWebSocket answers a page view of a WebSocket path. The root may be both.
func (s *Server) notWebSocket(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" {
		s.cfg.Pages.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Connection", "Upgrade")
	refuse(w, &s.count.RefusedUpgrade, http.StatusUpgradeRequired, "this is a SIP WebSocket (RFC 7118)")
}

func refuse(w http.ResponseWriter, n *atomic.Uint64, status int, reason string) {
	n.Add(1)
	http.Error(w, reason, status)
}

// unavailable sends a client away for 5 to 30 seconds.
func unavailable(w http.ResponseWriter, n *atomic.Uint64, reason string) {
	w.Header().Set("Retry-After", strconv.Itoa(5+rand.IntN(26)))
	w.Header().Set("Connection", "close")
	refuse(w, n, http.StatusServiceUnavailable, reason)
}

// handshake makes a flow of the request, or refuses it: RFC 6455 §4.2, RFC 7118 §4.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, l *listener) {
	switch {
	case !r.ProtoAtLeast(1, 1): // RFC 6455 §4.1
		refuse(w, &s.count.RefusedUpgrade, http.StatusHTTPVersionNotSupported, "a WebSocket needs HTTP/1.1")
	case r.Method != http.MethodGet:
		w.Header().Set("Allow", http.MethodGet)
		refuse(w, &s.count.RefusedUpgrade, http.StatusMethodNotAllowed, "method is not GET")
	case !slices.Equal(r.Header.Values("Sec-Websocket-Version"), []string{"13"}):
		w.Header().Set("Sec-WebSocket-Version", "13")
		refuse(w, &s.count.RefusedUpgrade, http.StatusUpgradeRequired, "Sec-WebSocket-Version is not 13")
	case !l.origins.allow(r):
		refuse(w, &s.count.RefusedOrigin, http.StatusForbidden, "origin not allowed")
	case !offersSIP(r):
		refuse(w, &s.count.RefusedSubprotocol, http.StatusBadRequest, "subprotocol sip not offered (Sec-WebSocket-Protocol, RFC 7118)")
	default:
		s.upgrade(w, r, l)
	}
}

// offersSIP looks through all values of all Sec-WebSocket-Protocol lines.
func offersSIP(r *http.Request) bool {
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for one := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(one) == subprotocol {
				return true
			}
		}
	}
	return false
}

func (s *Server) upgrade(w http.ResponseWriter, r *http.Request, l *listener) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !s.flows.Take(from.Addr(), s.cfg.MaxPerAddr, s.cfg.MaxFlows) {
		unavailable(w, &s.count.RefusedFull, "too many connections")
		return
	}
	f := &Flow{srv: s}
	c, err := upgrader.Upgrade(hijacker{w, f}, r, chosen)
	if err != nil {
		s.count.RefusedUpgrade.Add(1)
		s.flows.Release(from.Addr())
		return
	}
	s.count.Upgraded.Add(1)
	f.start(c, l)
}

// start makes the upgraded connection a flow and has it read elsewhere: net/http's
// goroutine ends, and its buffers with it.
func (f *Flow) start(c *websocket.Conn, l *listener) {
	f.ws = c
	f.sock.Async()
	local, remote := f.sock.AddrPorts()
	f.info = sip.ConnInfo{
		Transport: l.transport, Local: local, Remote: remote,
		Advertise: l.advertised(local), Listener: l.index,
	}
	c.SetPingHandler(f.pinged)
	c.SetPongHandler(ponged)
	c.SetCloseHandler(f.peerCloses)
	f.mu.Lock()
	f.upgraded = true
	f.mu.Unlock()
	if !f.enter() {
		f.Close(sip.CloseShutdown)
		f.srv.flows.Release(remote.Addr())
		return
	}
	f.startWatch()
	if !f.park() {
		go f.read()
	}
}

func (f *Flow) enter() bool {
	s := f.srv
	s.starting.RLock()
	defer s.starting.RUnlock()
	if s.ended {
		return false
	}
	s.readers.Add(1)
	s.count.Open.Add(1)
	f.flow = s.cfg.Table.Open(f)
	return true
}

// hijacker gives gorilla the connection with the guard in between.
type hijacker struct {
	http.ResponseWriter
	f *Flow
}

// Hijack takes the connection from net/http.
func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hj, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("connection cannot be taken over")
	}
	c, rw, err := hj.Hijack()
	if err != nil {
		return nil, nil, err
	}
	half := below(c)
	half.leave()
	h.f.conn, h.f.sock = c, half.Socket
	if c == net.Conn(half) {
		h.f.conn = half.Socket
	}
	h.f.guard = guard{Conn: h.f.conn, f: h.f}
	c.SetDeadline(time.Time{})
	return &h.f.guard, rw, nil
}
