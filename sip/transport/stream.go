package transport

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	keepAlivesPerSecond = 50
	keepAliveBurst      = 100
	badPerSecond        = 20
	badBurst            = 100
	// A connection that carries the calls of many users queues more than one user's.
	trunkShare  = 16 // times SendQueue
	trunkWrites = 1 << 14
)

var (
	pong    = []byte("\r\n") // RFC 5626 §3.5.1
	errStop = errors.New("closed by its reader")

	errPanic = errors.New("panicked")
)

// stream is a TCP or TLS connection; it is the sip.Conn of its flow.
type stream struct {
	// Static after construction.
	layer *Layer
	sock  *Socket
	conn  net.Conn // sock, or TLS over it
	info  sip.ConnInfo
	flow  *flow.Flow
	ended func() // releases what counts it

	// Owned by the reader.
	framer    sip.Framer
	part      *[]byte // of a message that is not complete
	begun     bool    // framer has seen the beginning
	blank     int     // CRLFs in a row between messages
	keepAlive Rate
	errors    Rate
	trunk     bool

	cause atomic.Pointer[error] // what ended it, beyond the peer's FIN or a decision of ours
	heard atomic.Int64          // when the peer of a dialled connection sent something last, in Unix ns

	pinged atomic.Bool  // Ping waits for its answer
	ponged atomic.Int64 // when one was answered last, in Unix ns

	timer *time.Timer // while unproven; set before the reader starts
}

func newStream(l *Layer, sock *Socket) *stream {
	return &stream{layer: l, sock: sock, conn: sock, framer: sip.Framer{Max: l.cfg.MaxMessage}}
}

// Send sends one message.
func (c *stream) Send(b []byte) error {
	_, err := c.conn.Write(b)
	return err
}

// Info is what is known of the connection.
func (c *stream) Info() *sip.ConnInfo { return &c.info }

// Close ends the connection and returns at once.
func (c *stream) Close(why sip.CloseReason) {
	if t, ok := c.conn.(*tls.Conn); ok && why != sip.CloseSlow && why != sip.CloseDead {
		t.CloseWrite()
	}
	c.sock.CloseWith(why)
}

// Heard is when the peer sent something last, of a connection that we opened.
func (c *stream) Heard() time.Time { return time.Unix(0, c.heard.Load()) }

// start enters c and reads it; false when everything ends.
func (c *stream) start() bool {
	c.sock.Async()
	if !c.layer.enter(c) {
		c.Close(sip.CloseShutdown)
		return false
	}
	if c.info.Dialled {
		c.setTrunk()
	} else {
		c.watch()
	}
	go c.read()
	return true
}

func (c *stream) setTrunk() {
	c.trunk = true
	c.sock.Trunk()
	c.sock.Limit(trunkShare*c.layer.cfg.SendQueue, trunkWrites)
}

// watch closes a peer that has not proved who it is in time, however busy it keeps itself.
func (c *stream) watch() {
	if c.layer.cfg.Accepted != nil {
		c.accepted()
	}
	c.timer = time.AfterFunc(c.layer.cfg.ProveTime, func() {
		defer c.layer.faults.Catch()
		if !c.flow.Proven() {
			c.Close(sip.CloseUnproven)
		}
	})
}

// accepted tells of c; when that panics, c is read to its end all the same, which is near.
func (c *stream) accepted() {
	defer func() {
		if v := recover(); v != nil {
			c.layer.faults.Pass(v)
			c.Close(sip.ClosePanic)
		}
	}()
	c.layer.cfg.Accepted(c.flow)
}

func (c *stream) read() {
	err := errPanic // until it is known better
	defer c.layer.faults.Catch()
	defer func() { c.end(err) }()
	if c.conn == net.Conn(c.sock) {
		err = c.sock.Loop(c.feed)
		return
	}
	err = c.readTLS()
}

// readTLS holds no buffer but a small one while it waits for a record.
func (c *stream) readTLS() error {
	var first [64]byte
	for {
		n, err := c.conn.Read(first[:])
		if err == nil {
			err = c.feed(first[:n])
		}
		for err == nil && c.part != nil { // most often the rest of the record
			buf := readBuffers.Get().(*[readSize]byte)
			if n, err = c.conn.Read(buf[:]); err == nil {
				err = c.feed(buf[:n])
			}
			readBuffers.Put(buf)
		}
		if err != nil {
			return err
		}
	}
}

// end tells everybody that the connection is over, once.
func (c *stream) end(err error) {
	var timeout net.Error
	why := sip.CloseLost
	switch {
	case err == io.EOF:
		why = sip.CloseNormal
	case err == errPanic:
		why = sip.ClosePanic
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		why = sip.CloseProtocol // a message was begun and not completed
	}
	c.noteCause(err)
	c.Close(why) // the first reason counts
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.part != nil {
		c.drop()
	}
	c.layer.count.Open.Add(-1)
	if c.ended != nil {
		c.ended()
	}
	defer c.layer.readers.Done()
	c.layer.cfg.Table.Closed(c.flow, c.sock.Reason())
}

// noteCause keeps what tells an operator more than the reason: a TLS alert (RFC 8446 §6), a reset.
func (c *stream) noteCause(err error) {
	switch {
	case err == io.EOF, err == errStop, err == errPanic, errors.Is(err, ErrClosed):
	default:
		c.cause.Store(&err)
	}
}

// Cause is what ended the connection, nil where its reason says all that is known.
func (c *stream) Cause() error {
	if err := c.cause.Load(); err != nil {
		return *err
	}
	return nil
}

// parts hold the beginnings of messages.
var parts = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

const maxPooled = 32 << 10

func (c *stream) drop() {
	if cap(*c.part) <= maxPooled {
		parts.Put(c.part)
	}
	c.part = nil
}

// feed takes octets of the stream.
func (c *stream) feed(p []byte) error {
	if c.info.Dialled {
		c.heard.Store(time.Now().UnixNano())
	}
	b := p
	if c.part != nil {
		*c.part = append(*c.part, p...)
		b = *c.part
	}
	rest, err := c.messages(b)
	switch {
	case err != nil:
		return err
	case len(rest) == 0:
		if c.part != nil {
			c.drop()
		}
		c.sock.Await(0)
		return nil
	case c.part == nil:
		c.part = parts.Get().(*[]byte)
		*c.part = append((*c.part)[:0], rest...)
	case len(rest) < len(b):
		*c.part = append((*c.part)[:0], rest...)
	default:
		return nil // nothing completed: the clock runs on
	}
	c.sock.Await(0)
	c.sock.Await(c.layer.cfg.MessageTime)
	return nil
}

// messages delivers what is complete in b and returns the rest.
func (c *stream) messages(b []byte) (rest []byte, err error) {
	for {
		if !c.begun {
			if b, err = c.skipBlank(b); err != nil || len(b) == 0 || len(b) == 1 && b[0] == '\r' {
				return b, err
			}
		}
		n, err := c.framer.Next(b)
		switch {
		case err != nil:
			return nil, c.broken(b, err)
		case n == 0:
			c.begun = true
			return b, nil
		}
		c.begun, c.blank = false, 0
		if err := c.deliver(string(b[:n])); err != nil {
			return nil, err
		}
		b = b[n:]
	}
}

// skipBlank drops CRLFs between messages; two in a row are a keep-alive
// (RFC 5626 §4.4.1), one is nothing (RFC 3261 §7.5).
func (c *stream) skipBlank(b []byte) ([]byte, error) {
	b = c.skipPong(b)
	for len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		b = b[2:]
		if c.blank++; c.blank < 2 {
			continue
		}
		c.blank = 0
		if !c.keepAlive.Allow(time.Now().UnixNano(), keepAlivesPerSecond, keepAliveBurst) {
			c.Close(sip.CloseFlood)
			return nil, errStop
		}
		c.layer.count.KeepAlives.Add(1)
		c.Send(pong)
	}
	return b, nil
}

func (c *stream) deliver(text string) error {
	panicked, err := c.layer.receive(text, sip.Stream, c.flow)
	switch {
	case panicked:
		c.Close(sip.ClosePanic)
		return errStop
	case err != nil && !c.errors.Allow(time.Now().UnixNano(), badPerSecond, badBurst) && !c.flow.Proven():
		c.Close(sip.CloseFlood)
		return errStop
	case !c.trunk && c.flow.Upstream() != "":
		c.setTrunk()
	}
	return nil
}

// broken ends a stream in which no next message can be found (RFC 3261 §18.3),
// after an answer if there is something to answer.
func (c *stream) broken(b []byte, err error) error {
	why := sip.CloseProtocol
	if sip.AsStatus(err).Code == 513 {
		why = sip.CloseTooBig
	}
	defer c.Close(why)
	defer c.layer.faults.Catch()
	c.layer.count.Bad.Add(1)
	m, _ := sip.Parse(string(b), sip.Stream)
	c.layer.cfg.Bad(m, err, c.flow)
	return errStop
}

// accept serves a listening socket.
func (one *listener) accept() error {
	for {
		t, err := one.tcp.AcceptTCP()
		if err != nil {
			if OutOfDescriptors(err) {
				time.Sleep(50 * time.Millisecond) // until descriptors are free again
				continue
			}
			return err
		}
		one.accepted(t)
	}
}

func (one *listener) accepted(t *net.TCPConn) {
	l := one.layer
	defer l.faults.Catch()
	l.count.Accepted.Add(1)
	from := addrPort(t.RemoteAddr()).Addr()
	sock, err := NewSocket(t, l.cfg.sendLimits())
	if err != nil || !l.conns.Take(from, l.cfg.MaxPerAddr, l.cfg.MaxConns) {
		l.count.RefusedFull.Add(1)
		t.SetLinger(0)
		t.Close()
		return
	}
	c := one.stream(sock)
	c.ended = func() { l.conns.Release(from) }
	if one.tls != nil {
		one.shake(c, from)
	} else if !c.start() {
		c.ended()
	}
}

// stream is the conn of an accepted socket.
func (one *listener) stream(sock *Socket) *stream {
	c := newStream(one.layer, sock)
	c.info = sip.ConnInfo{Transport: one.transport, Listener: one.index}
	c.info.Local, c.info.Remote = sock.AddrPorts()
	c.info.Advertise = one.advertised(c.info.Local.Addr())
	return c
}

// shake makes the TLS handshake on a goroutine of its own.
func (one *listener) shake(c *stream, from netip.Addr) {
	l := one.layer
	if !l.halfOpen.Take(from, l.cfg.MaxHalfOpen, l.cfg.MaxConns) {
		l.count.RefusedShakes.Add(1)
		c.sock.CloseWith(sip.CloseSlow) // reset
		c.ended()
		return
	}
	t := tls.Server(c.sock, one.tls)
	if !l.handshake(c, t, time.Now().Add(l.cfg.HandshakeTime), func(err error) {
		l.halfOpen.Release(from)
		if err == nil {
			c.info.Names = provenNames(t.ConnectionState(), one.clientCAs)
		}
		if err != nil || !c.start() {
			c.ended()
		}
	}) {
		l.halfOpen.Release(from)
		c.ended()
	}
}

// handshake runs t's handshake, until then, and done; false when everything ends.
func (l *Layer) handshake(c *stream, t *tls.Conn, until time.Time, done func(error)) bool {
	l.starting.RLock()
	defer l.starting.RUnlock()
	if l.ended {
		c.sock.CloseWith(sip.CloseShutdown)
		return false
	}
	l.readers.Add(1)
	l.shaking.Lock()
	l.shakes[c.sock] = struct{}{}
	l.shaking.Unlock()
	go func() {
		defer l.readers.Done()
		defer l.faults.Catch()
		c.sock.SetDeadline(until)
		err := t.Handshake()
		c.sock.SetDeadline(time.Time{})
		l.shaking.Lock()
		delete(l.shakes, c.sock)
		l.shaking.Unlock()
		if c.conn = t; err != nil {
			l.count.RefusedShakes.Add(1)
			c.sock.CloseWith(sip.CloseLost)
		}
		done(err)
	}()
	return true
}
