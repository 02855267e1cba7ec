package gateway

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
	"github.com/ringway/ringway/sip/ua"
)

// prober asks the addresses of upstreams with OPTIONS whether they are there
// (trunk.Prober): RFC 3261 §11, sent as every request is, by our client transactions
// from our listeners.
type prober Gateway

// probe is one OPTIONS on its way.
type probe struct {
	gateway *Gateway
	target  trunk.Target
	done    func(status int, err error)
	until   time.Time
	timer   transaction.Timer
	flow    *flow.Flow
	tx      *transaction.Client
}

// probes are those on their way over connections: whose connection ends has no answer, and the cause of that end is why
// (flow.Watcher).
type probes struct {
	mu sync.Mutex
	on map[flow.ID][]*probe
}

func newProbes() *probes { return &probes{on: map[flow.ID][]*probe{}} }

func (s *probes) add(p *probe) {
	if p.flow.Info().Transport == sip.UDP {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on[p.flow.ID] = append(s.on[p.flow.ID], p)
}

func (s *probes) remove(p *probe) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := p.flow.ID
	left := slices.DeleteFunc(s.on[id], func(o *probe) bool { return o == p })
	if s.on[id] = left; len(left) == 0 {
		delete(s.on, id)
	}
}

// FlowClosed ends the probes of a connection.
func (s *probes) FlowClosed(f *flow.Flow, why sip.CloseReason) {
	s.mu.Lock()
	lost := s.on[f.ID]
	delete(s.on, f.ID)
	s.mu.Unlock()
	for _, p := range lost {
		p.lost(why)
	}
}

// FlowNamed is nothing to probes.
func (s *probes) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) {}

// probeSize is more than a probe's octets, and less than what needs TCP.
const probeSize = 600

// Probe sends one OPTIONS.
func (p *prober) Probe(t trunk.Target, within time.Duration, done func(status int, err error)) {
	defer (*Gateway)(p).panics().Catch()
	one := &probe{gateway: (*Gateway)(p), target: t, done: done, until: time.Now().Add(within)}
	p.network.Reach(hopOf(&t), probeSize, one.reached)
}

// reached goes on once there is a flow.
func (p *probe) reached(f *flow.Flow, err error) {
	if err != nil {
		p.done(0, err)
		return
	}
	left := time.Until(p.until)
	if left <= 0 {
		return // nobody waits any more
	}
	id := transaction.NewID()
	m, err := p.request(f.Info(), id).Build()
	if err != nil {
		p.done(0, err)
		return
	}
	out := m.Splice()
	p.flow, p.tx = f, p.gateway.transactions.Client(id, "OPTIONS", f, p)
	p.gateway.probes.add(p)
	p.tx.Start(&out)
	p.gateway.transactions.Wheel().After(&p.timer, left, transaction.AlarmFunc(p.forget))
	if !f.Live() {
		p.lost(sip.CloseLost) // before it was entered
	}
}

// forget: nobody waits any more.
func (p *probe) forget() {
	p.gateway.probes.remove(p)
	p.tx.Forget()
}

// end is the end of a probe, with or without an answer; what comes after it is nothing to whom it is told.
func (p *probe) end(status int, err error) {
	p.gateway.transactions.Wheel().Stop(&p.timer)
	p.gateway.probes.remove(p)
	p.done(status, err)
}

// lost: the connection has ended.
func (p *probe) lost(why sip.CloseReason) {
	err := p.flow.Cause()
	if err == nil {
		err = errors.New("connection closed: " + string(why))
	}
	p.tx.Forget()
	p.end(0, err)
}

func (p *probe) request(info *sip.ConnInfo, id uint64) *ua.Request {
	us := "sip:" + info.Advertise
	if info.Transport != sip.UDP {
		us += ";transport=" + info.Transport.Param()
	}
	random := strconv.FormatUint(rand.Uint64(), 36)
	return &ua.Request{
		Method: "OPTIONS", URI: p.uri(info.Transport), Via: via(info, id),
		From: "<" + us + ">;tag=" + random, To: "<" + p.uri(0) + ">", CallID: random + "@" + hostOf(info.Local), CSeq: 1,
		Headers: []string{"Contact: <" + us + ">", "Accept: application/sdp", methods},
	}
}

func via(info *sip.ConnInfo, id uint64) string {
	b := []byte("SIP/2.0/" + info.Transport.String() + " " + info.Advertise + ";rport;branch=")
	return string(transaction.AppendBranch(b, id, 0))
}

// uri is the server itself: the hop as the operator wrote it, and over what it is asked.
func (p *probe) uri(t sip.Transport) string {
	uri := "sip:" + p.target.Hop.Server()
	if t != 0 && t != sip.UDP {
		uri += ";transport=" + t.Param()
	}
	return uri
}

func hostOf(a netip.AddrPort) string { return a.Addr().Unmap().WithZone("").String() }

// Response is transaction.ClientUser.
func (p *probe) Response(_ *transaction.Client, m *sip.Message) {
	switch status := m.Status(); {
	case proxy.Stopping(m):
		p.end(503, nil)
	case status >= 200:
		p.end(status, nil)
	}
}

// Failed is transaction.ClientUser.
func (p *probe) Failed(_ *transaction.Client, err error) {
	if cause := p.flow.Cause(); cause != nil {
		err = cause
	}
	p.end(0, err)
}

// identityWithheld logs an address of the DNS that makes nobody an upstream (trunk.Config.Withheld).
func (g *Gateway) identityWithheld(w trunk.Withheld) {
	g.log.Warn().Str("upstream", w.Upstream).Str("host", w.Host).Str("addr", w.Addr.String()).Str("cause", w.Why).
		Msg("what comes from an address that was looked up is not taken for the upstream's")
}

// upstreamChanged logs that an address of an upstream went or came (trunk.Config.Changed).
func (g *Gateway) upstreamChanged(t trunk.Transition) {
	defer g.panics().Catch()
	if t.To == trunk.Down {
		g.proxy.HopDown(t.Peer)
		g.registrations.down(t.Upstream, t.Peer.Target().Addr)
	}
	if t.To == trunk.Up && t.From != trunk.Unknown {
		g.registrations.back(t.Upstream, t.Peer.Target().Addr)
	}
	e := g.log.Info()
	if t.To == trunk.Down || t.To == trunk.Busy {
		e = g.log.Warn()
	}
	e.Str("upstream", t.Upstream).Str("hop", t.Hop).Str("from", t.From.String()).Str("to", t.To.String()).Str("cause", t.Cause).Msg("upstream")
}
