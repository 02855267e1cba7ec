package proxy

import (
	"strconv"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Two requests are our own: the BYE for a peer that is gone, and ACK and BYE to an
// answer that came too late.

// byeSurvivor sends the BYE that a dead peer cannot.
func (p *Proxy) byeSurvivor(callID string, dead, alive *Party) {
	if alive.Contact == "" {
		return
	}
	p.Counters.DeadPeerByes.Add(1)
	bye := ownRequest{
		method: "BYE", uri: alive.Contact, routes: alive.Routes, from: dead.Address, to: alive.Address,
		callID: callID, cseq: dead.CSeq + 1, reason: `Reason: SIP;cause=480;text="Peer is gone"`,
	}
	if alive.Upstream == "" {
		if f := p.liveFlow(alive.Flow, alive.Name); f != nil {
			p.sendOwn(&bye, f)
		}
		return
	}
	hop, ok := p.upstreamHop(alive)
	if !ok {
		return
	}
	p.Network.Reach(hop, added, func(f *flow.Flow, err error) {
		if err == nil {
			p.sendOwn(&bye, f)
		}
	})
}

// upstreamHop is where a request to an upstream party goes.
func (p *Proxy) upstreamHop(to *Party) (Hop, bool) {
	next := to.Contact
	if len(to.Routes) > 0 {
		next, _ = addrOf(to.Routes[0])
	}
	if u, err := sip.ParseURI(next); err == nil {
		if hop, ok := p.Identity.HopOf(to.Upstream, &u); ok {
			return hop, true
		}
	}
	if hops := p.Identity.Hops(to.Upstream); len(hops) > 0 {
		return hops[0], true
	}
	return Hop{}, false
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
	r := ownRequest{
		method: "ACK", uri: uri, routes: below, from: m.Value(sip.From), to: m.Value(sip.To), callID: m.CallID(), cseq: n,
	}
	to := b.to.Current()
	_ = to.Send(r.text(to, transaction.NewID())) // the 2xx comes again if it is lost
	if !bye {
		return
	}
	p.Counters.GhostAnswers.Add(1)
	r.method, r.cseq = "BYE", n+1
	r.reason = reason
	p.sendOwn(&r, to)
}

// ownRequest is an in-dialog request made by us.
type ownRequest struct {
	method, uri, from, to, callID string
	reason                        string // header line, "" for none
	routes                        []string
	cseq                          uint32
}

// text is the request as it goes over f.
func (r *ownRequest) text(f *flow.Flow, id uint64) []byte {
	b := make([]byte, 0, 1024)
	b = append(append(append(b, r.method...), ' '), r.uri...)
	b = append(b, " SIP/2.0\r\nVia: "...)
	b = appendVia(b, f.Info(), id, 0)
	b = append(b, "\r\nMax-Forwards: 70\r\n"...)
	for _, route := range r.routes {
		b = appendLine(b, "Route", route)
	}
	b = appendLine(b, "From", r.from)
	b = appendLine(b, "To", r.to)
	b = appendLine(b, "Call-ID", r.callID)
	b = append(b, "CSeq: "...)
	b = strconv.AppendUint(b, uint64(r.cseq), 10)
	b = append(append(append(b, ' '), r.method...), "\r\n"...)
	if r.reason != "" {
		b = append(append(b, r.reason...), "\r\n"...)
	}
	return append(b, "Content-Length: 0\r\n\r\n"...)
}

func appendLine(b []byte, name, value string) []byte {
	b = append(append(b, name...), ": "...)
	return append(append(b, value...), "\r\n"...)
}

// sendOwn sends r in a client transaction whose end nobody waits for.
func (p *Proxy) sendOwn(r *ownRequest, f *flow.Flow) {
	id := transaction.NewID()
	p.Table.Client(id, r.method, f, nobody{}).Start(text(r.text(f, id)))
}

// text is a finished request.
type text []byte

func (t text) Append(dst []byte) []byte                    { return append(dst, t...) }
func (t text) AppendAck(dst []byte, _ *sip.Message) []byte { return dst }
func (t text) AppendCancel(dst []byte, _ ...string) []byte { return dst }

type nobody struct{}

func (nobody) Response(*transaction.Client, *sip.Message) {}
func (nobody) Failed(*transaction.Client, error)          {}
