package ws

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/ringway/ringway/sip/transport"
)

// scripted is a connection from which the input comes in pieces.
type scripted struct {
	net.Conn
	in   []byte
	size int
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.size)], s.in)
	s.in = s.in[n:]
	return n, nil
}

// FuzzGuard: what the guard lets through does not depend on how the octets come
// (but for the beginning of the header refused), is a beginning of what came in,
// and no message exceeds its number of frames.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0x81, 0x85, 0, 0, 0, 0, 'h', 'e', 'l', 'l', 'o', 0x89, 0x80, 0, 0, 0, 0}, uint8(1))
	f.Add(append([]byte{0x01, 0xfe, 0, 126, 1, 2, 3, 4}, make([]byte, 126)...), uint8(3))
	f.Add([]byte{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5}, uint8(200))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		whole, err1 := through(t, in, len(in)+1)
		pieces, err2 := through(t, in, int(size)+1)
		if pieces < whole || pieces >= whole+maxFrameHeader || err1 != err2 {
			t.Fatalf("at once %d octets, %v; in pieces of %d %d octets, %v", whole, err1, int(size)+1, pieces, err2)
		}
	})
}

func through(t *testing.T, in []byte, size int) (passed int, err error) {
	srv := &Server{epoch: time.Now(), cfg: Config{MessageTime: time.Second}}
	f := &Flow{srv: srv, sock: new(transport.Socket)}
	g := &guard{Conn: &scripted{in: in, size: size}, f: f}
	p := make([]byte, 128)
	for {
		n, err := g.Read(p)
		for _, b := range p[:n] {
			if b != in[passed] {
				t.Fatal("octets changed")
			}
			passed++
		}
		if err == errFlood {
			t.Skip("judged by time")
		}
		if err != nil {
			return passed, err
		}
		if g.err == nil && g.frames > freeFrames+int(g.octets/octetsPerFrame) {
			t.Fatalf("%d frames for %d octets", g.frames, g.octets)
		}
	}
}
