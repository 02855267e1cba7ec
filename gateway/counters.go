package gateway

import (
	"strings"
	"sync/atomic"

	"github.com/ringway/ringway/gateway/admin"
	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/relay"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// known methods and close reasons have a counter each; a peer cannot make new ones.
var (
	countedMethods = [...]string{"INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "INFO", "UPDATE",
		"PRACK", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "OTHER"}
	countedChanges = [...]registrar.Change{registrar.Registered, registrar.Refreshed, registrar.Unregistered,
		registrar.Expired, registrar.Replaced, registrar.Evicted, registrar.GoneAway, registrar.FlowLost, registrar.Kicked}
)

// counters are what the assembly itself counts. They implement flow.Watcher.
type counters struct {
	requests [len(countedMethods)]atomic.Uint64
	answered [7]atomic.Uint64 // final responses by class
	changes  [len(countedChanges)]atomic.Uint64
	closed   [len(reasons)]atomic.Uint64
	panics   atomic.Uint64
}

func (c *counters) request(method string) {
	for i, m := range countedMethods {
		if m == method {
			c.requests[i].Add(1)
			return
		}
	}
	c.requests[len(countedMethods)-1].Add(1)
}

func (c *counters) response(status int) {
	if class := status / 100; class > 0 && class < len(c.answered) {
		c.answered[class].Add(1)
	}
}

func (c *counters) binding(change registrar.Change) {
	for i, k := range countedChanges {
		if k == change {
			c.changes[i].Add(1)
		}
	}
}

var reasons = [...]sip.CloseReason{sip.CloseNormal, sip.CloseGoingAway, sip.CloseLost, sip.CloseDead, sip.CloseSlow,
	sip.CloseProtocol, sip.CloseTooBig, sip.CloseEncoding, sip.CloseFlood, sip.CloseUnproven, sip.CloseShutdown,
	sip.CloseOverload, sip.CloseAdmin, sip.ClosePanic, sip.CloseUnsupported}

// FlowNamed is flow.Watcher's.
func (c *counters) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) {}

// FlowClosed is flow.Watcher's.
func (c *counters) FlowClosed(_ *flow.Flow, why sip.CloseReason) {
	for i, r := range reasons {
		if r == why {
			c.closed[i].Add(1)
		}
	}
}

// Snapshot is all that /metrics shows (admin.Source).
func (g *Gateway) Snapshot() admin.Snapshot {
	_, bindings := g.registrar.Len()
	t := g.transactions.Stats()
	s := admin.Snapshot{
		Flows: map[string]uint64{}, FlowsOpened: map[string]uint64{}, FlowsClosed: map[string]uint64{},
		Bindings: uint64(bindings), Relayed: uint64(g.relayed.Len()), RelayEvents: map[string]uint64{}, Calls: uint64(g.proxy.CallCount()),
		ServerTransactions: uint64(t.Live[transaction.ServerInvite] + t.Live[transaction.ServerOther]),
		ClientTransactions: uint64(t.Live[transaction.ClientInvite] + t.Live[transaction.ClientOther]),
		Requests:           map[string]uint64{}, Responses: map[string]uint64{}, Drops: map[string]uint64{},
		Refused: g.refused(), Events: g.events(), Limited: g.limited(),
		Transport: g.transportEvents(), TimedOut: map[string]uint64{}, Declined: map[string]uint64{}, Logins: g.logins(),
		Repeated:     map[string]uint64{"request_sent": t.ResentRequests, "response_sent": t.ResentResponses, "request_absorbed": t.Absorbed},
		Pending:      uint64(max(0, g.proxy.Counters.Contexts.Load())),
		AuthFailures: uint64(g.digest.Stats.Failed.Load()), Panics: g.count.panics.Load(),
		Fragmented: g.transports.Counters().Fragmented.Load(),
	}
	s.Registered = g.registrations.registered()
	for _, st := range g.trunks.State() {
		s.Upstreams = append(s.Upstreams, admin.Upstream{Name: st.Upstream, Hop: st.Hop, Up: st.Usable(), Calls: st.Calls, Downs: st.Downs, Probe: st.Probe})
	}
	s.CertificateEnds, s.CertificateFailed = g.certificateFigures()
	g.fill(&s, &t)
	return s
}

// fill enters the figures that have labels of a fixed set.
func (g *Gateway) fill(s *admin.Snapshot, t *transaction.Stats) {
	for _, tr := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS, sip.WS, sip.WSS} {
		name := strings.ToLower(tr.String())
		s.Flows[name], s.FlowsOpened[name] = g.flows.Count(tr)
	}
	for _, c := range relay.Changes() {
		s.RelayEvents[c.String()] = g.relayed.Counters[c].Load()
	}
	for i, r := range reasons {
		s.FlowsClosed[string(r)] = g.count.closed[i].Load()
	}
	for i, m := range countedMethods {
		s.Requests[m] = g.count.requests[i].Load()
	}
	for class := 2; class < len(g.count.answered); class++ {
		s.Responses[string(rune('0'+class))+"xx"] = g.count.answered[class].Load()
	}
	for class := 3; class <= 6; class++ {
		s.Declined[string(rune('0'+class))+"xx"] = g.proxy.Counters.Refused(class)
	}
	for _, k := range transaction.Kinds() {
		s.TimedOut[k.String()] = t.TimedOut[k]
	}
	for _, d := range transaction.Drops() {
		s.Drops[d.String()] = t.Drops[d]
	}
	for _, d := range proxy.Drops() {
		s.Drops[d.String()] = g.proxy.Counters.Dropped(d)
	}
}

// refused are connections turned away before they were flows.
func (g *Gateway) refused() map[string]uint64 {
	c, t := g.web.Counters(), g.transports.Counters()
	return map[string]uint64{
		"tcp_full": t.RefusedFull.Load(), "tls_handshake": t.RefusedShakes.Load(),
		"half_open": c.RefusedHalfOpen.Load(), "draining": c.RefusedDraining.Load(), "full": c.RefusedFull.Load(),
		"origin": c.RefusedOrigin.Load(), "subprotocol": c.RefusedSubprotocol.Load(), "upgrade": c.RefusedUpgrade.Load(),
	}
}

func (g *Gateway) transportEvents() map[string]uint64 {
	t := g.transports.Counters()
	return map[string]uint64{
		"dialled": t.Dialled.Load(), "dial_failed": t.DialFailed.Load(), "udp_fallback": t.FellBack.Load(),
		"send_dropped": t.SendDropped.Load(), "send_failed": t.SendFailed.Load(), "stun": t.STUN.Load(),
	}
}

// logins are what became of requests that need credentials.
func (g *Gateway) logins() map[string]uint64 {
	s := &g.digest.Stats
	return map[string]uint64{
		"challenged": uint64(s.Challenged.Load()), "proved": uint64(s.Proved.Load()), "failed": uint64(s.Failed.Load()),
		"expired": uint64(s.Expired.Load()), "replayed": uint64(s.Replayed.Load()), "foreign": uint64(s.Foreign.Load()),
		"malformed": uint64(s.Malformed.Load()),
	}
}

// limited are requests that a limit of the configuration refused.
func (g *Gateway) limited() map[string]uint64 {
	return map[string]uint64{
		"unproven_rate": uint64(g.flood.Stats.Refused.Load()), "failed_logins": uint64(g.digest.Stats.Blocked.Load()),
		"user_invites":      g.proxy.Counters.TooManyInvites.Load(),
		"flow_transactions": g.transactions.Stats().Drops[transaction.OverPending],
	}
}

func (g *Gateway) events() map[string]uint64 {
	c := &g.proxy.Counters
	all := map[string]uint64{
		"forwarded": c.Forwarded.Load(), "ack": c.Acks.Load(), "cancel": c.Cancels.Load(), "failover": c.Failovers.Load(),
		"moved": c.Moved.Load(), "held": c.Held.Load(), "released": c.Released.Load(), "timer_c": c.TimerC.Load(),
		"ring_timeout": c.RingTimeouts.Load(), "dead_flow": c.DeadFlows.Load(), "ghost_answer": c.GhostAnswers.Load(),
		"dead_peer_bye": c.DeadPeerByes.Load(), "vias_mended": c.ViasMended.Load(), "reopened": c.Reopened.Load(), "forged_token": c.ForgedTokens.Load(), "stray": c.Strays.Load(),
		"call_expired": c.CallsExpired.Load(), "call_forgotten": c.CallsForgotten.Load(),
		"login_answered": c.LoginsAnswered.Load(), "login_refused": c.LoginsRefused.Load(), "cseq_forgotten": c.ShiftsForgotten.Load(),
		"redirected": c.Redirected.Load(), "timer_raised": c.TimersRaised.Load(), "identity_withheld": g.trunks.Conflicts(),
	}
	for i, change := range countedChanges {
		all["binding_"+string(change)] = g.count.changes[i].Load()
	}
	return all
}
