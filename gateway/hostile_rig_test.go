package gateway_test

import (
	"bufio"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
	"github.com/ringway/ringway/sip"
)

// The hostile client: each test has a gateway on a loopback network of its own, two
// users who go on calling each other, and an attacker at another address.

// hostilePatience is for what must come; nothing takes so long unless it never comes.
const hostilePatience = 20 * time.Second

// Hosts of the test's network.
const (
	ourHost, victimHost, attackerHost = 1, 10, 66
	otherHost, pbxHost                = 67, 80
)

type hostileRig struct {
	t          *testing.T
	g          *gateway.Gateway
	net        byte
	ws, sip    netip.AddrPort
	alice, bob *hostilePeer
	stop       func()
}

var hostileNetworks, hostileIDs atomic.Int32

// newHostileRig runs a gateway with more configuration and registers alice and bob.
func newHostileRig(t *testing.T, more string) *hostileRig {
	t.Helper()
	r := &hostileRig{t: t, net: byte(hostileNetworks.Add(1))}
	for r.ws, r.sip = r.freePort(), r.freePort(); r.ws == r.sip; {
		r.sip = r.freePort()
	}
	text := fmt.Sprintf("domains: { example.com: { aliases: [ sip.example.com ] }, other.example: {} }\nadmin: off\n"+
		"listen: [ \"ws://%s/ws\", \"udp://%s\", \"tcp://%s\" ]\n"+
		"upstreams: { pbx: { hops: [ \"sip:%s:5080;transport=udp\" ] } }\nroutes: [ { match: \"^[1-8][0-9]+$\", to: pbx } ]\n"+
		"users_file: users\n%s", r.ws, r.sip, r.sip, r.addr(pbxHost), more)
	dir := t.TempDir()
	var users strings.Builder
	for _, u := range []string{"alice", "bob", "mallory", "eve", "dave"} {
		fmt.Fprintf(&users, "%s:example.com:%s\n", u, md5hex(u+":example.com:pw-"+u))
	}
	fmt.Fprintf(&users, "alice:other.example:%s\n", md5hex("alice:other.example:pw-other"))
	writeHostile(t, dir+"/users", users.String())
	cfg, err := gateway.Parse(dir+"/hostile.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if r.g, err = gateway.New(cfg, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.g.Run(ctx) }()
	select {
	case <-r.g.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("the gateway does not start: %v", err)
	}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	})
	t.Cleanup(func() {
		r.stop()
		if n := r.g.Snapshot().Panics; n > 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	r.alice, r.bob = r.wsFrom(victimHost), r.wsFrom(victimHost+1)
	r.alice.register("alice")
	r.bob.register("bob")
	return r
}

func (r *hostileRig) addr(host byte) netip.Addr {
	return netip.AddrFrom4([4]byte{127, 66, r.net, host})
}

// freePort is one that neither UDP nor TCP uses at the gateway's address.
func (r *hostileRig) freePort() netip.AddrPort {
	for range 100 {
		l, err := net.Listen("tcp", netip.AddrPortFrom(r.addr(ourHost), 0).String())
		if err != nil {
			r.t.Fatal(err)
		}
		at := l.Addr().(*net.TCPAddr).AddrPort()
		u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		l.Close()
		if err == nil {
			u.Close()
			return at
		}
	}
	r.t.Fatal("no free port")
	return netip.AddrPort{}
}

func md5hex(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }

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

// hostileRequest is a request being made up. Lines are whole header lines.
type hostileRequest struct {
	method, uri, from, to, via string
	fromTag, toTag, callID     string
	branch                     string
	cseq                       int
	cseqMethod, maxForwards    string
	lines                      []string
	body                       string
	length                     string // Content-Length line; "-": none
}

func hostileID(prefix string) string { return prefix + strconv.Itoa(int(hostileIDs.Add(1))) + "x" }

// out begins a request out of a dialog.
func (p *hostilePeer) out(method, uri, from, to string) *hostileRequest {
	p.cseq++
	o := &hostileRequest{method: method, uri: uri, from: from, to: to, fromTag: hostileID("f"), callID: hostileID("call") + "@h",
		branch: hostileID("z9hG4bKh"), cseq: p.cseq, maxForwards: "70"}
	o.via = p.sentBy()
	if method == "INVITE" || method == "SUBSCRIBE" || method == "UPDATE" {
		o.lines = append(o.lines, "Contact: <"+p.contactURI()+">")
	}
	return o
}

func (p *hostilePeer) sentBy() string {
	switch p.kind {
	case sip.WS:
		return "SIP/2.0/WS h" + strconv.Itoa(int(p.local.Port())) + ".invalid"
	case sip.TCP:
		return "SIP/2.0/TCP " + p.local.String()
	}
	return "SIP/2.0/UDP " + p.local.String() + ";rport"
}

func (p *hostilePeer) contactURI() string {
	if p.contact == "" {
		p.contact = fmt.Sprintf("sip:c%d@h%d.invalid;transport=ws", p.local.Port(), p.local.Port())
		if p.kind != sip.WS {
			p.contact = fmt.Sprintf("sip:c%d@%s", p.local.Port(), p.local)
		}
	}
	return p.contact
}

func (o *hostileRequest) add(lines ...string) *hostileRequest {
	o.lines = append(o.lines, lines...)
	return o
}

// String is the request's text.
func (o *hostileRequest) String() string {
	var b strings.Builder
	tag := ""
	if o.toTag != "" {
		tag = ";tag=" + o.toTag
	}
	method := o.cseqMethod
	if method == "" {
		method = o.method
	}
	fmt.Fprintf(&b, "%s %s SIP/2.0\r\nVia: %s;branch=%s\r\nFrom: <%s>;tag=%s\r\nTo: <%s>%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n",
		o.method, o.uri, o.via, o.branch, o.from, o.fromTag, o.to, tag, o.callID, o.cseq, method)
	if o.maxForwards != "" {
		b.WriteString("Max-Forwards: " + o.maxForwards + "\r\n")
	}
	for _, l := range o.lines {
		b.WriteString(l + "\r\n")
	}
	switch o.length {
	case "":
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(o.body))
	case "-":
	default:
		b.WriteString(o.length + "\r\n")
	}
	return b.String() + "\r\n" + o.body
}

// login is the answer to a challenge; edit changes its parts before they are written.
func (o *hostileRequest) login(challenge *sip.Message, user, pass string, edit func(c map[string]string)) *hostileRequest {
	field, value := "Authorization", challenge.Value(sip.WWWAuthenticate)
	if value == "" {
		field, value = "Proxy-Authorization", challenge.Value(sip.ProxyAuthenticate)
	}
	c := map[string]string{"username": user, "realm": quotedIn(value, "realm"), "nonce": quotedIn(value, "nonce"), "uri": o.uri,
		"qop": "auth", "nc": "00000001", "cnonce": "hostile", "algorithm": "MD5"}
	if edit != nil {
		edit(c)
	}
	if c["response"] == "" {
		c["response"] = md5hex(md5hex(c["username"]+":"+c["realm"]+":"+pass) + ":" + c["nonce"] + ":" + c["nc"] + ":" + c["cnonce"] +
			":" + c["qop"] + ":" + md5hex(o.method+":"+c["uri"]))
	}
	var b strings.Builder
	for _, k := range []string{"username", "realm", "nonce", "uri", "response", "cnonce"} {
		fmt.Fprintf(&b, ", %s=%q", k, c[k])
	}
	for _, k := range []string{"qop", "nc", "algorithm"} {
		if c[k] != "-" {
			fmt.Fprintf(&b, ", %s=%s", k, c[k])
		}
	}
	n := *o
	n.cseq, n.branch = o.cseq+1, hostileID("z9hG4bKh")
	n.lines = append(append([]string{}, o.lines...), field+": Digest "+b.String()[2:])
	return &n
}

func quotedIn(value, name string) string {
	_, rest, _ := strings.Cut(value, name+`="`)
	v, _, _ := strings.Cut(rest, `"`)
	return v
}

// registration is a REGISTER of the peer's Contact for a user.
func (p *hostilePeer) registration(user string) *hostileRequest {
	aor := "sip:" + user + "@example.com"
	return p.out("REGISTER", "sip:example.com", aor, aor).add("Contact: <"+p.contactURI()+">", "Expires: 600")
}

// register registers with the right password.
func (p *hostilePeer) register(user string) *hostilePeer {
	p.t.Helper()
	o := p.registration(user)
	p.send(o.String())
	p.send(o.login(p.status(401), user, "pw-"+user, nil).String())
	p.status(200)
	p.user, p.cseq = user, p.cseq+1
	return p
}

// reply answers a request that came.
func hostileReply(m *sip.Message, status int, toTag string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d X\r\n", status)
	for v := range m.Values(sip.Via) {
		b.WriteString("Via: " + v + "\r\n")
	}
	for v := range m.Values(sip.RecordRoute) {
		b.WriteString("Record-Route: " + v + "\r\n")
	}
	to := m.Value(sip.To)
	if m.ToTag() == "" {
		to += ";tag=" + toTag
	}
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %s\r\n", m.Value(sip.From), to, m.CallID(), m.Value(sip.CSeq))
	for _, l := range lines {
		b.WriteString(l + "\r\n")
	}
	return b.String() + "Content-Length: 0\r\n\r\n"
}

// hostileCall is an established call, with all that its parties know.
type hostileCall struct {
	caller, callee *hostilePeer
	invite         *hostileRequest // as the caller sent it
	arrived, ok    *sip.Message
	toTag          string
	routes         []string // the caller's route set
	calleeRoutes   []string
}

// ring sets up a call as far as 180.
func (r *hostileRig) ring(caller, callee *hostilePeer, uri string, lines ...string) *hostileCall {
	caller.t.Helper()
	c := &hostileCall{caller: caller, callee: callee, toTag: hostileID("t")}
	c.invite = caller.out("INVITE", uri, "sip:"+caller.user+"@example.com", uri).add(lines...)
	caller.send(c.invite.String())
	c.arrived = callee.request("INVITE")
	callee.send(hostileReply(c.arrived, 180, c.toTag, "Contact: <"+callee.contactURI()+">"))
	caller.status(180)
	return c
}

// answer completes it with 200 and ACK.
func (c *hostileCall) answer() *hostileCall {
	c.caller.t.Helper()
	c.callee.send(hostileReply(c.arrived, 200, c.toTag, "Contact: <"+c.callee.contactURI()+">"))
	c.ok = c.caller.status(200)
	for v := range c.ok.Values(sip.RecordRoute) {
		c.routes = append([]string{v}, c.routes...)
	}
	for v := range c.arrived.Values(sip.RecordRoute) {
		c.calleeRoutes = append(c.calleeRoutes, v)
	}
	c.caller.send(c.within(c.caller, "ACK", c.invite.cseq).String())
	c.callee.request("ACK")
	return c
}

// within is a request of the caller's side of the dialog, as p would send it.
func (c *hostileCall) within(p *hostilePeer, method string, cseq int) *hostileRequest {
	o := p.out(method, c.callee.contactURI(), c.invite.from, c.invite.to)
	o.fromTag, o.toTag, o.callID, o.cseq = c.invite.fromTag, c.toTag, c.invite.callID, cseq
	for _, v := range c.routes {
		o.add("Route: " + v)
	}
	return o
}

// hangUp ends the call from the caller's side.
func (c *hostileCall) hangUp() {
	c.caller.t.Helper()
	c.caller.send(c.within(c.caller, "BYE", c.invite.cseq+1000).String())
	m := c.callee.request("BYE")
	c.callee.send(hostileReply(m, 200, c.toTag))
	c.caller.status(200)
}

// alive makes sure that others still call each other, and that nothing else reached them.
func (r *hostileRig) alive(t *testing.T) {
	t.Helper()
	r.alice.t, r.bob.t = t, t
	r.ring(r.alice, r.bob, "sip:bob@example.com").answer().hangUp()
}

// until waits for a condition that nothing tells of.
func (r *hostileRig) until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	limit := time.NewTimer(hostilePatience)
	defer limit.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit.C:
			t.Fatalf("after %v it is not so that %s", hostilePatience, what)
		}
	}
}

func writeHostile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
