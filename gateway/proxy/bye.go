package proxy

import (
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
			p.sendOwn(&bye, f)
		}
		return
	}
	id, hops := alive.Flow, p.Identity.Hops(alive.Upstream)
	next := alive.Contact
	if len(alive.Routes) > 0 {
		next, _ = addrOf(alive.Routes[0])
	}
	if u, err := sip.ParseURI(next); err == nil {
		id, hops = p.wayTo(alive.Upstream, id, &u)
	}
	if len(hops) == 0 {
		if f := p.Flows.ByID(id); f != nil {
			p.sendOwn(&bye, f)
		}
		return
	}
	p.reachOr(id, alive.Upstream, hops[0], added, func(f *flow.Flow, err error) {
		if err == nil {
			p.sendOwn(&bye, f)
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
	to := b.to.Current()
	if ack := p.buildOwn(&r, to, transaction.NewID()); ack != nil {
		_ = to.Send([]byte(ack.String())) // the 2xx comes again if it is lost
	}
	if !bye {
		return
	}
	p.Counters.GhostAnswers.Add(1)
	r.Method, r.CSeq = "BYE", n+1
	if reason != "" {
		r.Headers = []string{reason}
	}
	p.sendOwn(&r, to)
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

// sendOwn sends r in a client transaction whose end nobody waits for.
func (p *Proxy) sendOwn(r *ua.Request, f *flow.Flow) {
	id := transaction.NewID()
	if m := p.buildOwn(r, f, id); m != nil {
		out := m.Splice()
		p.Table.Client(id, r.Method, f, nobody{}).Start(&out)
	}
}

type nobody struct{}

func (nobody) Response(*transaction.Client, *sip.Message) {}
func (nobody) Failed(*transaction.Client, error)          {}
