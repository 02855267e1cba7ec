package ws

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transport"
)

// listener is one Config.Listen entry.
type listener struct {
	// Static after construction.
	srv       *Server
	url       string
	bind      string // host:port for net.Listen
	paths     []string
	origins   *origins
	transport sip.Transport
	tls       *tls.Config
	advertise string
	index     int

	// Set by open.
	tcp  *net.TCPListener
	addr netip.AddrPort

	admitted chan net.Conn
	failed   chan struct{} // closed after err is set
	err      error
	closed   chan struct{}
	once     sync.Once

	facing atomic.Pointer[advertised]
}

// advertised is the text of the last address that a client came in by.
type advertised struct {
	addr netip.AddrPort
	text string
}

func (s *Server) newListener(l Listen) (*listener, error) {
	u, err := url.Parse(l.URL)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	one := &listener{admitted: make(chan net.Conn), failed: make(chan struct{}), closed: make(chan struct{}), srv: s, url: l.URL, paths: l.Paths, advertise: l.Advertise, index: l.Index}
	port := portOf(u.Port(), u.Scheme)
	switch u.Scheme {
	case "ws":
		one.transport = sip.WS
	case "wss":
		one.transport = sip.WSS
		if l.Certificate == nil {
			return nil, errors.New("wss needs a certificate")
		}
		one.tls = l.Certificate.TLS()
		one.tls.NextProtos = []string{"http/1.1"} // no WebSocket over HTTP/2
	default:
		return nil, errors.New("scheme is neither ws nor wss")
	}
	if host := u.Hostname(); host != "" {
		if _, err := netip.ParseAddr(host); err != nil {
			return nil, errors.New("host is not an IP address")
		}
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("only host, port and path have a meaning")
	}
	one.bind = net.JoinHostPort(u.Hostname(), port)
	one.paths = append([]string{"/" + strings.TrimPrefix(u.Path, "/")}, l.Paths...)
	one.origins, err = parseOrigins(l.Origins, l.RequireOrigin)
	return one, err
}

func (l *listener) open() error {
	lc := net.ListenConfig{KeepAlive: -1} // pings do it
	ln, err := lc.Listen(context.Background(), "tcp", l.bind)
	if err != nil {
		return fmt.Errorf("listen %s: %w", l.url, transport.ListenError(err))
	}
	l.tcp = ln.(*net.TCPListener)
	l.addr = l.tcp.Addr().(*net.TCPAddr).AddrPort()
	return nil
}

// accepting is what net/http serves.
func (l *listener) accepting() net.Listener {
	if l.tls != nil {
		return tls.NewListener(l, l.tls) // net/http shakes hands on the connection's own goroutine
	}
	return l
}

// admit accepts connections and lets them into the room.
func (l *listener) admit() {
	defer close(l.failed)
	for {
		c, err := l.tcp.AcceptTCP()
		if transport.OutOfDescriptors(err) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err != nil {
			l.err = err
			return
		}
		l.srv.count.Accepted.Add(1)
		ok, refused := l.srv.room.enter(waiting{c, l, time.Now()}, remoteOf(c))
		switch {
		case ok:
			l.hand(c)
		case refused:
			l.srv.count.RefusedHalfOpen.Add(1) // before the peer can know
			reset(c)
		}
	}
}

func remoteOf(c *net.TCPConn) netip.Addr { return c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr() }

// hand gives a connection that has its place to net/http.
func (l *listener) hand(c *net.TCPConn) {
	from := remoteOf(c)
	sock, err := transport.NewSocket(c, transport.SendLimits{Bytes: l.srv.cfg.SendQueue, Stall: l.srv.cfg.WriteTime})
	if err != nil {
		c.Close()
		l.srv.leave(from)
		return
	}
	h := &halfOpen{Socket: sock, l: l, from: from}
	select {
	case l.admitted <- h:
	case <-l.failed:
		h.Close()
	case <-l.closed:
		h.Close()
	}
}

// leave gives back a place in the room.
func (s *Server) leave(from netip.Addr) {
	if next, ok := s.room.leave(from); ok {
		go next.l.hand(next.tcp) // waits for net/http, which the caller may hold up
	}
}

// Accept returns connections within the half-open limit.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.admitted:
		return c, nil
	case <-l.failed:
		return nil, l.err
	}
}

// Close closes the listening socket.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.tcp.Close()
}

// Addr is the address listened on.
func (l *listener) Addr() net.Addr { return l.tcp.Addr() }

// halfOpen is a connection as net/http sees it: it counts until it is closed or
// becomes a WebSocket.
type halfOpen struct {
	*transport.Socket
	l    *listener
	from netip.Addr
	left atomic.Bool
}

func (h *halfOpen) leave() {
	if !h.left.Swap(true) {
		h.l.srv.leave(h.from)
	}
}

// Close ends the connection.
func (h *halfOpen) Close() error {
	h.leave()
	return h.Socket.Close()
}

// below is the halfOpen under what net/http serves.
func below(c net.Conn) *halfOpen {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return c.(*halfOpen)
}

type listenerKey struct{}

func withListener(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, listenerKey{}, below(c).l)
}

func listenerOf(r *http.Request) *listener { return r.Context().Value(listenerKey{}).(*listener) }

// advertised is what peers are told of a client's listener.
func (l *listener) advertised(local netip.AddrPort) string {
	if l.advertise != "" {
		return l.advertise
	}
	if a := l.facing.Load(); a != nil && a.addr == local {
		return a.text
	}
	a := &advertised{local, local.String()}
	l.facing.Store(a)
	return a.text
}
