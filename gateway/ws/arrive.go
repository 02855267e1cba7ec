package ws

import (
	"encoding/binary"
	"time"
)

// park leaves the reading of a flow without TLS to the server's poller, when nothing of
// it is half read.
func (f *Flow) park() bool {
	return f.srv.poller != nil && f.conn == f.sock && f.guard.between(f.taken) && f.srv.poller.Park(f.sock, f)
}

// Resume implements transport.Reader.
func (f *Flow) Resume() { f.read() }

// Arrived implements transport.Reader. It takes the frames that nearly all clients send nearly
// always: whole messages in one frame, pings and pongs. From the first other
// one on all is left to gorilla and to guard, which judge it.
func (f *Flow) Arrived(b []byte) (taken int) {
	defer func() {
		if v := recover(); v != nil {
			f.panicked(v)
			taken = len(b)
		}
	}()
	f.hear()
	for taken < len(b) {
		op, payload, n := plainFrame(b[taken:], f.srv.cfg.MaxMessage)
		switch {
		case n == 0:
			return taken
		case op >= firstControlOp:
			if !f.controlled(op, payload) {
				return taken
			}
		default:
			if text, wrong := f.text(op == opText, payload); !f.handle(text, wrong, false) {
				return len(b) // nobody is to see what comes after
			}
		}
		taken += n
	}
	return taken
}

// controlled handles a ping or pong; false leaves it, and the refusal, to guard.
func (f *Flow) controlled(op byte, payload []byte) bool {
	if !f.guard.control.Allow(time.Now().UnixNano(), controlPerSecond, controlBurst) {
		return false
	}
	if op == opPing {
		f.pinged(string(payload))
	}
	return true
}

// plainFrame cuts a frame of length n off b and unmasks its payload: a final text, binary,
// ping or pong frame as RFC 6455 §5.2 wants it of a client, there to its end and of
// max octets at most. n is 0 for any other, which is left as it is.
func plainFrame(b []byte, max int) (op byte, payload []byte, n int) {
	if len(b) < shortHeader+maskLen || b[0]&^0x0f != finalBit || b[1]&maskedBit == 0 {
		return 0, nil, 0
	}
	op = b[0] & 0x0f
	size, at := int(b[1]&^maskedBit), shortHeader
	switch op {
	case opPing, opPong:
		if size >= lengthIn16 {
			return 0, nil, 0
		}
	case opText, opBinary:
		if size == lengthIn16 {
			size, at = int(binary.BigEndian.Uint16(b[2:])), header16
		} else if size == lengthIn64 {
			return 0, nil, 0
		}
	default:
		return 0, nil, 0
	}
	n = at + maskLen + size
	if size > max || n > len(b) {
		return 0, nil, 0
	}
	payload = b[at+maskLen : n]
	unmask(payload, binary.LittleEndian.Uint32(b[at:]))
	return op, payload, n
}

// unmask is RFC 6455 §5.3; key is the masking key's octets, the first lowest.
func unmask(p []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(key >> (8 * (i & 3)))
	}
}
