package gateway

import (
	"context"
	"time"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transport"
)

// edge names user agents and the ways to them (registrar.Edge).
type edge struct{ *flow.Keys }

// AppendPath appends the Path value that leads over f to name (RFC 3327, RFC 5626 §5.1).
func (e *edge) AppendPath(b []byte, name flow.Name, f *flow.Flow) []byte {
	return e.appendPathOver(b, name, f, f.Info())
}

// PathOver is the same with the address that those have for us whom info leads to.
func (e *edge) PathOver(name flow.Name, f *flow.Flow, info *sip.ConnInfo) string {
	return string(e.appendPathOver(make([]byte, 0, 128), name, f, info))
}

func (e *edge) appendPathOver(b []byte, name flow.Name, f *flow.Flow, info *sip.ConnInfo) []byte {
	b = append(b, "<sip:"...)
	b = e.Append(b, flow.Token{Side: flow.Registered, Flow: f.ID, Name: name}, "")
	b = append(b, '@')
	b = append(b, info.Advertise...)
	b = append(b, ";transport="...)
	b = append(b, info.Transport.Param()...)
	return append(b, ";lr;ob>"...)
}

// network reaches next hops over the transports (proxy.Network).
type network Gateway

// Reach finds or opens a flow to a hop.
func (n *network) Reach(h proxy.Hop, size int, done func(*flow.Flow, error)) {
	to := transport.Hop{Addr: h.Addr, Transport: h.Transport}
	peer, known := h.Peer.(*trunk.Peer)
	if known {
		to = (*Gateway)(n).dialled(peer.Target())
	}
	n.transports.Reach(to, size, func(f *flow.Flow, err error) {
		if err == nil {
			n.source.Mark(f)
		}
		if err == nil && known && f.Upstream() == "" {
			f.SetUpstream(peer.Target().Upstream) // one that is not known by its address: it is whom we called
		}
		done(f, err)
	})
}

// Ping asks whether the client of a WebSocket is there.
func (n *network) Ping(f *flow.Flow, within time.Duration, done func(alive bool)) {
	n.web.Ping(f, within, done)
}

// bound are the names of aor's bindings over f (proxy.Config.Bound).
func (g *Gateway) bound(aor string, f *flow.Flow) (names []flow.Name) {
	list, err := g.registrar.Lookup(context.Background(), aor)
	if err != nil {
		return nil
	}
	for i := range list {
		if f.SpeaksFor(list[i].Name) {
			names = append(names, list[i].Name)
		}
	}
	return append(names, g.relayed.Names(aor, f)...)
}

// bindingChanged logs and counts what happens to registrations (registrar.Config.OnEvent).
func (g *Gateway) bindingChanged(e registrar.Event) {
	defer g.panics().Catch() // the registrar calls it from its own loop, too
	b := &e.Binding
	g.count.binding(e.Change)
	if e.Change == registrar.Unregistered {
		g.proxy.Unregistered(b.Flow, b.Name)
	}
	if e.Change == registrar.Refreshed {
		g.log.Debug().Str("aor", b.AOR).Uint64("flow", uint64(b.Flow)).Msg("refreshed")
		return
	}
	g.log.Info().Str("aor", b.AOR).Str("change", string(e.Change)).Uint64("flow", uint64(b.Flow)).
		Str("transport", b.Transport.String()).Str("user_agent", b.UserAgent).Msg("binding")
}

// finished logs each request that was proxied (proxy.Config.Finished).
func (g *Gateway) finished(s proxy.Summary) {
	g.count.response(s.Status)
	if s.Method != "INVITE" && s.Status < 300 {
		return
	}
	g.log.Info().Str("call_id", s.CallID).Str("method", s.Method).Int("status", s.Status).Str("upstream", s.Upstream).
		Uint64("flow", uint64(s.From.ID)).Int64("dur_ms", s.Took.Milliseconds()).Msg("request")
}
