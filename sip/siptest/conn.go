package siptest

import (
	"errors"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Conn is a connection in memory; the gateway holds it as a sip.Conn, the test as its peer.
// What the gateway sends waits in a queue until the peer takes it, so that nothing a
// peer does runs within a call of the gateway's.
type Conn struct {
	net  *Net
	info sip.ConnInfo
	flow *flow.Flow // nil on UDP

	reading sync.Mutex // one message is read at a time

	mu      sync.Mutex
	queue   []Arrival
	handler func(a Arrival)           // takes the queue, if set
	onClose func(why sip.CloseReason) // the gateway has closed
	pumping bool                      // a goroutine is emptying the queue into handler
	closed  bool
	frozen  bool // nothing arrives, either way
	loseIn  int  // so many messages to the gateway are lost
	loseOut int  // so many to the peer
	pings   int
	ponged  time.Time // when the last ping was answered
	deaf    bool      // to pings
}

// Arrival is a message that the gateway sent.
type Arrival struct {
	At   time.Time
	Text string
}

var errClosed = errors.New("connection closed")

// Send implements sip.Conn.
func (c *Conn) Send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return errClosed
	case c.frozen:
		return nil
	case c.loseOut > 0:
		c.loseOut--
		return nil
	}
	c.queue = append(c.queue, Arrival{time.Now(), string(b)})
	if c.handler != nil && !c.pumping {
		c.pumping = true
		go c.pump()
	}
	return nil
}

// pump hands the queue to the handler and ends when it is empty.
func (c *Conn) pump() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.pumping = false
			c.mu.Unlock()
			return
		}
		next := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		c.handler(next)
	}
}

// Info implements sip.Conn.
func (c *Conn) Info() *sip.ConnInfo { return &c.info }

// Close implements sip.Conn: the gateway ends the connection.
func (c *Conn) Close(why sip.CloseReason) {
	if c.info.Transport == sip.UDP || !c.end() {
		return
	}
	go func() {
		if c.onClose != nil {
			c.onClose(why)
		}
		c.net.flows.Closed(c.flow, why)
	}()
}

// Hangup is the peer's end of the connection, why what the gateway makes of it.
func (c *Conn) Hangup(why sip.CloseReason) {
	if c.info.Transport != sip.UDP && c.end() {
		c.net.flows.Closed(c.flow, why)
	}
}

func (c *Conn) end() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.closed
	c.closed = true
	return !was
}

// Closed reports whether either side has ended the connection.
func (c *Conn) Closed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Flow is the gateway's name of the connection; on UDP a new one each time unless the peer is adopted.
func (c *Conn) Flow() *flow.Flow {
	if c.flow != nil {
		return c.flow
	}
	return c.net.flows.Datagram(c)
}

// Take returns what the gateway has sent since the last Take; for peers without a handler.
func (c *Conn) Take() []Arrival {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queue
	c.queue = nil
	return q
}

// Handle sets what takes the gateway's messages, one at a time, on a goroutine of its own.
func (c *Conn) Handle(message func(a Arrival), closed func(why sip.CloseReason)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handler, c.onClose = message, closed
}

// Ping is a keep-alive of the gateway's (RFC 5626 §4.4.1); the peer answers unless it is frozen, or ignores them.
func (c *Conn) Ping() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if c.pings++; !c.frozen && !c.deaf {
		c.ponged = time.Now()
	}
	return nil
}

// Ponged is when a Ping was answered last.
func (c *Conn) Ponged() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ponged
}

// Pings is how many there were.
func (c *Conn) Pings() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pings
}

// IgnorePings has the peer answer none, as many servers do.
func (c *Conn) IgnorePings() { c.mu.Lock(); c.deaf = true; c.mu.Unlock() }

// Freeze makes the connection half-open: nothing arrives any more, and nobody is told.
func (c *Conn) Freeze() { c.mu.Lock(); c.frozen = true; c.mu.Unlock() }

// Frozen reports whether the connection is half-open.
func (c *Conn) Frozen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.frozen
}

// Lose drops the next messages: in to the gateway, out to the peer.
func (c *Conn) Lose(in, out int) { c.mu.Lock(); c.loseIn, c.loseOut = in, out; c.mu.Unlock() }

// Write is the peer sending text; it returns when the gateway is done with it. A
// message written after Hangup is lost.
func (c *Conn) Write(text string) {
	c.mu.Lock()
	lost := c.closed || c.frozen
	if !lost && c.loseIn > 0 {
		c.loseIn--
		lost = true
	}
	c.mu.Unlock()
	if lost {
		return
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	m, err := sip.Parse(text, c.Framing())
	if err != nil {
		c.net.gateway.ReceiveBad(m, err, c.Flow())
		return
	}
	c.net.gateway.Receive(m, c.Flow())
}

// Framing implements Wire.
func (c *Conn) Framing() sip.Framing {
	switch c.info.Transport {
	case sip.UDP:
		return sip.Datagram
	case sip.WS, sip.WSS:
		return sip.Frame
	default:
		return sip.Stream
	}
}
