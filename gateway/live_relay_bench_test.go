//go:build linux

package gateway_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// BenchmarkRelayedRefresh prints the CPU time that a refresh costs an edge proxy, Ringway and Kamailio in turns, when
// 500 browsers register through it at a registrar that challenges: two REGISTERs each, as JsSIP and SIP.js
// send them. Then, for Ringway: whom the registrar reaches when it has forgotten all and each has refreshed once,
// and what calls to sockets come to that were cut.
func BenchmarkRelayedRefresh(b *testing.B) {
	const browsers, refreshes, rounds = 500, 10, 5
	l := newNet(b)
	r := l.keeper(l.free(71))
	edges := []*edge{l.ringwayEdge(r.at), l.kamailioEdge(r.at)}
	for _, e := range edges {
		e.all = make([]*browser, browsers)
		for i := range e.all {
			e.all[i] = dialBrowser(b, e.ws, i)
		}
		e.refresh(1) // the first is more than a refresh
	}
	for round := range rounds {
		for i := range edges {
			e := edges[(i+round)%len(edges)]
			before := e.cpu()
			e.refresh(refreshes)
			e.us = append(e.us, float64((e.cpu()-before).Nanoseconds())/1000/browsers/refreshes)
		}
	}
	ours, theirs := edges[0].median(), edges[1].median()
	fmt.Printf("{\"figure\":\"relayed_refresh\",\"browsers\":%d,\"rounds\":%d,\"ringway_us\":%.1f,\"kamailio_us\":%.1f,\"ratio\":%.2f}\n",
		browsers, rounds, ours, theirs, ours/theirs)

	e := edges[0]
	r.forget()
	e.refresh(1)
	reached := r.call()[200]
	for _, p := range e.all[:browsers/5] {
		p.c.Close()
	}
	var answers map[int]int
	l.until("what is cut is refused", func() bool { answers = r.call(); return answers[480] == browsers/5 })
	fmt.Printf("{\"figure\":\"relayed_reachable\",\"browsers\":%d,\"after_restart\":%d,\"cut\":%d,\"after_cut\":%d,\"refused_480\":%d}\n",
		browsers, reached, browsers/5, answers[200], answers[480])
}

// edge is a proxy that browsers register through: a process.
type edge struct {
	ws, sip netip.AddrPort
	pid     int
	all     []*browser
	us      []float64 // CPU of a refresh, one a round
}

func (l *live) ringwayEdge(registrar netip.AddrPort) *edge {
	dir := l.t.TempDir()
	bin := filepath.Join(dir, "ringway")
	if out, err := exec.Command("go", "build", "-o", bin, "../cmd/ringway").CombinedOutput(); err != nil {
		l.t.Fatalf("go build: %v\n%s", err, out)
	}
	e := &edge{ws: l.free(70), sip: l.free(70)}
	cfg := fmt.Sprintf("domains: { example.com: { registrar: pbx } }\nadmin: off\nlisten: [ \"ws://%s/ws\", \"udp://%s\" ]\nlog: { level: warn }\n"+
		"state_dir: %s\nlimits: { flows_per_address: 1000 }\nupstreams: { pbx: { hops: [ %q ], health: off } }\n", e.ws, e.sip, dir, hop(registrar, "udp"))
	if err := os.WriteFile(filepath.Join(dir, "ringway.yaml"), []byte(cfg), 0o600); err != nil {
		l.t.Fatal(err)
	}
	p := run(l.t, dir, bin, "run", "ringway.yaml")
	e.pid = p.cmd.Process.Pid
	l.until("Ringway listens", func() bool { return p.running() && listens("tcp", e.ws) })
	return e
}

func (l *live) kamailioEdge(registrar netip.AddrPort) *edge {
	path := program(l.t, "kamailio", "kamailio kamailio-websocket-modules")
	cfg, err := filepath.Abs("../testdata/kamailio/edge.cfg")
	if err != nil {
		l.t.Fatal(err)
	}
	e, dir := &edge{ws: l.free(72), sip: l.free(72)}, l.t.TempDir()
	p := run(l.t, dir, path, "-DD", "-E", "-f", cfg, "-w", dir, "-Y", dir, "-P", filepath.Join(dir, "pid"), "-m", "2048", "-M", "16",
		"-A", "LISTEN_UDP=udp:"+e.sip.String(), "-A", "LISTEN_WS=tcp:"+e.ws.String(), "-A", "WS_PORT="+strconv.Itoa(int(e.ws.Port())),
		"-A", `REGISTRAR="`+hop(registrar, "udp")+`"`)
	e.pid = p.cmd.Process.Pid
	l.until("Kamailio is ready", func() bool {
		return p.running() && strings.Contains(p.out.String(), "READY")
	})
	return e
}

// running fails the test when the process has ended.
func (p *process) running() bool {
	select {
	case <-p.done:
		p.t.Fatalf("%s has ended: %v\n%s", p.name, p.err, &p.out)
	default:
	}
	return true
}

// cpu is what the threads of the process and of its children have used.
func (e *edge) cpu() (used time.Duration) {
	pids := []string{strconv.Itoa(e.pid)}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range all {
		text, _ := os.ReadFile(f)
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == pids[0] {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	for _, pid := range pids {
		tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		for _, f := range tasks {
			text, _ := os.ReadFile(f)
			ns, _, _ := strings.Cut(string(text), " ")
			n, _ := strconv.ParseInt(ns, 10, 64)
			used += time.Duration(n)
		}
	}
	return used
}

func (e *edge) median() float64 {
	us := slices.Clone(e.us)
	slices.Sort(us)
	return us[len(us)/2]
}

// refresh has every browser register n times, 16 of them at once.
func (e *edge) refresh(n int) {
	var wg sync.WaitGroup
	for k := range 16 {
		wg.Go(func() {
			for range n {
				for i := k; i < len(e.all); i += 16 {
					e.all[i].register()
				}
			}
		})
	}
	wg.Wait()
}

// browser is a WebSocket that registers.
type browser struct {
	t    testing.TB
	c    *websocket.Conn
	name string
	cseq int
	got  chan string // responses
}

func dialBrowser(t testing.TB, at netip.AddrPort, i int) *browser {
	d := websocket.Dialer{Subprotocols: []string{"sip"}, HandshakeTimeout: patience}
	c, _, err := d.Dial("ws://"+at.String()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	p := &browser{t: t, c: c, name: "u" + strconv.Itoa(10000+i), got: make(chan string, 1)}
	go p.read()
	return p
}

// read passes responses on, and answers requests.
func (p *browser) read() {
	defer close(p.got)
	for {
		_, text, err := p.c.ReadMessage()
		if err != nil {
			return
		}
		m, err := sip.Parse(string(text), sip.Frame)
		switch {
		case err != nil:
			return
		case m.IsRequest():
			_ = p.c.WriteMessage(websocket.TextMessage, m.AppendReply(nil, &sip.Reply{Status: 200, ToTag: "browser"}))
		default:
			p.got <- string(text)
		}
	}
}

// register sends REGISTER without credentials and with, and waits for the 200.
func (p *browser) register() {
	for _, credentials := range []string{"", "Authorization: Digest username=\"" + p.name + "\", realm=\"example.com\", nonce=\"4e2f8a\", " +
		"uri=\"sip:example.com\", algorithm=MD5, cnonce=\"0a4f113b\", qop=auth, nc=00000001, response=\"6629fae49393a05397450978507c4ef1\"\r\n"} {
		p.cseq++
		err := p.c.WriteMessage(websocket.TextMessage, []byte("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS "+p.name+".invalid;branch=z9hG4bK"+p.name+"-"+strconv.Itoa(p.cseq)+
			"\r\nMax-Forwards: 69\r\nTo: <sip:"+p.name+"@example.com>\r\nFrom: <sip:"+p.name+"@example.com>;tag=t\r\nCall-ID: reg-"+p.name+"\r\nCSeq: "+strconv.Itoa(p.cseq)+
			" REGISTER\r\n"+credentials+"Contact: <sip:"+p.name+"@"+p.name+".invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-0000000"+p.name[1:]+
			">\";expires=600\r\nExpires: 600\r\nAllow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY\r\nSupported: path,gruu,outbound\r\n"+
			"User-Agent: JsSIP 3.13.8\r\nContent-Length: 0\r\n\r\n"))
		if err != nil {
			p.t.Error(err)
			return
		}
		want := "SIP/2.0 401 "
		if credentials != "" {
			want = "SIP/2.0 200 "
		}
		var answer string
		select {
		case answer = <-p.got:
		case <-time.After(patience):
		}
		if !strings.HasPrefix(answer, want) {
			p.t.Errorf("%s at %s got %q instead of %s", p.name, p.c.RemoteAddr(), answer, want)
			return
		}
	}
}

// keeper is a registrar over UDP that challenges, believes every answer and keeps who registers with a Path.
type keeper struct {
	at    netip.AddrPort
	c     *net.UDPConn
	mu    sync.Mutex
	users map[string][2]string // Contact and Path by user, those of the last REGISTER
	asked map[string]chan int  // by Call-ID of a request of its own
	calls int
}

func (l *live) keeper(at netip.AddrPort) *keeper {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		l.t.Fatal(err)
	}
	_ = c.SetReadBuffer(1 << 20)
	k := &keeper{at: at, c: c, users: map[string][2]string{}, asked: map[string]chan int{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65535)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if m, err := sip.Parse(string(buf[:n]), sip.Datagram); err == nil {
				k.take(m, from)
			}
		}
	}()
	l.t.Cleanup(func() { c.Close(); <-done })
	return k
}

func (k *keeper) take(m *sip.Message, from netip.AddrPort) {
	if !m.IsRequest() {
		k.mu.Lock()
		asked := k.asked[m.CallID()]
		k.mu.Unlock()
		if asked != nil && m.Status() >= 200 {
			asked <- m.Status()
		}
		return
	}
	r := sip.Reply{Status: 401, ToTag: "keeper", Headers: []string{`WWW-Authenticate: Digest realm="example.com", nonce="4e2f8a", algorithm=MD5, qop="auth"`}}
	if m.Has(sip.Authorization) {
		r.Status, r.Headers = 200, []string{"Contact: " + m.Value(sip.Contact), "Path: " + m.Value(sip.Path)}
		contact, _ := sip.ParseNameAddr(m.Value(sip.Contact))
		k.mu.Lock()
		k.users[m.Value(sip.To)] = [2]string{contact.URI, m.Value(sip.Path)}
		k.mu.Unlock()
	}
	_, _ = k.c.WriteToUDPAddrPort(m.AppendReply(nil, &r), from)
}

// forget is a restart.
func (k *keeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.users)
}

// call sends every user that is registered a request by its Path, 16 at once, and counts the answers by status.
func (k *keeper) call() map[int]int {
	k.mu.Lock()
	users := slices.Collect(maps.Values(k.users))
	k.mu.Unlock()
	answers, mu := map[int]int{}, sync.Mutex{}
	var wg sync.WaitGroup
	for n := range 16 {
		wg.Go(func() {
			for i := n; i < len(users); i += 16 {
				status := k.ask(users[i][0], users[i][1])
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return answers
}

func (k *keeper) ask(contact, path string) int {
	k.mu.Lock()
	k.calls++
	id := "keeper-" + strconv.Itoa(k.calls)
	asked := make(chan int, 4)
	k.asked[id] = asked
	k.mu.Unlock()
	first, err := sip.ParseNameAddr(path)
	if err != nil {
		return -1
	}
	u, err := sip.ParseURI(first.URI)
	if err != nil {
		return -1
	}
	to, err := netip.ParseAddrPort(net.JoinHostPort(u.Host, strconv.Itoa(int(u.Port))))
	if err != nil {
		return -1
	}
	_, _ = k.c.WriteToUDPAddrPort([]byte("MESSAGE "+contact+" SIP/2.0\r\nVia: SIP/2.0/UDP "+k.at.String()+";branch=z9hG4bK"+id+"\r\nRoute: "+path+
		"\r\nMax-Forwards: 70\r\nTo: <"+contact+">\r\nFrom: <sip:desk@example.com>;tag=d\r\nCall-ID: "+id+"\r\nCSeq: 1 MESSAGE\r\n"+
		"Content-Length: 0\r\n\r\n"), to)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case status := <-asked:
		return status
	case <-late.C:
		return 0
	}
}
