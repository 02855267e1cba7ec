package transport

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// FuzzStream feeds a stream in pieces of two sizes: whatever comes, nothing
// panics, and the messages found do not depend on the segments.
func FuzzStream(f *testing.F) {
	f.Add([]byte("\r\n\r\n"+string(message("a", 5))+"\r\n"+string(message("b", 0))), uint8(7))
	f.Add([]byte("REGISTER sip:x SIP/2.0\r\nContent-Length: 5\r\n\r\nabcde\r"), uint8(1))
	f.Add([]byte(strings.Repeat("\r\n", 9)+"\rx"), uint8(3))
	f.Fuzz(func(t *testing.T, in []byte, size uint8) {
		if strings.Count(string(in), "\r\n") > 100 {
			t.Skip("a flood is judged by time")
		}
		whole, err1 := feedAll(t, in, len(in))
		pieces, err2 := feedAll(t, in, int(size)+1)
		if whole != pieces || (err1 == nil) != (err2 == nil) {
			t.Fatalf("at once %q %v, in pieces of %d %q %v", whole, err1, int(size)+1, pieces, err2)
		}
	})
}

// feedAll returns the call ids of the messages found.
func feedAll(t *testing.T, in []byte, size int) (calls string, err error) {
	s := &Socket{closing: true, err: ErrClosed} // nothing is read from it or gets out
	table := flow.NewTable()
	l, _ := New(Config{Table: table, Receive: func(m *sip.Message, _ *flow.Flow) { calls += m.CallID() + " " }})
	c := &stream{layer: l, sock: s, conn: s}
	c.flow = table.Open(c)
	for err == nil && len(in) > 0 {
		n := min(size, len(in))
		err = c.feed(in[:n])
		in = in[n:]
	}
	if l.count.Panics.Load() > 0 {
		t.Fatal("panic")
	}
	return calls, err
}
