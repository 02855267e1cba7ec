package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// pair is a Socket and the plain connection of its peer.
func pair(t testing.TB) (*Socket, *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSocket(c.(*net.TCPConn), SendLimits{1 << 20, 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s.Async()
	t.Cleanup(func() {
		peer.Close()
		s.Close()
		waitFor(t, s.gone.Load)
	})
	return s, peer.(*net.TCPConn)
}

// waitFor polls: what is awaited happens in the kernel or on another goroutine.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen")
		}
	}
}

func holds(s *Socket) bool {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.in != nil
}

func TestSocketReadsInPieces(t *testing.T) {
	s, peer := pair(t)
	peer.Write([]byte("REGISTER sip:example.com SIP/2.0\r\n"))
	var got []byte
	p := make([]byte, 7)
	for len(got) < 34 {
		n, err := s.Read(p)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p[:n]...)
	}
	if string(got) != "REGISTER sip:example.com SIP/2.0\r\n" {
		t.Fatalf("read %q", got)
	}
	if holds(s) {
		t.Fatal("a drained socket holds a read buffer")
	}
	peer.CloseWrite()
	if _, err := s.Read(p); err != io.EOF {
		t.Fatalf("after the peer's FIN: %v, want EOF", err)
	}
}

// A message of 4 KB is in the buffer after one read(2).
func TestSocketReadsAMessageAtOnce(t *testing.T) {
	s, peer := pair(t)
	msg := bytes.Repeat([]byte("x"), 4096)
	peer.Write(msg)
	var first [2]byte
	if _, err := io.ReadFull(s, first[:]); err != nil {
		t.Fatal(err)
	}
	if s.Buffered() != 4094 {
		t.Fatalf("%d octets buffered after the first read, want 4094", s.Buffered())
	}
}

func TestSocketWriteGoesStraightOut(t *testing.T) {
	s, peer := pair(t)
	msg := bytes.Repeat([]byte("y"), 3000)
	got := make([]byte, len(msg))
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := s.Write(msg); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(peer, got); err != nil {
			t.Fatal(err)
		}
	})
	if !bytes.Equal(msg, got) {
		t.Fatal("octets changed on the way")
	}
	if allocs != 0 && !raceEnabled {
		t.Errorf("%v allocations a write, want 0", allocs)
	}
	if s.Pending() != 0 {
		t.Errorf("%d octets pending", s.Pending())
	}
}

// Writes from many goroutines, queued ones included, stay whole and in order.
func TestSocketWritesStayWhole(t *testing.T) {
	s, peer := pair(t)
	s.limits.bytes, s.limits.writes = 64<<20, 1<<20
	const writers, each, size = 4, 200, 5000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				if _, err := s.Write(bytes.Repeat([]byte{byte('a' + w)}, size)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait() // although nobody has read: Write does not block
	if s.Pending() == 0 {
		t.Error("4 MB that nobody reads are not pending")
	}
	block := make([]byte, size)
	for i := range writers * each {
		if _, err := io.ReadFull(peer, block); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(block, block[:1]); n != size {
			t.Fatalf("block %d is mixed", i)
		}
	}
	waitFor(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return !s.flushing })
	if _, err := s.Write([]byte("direct again")); err != nil || s.Pending() != 0 {
		t.Fatalf("after the queue: %v, %d pending", err, s.Pending())
	}
}

func TestSocketCutsAFullQueue(t *testing.T) {
	for _, tt := range []struct {
		name          string
		bytes, writes int
	}{{"octets", 200 << 10, 1 << 20}, {"writes", 1 << 30, 16}} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := pair(t)
			s.limits.bytes, s.limits.writes = tt.bytes, tt.writes
			var err error
			for range 100_000 {
				if _, err = s.Write(make([]byte, 4000)); err != nil {
					break
				}
			}
			if !errors.Is(err, errSlow) || s.Reason() != sip.CloseSlow {
				t.Fatalf("write: %v, reason %q", err, s.Reason())
			}
			if s.Pending() > tt.bytes {
				t.Errorf("%d octets pending, bound %d", s.Pending(), tt.bytes)
			}
			if _, err := s.Write([]byte("x")); err == nil {
				t.Error("a closed socket takes writes")
			}
			if _, err := s.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
				t.Errorf("its reader gets %v", err)
			}
		})
	}
}

// A peer that stops reading, or reads an octet now and then, opens no window:
// it is cut when the stall time is over, while another socket goes on.
func TestSocketCutsASlowReader(t *testing.T) {
	s, peer := pair(t)
	other, otherPeer := pair(t)
	peer.SetReadBuffer(4096)
	s.limits.stall = 100 * time.Millisecond
	stop := make(chan struct{})
	defer close(stop)
	go func() { // 1 octet a tick
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				peer.Read(make([]byte, 1))
			}
		}
	}()
	for s.Pending() == 0 {
		if _, err := s.Write(make([]byte, 4000)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 4)
	for s.Reason() == "" {
		if _, err := other.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(otherPeer, buf); err != nil {
			t.Fatal(err)
		}
	}
	if s.Reason() != sip.CloseSlow {
		t.Fatalf("reason %q", s.Reason())
	}
}

// What is queued at Close still arrives, and so does the FIN, although octets of
// the peer were never read: a reset would destroy the last message.
func TestSocketCloseSavesLastWords(t *testing.T) {
	s, peer := pair(t)
	s.limits.linger = 5 * time.Second
	peer.Write(make([]byte, 30_000)) // never read by us
	last := bytes.Repeat([]byte("z"), 900_000)
	if _, err := s.Write(last); err != nil {
		t.Fatal(err)
	}
	s.CloseWith(sip.CloseProtocol)
	s.CloseWith(sip.CloseNormal)
	if _, err := s.Write([]byte("more")); !errors.Is(err, ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	got, err := io.ReadAll(peer)
	if err != nil || !bytes.Equal(got, last) {
		t.Fatalf("peer read %d octets, error %v", len(got), err)
	}
	peer.Close()
	waitFor(t, s.gone.Load)
	if s.Reason() != sip.CloseProtocol {
		t.Errorf("reason %q, the first counts", s.Reason())
	}
}

func TestSocketCloseWakesReader(t *testing.T) {
	for _, how := range []string{"Read", "Loop"} {
		t.Run(how, func(t *testing.T) {
			s, _ := pair(t)
			left := make(chan error, 1)
			go func() {
				if how == "Loop" {
					left <- s.Loop(func([]byte) error { return nil })
					return
				}
				_, err := s.Read(make([]byte, 10))
				left <- err
			}()
			waitFor(t, func() bool { // parked, or about to
				if s.reading.TryLock() {
					s.reading.Unlock()
					return false
				}
				return true
			})
			s.limits.linger = 10 * time.Millisecond
			s.CloseWith(sip.CloseAdmin)
			if err := <-left; !errors.Is(err, ErrClosed) {
				t.Fatalf("reader got %v", err)
			}
		})
	}
}

// Close from within the reader, as a handler does, does not deadlock.
func TestSocketLoopClosedByItsHandler(t *testing.T) {
	s, peer := pair(t)
	peer.Write([]byte("x"))
	err := s.Loop(func([]byte) error { s.CloseWith(sip.CloseFlood); return nil })
	if !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

func TestSocketLoopFeedsEverything(t *testing.T) {
	s, peer := pair(t)
	want := bytes.Repeat([]byte("0123456789"), 50_000)
	go func() {
		for p := want; len(p) > 0; {
			n := min(len(p), 1+len(p)/7)
			peer.Write(p[:n])
			p = p[n:]
		}
		peer.CloseWrite()
	}()
	var got []byte
	if err := s.Loop(func(p []byte) error { got = append(got, p...); return nil }); err != io.EOF {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("fed %d octets of %d", len(got), len(want))
	}
}

// A message that never completes ends; one that came in pieces in time does not
// leave its deadline behind.
func TestSocketAwait(t *testing.T) {
	s, peer := pair(t)
	s.Await(time.Hour)
	go peer.Write([]byte("a"))
	p := make([]byte, 1)
	if _, err := s.Read(p); err != nil {
		t.Fatal(err)
	}
	s.Await(0)
	s.Await(time.Millisecond)
	if _, err := s.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want the deadline", err)
	}
}

func TestSocketReset(t *testing.T) {
	s, peer := pair(t)
	peer.SetLinger(0)
	peer.Close()
	_, err := s.Read(make([]byte, 1))
	if !errors.Is(err, syscall.ECONNRESET) || s.Reason() != sip.CloseLost {
		t.Fatalf("got %v, reason %q", err, s.Reason())
	}
}

// Until Async it is an ordinary connection: a page larger than the queue goes out.
func TestSocketBlocksUntilAsync(t *testing.T) {
	s, peer := pair(t)
	s.async = false
	page := make([]byte, 8<<20)
	go func() {
		s.Write(page)
		s.Close()
	}()
	n, err := io.Copy(io.Discard, peer)
	if err != nil || n != int64(len(page)) {
		t.Fatalf("peer read %d octets, error %v", n, err)
	}
	peer.Close()
}
