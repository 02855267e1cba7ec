package transport

import (
	"time"

	"github.com/ringway/ringway/sip"
)

// maxDrain bounds what a closed socket still reads to save its last words.
const maxDrain = 256 << 10

// Close closes with CloseNormal.
func (s *Socket) Close() error {
	s.CloseWith(sip.CloseNormal)
	return nil
}

// CloseWith ends the connection; the first reason counts. It returns at once:
// what is queued is still written and the peer's last octets are drained, within
// a second, so that no reset overtakes our last message. Not so for a peer
// that is slow or dead: its connection is reset.
func (s *Socket) CloseWith(why sip.CloseReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked(why, ErrClosed)
}

// Reason is why the socket ended, "" while it has not.
func (s *Socket) Reason() sip.CloseReason {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason
}

func (s *Socket) noteLocked(why sip.CloseReason) {
	if s.reason == "" {
		s.reason = why
	}
}

// failLocked ends the connection after an error of writing.
func (s *Socket) failLocked(why sip.CloseReason, err error) {
	s.eof = true // nothing is to be drained
	s.closeLocked(why, err)
}

func (s *Socket) closeLocked(why sip.CloseReason, err error) {
	if s.err == nil {
		s.err = err
	}
	s.noteLocked(why)
	if s.closing {
		return
	}
	s.closing = true
	s.oustLocked()
	abort := why == sip.CloseSlow || why == sip.CloseDead
	s.tcp.SetReadDeadline(time.Unix(1, 0)) // the reader leaves
	switch {
	case abort:
		s.eof = true
		s.queue, s.queued = nil, 0
		s.tcp.SetLinger(0)
		s.tcp.SetWriteDeadline(time.Unix(1, 0))
	default:
		s.tcp.SetWriteDeadline(time.Now().Add(s.limits.linger))
	}
	if !s.flushing { // else the flusher does it, after the queue
		s.flushing = true
		go s.linger()
	}
}

// linger closes the descriptor, after our FIN and the peer's unless one of them
// makes no sense any more.
func (s *Socket) linger() {
	s.reading.Lock() // the reader has left
	defer s.reading.Unlock()
	s.mu.Lock()
	eof := s.eof
	s.mu.Unlock()
	if !eof && s.tcp.CloseWrite() == nil {
		s.tcp.SetReadDeadline(time.Now().Add(s.limits.linger))
		buf := readBuffers.Get().(*[readSize]byte)
		for total := 0; total < maxDrain; {
			n, err := s.tcp.Read(buf[:])
			if total += n; err != nil {
				break
			}
		}
		readBuffers.Put(buf)
	}
	s.tcp.Close()
	s.gone.Store(true)
}
