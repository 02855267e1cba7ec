//go:build linux

package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ringway/ringway/sip"
)

// curt is a provider over TCP that challenges whatever has no credentials, and hangs up with the challenge: at once, or after it
// has read something more.
type curt struct {
	t        testing.TB
	at       netip.AddrPort
	late     bool
	accepted atomic.Int32
}

func (l *live) curt(late bool) *curt {
	listener, err := net.Listen("tcp", netip.AddrPortFrom(l.addr(71), 0).String())
	if err != nil {
		l.t.Fatal(err)
	}
	c := &curt{t: l.t, at: listener.Addr().(*net.TCPAddr).AddrPort(), late: late}
	var serving sync.WaitGroup
	open := map[net.Conn]bool{}
	var mu sync.Mutex
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			c.accepted.Add(1)
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			serving.Go(func() { c.serve(conn); conn.Close() })
		}
	})
	l.t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for conn := range open {
			conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return c
}

// serve answers until it hangs up.
func (c *curt) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		m, err := c.read(in)
		if err != nil {
			return
		}
		if m.Method() == "ACK" {
			continue
		}
		reply := &sip.Reply{Status: 401, ToTag: "curt", Headers: []string{`WWW-Authenticate: Digest realm="carrier.example", nonce="n", qop="auth"`}}
		if m.Has(sip.Authorization) {
			reply.Status, reply.Headers = 200, []string{"Contact: " + m.Value(sip.Contact) + ";expires=600"}
			if m.Method() == "INVITE" {
				reply.Headers = []string{"Contact: <sip:curt@" + c.at.String() + ";transport=tcp>"}
				for v := range m.Values(sip.RecordRoute) {
					reply.Headers = append(reply.Headers, "Record-Route: "+v)
				}
			}
		}
		if _, err := conn.Write(m.AppendReply(nil, reply)); err != nil {
			return
		}
		if reply.Status == 401 {
			if c.late { // what comes next is lost
				_, _ = c.read(in)
			}
			return
		}
	}
}

// read takes a message, and passes over keep-alives.
func (c *curt) read(in *bufio.Reader) (*sip.Message, error) {
	var text strings.Builder
	length := 0
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = in.ReadString('\n'); err != nil {
			return nil, err
		}
		if text.Len() == 0 && line == "\r\n" {
			line = ""
			continue
		}
		_, _ = fmt.Sscanf(line, "Content-Length: %d", &length)
		text.WriteString(line)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, err
	}
	text.Write(body)
	m, err := sip.Parse(text.String(), sip.Stream)
	if err != nil {
		c.t.Errorf("%v in\n%s", err, text.String())
	}
	return m, err
}

// RFC 3261 §18.4, §22: a provider that hangs up with each challenge has us registered all the same, and its callers notice nothing.
func TestProviderHangsUpWithItsChallenge(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			c := l.curt(late)
			l.start(fmt.Sprintf("upstreams: { carrier: { hops: [ %q ], health: off, %s, register: { aor: \"sip:4930123@carrier.example\", contact: alice } } }\nroutes: [ { match: \"^[0-9]+$\", to: carrier } ]\n",
				hop(c.at, "tcp"), login))
			l.until("we are registered", func() bool { return l.registered("carrier") == "1" })
			alice := l.browser("alice")
			for range 10 {
				l.talk(alice)
			}
			l.over()
			alice.quiet()
			if c.accepted.Load() < 2 {
				t.Error("it has never hung up")
			}
		})
	}
}
