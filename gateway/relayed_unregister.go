package gateway

import (
	"math/rand/v2"
	"strconv"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/relay"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
	"github.com/ringway/ringway/sip/ua"
)

// ending is an un-REGISTER for a client that is gone, to a registrar that takes it from us unchallenged.
type ending struct {
	g *Gateway
	b relay.Binding
}

// endRelayed sends it (relay.Config.Unregister).
func (g *Gateway) endRelayed(b relay.Binding) {
	hop := proxy.Hop{Addr: b.Hop.Addr, Transport: b.Hop.Transport}
	if t := g.trunks.Find(b.Upstream, hop.Addr, hop.Transport); t != nil {
		hop = hopOf(t)
	}
	one := &ending{g, b}
	g.network.Reach(hop, probeSize, one.reached)
}

func (e *ending) reached(f *flow.Flow, err error) {
	if err != nil {
		e.Failed(nil, err)
		return
	}
	id := transaction.NewID()
	m, err := e.request(f.Info(), id).Build()
	if err != nil {
		e.Failed(nil, err)
		return
	}
	out := m.Splice()
	e.g.transactions.Client(id, "REGISTER", f, e).Start(&out)
}

// request has the Call-ID of the registration and the next CSeq: a registrar takes it for the same user
// agent's (RFC 3261 §10.2.4).
func (e *ending) request(info *sip.ConnInfo, id uint64) *ua.Request {
	aor := "<sip:" + e.b.AOR + ">"
	r := &ua.Request{
		Method: "REGISTER", URI: "sip:" + domainOf(e.b.AOR), Via: via(info, id),
		From: aor + ";tag=" + strconv.FormatUint(rand.Uint64(), 36), To: aor, CallID: e.b.CallID, CSeq: e.b.CSeq + 1,
		Headers: []string{"Contact: <" + e.b.Sent + ">;expires=0", "Expires: 0"},
	}
	if e.b.Path != "" {
		r.Headers = append(r.Headers, "Path: "+e.b.Path, "Supported: path")
	}
	return r
}

// Response is transaction.ClientUser.
func (e *ending) Response(_ *transaction.Client, m *sip.Message) {
	if m.Status() < 200 {
		return
	}
	log := e.g.log.Info()
	if m.Status() >= 300 {
		log = e.g.log.Warn()
	}
	log.Str("upstream", e.b.Upstream).Str("aor", e.b.AOR).Int("status", m.Status()).Msg("un-REGISTER for a client that is gone")
}

// Failed is transaction.ClientUser.
func (e *ending) Failed(_ *transaction.Client, err error) {
	e.g.log.Warn().Str("upstream", e.b.Upstream).Str("aor", e.b.AOR).AnErr("cause", err).Msg("un-REGISTER for a client that is gone")
}
