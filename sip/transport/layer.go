package transport

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
	"github.com/ringway/ringway/sip/flow"
)

// Config is what a Layer needs. Zero limits are the defaults given.
type Config struct {
	Table *flow.Table
	// Receive is given each message on its reader's goroutine.
	Receive func(m *sip.Message, from *flow.Flow)
	// Bad is given what the parser refused: m can be answered unless nil. nil: Refuse.
	Bad func(m *sip.Message, err error, from *flow.Flow)
	// Accepted is told of each connection that a peer has opened, before its first message: who
	// is known by its address need not prove more. May be nil.
	Accepted func(f *flow.Flow)
	// Panicked is told of a panic in Receive, Bad or who waits for a hop; may be nil. None of them ends more than
	// its connection.
	Panicked fault.Handler
	Listen   []Listen
	// DialTLS is for connections to tls hops without roots of their own; nil: the system's roots.
	DialTLS *tls.Config

	MaxMessage    int           // octets: 64 KiB
	SendQueue     int           // octets waiting for a client: 1 MiB; for a trunk 16 times as much
	WriteTime     time.Duration // a peer that takes nothing for so long is cut: 5 s
	MaxPerAddr    int           // connections of one address: 20,000
	MaxConns      int           // accepted connections: 100,000
	MaxHalfOpen   int           // TLS handshakes of one address: 100
	HandshakeTime time.Duration // TLS: 5 s
	ProveTime     time.Duration // for a peer to prove who it is: 30 s
	MessageTime   time.Duration // to complete a message that was begun: 30 s
	DialTime      time.Duration // a hop that must be TCP or TLS, handshake included: 1.99 s, so that the next one is asked within 2
	TryTime       time.Duration // a hop that may be TCP, for a large request: 500 ms
	RefusedTime   time.Duration // how long a hop without TCP is remembered: 10 min

	facing func(peer netip.AddrPort) netip.Addr // tests have their own
}

// Listen is one address to listen on.
type Listen struct {
	URL         string // udp://:5060, tcp://10.0.0.1:5060, tls://[::1]:5061; no host: all addresses
	Advertise   string // host:port told to peers; "": the address facing the peer
	Certificate *Certificate
	// ClientCAs vouch for the certificates of TLS clients, which are asked for one; the names in
	// it are sip.ConnInfo.Names. nil: no client is asked.
	ClientCAs *x509.CertPool
	Index     int // sip.ConnInfo.Listener
}

// Layer is the UDP, TCP and TLS transports of the gateway.
type Layer struct {
	// Static after construction, the sockets in listeners after Listen.
	cfg       Config
	listeners []*listener
	count     Counters
	faults    fault.Handler // counts, and tells cfg.Panicked

	conns    Quota // accepted
	halfOpen Quota
	hops     hops

	// Guarded by starting, which is held to read while a connection is entered: once
	// ended is set, nobody comes.
	starting sync.RWMutex
	ended    bool
	readers  sync.WaitGroup
	shakes   map[*Socket]struct{} // TLS handshakes being made; guarded by shaking
	shaking  sync.Mutex
}

// New checks cfg; it opens nothing.
func New(cfg Config) (*Layer, error) {
	setDefaults(&cfg)
	l := &Layer{cfg: cfg, shakes: make(map[*Socket]struct{})}
	l.faults = l.panicked
	l.hops.init(l)
	for i, entry := range cfg.Listen {
		one, err := newListener(l, entry)
		if err != nil {
			return nil, fmt.Errorf("listen[%d] %s: %w", i, entry.URL, err)
		}
		l.listeners = append(l.listeners, one)
	}
	return l, nil
}

func setDefaults(c *Config) {
	if c.Bad == nil {
		c.Bad = Refuse
	}
	if c.facing == nil {
		c.facing = facing
	}
	c.MaxMessage = cmp.Or(c.MaxMessage, sip.MaxMessage)
	c.SendQueue = cmp.Or(c.SendQueue, 1<<20)
	c.WriteTime = cmp.Or(c.WriteTime, 5*time.Second)
	c.MaxPerAddr = cmp.Or(c.MaxPerAddr, 20_000)
	c.MaxConns = cmp.Or(c.MaxConns, 100_000)
	c.MaxHalfOpen = cmp.Or(c.MaxHalfOpen, 100)
	c.HandshakeTime = cmp.Or(c.HandshakeTime, 5*time.Second)
	c.ProveTime = cmp.Or(c.ProveTime, 30*time.Second)
	c.MessageTime = cmp.Or(c.MessageTime, 30*time.Second)
	c.DialTime = cmp.Or(c.DialTime, 1990*time.Millisecond)
	c.TryTime = cmp.Or(c.TryTime, 500*time.Millisecond)
	c.RefusedTime = cmp.Or(c.RefusedTime, 10*time.Minute)
}

func (c *Config) sendLimits() SendLimits { return SendLimits{c.SendQueue, c.WriteTime} }

// Counters are live.
func (l *Layer) Counters() *Counters { return &l.count }

// Addr is where the i-th entry of Config.Listen listens.
func (l *Layer) Addr(i int) netip.AddrPort { return l.listeners[i].addr }

// Listen opens all sockets, or none and says in one line which could not be opened.
func (l *Layer) Listen() error {
	for _, one := range l.listeners {
		if err := one.open(); err != nil {
			l.closeListeners()
			return fmt.Errorf("listen %s: %w", one.url, ListenError(err))
		}
	}
	return nil
}

func (l *Layer) closeListeners() {
	for _, one := range l.listeners {
		one.close()
	}
}

// Run serves until ctx ends, then closes what is open.
func (l *Layer) Run(ctx context.Context) error {
	failed := make(chan error, 2*len(l.listeners))
	var serving sync.WaitGroup
	for _, one := range l.listeners {
		for _, serve := range one.servers() {
			serving.Go(func() {
				if err := serve(); !errors.Is(err, net.ErrClosed) {
					failed <- fmt.Errorf("listener %s: %w", one.url, err)
				}
			})
		}
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	l.closeListeners()
	l.end()
	serving.Wait()
	l.readers.Wait()
	return err
}

// Shutdown stops accepting connections, closes those that are open and waits for
// their readers. UDP goes on until Run's context ends.
func (l *Layer) Shutdown(ctx context.Context) error {
	for _, one := range l.listeners {
		if one.tcp != nil {
			one.tcp.Close()
		}
	}
	l.end()
	ended := make(chan struct{})
	go func() {
		l.readers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// end closes all connections and lets no new ones in.
func (l *Layer) end() {
	l.starting.Lock()
	l.ended = true
	l.starting.Unlock()
	l.hops.end()
	l.shaking.Lock()
	for s := range l.shakes {
		s.CloseWith(sip.CloseShutdown)
	}
	l.shaking.Unlock()
	for _, f := range l.cfg.Table.All() {
		if c, ok := f.Conn.(*stream); ok && c.layer == l {
			c.Close(sip.CloseShutdown)
		}
	}
}

// enter makes c a flow, unless everything ends.
func (l *Layer) enter(c *stream) bool {
	l.starting.RLock()
	defer l.starting.RUnlock()
	if l.ended {
		return false
	}
	l.readers.Add(1)
	l.count.Open.Add(1)
	c.flow = l.cfg.Table.Open(c)
	return true
}

// receive hands text to those who know SIP. err is the parser's.
func (l *Layer) receive(text string, f sip.Framing, from *flow.Flow) (panicked bool, err error) {
	defer func() {
		if v := recover(); v != nil {
			l.faults.Pass(v)
			panicked = true
		}
	}()
	l.count.Messages.Add(1)
	m, err := sip.Parse(text, f)
	if err == nil && len(text) > l.cfg.MaxMessage {
		err = sip.TooLarge(l.cfg.MaxMessage) // a datagram: a stream's framer has seen to it
	}
	if err != nil {
		l.count.Bad.Add(1)
		l.cfg.Bad(m, err, from)
	} else {
		l.cfg.Receive(m, from)
	}
	return false, err
}

func (l *Layer) panicked(v any, stack []byte) {
	l.count.Panics.Add(1)
	if l.cfg.Panicked != nil {
		l.cfg.Panicked(v, stack)
	}
}
