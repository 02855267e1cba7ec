package transport

import "time"

var ping = []byte("\r\n\r\n") // RFC 5626 §3.5.1

// Ping sends a keep-alive (RFC 5626 §4.4.1). It never blocks.
func (c *stream) Ping() error {
	c.pinged.Store(true)
	return c.Send(ping)
}

// Ponged is when the peer answered a Ping last; the zero Time: never.
func (c *stream) Ponged() time.Time {
	if n := c.ponged.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// skipPong drops the CRLF that answers a Ping: one that stands alone, for two are the peer's own keep-alive.
func (c *stream) skipPong(b []byte) []byte {
	if !c.pinged.Load() {
		return b
	}
	n := 0
	for len(b) >= n+2 && b[n] == '\r' && b[n+1] == '\n' {
		n += 2
	}
	if n%4 == 0 || !c.pinged.CompareAndSwap(true, false) {
		return b
	}
	c.ponged.Store(time.Now().UnixNano())
	c.blank = 0
	return b[2:]
}
