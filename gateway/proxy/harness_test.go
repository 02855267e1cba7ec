package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// rig is a proxy with its tables and peers in memory, inside a synctest bubble.
type rig struct {
	t     testing.TB
	table *transaction.Table
	flows *flow.Table
	keys  *flow.Keys
	proxy *Proxy

	mu        sync.Mutex
	aors      map[string][]Target // by Request-URI user
	hops      map[netip.AddrPort]*peer
	refusing  map[netip.AddrPort]bool
	slow      map[netip.AddrPort][]func() // Reach answers when these are called
	pongs     map[*flow.Flow]bool
	asked     int // how often Authenticate was asked
	summaries []Summary
	ended     []Call
	next      atomic.Uint32
}

// user breaks the circle between the table and its user.
type user struct{ p *Proxy }

func (u *user) Request(tx *transaction.Server)      { u.p.Request(tx) }
func (u *user) Ack(m *sip.Message, from *flow.Flow) { u.p.Ack(m, from) }

// bubble runs f in a synctest bubble with a rig whose timers run.
func bubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	bubbleWith(t, Config{}, f)
}

func bubbleWith(t *testing.T, cfg Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, cfg)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { r.table.Run(ctx); close(done) }()
		synctest.Wait()
		f(r)
		stop()
		<-done
	})
}

func newRig(t testing.TB, cfg Config) *rig {
	keys, err := flow.OpenKeys("")
	if err != nil {
		t.Fatal(err)
	}
	u := &user{}
	r := &rig{
		t: t, flows: flow.NewTable(), keys: keys, aors: map[string][]Target{}, hops: map[netip.AddrPort]*peer{},
		refusing: map[netip.AddrPort]bool{}, slow: map[netip.AddrPort][]func(){}, pongs: map[*flow.Flow]bool{},
	}
	r.table = transaction.NewTable(transaction.Config{User: u})
	cfg.Table, cfg.Wheel, cfg.Flows, cfg.Keys = r.table, r.table.Wheel(), r.flows, keys
	cfg.Router, cfg.Network, cfg.Identity = r, r, r
	cfg.Authenticate = r.authenticate
	cfg.MaxInvites, cfg.Caller = cmp.Or(cfg.MaxInvites, 100_000), callerOf
	cfg.Finished = func(s Summary) { r.mu.Lock(); r.summaries = append(r.summaries, s); r.mu.Unlock() }
	cfg.Ended = func(c Call) { r.mu.Lock(); r.ended = append(r.ended, c); r.mu.Unlock() }
	r.proxy = New(cfg)
	u.p = r.proxy
	r.flows.Watch(r.proxy)
	return r
}

func callerOf(_ *sip.Message, from *flow.Flow) string {
	if aors := from.AORs(); len(aors) > 0 {
		return aors[0]
	}
	return ""
}

func (r *rig) authenticate(req *sip.Message, from *flow.Flow) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	if who := req.Named("X-Password"); who != "" {
		from.AuthenticatedAs(who)
		return nil
	}
	return &sip.StatusError{Code: 407, Reason: "Proxy Authentication Required", Headers: []string{`Proxy-Authenticate: Digest realm="example.com", nonce="x"`}}
}

// Targets implements Router.
func (r *rig) Targets(req *sip.Message, _ *flow.Flow) ([]Target, error) {
	u, err := sip.ParseURI(req.RequestURI())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.aors[u.User]; ok {
		return append([]Target(nil), t...), nil
	}
	return nil, sip.Refuse(404, "Not Found")
}

// Reach implements Network.
func (r *rig) Reach(h Hop, _ int, done func(*flow.Flow, error)) {
	r.mu.Lock()
	p, refused := r.hops[h.Addr], r.refusing[h.Addr]
	if waiting, ok := r.slow[h.Addr]; ok {
		r.slow[h.Addr] = append(waiting, func() { done(p.current(), nil) })
		r.mu.Unlock()
		return
	}
	r.mu.Unlock()
	if p == nil || refused {
		done(nil, errors.New("connection refused"))
		return
	}
	done(p.current(), nil)
}

// Ping implements Network.
func (r *rig) Ping(f *flow.Flow, within time.Duration, done func(bool)) {
	r.mu.Lock()
	alive := r.pongs[f]
	r.mu.Unlock()
	go func() { time.Sleep(within); done(alive) }()
}

// Own implements Identity.
func (r *rig) Own(host string, _ uint16) bool { return host == "example.com" || host == "192.0.2.1" }

// Upstream implements Identity.
func (r *rig) Upstream(n flow.Name) string {
	for _, up := range []string{"pbx", "other"} {
		if n == r.keys.UpstreamName(up) {
			return up
		}
	}
	return ""
}

// networks are where the upstreams' servers are.
var networks = map[string]string{"pbx": "203.0.113.", "other": "192.88.99."}

// upstreamOf is the upstream that an address belongs to.
func upstreamOf(a netip.Addr) string {
	for up, network := range networks {
		if strings.HasPrefix(a.String(), network) {
			return up
		}
	}
	return ""
}

// HopOf implements Identity.
func (r *rig) HopOf(upstream string, u *sip.URI) (Hop, bool) {
	a, err := netip.ParseAddr(u.Host)
	if err != nil || upstreamOf(a) != upstream {
		return Hop{}, false
	}
	port := u.Port
	if port == 0 {
		port = 5060
	}
	t, _ := u.Transport()
	h := Hop{Addr: netip.AddrPortFrom(a, port), Beside: port >= 5080 || t == sip.TLS} // those are in no file
	if h.Beside {
		h.Transport = t
	}
	return h, true
}

// Hops implements Identity.
func (r *rig) Hops(upstream string) []Hop {
	return []Hop{{Addr: netip.MustParseAddrPort(networks[upstream] + "1:5060")}}
}

// peer is a SIP element at the other end of a connection.
type peer struct {
	r     *rig
	name  string
	info  sip.ConnInfo
	flow  *flow.Flow
	agent flow.Name

	mu     sync.Mutex
	inbox  []string
	closed bool
	onSend func() // called once, within the next Send
	why    sip.CloseReason
	n      int // for branches and tags
}

func (p *peer) Send(b []byte) error {
	p.mu.Lock()
	hook := p.onSend
	p.onSend = nil
	p.mu.Unlock()
	if hook != nil {
		hook()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.New("closed")
	}
	p.inbox = append(p.inbox, string(b))
	return nil
}

func (p *peer) Info() *sip.ConnInfo { return &p.info }

func (p *peer) Close(why sip.CloseReason) { go p.hangup(why) }

// hangup ends the connection as seen from the gateway.
func (p *peer) hangup(why sip.CloseReason) {
	p.mu.Lock()
	was := p.closed
	p.closed, p.why = true, why
	p.mu.Unlock()
	if !was {
		p.r.flows.Closed(p.flow, why)
	}
}

// current is the flow by which the gateway knows the peer now.
func (p *peer) current() *flow.Flow {
	if p.flow != nil {
		return p.flow
	}
	f := p.r.flows.Datagram(p)
	f.SetUpstream(upstreamOf(p.info.Remote.Addr()))
	return f
}

func (r *rig) connect(name string, tr sip.Transport, remote string) *peer {
	p := &peer{r: r, name: name, info: sip.ConnInfo{
		Transport: tr, Local: netip.MustParseAddrPort("192.0.2.1:5060"), Remote: netip.MustParseAddrPort(remote), Advertise: "192.0.2.1:5060",
	}}
	if tr != sip.UDP {
		p.flow = r.flows.Open(p)
	}
	return p
}

// phone connects a registered WebSocket user agent; its instance makes tabs of one user differ.
func (r *rig) phone(user, instance string) *peer {
	p := r.connect(user+instance, sip.WS, fmt.Sprintf("198.51.100.1:%d", 10000+r.next.Add(1)))
	p.flow.AuthenticatedAs(user + "@example.com")
	p.agent = r.keys.NameOf(user+"@example.com", instance, 1, "")
	r.flows.Bind(p.flow, p.agent)
	return p
}

// back connects the user agent of p anew; its old connection may still be there.
func (p *peer) back() *peer {
	q := p.r.connect(p.name, sip.WS, fmt.Sprintf("198.51.100.1:%d", 10000+p.r.next.Add(1)))
	q.agent = p.agent
	return q
}

// register binds p's name to its flow.
func (p *peer) register() *peer {
	user, _, _ := strings.Cut(p.name, "-")
	p.flow.AuthenticatedAs(user + "@example.com")
	p.r.flows.Bind(p.flow, p.agent)
	return p
}

// target is what the location service says of p; its Path is a token of ours.
func (p *peer) target() Target {
	tok := p.r.keys.Append(nil, flow.Token{Side: flow.Registered, Flow: p.flow.ID, Name: p.agent}, "")
	return Target{URI: "sip:" + p.name + "@phone.invalid;transport=ws", Route: []string{"<sip:" + string(tok) + "@192.0.2.1:5060;lr;ob>"}, Name: p.agent}
}

// pbx is a UDP or TCP server of the upstream whose network addr is in: pbx, or other.
func (r *rig) pbx(tr sip.Transport, addr string) *peer {
	up := upstreamOf(netip.MustParseAddrPort(addr).Addr())
	p := r.connect(up+strings.NewReplacer(".", "", ":", "").Replace(addr), tr, addr)
	if p.flow != nil {
		p.flow.SetUpstream(up)
	}
	r.hops[netip.MustParseAddrPort(addr)] = p
	return p
}

// write delivers a message of the peer's; it may have LF for CRLF.
func (p *peer) write(text string) {
	p.r.t.Helper()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	framing := sip.Frame
	if p.info.Transport == sip.UDP {
		framing = sip.Datagram
	}
	m, err := sip.Parse(text, framing)
	if err != nil {
		p.r.t.Fatalf("%s sends what cannot be parsed: %v\n%s", p.name, err, text)
	}
	p.r.table.Receive(m, p.current())
	settle()
}

func settle() {
	defer func() { recover() }() // outside a bubble (benchmarks) nothing is waited for
	synctest.Wait()
}

// get is the next message that p got; what names its first word or status.
func (p *peer) get(what string) *sip.Message {
	p.r.t.Helper()
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) == 0 {
		p.r.t.Fatalf("%s got nothing, want %s", p.name, what)
	}
	text := p.inbox[0]
	p.inbox = p.inbox[1:]
	m, err := sip.Parse(text, sip.Frame)
	if err != nil {
		p.r.t.Fatalf("%s got what cannot be parsed: %v\n%s", p.name, err, text)
	}
	if got := kind(m); got != what {
		p.r.t.Fatalf("%s got %s, want %s:\n%s", p.name, got, what, text)
	}
	return m
}

func kind(m *sip.Message) string {
	if m.IsRequest() {
		return m.Method()
	}
	return fmt.Sprint(m.Status())
}

// quiet fails if p got something.
func (p *peer) quiet() {
	p.r.t.Helper()
	settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) > 0 {
		p.r.t.Fatalf("%s got, want nothing:\n%s", p.name, p.inbox[0])
	}
}

// clean fails if the proxy still holds something for a call that is over.
func (r *rig) clean() {
	r.t.Helper()
	settle()
	if n := r.proxy.Counters.Contexts.Load(); n != 0 {
		r.t.Errorf("%d response contexts open", n)
	}
	if n := len(r.proxy.Calls()); n != 0 {
		r.t.Errorf("%d calls in the table", n)
	}
	if l := &r.proxy.waiting; l.n != 0 || len(l.wait)+len(l.of)+len(l.in) != 0 {
		r.t.Errorf("%d wait for flows", l.n)
	}
	for i := range r.proxy.invites.shards {
		if n := len(r.proxy.invites.shards[i].of); n != 0 {
			r.t.Errorf("INVITEs of %d users are counted still", n)
		}
	}
	for i := range r.proxy.watch.shards {
		if n := len(r.proxy.watch.shards[i].first); n != 0 {
			r.t.Errorf("something hangs on %d flows", n)
		}
	}
}

// pass lets time pass.
func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

// invite sends an INVITE to uri and takes the 100 that may come at once; extra are header lines.
func (p *peer) request(method, uri, callID string, extra ...string) string {
	p.n++
	text := fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/%s %s.invalid;rport;branch=z9hG4bK%s%s%d\nMax-Forwards: 70\n"+
		"From: <sip:%s@example.com>;tag=%s\nTo: <%s>\nCall-ID: %s\nCSeq: %d %s\n",
		method, uri, p.info.Transport, p.name, p.name, callID, p.n, p.name, p.tag(), uri, callID, p.n, method)
	if method == "INVITE" || method == "SUBSCRIBE" {
		text += fmt.Sprintf("Contact: <sip:%s@%s>\n", p.name, p.contact())
	}
	for _, e := range extra {
		text += e + "\n"
	}
	text += "Content-Length: 0\n\n"
	p.write(text)
	return text
}

func (p *peer) tag() string { return p.name }

func (p *peer) contact() string {
	if p.info.Transport.WebSocket() {
		return "phone.invalid;transport=ws"
	}
	return p.info.Remote.String()
}

// cancel sends the CANCEL of an INVITE that request returned.
func (p *peer) cancel(invite string, extra ...string) {
	text := strings.ReplaceAll(strings.ReplaceAll(invite, "INVITE sip", "CANCEL sip"), " INVITE\n", " CANCEL\n")
	p.write(strings.Replace(text, "Content-Length", strings.Join(append(extra, "Content-Length"), "\n"), 1))
}

// answer sends a response to a request that p got; extra are header lines.
func (p *peer) answer(req *sip.Message, status int, extra ...string) {
	r := sip.Reply{Status: status, ToTag: "to" + p.tag(), Headers: extra}
	if req.Method() == "INVITE" && status > 100 && status < 300 {
		for v := range req.Values(sip.RecordRoute) {
			r.Headers = append(r.Headers, "Record-Route: "+v)
		}
		r.Headers = append(r.Headers, fmt.Sprintf("Contact: <sip:%s@%s>", p.name, p.contact()))
	}
	p.write(string(req.AppendReply(nil, &r)))
}

// dialog is one side's view of a dialog.
type dialog struct {
	p             *peer
	local, remote string // From and To values
	target        string
	routes        []string
	callID        string
	cseq          uint32
}

// uac is the caller's dialog after a 2xx.
func (p *peer) uac(ok *sip.Message) *dialog {
	d := &dialog{p: p, local: ok.Value(sip.From), remote: ok.Value(sip.To), target: contactOf(ok), callID: ok.CallID()}
	d.cseq, _ = ok.CSeq()
	for v := range ok.Values(sip.RecordRoute) {
		d.routes = append([]string{v}, d.routes...)
	}
	return d
}

// uas is the callee's dialog from the INVITE it has answered.
func (p *peer) uas(req *sip.Message) *dialog {
	d := &dialog{p: p, local: req.Value(sip.To) + ";tag=to" + p.tag(), remote: req.Value(sip.From), target: contactOf(req), callID: req.CallID(), cseq: 100}
	for v := range req.Values(sip.RecordRoute) {
		d.routes = append(d.routes, v)
	}
	return d
}

// send sends a request within the dialog; an ACK keeps the CSeq.
func (d *dialog) send(method string, extra ...string) string {
	if method != "ACK" && method != "CANCEL" {
		d.cseq++
	}
	d.p.n++
	text := fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/%s %s.invalid;rport;branch=z9hG4bKd%s%d\nMax-Forwards: 70\n",
		method, d.target, d.p.info.Transport, d.p.name, d.callID, d.p.n*1000+int(d.cseq))
	for _, v := range d.routes {
		text += "Route: " + v + "\n"
	}
	text += fmt.Sprintf("From: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\n", d.local, d.remote, d.callID, d.cseq, method)
	if method == "INVITE" {
		text += fmt.Sprintf("Contact: <sip:%s@%s>\n", d.p.name, d.p.contact())
	}
	for _, e := range extra {
		text += e + "\n"
	}
	text += "Content-Length: 0\n\n"
	d.p.write(text)
	return text
}

// call sets up a call from a to the user and returns both sides' dialogs, the ACK delivered.
func (r *rig) call(a, b *peer, user, callID string) (from, to *dialog) {
	r.t.Helper()
	a.request("INVITE", "sip:"+user+"@example.com", callID)
	inv := b.get("INVITE")
	b.answer(inv, 180)
	a.get("180")
	b.answer(inv, 200)
	from, to = a.uac(a.get("200")), b.uas(inv)
	from.send("ACK")
	b.get("ACK")
	return from, to
}
