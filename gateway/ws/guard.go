package ws

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"github.com/ringway/ringway/sip/transport"
)

const (
	controlPerSecond = 50
	controlBurst     = 100
	// A message may come in 64 frames and one more for each 512 octets: fragments
	// of 1 KiB pass, tiny ones do not.
	freeFrames       = 64
	octetsPerFrame   = 512
	opContinuation   = 0
	opText           = 1
	opBinary         = 2
	opClose          = 8
	opPing           = 9
	opPong           = 10
	maxFrameHeader   = 14
	firstControlOp   = 8
	maskedBit        = 0x80
	finalBit         = 0x80
	lengthIn16       = 126
	lengthIn64       = 127
	maskLen          = 4
	shortHeader      = 2
	header16, head64 = 4, 10
)

var (
	errFlood     = errors.New("too many control frames")
	errFragments = errors.New("too many fragments")
	errShort     = errors.New("close frame of one octet")
)

// guard reads the frame headers that pass below gorilla, which tells nobody of
// frames: it bounds frames per message and control frames per second, and says
// when a message is begun and not complete. It judges nothing else.
type guard struct {
	net.Conn
	f *Flow

	header  [maxFrameHeader]byte
	have    int    // octets of header
	left    uint64 // payload of the frame still to come
	open    bool   // the last data frame was not final
	frames  int    // of the message
	octets  uint64 // of the message, announced
	whole   uint32 // messages that have passed to their last frame's header
	behind  bool   // a control frame has passed since
	control transport.Rate
	err     error
}

// between reports that all that passed is complete messages, taken of them.
func (g *guard) between(taken uint32) bool {
	return g.have == 0 && g.left == 0 && !g.open && !g.behind && g.whole == taken && g.err == nil
}

// Read passes what arrives, up to the first frame that breaks a rule.
func (g *guard) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	if g.have > 0 || g.left > 0 || g.open {
		g.f.sock.Await(g.f.srv.cfg.MessageTime)
	} else {
		g.f.sock.Await(0)
	}
	n, err := g.Conn.Read(p)
	if n > 0 {
		g.f.hear()
		good := 0
		if good, g.err = g.watch(p[:n]); g.err != nil {
			if good == 0 {
				return 0, g.err
			}
			return good, nil
		}
	}
	return n, err
}

// watch returns how much of b may pass and why not more.
func (g *guard) watch(b []byte) (good int, err error) {
	for i := 0; i < len(b); {
		if g.left > 0 {
			n := min(g.left, uint64(len(b)-i))
			g.left -= n
			i += int(n)
			good = i
			continue
		}
		g.header[g.have] = b[i]
		g.have++
		i++
		if g.have < shortHeader || g.have < headerLen(g.header[1]) {
			continue
		}
		g.have = 0
		if err := g.frame(); err != nil {
			return good, err
		}
		good = i
	}
	return len(b), nil
}

func headerLen(second byte) int {
	n := shortHeader
	switch second &^ maskedBit {
	case lengthIn16:
		n = header16
	case lengthIn64:
		n = head64
	}
	if second&maskedBit != 0 {
		n += maskLen
	}
	return n
}

// frame takes a complete header.
func (g *guard) frame() error {
	switch n := g.header[1] &^ maskedBit; n {
	case lengthIn16:
		g.left = uint64(binary.BigEndian.Uint16(g.header[2:]))
	case lengthIn64:
		g.left = binary.BigEndian.Uint64(g.header[2:])
	default:
		g.left = uint64(n)
	}
	op := g.header[0] & 0x0f
	if op == opClose && g.left == 1 { // RFC 6455 §5.5.1: a code has two
		return errShort
	}
	if op >= firstControlOp {
		g.behind = true
		if !g.control.Allow(time.Now().UnixNano(), controlPerSecond, controlBurst) {
			return errFlood
		}
		return nil
	}
	g.behind = false
	if op != opContinuation {
		g.frames, g.octets = 0, 0
	}
	g.frames++
	g.octets += g.left
	if g.open = g.header[0]&finalBit == 0; !g.open {
		g.whole++
	}
	if g.frames > freeFrames && uint64(g.frames-freeFrames) > g.octets/octetsPerFrame {
		return errFragments
	}
	return nil
}

// Write is called by gorilla alone: for the handshake, and for the close frame
// (1002) that it sends on a broken frame, after which nothing may follow.
func (g *guard) Write(p []byte) (int, error) {
	f := g.f
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing || f.saidClose {
		return len(p), nil
	}
	f.saidClose = f.upgraded
	return g.Conn.Write(p)
}
