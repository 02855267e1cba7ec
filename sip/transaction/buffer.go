package transaction

import "sync"

// maxPooled keeps rare large messages from staying in the pool.
const maxPooled = 16 << 10

// buffer holds a message while it is sent: a connection keeps none (sip.Conn).
type buffer struct{ b []byte }

var buffers = sync.Pool{New: func() any { return &buffer{make([]byte, 0, 4<<10)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) }

func (p *buffer) free() {
	if cap(p.b) <= maxPooled {
		p.b = p.b[:0]
		buffers.Put(p)
	}
}
