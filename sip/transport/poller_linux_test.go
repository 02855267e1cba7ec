package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/ringway/ringway/sip"
)

// parkee is the owner of a parked Socket: what it takes, it notes.
type parkee struct {
	poller  *Poller
	sock    *Socket
	take    func(p []byte) int // nil: everything
	resumed chan struct{}

	mu  sync.Mutex
	got []byte
}

func (r *parkee) Arrived(p []byte) int {
	n := len(p)
	if r.take != nil {
		n = r.take(p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, p[:n]...)
	return n
}

func (r *parkee) Resume() { r.resumed <- struct{}{} }

func (r *parkee) has(want []byte) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return bytes.Equal(r.got, want)
	}
}

func newPoller(t testing.TB) *Poller {
	t.Helper()
	p, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func parked(t testing.TB, take func(p []byte) int) (*parkee, *net.TCPConn) {
	t.Helper()
	p := newPoller(t)
	s, peer := pair(t)
	r := &parkee{poller: p, sock: s, take: take, resumed: make(chan struct{}, 2)}
	if !p.Park(s, r) {
		t.Fatal("not parked")
	}
	return r, peer
}

func TestParkedSocketIsServed(t *testing.T) {
	r, peer := parked(t, nil)
	var sent []byte
	for _, n := range []int{1, 700, readSize, 3*readSize + 5, 40} {
		b := bytes.Repeat([]byte{byte('a' + n%26)}, n)
		sent = append(sent, b...)
		peer.Write(b)
		waitFor(t, r.has(sent))
	}
	if holds(r.sock) || len(r.resumed) > 0 {
		t.Error("a served socket holds a buffer or was given back")
	}
	r.sock.Write([]byte("out"))
	if _, err := io.ReadFull(peer, make([]byte, 3)); err != nil {
		t.Error(err)
	}
}

// What the owner leaves, and all that comes later, is its own to read, in order;
// then it may park again.
func TestParkedSocketIsGivenBack(t *testing.T) {
	r, peer := parked(t, func(p []byte) int { return min(len(p), 4) })
	peer.Write([]byte("fourmore"))
	<-r.resumed
	peer.Write([]byte(" and more"))
	b := make([]byte, 13)
	if _, err := io.ReadFull(r.sock, b); err != nil || string(b) != "more and more" {
		t.Fatalf("%q, %v", b, err)
	}
	r.take = nil
	if !r.poller.Park(r.sock, r) {
		t.Fatal("not parked again")
	}
	peer.Write([]byte("!"))
	waitFor(t, r.has([]byte("four!")))
}

// Who sends without a pause is read by a goroutine of its own: the poller has others to serve.
func TestFastSenderIsGivenBack(t *testing.T) {
	hold := make(chan struct{})
	r, peer := parked(t, func(p []byte) int { <-hold; return len(p) })
	r.sock.tcp.SetReadBuffer(1 << 20)
	peer.Write([]byte("x")) // the poller is held up, and meanwhile there comes more than it reads in one go
	peer.Write(make([]byte, (pollRounds+2)*readSize))
	close(hold)
	<-r.resumed
}

func TestParkedSocketLearnsOfTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(peer *net.TCPConn)
		want error
	}{
		"FIN alone":       {func(peer *net.TCPConn) { peer.CloseWrite() }, io.EOF},
		"FIN behind data": {func(peer *net.TCPConn) { peer.Write([]byte("last")); peer.CloseWrite() }, io.EOF},
		"reset":           {func(peer *net.TCPConn) { peer.SetLinger(0); peer.Close() }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r, peer := parked(t, nil)
			c.end(peer)
			<-r.resumed
			n, err := r.sock.Read(make([]byte, 10))
			if n != 0 || err == nil || c.want != nil && err != c.want {
				t.Errorf("%d octets, %v", n, err)
			}
			if name == "FIN behind data" && !r.has([]byte("last"))() {
				t.Errorf("got %q", r.got)
			}
		})
	}
}

// Whoever closes a parked socket, its owner hears of it, once.
func TestParkedSocketIsClosed(t *testing.T) {
	for _, why := range []sip.CloseReason{sip.CloseGoingAway, sip.CloseDead} {
		r, _ := parked(t, nil)
		r.sock.CloseWith(why)
		<-r.resumed
		if _, err := r.sock.Read(make([]byte, 1)); err != ErrClosed {
			t.Errorf("%s: %v", why, err)
		}
		waitFor(t, r.sock.gone.Load)
		if len(r.resumed) != 0 {
			t.Errorf("%s: told twice", why)
		}
	}
}

func TestClosedWhileItIsServed(t *testing.T) {
	var r *parkee
	r, peer := parked(t, func(p []byte) int { r.sock.CloseWith(sip.CloseFlood); return len(p) })
	peer.Write([]byte("x"))
	<-r.resumed
	if _, err := r.sock.Read(make([]byte, 1)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	waitFor(t, r.sock.gone.Load)
}

func TestWhatCannotBeParked(t *testing.T) {
	p := newPoller(t)
	s, peer := pair(t)
	peer.Write([]byte("ab"))
	if _, err := s.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if p.Park(s, nil) {
		t.Error("parked with an octet unread")
	}
	s.Close()
	if p.Park(s, nil) {
		t.Error("parked though closed")
	}
}

// Slots are used again; an event of the last tenant is not the next one's.
func TestSlotsAreUsedAgain(t *testing.T) {
	p := newPoller(t)
	for range 50 {
		s, peer := pair(t)
		r := &parkee{sock: s, resumed: make(chan struct{}, 2)}
		if !p.Park(s, r) {
			t.Fatal("not parked")
		}
		peer.Write([]byte("x"))
		waitFor(t, r.has([]byte("x")))
		s.Close()
		<-r.resumed
	}
	for _, l := range p.loops {
		if n := len(l.slots); n > 2 {
			t.Errorf("%d slots for one socket at a time", n)
		}
	}
}

// Writers, closers and the poller at once: every octet is seen until the end, and the end by each owner once.
func TestPollerUnderStorm(t *testing.T) {
	p := newPoller(t)
	var all sync.WaitGroup
	for i := range 64 {
		s, peer := pair(t)
		r := &parkee{sock: s, resumed: make(chan struct{}, 2)}
		if !p.Park(s, r) {
			t.Fatal("not parked")
		}
		all.Go(func() {
			b := bytes.Repeat([]byte{byte(i)}, 900)
			for range 30 {
				peer.Write(b)
			}
			if i%2 == 0 {
				peer.CloseWrite()
			} else {
				waitFor(t, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.got) == 27_000 })
				s.CloseWith(sip.CloseNormal)
			}
			<-r.resumed
			if len(r.got) != 27_000 {
				t.Errorf("%d octets", len(r.got))
			}
		})
	}
	all.Wait()
}
