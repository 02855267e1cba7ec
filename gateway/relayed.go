package gateway

import (
	"slices"
	"strings"

	"github.com/ringway/ringway/gateway/policy"
	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/relay"
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// relayed is the glue of users whom an upstream keeps (registrar: of their domain): who they are says
// gateway/relay, where their requests go the router, what leaves the proxy.
type relayed struct {
	*relay.Relay
	own  *own
	keys *flow.Keys
	id   *identity
}

// relayed reports whether an upstream keeps the domain's users.
func (d *Domain) relayed() bool { return d.Registrar != "" && d.Registrar != "local" }

func (g *Gateway) wireRelay(own *own) {
	r := &relayed{own: own, keys: g.keys, id: newIdentity(own, g.trunks, g.cfg.Upstreams, g.keys)}
	domains := map[string]relay.Upstream{}
	for i := range g.cfg.Domains {
		d := &g.cfg.Domains[i]
		if group := g.trunks.Group(d.Registrar); group != nil && d.relayed() {
			domains[d.Name] = relay.Upstream{Name: group.Name, Alias: group.Contact == trunk.ContactAlias, Unregister: group.Unregister}
		}
	}
	c := g.cfg.relayLimits()
	c.Domains, c.Flows, c.Edge, c.Hosts, c.Logins = domains, g.flows, &edge{g.keys}, r, g.digest.Logins
	c.Totals = policy.NewLogins(g.cfg.registrarLogins(), nil)
	c.Wheel, c.Key = g.transactions.Wheel(), g.keys.Derive("relay alias")
	c.OnEvent, c.Notice, c.Unregister = g.relayChanged, g.relayNotice, g.endRelayed
	r.Relay = relay.New(c)
	g.relayed, g.core.relayed = r, r
	if len(domains) > 0 {
		g.identity.Kept = r
	}
}

// Own is relay.Hosts.
func (r *relayed) Own(host string, port uint16) bool { return r.own.Own(host, port) }

// AOR is relay.Hosts.
func (r *relayed) AOR(u *sip.URI) (string, bool) { return r.own.AOR(u) }

// Leads is relay.Hosts: u is one of the upstream's hops.
func (r *relayed) Leads(upstream string, u *sip.URI) bool {
	if name, ok := r.id.trunks.ByHost(u.Host); ok && name == upstream {
		return true
	}
	_, ok := r.id.HopOf(upstream, u)
	return ok
}

// kept is where a request goes that an upstream's users send, or that is for one of them by an alias; mine: it is
// decided.
func (r *router) kept(req *sip.Message, u *sip.URI, from *flow.Flow) (targets []proxy.Target, mine bool, err error) {
	up := from.Upstream()
	if req.Method() == "REGISTER" {
		targets, err = r.registering(req, from)
		return targets, true, err
	}
	if up == "" {
		if aor := r.own.proved(req, from); aor != "" && r.relayed.KeepsUser(aor) {
			targets, err = r.toRegistrar(aor, req, u, from)
			return targets, true, err
		}
	}
	if !r.own.Own(u.Host, u.Port) {
		return nil, false, nil
	}
	b, known, err := r.relayed.ByAlias(up, u.User, false)
	if !known || err != nil {
		return nil, known, err
	}
	return agents(b), true, nil
}

// registering is where a REGISTER goes that is not for us.
func (r *router) registering(req *sip.Message, from *flow.Flow) ([]proxy.Target, error) {
	to, err := sip.ParseNameAddr(req.Value(sip.To))
	if err != nil {
		return nil, errNotFound
	}
	u, err := sip.ParseURI(to.URI)
	if err != nil {
		return nil, errNotFound
	}
	aor, ok := r.own.AOR(&u)
	if !ok {
		return nil, errForeign
	}
	x, err := r.relayed.Read(req, from, aor)
	if err != nil {
		return nil, err
	}
	targets, err := r.keeper(x.Registrar(), req, x.Hop())
	if err == nil {
		targets[0].Exchange = x
	}
	return targets, err
}

// keeper is a registrar as target, the Request-URI kept (its digest covers it), the hop first that knows the user.
func (r *router) keeper(name string, req *sip.Message, first relay.Hop) ([]proxy.Target, error) {
	targets, err := r.trunk(name, req.CallID())
	if err != nil {
		return nil, err
	}
	hops := targets[0].Hops
	for i := range hops {
		hops[i].Host = ""
	}
	at := slices.IndexFunc(hops, func(h proxy.Hop) bool {
		return h.Addr == first.Addr && (h.Transport == 0 || h.Transport == first.Transport)
	})
	if at > 0 {
		h := hops[at]
		copy(hops[1:at+1], hops[:at])
		hops[0] = h
	}
	return targets, nil
}

// toRegistrar is a request of a user whom an upstream keeps: it goes there, or nowhere. Rules may
// refuse it, not lead it past its registrar.
func (r *router) toRegistrar(aor string, req *sip.Message, u *sip.URI, from *flow.Flow) ([]proxy.Target, error) {
	domain := domainOf(aor)
	name := r.relayed.Registrar(domain)
	uri, err := r.relayed.Callee(name, u)
	if err != nil {
		return nil, err
	}
	if callee, err := sip.ParseURI(uri); err == nil {
		u = &callee // whom it calls, the rules are to know
	}
	if rule := r.decide(req, u, domain, from); rule != nil && rule.Refusal != nil {
		return nil, rule.Refusal
	}
	targets, err := r.keeper(name, req, r.relayed.HopOf(aor))
	if err != nil {
		return nil, err
	}
	targets[0].URI = uri
	if b, ok := r.relayed.On(from, aor); ok && len(b.Routes) > 0 {
		targets[0].Rewrite = func(_ *sip.Message, out *sip.Splice) error {
			out.PushRoutes(b.Routes...) // RFC 3608 §6.1: the user agent's browser does not
			return nil
		}
	}
	return targets, nil
}

// toKept is a request to a domain whose users an upstream keeps, of somebody else than they. Its registrar that calls
// one of them without a Path reaches whom it has accepted; others' calls go by the rules, else to it.
func (r *router) toKept(rule *route.Route, req *sip.Message, u *sip.URI, domain string, from *flow.Flow) ([]proxy.Target, error) {
	name := r.relayed.Registrar(domain)
	if from.Upstream() == name {
		callee := *u
		callee.Host, callee.Port = domain, 0
		if all := r.relayed.Newest(callee.AOR(), name); len(all) > 0 {
			return agents(all...), nil
		}
		if rule == nil || rule.To == route.Location {
			return nil, errAway
		}
	}
	if rule != nil && rule.To != route.Location {
		return r.leaveBy(rule, rule.To, req, u, domain, from)
	}
	return r.keeper(name, req, relay.Hop{})
}

// agents are bindings as targets. The registrar knows them by another Request-URI, maybe.
func agents(all ...relay.Binding) []proxy.Target {
	targets := make([]proxy.Target, len(all))
	for i := range all {
		targets[i] = proxy.Target{URI: all[i].Contact, Q: 1000, Name: all[i].Name}
	}
	return targets
}

// ByPath is proxy.Agents.
func (r *relayed) ByPath(req *sip.Message, from *flow.Flow, to flow.Token) (known bool, err error) {
	return r.Relay.ByPath(from.Upstream(), to.Name, to.Flow, req.RequestURI())
}

// ByContact is proxy.Agents: in dialogs of those who lose the route set.
func (r *relayed) ByContact(req *sip.Message, from *flow.Flow) (to flow.Token, upstream string, known bool, err error) {
	u, err := sip.ParseURI(req.RequestURI())
	if err != nil {
		return to, "", true, errBadURI
	}
	up := from.Upstream()
	if up != "" {
		if !r.own.Own(u.Host, u.Port) {
			return to, "", false, nil
		}
		b, known, err := r.ByAlias(up, u.User, true)
		to.Name = b.Name
		if b.Flow != nil {
			to.Flow = b.Flow.ID
		}
		return to, "", known, err
	}
	aor := r.own.proved(req, from)
	if aor == "" || !r.KeepsUser(aor) {
		return to, "", false, nil
	}
	if up = r.Registrar(domainOf(aor)); !r.Leads(up, &u) {
		return to, "", false, nil
	}
	to.Name = r.keys.UpstreamName(up)
	return to, up, true, nil
}

// keeps reports whether a request goes to the registrar of the user who sends it: it may have any credentials of his.
func (r *relayed) keeps(req *sip.Message, from *flow.Flow, t *proxy.Target) bool {
	if t.Upstream == "" || from.Upstream() != "" || !r.IsRegistrar(t.Upstream) {
		return false
	}
	if t.Exchange != nil {
		return true // his REGISTER
	}
	aor := r.own.proved(req, from)
	return aor != "" && r.Registrar(domainOf(aor)) == t.Upstream
}

// ServiceRoute is proxy.Agents; toRegistrar puts it on.
func (r *relayed) ServiceRoute(req *sip.Message, from *flow.Flow) []string {
	aor := r.own.proved(req, from)
	if aor == "" || req.Method() == "REGISTER" {
		return nil
	}
	b, _ := r.On(from, aor)
	return b.Routes
}

// qualify answers the OPTIONS of a registrar for a user agent that it reaches by a Path of ours, or by an alias that it has
// just been told; that by any other alias is answered as for any user.
func (c *core) qualify(tx *transaction.Server, req *sip.Message, u *sip.URI) (answered bool, err error) {
	up := tx.Flow().Upstream()
	if up == "" || req.Has(sip.Require) || !c.relayed.IsRegistrar(up) {
		return false, nil
	}
	to, ok := c.relayed.pathOf(req)
	awaited := !ok && c.own.Own(u.Host, u.Port) && c.relayed.Awaited(up, u.User)
	if !ok && !awaited {
		return false, nil
	}
	if err := c.proxy.Validate(req); err != nil {
		return false, err
	}
	if !awaited {
		to.Flow = 0 // Asterisk 22 asks by the first Path for ever, and calls by the last
		known, err := c.relayed.ByPath(req, tx.Flow(), to)
		if !known || err != nil {
			return false, err
		}
		if !c.proxy.Reachable([]proxy.Target{{Name: to.Name}}) && !c.relayed.Awaits(up, to.Name, req.RequestURI()) {
			return false, errAway
		}
	}
	c.alive(tx)
	return true, nil
}

// pathOf is whom the only Route of a request leads to, when that is a Path of ours.
func (r *relayed) pathOf(req *sip.Message) (to flow.Token, ok bool) {
	routes := 0
	for v := range req.Values(sip.Route) {
		if routes++; routes > 1 {
			return to, false
		}
		a, err := sip.ParseNameAddr(v)
		if err != nil {
			return to, false
		}
		u, err := sip.ParseURI(a.URI)
		if err != nil || !r.own.Own(u.Host, u.Port) {
			return to, false
		}
		to, ok = r.keys.Verify(u.User)
	}
	return to, ok
}

// relayChanged logs and tells what happens to relayed registrations (relay.Config.OnEvent).
func (g *Gateway) relayChanged(e relay.Event) {
	b := &e.Binding
	if e.Change == relay.Unregistered || e.Change == relay.NotListed {
		g.proxy.Unregistered(b.Flow.ID, b.Name)
	}
	if e.Change == relay.Refreshed {
		g.log.Debug().Str("aor", b.AOR).Str("upstream", b.Upstream).Uint64("flow", uint64(b.Flow.ID)).Msg("refreshed")
		return
	}
	g.log.Info().Str("aor", b.AOR).Str("change", e.Change.String()).Str("upstream", b.Upstream).Uint64("flow", uint64(b.Flow.ID)).
		Str("transport", b.Flow.Info().Transport.String()).Msg("binding")
}

// relayNotice logs what an operator should know of a registrar (relay.Config.Notice).
func (g *Gateway) relayNotice(n relay.Notice) {
	e := g.log.Info()
	if n.Warn {
		e = g.log.Warn()
	}
	if n.Status != 0 {
		e = e.Int("status", n.Status)
	}
	e.Str("upstream", n.Upstream).Str("aor", n.AOR).Msg(n.Text)
}

// domainOf is what follows the '@' of an AOR.
func domainOf(aor string) string { return aor[strings.LastIndexByte(aor, '@')+1:] }
