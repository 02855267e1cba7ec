package ws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transport"
)

// Config is what a Server needs. Zero limits are the defaults given.
type Config struct {
	Table *flow.Table
	// Receive is given each message on its reader's goroutine.
	Receive func(m *sip.Message, from *flow.Flow)
	// Bad is given what the parser refused: m can be answered unless nil. nil: transport.Refuse.
	Bad func(m *sip.Message, err error, from *flow.Flow)
	// Panicked is told of a panic in Receive, Bad or who waits for a pong; may be nil. None of them ends more than
	// its connection.
	Panicked fault.Handler
	// Pages serves what is not a WebSocket path; nil: 404.
	Pages  http.Handler
	Listen []Listen

	MaxMessage    int           // octets: 64 KiB
	SendQueue     int           // octets waiting for one client: 1 MiB
	WriteTime     time.Duration // a client that takes nothing for so long is cut: 5 s
	MaxHalfOpen   int           // connections of one address without a WebSocket: 100
	MaxWaiting    int           // connections of one address that wait for one of these places: 1,000; -1: none
	MaxPerAddr    int           // WebSockets of one address: 20,000
	MaxFlows      int           // WebSockets: 1,000,000
	HandshakeTime time.Duration // TLS, and again the HTTP header: 5 s
	ProveTime     time.Duration // to authenticate or register: 30 s
	PingInterval  time.Duration // 25 s, less up to a fifth
	PongTime      time.Duration // 10 s
	MessageTime   time.Duration // to complete a message that was begun: 30 s
}

// Listen is one address that clients connect to.
type Listen struct {
	URL           string   // ws://host:port/path or wss://…; no host: all addresses
	Paths         []string // more paths
	Advertise     string   // host:port told to peers; "": the address facing the client
	Origins       []string // pages that may connect; none: those of the same host
	RequireOrigin bool     // refuse clients that are no browsers
	Certificate   *transport.Certificate
	Index         int // sip.ConnInfo.Listener
}

const (
	maxHandshake = 16 << 10 // octets of the HTTP header
	httpSlop     = 4 << 10  // net/http adds them to MaxHeaderBytes
	pageTime     = time.Minute
)

// Server is the WebSocket edge.
type Server struct {
	// Static after construction.
	cfg       Config
	epoch     time.Time
	listeners []*listener
	http      *http.Server
	count     Counters
	faults    fault.Handler // counts, and tells cfg.Panicked

	draining atomic.Bool
	room     room
	flows    transport.Quota
	poller   *transport.Poller // set by Run; nil: each flow has a reader of its own

	// Guarded by starting, which is held to read while a flow is entered: once
	// ended is set, nobody comes.
	starting sync.RWMutex
	ended    bool
	readers  sync.WaitGroup
}

// New checks cfg; it opens nothing.
func New(cfg Config) (*Server, error) {
	setDefaults(&cfg)
	s := &Server{cfg: cfg, epoch: time.Now()}
	s.faults = s.panicked
	s.room = room{perAddr: cfg.MaxHalfOpen, waitPerAddr: cfg.MaxWaiting, all: cfg.MaxFlows, patience: cfg.HandshakeTime}
	for i, l := range cfg.Listen {
		one, err := s.newListener(l)
		if err != nil {
			return nil, fmt.Errorf("listen[%d] %s: %w", i, l.URL, err)
		}
		s.listeners = append(s.listeners, one)
	}
	s.http = &http.Server{
		ReadHeaderTimeout: cfg.HandshakeTime,
		ReadTimeout:       pageTime,
		WriteTimeout:      pageTime,
		IdleTimeout:       cfg.ProveTime,
		MaxHeaderBytes:    maxHandshake - httpSlop,
		ErrorLog:          log.New(io.Discard, "", 0), // what clients do wrong is counted, not logged
		Protocols:         new(http.Protocols),
		ConnContext:       withListener,
		Handler:           http.HandlerFunc(s.serveHTTP),
	}
	s.http.Protocols.SetHTTP1(true)
	return s, nil
}

func setDefaults(c *Config) {
	if c.Bad == nil {
		c.Bad = transport.Refuse
	}
	if c.Pages == nil {
		c.Pages = http.NotFoundHandler()
	}
	c.MaxMessage = cmp.Or(c.MaxMessage, sip.MaxMessage)
	c.SendQueue = cmp.Or(c.SendQueue, 1<<20)
	c.WriteTime = cmp.Or(c.WriteTime, 5*time.Second)
	c.MaxHalfOpen = cmp.Or(c.MaxHalfOpen, 100)
	c.MaxWaiting = cmp.Or(c.MaxWaiting, 1000)
	c.MaxPerAddr = cmp.Or(c.MaxPerAddr, 20_000)
	c.MaxFlows = cmp.Or(c.MaxFlows, 1_000_000)
	c.HandshakeTime = cmp.Or(c.HandshakeTime, 5*time.Second)
	c.ProveTime = cmp.Or(c.ProveTime, 30*time.Second)
	c.PingInterval = cmp.Or(c.PingInterval, 25*time.Second)
	c.PongTime = cmp.Or(c.PongTime, 10*time.Second)
	c.MessageTime = cmp.Or(c.MessageTime, 30*time.Second)
}

func (s *Server) panicked(v any, stack []byte) {
	s.count.Panics.Add(1)
	if s.cfg.Panicked != nil {
		s.cfg.Panicked(v, stack)
	}
}

// Counters are live.
func (s *Server) Counters() *Counters { return &s.count }

// Listen opens all listeners, or none and says in one line which could not be opened.
func (s *Server) Listen() error {
	for _, l := range s.listeners {
		if err := l.open(); err != nil {
			s.closeListeners()
			return err
		}
	}
	return nil
}

// Addr is where the i-th entry of Config.Listen listens.
func (s *Server) Addr(i int) netip.AddrPort { return s.listeners[i].addr }

// Run serves until ctx ends, then closes what is open.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, len(s.listeners))
	if p, err := transport.NewPoller(); err == nil {
		s.poller = p
		defer p.Close()
	}
	var serving sync.WaitGroup
	for _, l := range s.listeners {
		serving.Go(l.admit)
		serving.Go(func() {
			if err := s.http.Serve(l.accepting()); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				failed <- fmt.Errorf("listener %s: %w", l.url, err)
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.closeListeners()
	s.room.close()
	s.http.Close()
	serving.Wait()
	s.end()
	s.readers.Wait()
	return err
}

// end closes who is here and lets nobody else in.
func (s *Server) end() {
	s.draining.Store(true)
	s.starting.Lock()
	s.ended = true
	s.starting.Unlock()
	for _, f := range s.all() {
		f.Close(sip.CloseShutdown)
	}
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		if l.tcp != nil {
			l.Close()
		}
	}
}

// Drain answers 503 to new clients; those who are here stay.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown drains, closes all flows with 1012 spread evenly over the time until
// ctx's deadline less a second (at once without one), and waits for their end.
// Run is ended by its own context.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.closeSpread(ctx)
	s.end()
	ended := make(chan struct{})
	go func() {
		s.readers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const spreadStep = 20 * time.Millisecond

// closeSpread closes by the clock: counting ticks would fall behind on a busy machine and
// end after the deadline.
func (s *Server) closeSpread(ctx context.Context) {
	flows := s.all() // in random order, as the table's maps yield them
	began, span := time.Now(), time.Duration(0)
	if end, ok := ctx.Deadline(); ok {
		span = time.Until(end) - time.Second
	}
	pause := time.NewTicker(spreadStep)
	defer pause.Stop()
	for closed := 0; closed < len(flows); {
		due := len(flows)
		if past := time.Since(began); past < span {
			due = min(due, 1+int(float64(len(flows))*float64(past)/float64(span))) // the first at once
		}
		for ; closed < due; closed++ {
			flows[closed].Close(sip.CloseShutdown)
		}
		if closed == len(flows) {
			return
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return // end closes the rest
		}
	}
}

// all are the open flows of this server.
func (s *Server) all() []*Flow {
	var flows []*Flow
	for _, f := range s.cfg.Table.All() {
		if f, ok := f.Conn.(*Flow); ok && f.srv == s {
			flows = append(flows, f)
		}
	}
	return flows
}
