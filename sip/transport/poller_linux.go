package transport

import (
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// Poller reads many Sockets on one goroutine per processor (docs/adr/0007-plain-websockets-share-readers.md).
// A Socket that waits in it holds neither a goroutine nor a buffer.
type Poller struct {
	loops   []*pollLoop
	next    atomic.Uint32
	running sync.WaitGroup
}

// pollLoop is one epoll instance, which itself waits in the runtime's.
type pollLoop struct {
	// Static after construction.
	epoll int
	file  *os.File
	raw   syscall.RawConn

	// Owned by the goroutine.
	events [pollBatch]syscall.EpollEvent
	ready  [pollBatch]*Socket
	count  int
	buf    *[readSize]byte

	mu    sync.Mutex
	slots []pollSlot
	free  []int32
}

// pollSlot is where a parked Socket is entered. turn tells an event of its last tenant from one of this.
type pollSlot struct {
	sock *Socket
	turn int32
}

const (
	pollBatch  = 64
	pollRounds = 4
	// Edges are enough: a short read empties the socket, and what ends it is told beside the data.
	pollEvents = syscall.EPOLLIN | syscall.EPOLLRDHUP | 1<<31 // EPOLLET
	pollEnds   = syscall.EPOLLRDHUP | syscall.EPOLLHUP | syscall.EPOLLERR
)

// NewPoller starts a Poller; Close ends it.
func NewPoller() (*Poller, error) {
	p := &Poller{}
	for range runtime.GOMAXPROCS(0) {
		l, err := newPollLoop()
		if err != nil {
			p.Close()
			return nil, err
		}
		p.loops = append(p.loops, l)
		p.running.Go(l.run)
	}
	return p, nil
}

func newPollLoop() (*pollLoop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // what os.NewFile asks of a file to wait for
		syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &pollLoop{epoll: fd, file: os.NewFile(uintptr(fd), "epoll"), buf: new([readSize]byte)}
	l.raw, err = l.file.SyscallConn()
	return l, err
}

// Close ends the goroutines; the Sockets have been closed before.
func (p *Poller) Close() {
	for _, l := range p.loops {
		l.file.Close()
	}
	p.running.Wait()
}

// run serves what has arrived until the poller is closed. Nothing catches a panic here: what a message can break is beyond
// the Arrived and Resume of its reader, which see to their own.
func (l *pollLoop) run() {
	for {
		if err := l.raw.Read(l.poll); err != nil {
			return
		}
		for i := range l.collect() {
			s, ends := l.ready[i], l.events[i].Events&pollEnds != 0
			l.ready[i] = nil
			if s != nil {
				s.serve(l, ends)
			}
		}
	}
}

// poll runs within raw.Read: false waits for an event.
func (l *pollLoop) poll(uintptr) bool {
	for {
		n, _, err := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll),
			uintptr(unsafe.Pointer(&l.events)), pollBatch, 0, 0, 0)
		if err == syscall.EINTR {
			continue
		}
		l.count = 0
		if err == 0 {
			l.count = int(n)
		}
		return l.count != 0
	}
}

// collect finds the Sockets of the events; nil stands for one that has left.
func (l *pollLoop) collect() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.count {
		e := &l.events[i]
		if s := &l.slots[e.Fd]; s.turn == e.Pad {
			l.ready[i] = s.sock
		}
	}
	return l.count
}

// enter gives s a slot and watches it.
func (l *pollLoop) enter(s *Socket) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.free) == 0 {
		l.free = append(l.free, int32(len(l.slots)))
		l.slots = append(l.slots, pollSlot{})
	}
	n := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	slot := &l.slots[n]
	slot.sock, s.slot = s, n
	e := syscall.EpollEvent{Events: pollEvents, Fd: n, Pad: slot.turn}
	if err := syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_ADD, s.fd, &e); err != nil {
		l.vacate(n)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// leave is called while the descriptor of s is open.
func (l *pollLoop) leave(s *Socket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	syscall.EpollCtl(l.epoll, syscall.EPOLL_CTL_DEL, s.fd, &syscall.EpollEvent{})
	l.vacate(s.slot)
}

func (l *pollLoop) vacate(n int32) {
	slot := &l.slots[n]
	slot.sock = nil
	slot.turn++
	l.free = append(l.free, n)
}

// Park leaves the reading of s to the poller, which calls r. The caller has been the
// reader; it goes on being it when false is returned: s is closed, has octets
// that were not read, or cannot be watched.
func (p *Poller) Park(s *Socket, r Reader) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.inStart != s.inEnd || s.readErr != nil {
		return false
	}
	if s.waiting != noDeadline {
		s.waiting = noDeadline
		s.tcp.SetReadDeadline(time.Time{})
	}
	if s.loop == nil {
		s.loop = p.loops[p.next.Add(1)%uint32(len(p.loops))]
	}
	if s.loop.enter(s) != nil {
		return false
	}
	s.parked, s.reader = waits, r
	return true
}

// serve reads s until nothing is left. Who sends faster than that gets a goroutine, so
// that the others are served.
func (s *Socket) serve(l *pollLoop, ends bool) {
	for round, more := 1, true; more; round++ {
		if !s.begin() {
			return
		}
		n, err := readOnce(uintptr(s.fd), l.buf[:])
		s.reading.Unlock()
		if err == syscall.EAGAIN {
			err = nil
		}
		left := n
		if n > 0 {
			left -= s.reader.Arrived(l.buf[:n])
		}
		// With the buffer full, or an end announced, there is something more to be read.
		more = err == nil && left == 0 && n > 0 && (n == readSize || ends)
		if left > 0 {
			s.in, s.inStart, s.inEnd = l.buf, n-left, n
			l.buf = readBuffers.Get().(*[readSize]byte)
		}
		if !s.finish(err, left > 0 || more && round == pollRounds) {
			return
		}
	}
}

// begin makes the poller the reader; linger holds reading when the socket is closed.
func (s *Socket) begin() bool {
	if !s.reading.TryLock() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parked != waits {
		s.reading.Unlock()
		return false
	}
	s.parked = served
	return true
}

// finish parks s again, or gives it to a goroutine of its own: it has ended, or
// has sent what the poller's reader does not take.
func (s *Socket) finish(err error, left bool) (parked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.parked == ousted:
	case err == nil && !left:
		s.parked = waits
		return true
	default:
		s.loop.leave(s)
	}
	if err != io.EOF { // which the kernel says again
		s.readErr = err
	}
	s.parked = unparked
	go s.reader.Resume()
	return false
}

// oustLocked takes s, which is being closed, out of its poller while its descriptor is certainly its own.
func (s *Socket) oustLocked() {
	switch s.parked {
	case waits:
		s.loop.leave(s)
		s.parked = unparked
		go s.reader.Resume()
	case served:
		s.loop.leave(s)
		s.parked = ousted
	}
}
