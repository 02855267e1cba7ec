package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ringway/ringway/sip"
)

// ErrClosed is returned by operations on a Socket that is closed or being closed.
var ErrClosed = net.ErrClosed

// errSlow is what a sender is told whose message overflowed the queue.
var errSlow = errors.New("peer reads too slowly")

const (
	maxPendingWrites = 256
	lingerTime       = time.Second // to flush and drain a closed socket
	notSentLowat     = 64 << 10    // octets the kernel may hold that it could not send yet
)

// How long a peer may acknowledge nothing. The kernel counts unanswered keep-alives by the same clock, which
// starts with the last octet heard: so clients get time for two of keepAlive's to be lost, and trunks have keep-alives of their own.
const (
	clientPatience = 90 * time.Second
	trunkPatience  = 10 * time.Second
)

var trunkKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// SendLimits say when a peer is taken for slow.
type SendLimits struct {
	Bytes int           // that wait for it
	Stall time.Duration // without one octet taken by it
}

// Socket is a TCP connection for signalling. Once Async was called, Write never
// blocks: what the kernel does not take at once waits in a bounded queue that a
// goroutine empties, which lives only as long as the queue is not empty. While
// a reader waits, the Socket holds no read buffer.
//
// It is a net.Conn, so that crypto/tls, net/http and gorilla/websocket run on it.
type Socket struct {
	// Static after construction.
	tcp    *net.TCPConn
	raw    syscall.RawConn
	fd     int                   // to be used where it cannot be closed meanwhile
	readFn func(fd uintptr) bool // made once: a closure passed to raw escapes
	limits socketLimits

	// Owned by the reader, or by the closing goroutine once the reader has left.
	reading sync.Mutex // held while the kernel is asked or waited for
	in      *[readSize]byte
	inStart int
	inEnd   int
	readErr error
	feed    func([]byte) error // Loop only
	await   time.Duration      // bound of the next waits, see Await
	waiting deadlineState

	// Guarded by mu.
	mu       sync.Mutex
	async    bool
	queue    []byte // not yet taken by the flusher
	queued   int    // writes in queue
	inFlight int    // octets the flusher is writing
	flying   int    // writes the flusher is writing
	flushing bool   // the flusher lives
	closing  bool   // closed for everybody but flusher and linger
	eof      bool   // the peer sends nothing more
	err      error  // what Write returns from now on
	reason   sip.CloseReason
	parked   parking
	slot     int32     // in loop
	loop     *pollLoop // the one that it parks in, once it has
	reader   Reader    // of a parked socket

	gone atomic.Bool // the descriptor is closed
}

type socketLimits struct {
	bytes, writes int
	stall, linger time.Duration
}

type deadlineState uint8

const (
	noDeadline deadlineState = iota
	armed                    // for the message being awaited
	stale                    // for one that has arrived
)

// parking says who reads a Socket that a Poller may hold.
type parking uint8

const (
	unparked parking = iota // its owner
	waits                   // nobody
	served                  // the poller
	ousted                  // the poller, but the socket was closed meanwhile
)

// Reader takes what arrives on a parked Socket.
type Reader interface {
	// Arrived is given what has been read and returns how much of it is dealt with. It
	// must not block. p is its own until it returns.
	Arrived(p []byte) (taken int)
	// Resume is called on a goroutine of its own when the socket is parked no longer: part of what
	// arrived was not taken, it is closed, or reading failed. It is the reader now,
	// and learns by Read which of them it is.
	Resume()
}

// NewSocket takes over c. The socket blocks like any net.Conn until Async, when the
// limits begin to matter; beside them at most 256 writes wait.
func NewSocket(c *net.TCPConn, limits SendLimits) (*Socket, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &Socket{tcp: c, raw: raw, limits: socketLimits{limits.Bytes, maxPendingWrites, limits.Stall, lingerTime}}
	s.readFn = s.tryRead
	setStreamOptions(raw)
	return s, raw.Control(func(fd uintptr) { s.fd = int(fd) })
}

// Async makes Write non-blocking from now on; write deadlines no longer matter.
func (s *Socket) Async() {
	s.mu.Lock()
	s.async = true
	s.mu.Unlock()
	s.tcp.SetWriteDeadline(time.Time{})
}

// Write writes p or, once Async was called, as much of it as the kernel takes,
// and queues a copy of the rest. It fails when the socket is closed, or closes it
// with CloseSlow when the queue is full.
func (s *Socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	if !s.async && !s.closing {
		s.mu.Unlock()
		return s.tcp.Write(p)
	}
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	rest := p
	if !s.flushing {
		n, err := writeOnce(uintptr(s.fd), p) // open: what closes it sets err first
		if err != nil {
			s.failLocked(sip.CloseLost, err)
			return n, err
		}
		if rest = p[n:]; len(rest) == 0 {
			return len(p), nil
		}
	}
	if len(s.queue)+s.inFlight+len(rest) > s.limits.bytes || s.queued+s.flying >= s.limits.writes {
		s.failLocked(sip.CloseSlow, errSlow)
		return len(p) - len(rest), errSlow
	}
	s.queue = append(s.queue, rest...)
	s.queued++
	if !s.flushing {
		s.flushing = true
		go s.flush()
	}
	return len(p), nil
}

// writeOnce is write(2) with EAGAIN as "nothing written".
func writeOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := rawWrite(fd, p)
		switch err {
		case 0:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// flush empties the queue. It is the only writer while it lives.
func (s *Socket) flush() {
	for {
		s.mu.Lock()
		p := s.queue
		s.inFlight, s.flying = len(p), s.queued
		s.queue, s.queued = nil, 0
		if len(p) == 0 {
			s.flushing = false
			closing := s.closing
			if !closing {
				s.tcp.SetWriteDeadline(time.Time{})
			}
			s.mu.Unlock()
			if closing {
				s.linger()
			}
			return
		}
		s.mu.Unlock()
		if err := s.drain(p); err != nil {
			s.mu.Lock()
			reason := sip.CloseLost
			if errors.Is(err, os.ErrDeadlineExceeded) {
				reason, err = sip.CloseSlow, errSlow
			}
			s.queue, s.queued = nil, 0
			s.failLocked(reason, err)
			s.mu.Unlock()
		}
	}
}

// drain writes p, waiting at most the stall time for each step forward.
func (s *Socket) drain(p []byte) (err error) {
	for len(p) > 0 {
		s.mu.Lock()
		if !s.closing { // else CloseWith has set the last deadline
			s.tcp.SetWriteDeadline(time.Now().Add(s.limits.stall))
		}
		s.mu.Unlock()
		var n int
		var werr error
		err = s.raw.Write(func(fd uintptr) bool {
			n, werr = writeOnce(fd, p)
			return n > 0 || werr != nil
		})
		if err == nil {
			err = werr
		}
		if err != nil {
			return err
		}
		p = p[n:]
		s.mu.Lock()
		s.inFlight = len(p)
		s.mu.Unlock()
	}
	return nil
}

// Pending is the number of octets that wait for the peer.
func (s *Socket) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue) + s.inFlight
}

// LocalAddr is our end.
func (s *Socket) LocalAddr() net.Addr { return s.tcp.LocalAddr() }

// RemoteAddr is the peer's end.
func (s *Socket) RemoteAddr() net.Addr { return s.tcp.RemoteAddr() }

// AddrPorts are both ends, IPv4 never in its mapped form.
func (s *Socket) AddrPorts() (local, remote netip.AddrPort) {
	return addrPort(s.tcp.LocalAddr()), addrPort(s.tcp.RemoteAddr())
}

func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return unmap(ap)
}

func unmap(ap netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// SetDeadline sets both deadlines.
func (s *Socket) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline bounds Read. A later wait under Await may replace it.
func (s *Socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	return s.tcp.SetReadDeadline(t)
}

// SetWriteDeadline bounds Write as long as it can block; after Async it does nothing.
func (s *Socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	if s.async {
		return nil
	}
	return s.tcp.SetWriteDeadline(t)
}

// Trunk makes the kernel find out within some 10 s that the peer is gone, whether or not it is asked anything.
func (s *Socket) Trunk() {
	setUserTimeout(s.raw, trunkPatience)
	s.tcp.SetKeepAliveConfig(trunkKeepAlive)
}

// Limit sets anew how much may wait for the peer, in octets and in writes, before it
// is taken for slow.
func (s *Socket) Limit(bytes, writes int) {
	s.mu.Lock()
	s.limits.bytes, s.limits.writes = bytes, writes
	s.mu.Unlock()
}
