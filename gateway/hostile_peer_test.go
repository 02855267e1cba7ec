package gateway_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// A hostile peer speaks WebSocket, TCP or UDP, right or wrong.

// hostileItem is what came over a connection: a text, or how it ended.
type hostileItem struct {
	text string
	code int // of the close frame; 1006: the connection ended without one
	end  bool
}

// hostilePeer is a client that sends what it is told to, right or wrong.
type hostilePeer struct {
	t       *testing.T
	r       *hostileRig
	kind    sip.Transport
	local   netip.AddrPort
	in      chan hostileItem
	write   func(string) error
	close   func()
	contact string
	user    string
	backlog []hostileItem
	cseq    int
}

func (r *hostileRig) peer(kind sip.Transport, local net.Addr, write func(string) error, end func()) *hostilePeer {
	p := &hostilePeer{t: r.t, r: r, kind: kind, in: make(chan hostileItem, 1<<14), write: write, close: sync.OnceFunc(end)}
	switch a := local.(type) {
	case *net.TCPAddr:
		p.local = a.AddrPort()
	case *net.UDPAddr:
		p.local = a.AddrPort()
	}
	r.t.Cleanup(p.close)
	return p
}

// on lets what a sub-test does wrong fail the sub-test.
func (p *hostilePeer) on(t *testing.T) *hostilePeer { p.t = t; return p }

func (r *hostileRig) dialer(host byte) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: r.addr(host).AsSlice()}, Timeout: hostilePatience}
}

func (r *hostileRig) wsFrom(host byte) *hostilePeer {
	r.t.Helper()
	d := websocket.Dialer{NetDialContext: r.dialer(host).DialContext, Subprotocols: []string{"sip"}, HandshakeTimeout: hostilePatience}
	c, res, err := d.Dial("ws://"+r.ws.String()+"/ws", nil)
	if err != nil {
		r.t.Fatalf("WebSocket: %v (%v)", err, res)
	}
	res.Body.Close()
	var mu sync.Mutex
	p := r.peer(sip.WS, c.LocalAddr(), func(s string) error {
		mu.Lock()
		defer mu.Unlock()
		return c.WriteMessage(websocket.BinaryMessage, []byte(s))
	}, func() { c.Close() })
	go func() {
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				code := 1006
				var ce *websocket.CloseError
				if errors.As(err, &ce) {
					code = ce.Code
				}
				p.in <- hostileItem{code: code, end: true}
				return
			}
			p.in <- hostileItem{text: string(b)}
		}
	}()
	return p
}

func (r *hostileRig) tcpFrom(host byte) *hostilePeer {
	r.t.Helper()
	c, err := r.dialer(host).Dial("tcp", r.sip.String())
	if err != nil {
		r.t.Fatal(err)
	}
	p := r.peer(sip.TCP, c.LocalAddr(), func(s string) error { _, err := io.WriteString(c, s); return err }, func() { c.Close() })
	go func() {
		in := bufio.NewReader(c)
		for {
			text, err := readStreamed(in)
			if err != nil {
				p.in <- hostileItem{code: 1006, end: true}
				return
			}
			p.in <- hostileItem{text: text}
		}
	}()
	return p
}

// readStreamed reads one message of a stream by its Content-Length.
func readStreamed(in *bufio.Reader) (string, error) {
	var b strings.Builder
	n := 0
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if b.Len() == 0 && line == "\r\n" {
			return line, nil // a pong
		}
		b.WriteString(line)
		if v, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if n, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return "", err
			}
		}
		if line == "\r\n" {
			body := make([]byte, n)
			_, err := io.ReadFull(in, body)
			return b.String() + string(body), err
		}
	}
}

func (r *hostileRig) udpFrom(host byte, port uint16) *hostilePeer {
	r.t.Helper()
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.addr(host), port)))
	if err != nil {
		r.t.Fatal(err)
	}
	p := r.peer(sip.UDP, c.LocalAddr(), func(s string) error {
		_, err := c.WriteToUDPAddrPort([]byte(s), r.sip)
		return err
	}, func() { c.Close() })
	go func() {
		b := make([]byte, 65535)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			p.in <- hostileItem{text: string(b[:n])}
		}
	}()
	return p
}

// open is a peer of a transport at the attacker's address.
func (r *hostileRig) open(kind sip.Transport) *hostilePeer {
	switch kind {
	case sip.WS:
		return r.wsFrom(attackerHost)
	case sip.TCP:
		return r.tcpFrom(attackerHost)
	}
	return r.udpFrom(attackerHost, 0)
}

func (p *hostilePeer) send(text string) {
	p.t.Helper()
	if err := p.write(text); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

func (p *hostilePeer) item(of string) hostileItem {
	p.t.Helper()
	if len(p.backlog) > 0 {
		it := p.backlog[0]
		p.backlog = p.backlog[1:]
		return it
	}
	limit := time.NewTimer(hostilePatience)
	defer limit.Stop()
	select {
	case it := <-p.in:
		return it
	case <-limit.C:
		p.t.Fatalf("%s waited %v for %s", p.user, hostilePatience, of)
		return hostileItem{}
	}
}

// next is the next message but 100s and keep-alives.
func (p *hostilePeer) next(of string) *sip.Message {
	p.t.Helper()
	for {
		it := p.item(of)
		if it.end {
			p.t.Fatalf("%s %v was closed (%d) instead of %s", p.user, p.kind, it.code, of)
		}
		if it.text == "\r\n" {
			continue
		}
		m, err := sip.Parse(it.text, sip.Datagram)
		if err != nil {
			p.t.Fatalf("%q cannot be read: %v", it.text, err)
		}
		if m.Status() != 100 {
			return m
		}
	}
}

// status is the next message, which has to be a response of that status.
func (p *hostilePeer) status(want int) *sip.Message {
	p.t.Helper()
	m := p.next(strconv.Itoa(want))
	if m.Status() != want {
		p.t.Fatalf("%s got %q instead of %d\n%s", p.user, startLine(m), want, m)
	}
	return m
}

// request is the next message, which has to be a request of that method.
func (p *hostilePeer) request(want string) *sip.Message {
	p.t.Helper()
	m := p.next(want)
	if !m.IsRequest() || m.Method() != want {
		p.t.Fatalf("%s got %q instead of %s\n%s", p.user, startLine(m), want, m)
	}
	return m
}

// ended is the code with which the connection is closed, whatever came before.
func (p *hostilePeer) ended() int {
	p.t.Helper()
	for {
		if it := p.item("the end"); it.end {
			return it.code
		}
	}
}

func startLine(m *sip.Message) string { s, _, _ := strings.Cut(m.String(), "\r\n"); return s }

// quiet makes sure that nothing more has come: order is kept per peer, so what was
// sent before stands before the answer to a last request.
func (p *hostilePeer) quiet() {
	p.t.Helper()
	o := p.out("OPTIONS", "sip:example.com", "sip:mark@example.com", "sip:mark@example.com")
	p.send(o.String())
	m := p.next("the answer to the mark")
	if m.CallID() != o.callID {
		p.t.Fatalf("%s got %q instead of silence\n%s", p.user, startLine(m), m)
	}
}
