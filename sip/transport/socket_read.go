package transport

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/ringway/ringway/sip"
)

// readSize is the size of the shared read buffers: most messages come whole.
const readSize = 16 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// Read reads what has arrived, or waits for it without holding a buffer. One
// goroutine reads at a time.
func (s *Socket) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if s.inStart == s.inEnd {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.in[s.inStart:s.inEnd])
	if s.inStart += n; s.inStart == s.inEnd {
		s.release()
	}
	return n, nil
}

// Buffered is the number of octets that Read can return without asking the
// kernel; for the reader only.
func (s *Socket) Buffered() int { return s.inEnd - s.inStart }

// Await bounds the time that the peer may take to complete the message that it
// has begun; 0 says that none is begun. The clock starts when the reader first
// has to wait for octets that have not arrived. For the reader only.
func (s *Socket) Await(d time.Duration) {
	if d == 0 && s.waiting == armed {
		s.waiting = stale
	}
	s.await = d
}

func (s *Socket) release() {
	readBuffers.Put(s.in)
	s.in, s.inStart, s.inEnd = nil, 0, 0
}

// fill gets at least one octet into in.
func (s *Socket) fill() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.readable(); err != nil {
		return err
	}
	if s.readErr != nil { // met by the poller
		return s.readFailed(s.readErr)
	}
	err := s.raw.Read(s.readFn)
	if err == nil {
		err = s.readErr
	}
	if s.in != nil {
		return nil
	}
	return s.readFailed(err)
}

// Loop hands to feed what arrives, as it arrives, until the peer ends the stream
// (io.EOF), an error, or feed's error. p is feed's until it returns. It saves
// Read's copy.
func (s *Socket) Loop(feed func(p []byte) error) error {
	s.reading.Lock()
	defer s.reading.Unlock()
	if err := s.readable(); err != nil {
		return err
	}
	s.feed = feed
	defer func() { s.feed = nil }()
	err := s.raw.Read(s.tryFeed)
	if err == nil {
		err = s.readErr
	}
	return s.readFailed(err)
}

// tryRead runs within raw.Read: false waits for readability.
func (s *Socket) tryRead(fd uintptr) bool {
	buf := readBuffers.Get().(*[readSize]byte)
	n, err := readOnce(fd, buf[:])
	if n > 0 {
		s.in, s.inStart, s.inEnd = buf, 0, n
		return true
	}
	readBuffers.Put(buf)
	if err == syscall.EAGAIN {
		s.beforeWait()
		return false
	}
	s.readErr = err
	return true
}

func (s *Socket) tryFeed(fd uintptr) bool {
	for {
		buf := readBuffers.Get().(*[readSize]byte)
		n, err := readOnce(fd, buf[:])
		if n > 0 {
			err = s.feed(buf[:n])
		}
		readBuffers.Put(buf)
		if err == nil {
			err = s.readable()
		}
		if err == syscall.EAGAIN { // a short read is not enough: a FIN may lie behind it
			s.beforeWait()
			return false
		}
		if err != nil {
			s.readErr = err
			return true
		}
	}
}

func readOnce(fd uintptr, p []byte) (int, error) {
	for {
		n, err := rawRead(fd, p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, syscall.EAGAIN
		case err != 0:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// beforeWait brings the read deadline in line with Await. It touches the timer
// only for messages that arrive in pieces.
func (s *Socket) beforeWait() {
	switch {
	case s.await > 0 && s.waiting != armed:
		s.waiting = armed
		s.SetReadDeadline(time.Now().Add(s.await))
	case s.await == 0 && s.waiting == stale:
		s.waiting = noDeadline
		s.SetReadDeadline(time.Time{})
	}
}

// readable tells whether reading makes sense.
func (s *Socket) readable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrClosed
	}
	return nil
}

// readFailed notes why reading ended. A deadline is the caller's business.
func (s *Socket) readFailed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closing:
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
	case err == io.EOF:
		s.eof = true
	default:
		var sys *os.SyscallError
		if errors.As(err, &sys) {
			s.eof = true // reset: nothing to drain
			s.noteLocked(sip.CloseLost)
		}
	}
	return err
}

// Parked reports whether a Poller has the reading.
func (s *Socket) Parked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parked != unparked
}
