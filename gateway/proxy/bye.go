package proxy

import (
	"slices"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
	"github.com/ringway/ringway/sip/ua"
)

// Two requests are our own: the BYE for a peer that is gone, and ACK and BYE to an
// answer that came too late.

// byeSurvivor sends the BYE that a dead peer cannot.
func (p *Proxy) byeSurvivor(callID string, dead, alive *Party) {
	if alive.Contact == "" {
		return
	}
	p.Counters.DeadPeerByes.Add(1)
	bye := ua.Request{
		Method: "BYE", URI: alive.Contact, Routes: alive.Routes, From: dead.Address, To: alive.Address,
		CallID: callID, CSeq: dead.CSeq + 1, Headers: []string{`Reason: SIP;cause=480;text="Peer is gone"`},
	}
	if alive.Upstream == "" {
		if f := p.liveFlow(alive.Flow, alive.Name); f != nil {
			p.sendOwn(&bye, f, nil)
		}
		return
	}
	bye.CSeq = p.ownNumber(&bye, alive.Upstream)
	id, hops := alive.Flow, p.Identity.Hops(alive.Upstream)
	next := alive.Contact
	if len(alive.Routes) > 0 {
		next, _ = addrOf(alive.Routes[0])
	}
	if u, err := sip.ParseURI(next); err == nil {
		id, hops = p.wayTo(alive.Upstream, callID, id, &u)
	}
	if len(hops) == 0 {
		if f := p.Flows.ByID(id); f != nil {
			p.sendOwn(&bye, f, p.login(alive.Upstream))
		}
		return
	}
	p.reachOr(id, alive.Upstream, hops[0], added, func(f *flow.Flow, err error) {
		if err == nil {
			p.sendOwn(&bye, f, p.loginAt(alive.Upstream, &hops[0]))
		}
	})
}

// endGhost acknowledges a 2xx that came too late (its branch was given up and the
// caller has another answer), and ends its dialog with a BYE the first time.
func (p *Proxy) endGhost(b *branch, m *sip.Message, bye bool, reason string) {
	uri := contactOf(m)
	if uri == "" {
		return
	}
	below, _ := splitRecords(m, b.records)
	n, _ := m.CSeq()
	r := ua.Request{
		Method: "ACK", URI: uri, Routes: below, From: m.Value(sip.From), To: m.Value(sip.To), CallID: m.CallID(), CSeq: n,
	}
	if b.try != nil && b.try.credentials != "" {
		r.Headers = []string{b.try.credentials} // RFC 3261 §22.1
	}
	p.ghostFlow(b, func(to *flow.Flow) { p.endGhostOver(to, b, &r, bye, reason) })
}

func (p *Proxy) endGhostOver(to *flow.Flow, b *branch, r *ua.Request, bye bool, reason string) {
	if ack := p.buildOwn(r, to, transaction.NewID()); ack != nil {
		_ = to.Send([]byte(ack.String())) // the 2xx comes again if it is lost
	}
	if !bye {
		return
	}
	p.Counters.GhostAnswers.Add(1)
	r.Method, r.CSeq, r.Headers = "BYE", r.CSeq+1, nil
	r.CSeq = p.ownNumber(r, b.w.Upstream)
	if reason != "" {
		r.Headers = []string{reason}
	}
	login := p.login(b.w.Upstream)
	if len(b.w.Hops) > b.hop {
		login = p.loginAt(b.w.Upstream, &b.w.Hops[b.hop])
	}
	p.sendOwn(r, to, login)
}

// buildOwn makes r for f; what cannot be one (a peer's Contact may be anything) is
// counted and nil.
func (p *Proxy) buildOwn(r *ua.Request, f *flow.Flow, id uint64) *sip.Message {
	r.Via = string(appendVia(nil, f.Info(), id, 0))
	m, err := r.Build()
	if err != nil {
		p.Counters.drop(DropOwn)
		return nil
	}
	return m
}

// ownNumber is the CSeq of a request of ours in the name of somebody whose own next would be r's: above
// all that has left for the upstream.
func (p *Proxy) ownNumber(r *ua.Request, upstream string) uint32 {
	from, err := sip.ParseNameAddr(r.From)
	if err != nil || !p.renumbers(upstream, 0) {
		return r.CSeq
	}
	tag, _ := from.Params.Value("tag")
	return p.shifts.above(p.shifts.key(r.CallID, tag, upstream), r.CSeq)
}

// sendOwn sends r in a client transaction; nobody waits for its end, but a challenge is answered by login.
func (p *Proxy) sendOwn(r *ua.Request, f *flow.Flow, login Login) {
	o := &ownRequest{p: p, r: *r, f: f, login: login}
	line := ""
	if o.login != nil {
		if line = o.login.Known(f.Info().Remote, r.Method, r.URI); line != "" {
			o.tried = 1
		}
	}
	o.send(line)
}

type ownRequest struct {
	p     *Proxy
	r     ua.Request
	f     *flow.Flow
	login Login
	tried uint8
}

func (o *ownRequest) send(credentials string) {
	id, r := transaction.NewID(), o.r
	if credentials != "" {
		r.Headers = append(slices.Clip(r.Headers), credentials)
	}
	if m := o.p.buildOwn(&r, o.f, id); m != nil {
		out := m.Splice()
		o.p.Table.Client(id, r.Method, o.f, o).Start(&out)
	}
}

// Response is transaction.ClientUser.
func (o *ownRequest) Response(_ *transaction.Client, m *sip.Message) {
	if s := m.Status(); s != 401 && s != 407 || o.login == nil {
		return
	}
	at := o.f.Info().Remote
	line, next, err := o.login.Answer(at, m, o.tried, o.r.Method, o.r.URI)
	if err != nil {
		o.p.Counters.LoginsRefused.Add(1)
		o.login.Refused(at, err)
		return
	}
	o.p.Counters.LoginsAnswered.Add(1)
	o.tried = next
	o.r.CSeq++
	o.send(line)
}

// Failed is transaction.ClientUser.
func (o *ownRequest) Failed(*transaction.Client, error) {}
