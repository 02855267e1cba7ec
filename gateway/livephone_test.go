//go:build linux

package gateway_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// phone is a scripted user agent on a real connection. A test takes what reached
// it one by one, so a message too many is as wrong as one too few.
type phone struct {
	*siptest.UA
	t     testing.TB
	came  chan struct{} // something did
	inbox []siptest.Seen
	seen  []string // for a test that fails
	texts map[string]bool
	wire  wire
}

type wire interface {
	siptest.Wire
	read() (string, error)
	close()
}

// play makes a user agent on w, which speaks from addr.
func (l *live) play(name string, opt siptest.UAOptions, w wire, addr netip.AddrPort) *phone {
	p := &phone{t: l.t, came: make(chan struct{}, 1), texts: map[string]bool{}}
	p.UA = siptest.NewUAOn(name, opt, w, addr, func() {
		select {
		case p.came <- struct{}{}:
		default:
		}
	})
	p.listen(w)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("%s saw:\n%s", name, strings.Join(p.seen, "\n"))
		}
	})
	return p
}

// listen takes what arrives on w until it ends.
func (p *phone) listen(w wire) {
	p.wire = w
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			text, err := w.read()
			if err != nil {
				p.Note("closed: " + closing(err))
				return
			}
			p.Receive(w, text)
		}
	}()
	p.t.Cleanup(func() { w.close(); <-done })
}

// cut ends the connection without a word, and waits until the phone knows.
func (p *phone) cut() {
	p.t.Helper()
	p.wire.close()
	for {
		for _, s := range p.Seen() {
			if s.Text != "" {
				p.t.Fatalf("%s got %s", p.Name, s.Text)
			}
			return
		}
		<-p.came
	}
}

// closes closes a browser's page (Chromium says 1001 then), and waits until the phone knows.
func (p *phone) closes() {
	p.t.Helper()
	_ = p.wire.(*wsWire).c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), time.Now().Add(patience))
	p.cut()
}

// reconnect gives a browser that was cut a new connection.
func (l *live) reconnect(p *phone) {
	l.t.Helper()
	w := l.dialWS()
	p.Rewire(w)
	p.listen(w)
}

func closing(err error) string {
	var ce *websocket.CloseError
	if errors.As(err, &ce) {
		return fmt.Sprint(ce.Code)
	}
	return "lost"
}

// next is the next message that reached the phone. 100s, which depend on how slow
// things are, and what UDP brings twice are not counted.
func (p *phone) next(of string) *sip.Message {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		for len(p.inbox) > 0 {
			s := p.inbox[0]
			p.inbox = p.inbox[1:]
			p.seen = append(p.seen, s.At.Format("05.000 ")+s.Text+s.Note)
			if s.Text == "" {
				p.t.Fatalf("%s is told %q instead of %s", p.Name, s.Note, of)
			}
			m, err := sip.Parse(s.Text, p.wire.Framing())
			if err != nil {
				p.t.Fatalf("%s cannot read %q: %v", p.Name, s.Text, err)
			}
			if m.Status() == 100 || p.wire.Framing() == sip.Datagram && p.texts[s.Text] {
				continue
			}
			p.texts[s.Text] = true
			return m
		}
		if p.inbox = p.Seen(); len(p.inbox) > 0 {
			continue
		}
		select {
		case <-p.came:
		case <-limit.C:
			p.t.Fatalf("%s waited %v for %s", p.Name, patience, of)
		}
	}
}

// what names a message: "INVITE", "180 INVITE".
func what(m *sip.Message) string {
	_, method := m.CSeq()
	if m.IsRequest() {
		return m.Method()
	}
	return fmt.Sprintf("%d %s", m.Status(), method)
}

// want is the next message, which has to be this one.
func (p *phone) want(want string) *sip.Message {
	p.t.Helper()
	m := p.next(want)
	if got := what(m); got != want {
		p.t.Fatalf("%s got %s instead of %s:\n%s", p.Name, got, want, m)
	}
	return m
}

// wantBody is want, with a body that came byte for byte.
func (p *phone) wantBody(want, body string) *sip.Message {
	p.t.Helper()
	m := p.want(want)
	if m.Body() != body {
		p.t.Errorf("body of %s to %s\n got %q\nwant %q", want, p.Name, m.Body(), body)
	}
	return m
}

// quiet makes sure that nothing more has come: order is kept per connection, so all
// that the gateway sent before stands before the answer to an OPTIONS.
func (p *phone) quiet() {
	p.t.Helper()
	p.Request("OPTIONS", "sip:example.com")
	p.want("200 OPTIONS")
}

// body is the line by which a user agent is told what body to send.
func body(s string) string {
	return "body: " + strings.ReplaceAll(s, "\r\n", `\n`)
}

// sdp is a session description of that many octets at least, with what rewriting
// would harm: trailing blanks, empty values, UTF-8, an unknown line.
func sdp(who string, size int) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=" + who + "\r\nt=0 0\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=x-blank: \t \r\na=x-utf8:für Öl \u2603\r\na=x-empty:\r\n")
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "a=candidate:%d 1 udp 2113937151 192.0.2.%d %d typ host generation 0 network-cost 999\r\n", i, i%250, 40000+i)
	}
	return b.String()
}

// wsWire is RFC 7118 on a client's end: one message, one frame.
type wsWire struct {
	c      *websocket.Conn
	mu     sync.Mutex
	closed atomic.Bool
}

func (l *live) dialWS() *wsWire {
	l.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"sip"}, HandshakeTimeout: patience}
	c, res, err := d.Dial("ws://"+l.ws.String()+"/ws", nil)
	if err != nil {
		l.t.Fatalf("WebSocket: %v (%v)", err, res)
	}
	res.Body.Close()
	return &wsWire{c: c}
}

func (w *wsWire) Write(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.c.WriteMessage(websocket.TextMessage, []byte(text)) // a lost one is missed by the test
}

func (w *wsWire) read() (string, error) {
	_, b, err := w.c.ReadMessage()
	if err != nil {
		w.closed.Store(true)
	}
	return string(b), err
}

func (w *wsWire) Closed() bool         { return w.closed.Load() }
func (w *wsWire) Framing() sip.Framing { return sip.Frame }
func (w *wsWire) close()               { w.c.Close() }

// browser is a registered user on a WebSocket.
func (l *live) browser(user string) *phone {
	l.t.Helper()
	p := l.tab(user, user+"@example.com", password, "")
	p.registers()
	return p
}

// tab is a page of a user's that has not registered yet; contact is the user part of its Contact, "" for the user's own.
func (l *live) tab(name, aor, password, contact string) *phone {
	l.t.Helper()
	return l.play(name, siptest.UAOptions{
		Transport: sip.WS, AOR: aor, Password: password, Contact: contact,
		Instance: fmt.Sprintf("urn:uuid:00000000-0000-4000-8000-%012x", name),
	}, l.dialWS(), netip.AddrPort{})
}

// udpWire is a socket that speaks to the gateway.
type udpWire struct {
	c  *net.UDPConn
	to netip.AddrPort
}

func (w *udpWire) Write(text string) { _, _ = w.c.WriteToUDPAddrPort([]byte(text), w.to) }
func (w *udpWire) read() (string, error) {
	b := make([]byte, 65535)
	n, _, err := w.c.ReadFromUDPAddrPort(b)
	return string(b[:n]), err
}
func (w *udpWire) Closed() bool         { return false }
func (w *udpWire) Framing() sip.Framing { return sip.Datagram }
func (w *udpWire) close()               { w.c.Close() }

// udpPeer is a scripted SIP server or phone at an address.
func (l *live) udpPeer(name string, at netip.AddrPort) *phone {
	l.t.Helper()
	return l.play(name, siptest.UAOptions{Transport: sip.UDP, AOR: "pbx@" + at.String()}, l.udpSocket(at), at)
}

func (l *live) udpSocket(at netip.AddrPort) *udpWire {
	l.t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		l.t.Fatal(err)
	}
	to := l.sip
	switch {
	case at.Addr().Is6():
		to = l.sip6
	case !at.Addr().IsLoopback():
		to = l.away
	}
	return &udpWire{c, to}
}

// tcpWire is a stream: one that the gateway opens, once it has, or one to it.
type tcpWire struct {
	listener net.Listener
	opened   chan struct{} // closed when there is c, or there will be none
	c        net.Conn
	buf      []byte
	framer   sip.Framer
	closed   atomic.Bool
}

// tcpPeer is a scripted SIP server whom the gateway connects to, once.
func (l *live) tcpPeer(name string, at netip.AddrPort) *phone {
	l.t.Helper()
	return l.play(name, siptest.UAOptions{Transport: sip.TCP, AOR: "pbx@" + at.String()}, l.tcpListener(at), at)
}

func (l *live) tcpListener(at netip.AddrPort) *tcpWire {
	l.t.Helper()
	listener, err := net.Listen("tcp", at.String())
	if err != nil {
		l.t.Fatal(err)
	}
	return &tcpWire{listener: listener, opened: make(chan struct{})}
}

// tcpCaller is one who connects to the gateway from an address.
func (l *live) tcpCaller(name string, at netip.AddrPort) *phone {
	l.t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(at), Timeout: patience}
	c, err := d.Dial("tcp", l.sip.String())
	if err != nil {
		l.t.Fatal(err)
	}
	return l.play(name, siptest.UAOptions{Transport: sip.TCP, AOR: "pbx@" + at.String()}, newTCPWire(c), at)
}

func newTCPWire(c net.Conn) *tcpWire {
	w := &tcpWire{c: c, opened: make(chan struct{})}
	close(w.opened)
	return w
}

func (w *tcpWire) Write(text string) {
	<-w.opened
	_, _ = w.c.Write([]byte(text))
}

func (w *tcpWire) read() (string, error) {
	if w.c == nil {
		var err error
		if w.c, err = w.listener.Accept(); err != nil {
			return "", err
		}
		close(w.opened)
	}
	for {
		for len(w.buf) >= 2 && w.buf[0] == '\r' && w.buf[1] == '\n' {
			w.buf = w.buf[2:]
		}
		if len(w.buf) > 0 {
			n, err := w.framer.Next(w.buf)
			if n > 0 {
				text := string(w.buf[:n])
				w.buf = w.buf[n:]
				return text, err
			}
			if err != nil {
				return "", err
			}
		}
		b := make([]byte, 4096)
		n, err := w.c.Read(b)
		if err != nil {
			w.closed.Store(true)
			return "", err
		}
		w.buf = append(w.buf, b[:n]...)
	}
}

func (w *tcpWire) Closed() bool         { return w.closed.Load() }
func (w *tcpWire) Framing() sip.Framing { return sip.Stream }
func (w *tcpWire) close() {
	if w.listener != nil {
		w.listener.Close()
	}
	select {
	case <-w.opened:
		w.c.Close()
	default:
	}
}
