package ws

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transport"
)

// Flow is the WebSocket of one client; it is the sip.Conn of its flow.Flow.
type Flow struct {
	// Static after construction.
	srv  *Server
	sock *transport.Socket
	conn net.Conn // sock, or TLS over it
	info sip.ConnInfo
	flow *flow.Flow

	// Owned by the reader.
	ws      *websocket.Conn
	guard   guard
	errors  transport.Rate // messages that are no SIP
	garbage int            // of them in a row that could not even be answered
	taken   uint32         // messages that take has read

	heard   atomic.Uint32 // grows with whatever the client sends
	probing atomic.Bool   // probes are waiting

	// Guarded by mu, which is held while a frame is written: frames stay whole, and
	// none follows a close frame.
	mu        sync.Mutex
	upgraded  bool
	saidClose bool
	closing   bool
	reason    sip.CloseReason
	watch     watch
	probes    []*probe
}

// Send sends one SIP message as one WebSocket message: text, or binary when it
// is not UTF-8 (RFC 7118 §5.1). b is free again when it returns.
func (f *Flow) Send(b []byte) error {
	op := byte(opText)
	if !utf8.Valid(b) {
		op = opBinary
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return transport.ErrClosed
	}
	return f.writeLocked(op, b)
}

// Info is what is known of the connection.
func (f *Flow) Info() *sip.ConnInfo { return &f.info }

// Close tells the client why, by a close frame, and ends the connection. It
// returns at once; the first reason counts.
func (f *Flow) Close(why sip.CloseReason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return
	}
	f.closing, f.reason = true, why
	if w, ok := closeWords[why]; ok && !f.saidClose {
		f.writeLocked(opClose, websocket.FormatCloseMessage(w.code, w.text))
	}
	f.saidClose = true
	f.hangUpLocked(why)
}

// hangUpLocked ends what lies below the WebSocket.
func (f *Flow) hangUpLocked(why sip.CloseReason) {
	if f.watch.timer != nil {
		f.watch.timer.Stop()
	}
	if t, ok := f.conn.(*tls.Conn); ok && why != sip.CloseDead && why != sip.CloseSlow {
		t.CloseWrite()
	}
	f.sock.CloseWith(why)
}

// control sends a ping or pong.
func (f *Flow) control(op byte, payload string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing || f.saidClose {
		return nil
	}
	return f.writeLocked(op, []byte(payload))
}

// frameBuffers hold frames while they are handed to the kernel.
var frameBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// maxPooled keeps rare large messages from staying in pools.
const maxPooled = 16 << 10

// writeLocked writes one unmasked final frame (RFC 6455 §5.2) in one piece.
func (f *Flow) writeLocked(op byte, payload []byte) error {
	p := frameBuffers.Get().(*[]byte)
	b := append((*p)[:0], finalBit|op)
	switch n := len(payload); {
	case n < lengthIn16:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, lengthIn16), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, lengthIn64), uint64(n))
	}
	b = append(b, payload...)
	_, err := f.conn.Write(b)
	if cap(b) <= maxPooled {
		*p = b
		frameBuffers.Put(p)
	}
	return err
}

// hear notes that the client lives.
func (f *Flow) hear() {
	f.heard.Add(1)
	if f.probing.Load() {
		f.answerProbes(true)
	}
}

// now is the server's clock: nanoseconds since it was made.
func (f *Flow) now() time.Duration { return time.Since(f.srv.epoch) }
