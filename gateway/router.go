package gateway

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// router decides where a request goes that carries no token of ours: the location
// service, then the dial rules (docs/architecture.md). It implements proxy.Router.
type router struct {
	own       *own
	registrar *registrar.Registrar
	known     func(aor string) bool // a user of ours, registered or not
	trunks    *trunk.Set
	rules     *route.Table
}

var (
	errNotFound  = sip.Refuse(404, "Not Found")
	errAway      = sip.Refuse(480, "Temporarily Unavailable")
	errForeign   = sip.Refuse(403, "Forbidden: not a domain of this server")
	errNoUser    = sip.Refuse(404, "Not Found: Request-URI names no user")
	errBadURI    = sip.Refuse(400, "Bad Request: Request-URI is no SIP URI")
	errTrunkGone = &sip.StatusError{Code: 503, Reason: "Service Unavailable: no address of the upstream is known", Headers: []string{"Retry-After: 10"}}
)

// Targets is the target set (RFC 3261 §16.5), or 403 for a domain that is not ours,
// 404 for nobody we know, 480 for a user who is not registered.
func (r *router) Targets(req *sip.Message, from *flow.Flow) ([]proxy.Target, error) {
	u, err := sip.ParseURI(req.RequestURI())
	if err != nil {
		return nil, errBadURI
	}
	if domain, ok := r.own.Domain(u.Host, u.Port); ok {
		return r.local(&u, domain, from)
	}
	if name, ok := r.trunks.ByHost(u.Host); ok && from.Upstream() == "" {
		return r.trunk(name) // before Contacts: nobody takes an upstream's calls by registering its address
	}
	if b, err := r.registrar.LookupContact(context.Background(), req.RequestURI()); err != nil || len(b) > 0 {
		return targetsOf(b), err // SIP.js names its peer so in an attended transfer
	}
	return nil, errForeign
}

// local is a request to a domain of ours.
func (r *router) local(u *sip.URI, domain string, from *flow.Flow) ([]proxy.Target, error) {
	if u.User == "" {
		return nil, errNoUser
	}
	u.Host, u.Port = domain, 0
	if registrar.IsGRUU(u) {
		return r.instance(u)
	}
	aor := u.AOR()
	bindings, err := r.registrar.Lookup(context.Background(), aor)
	if err != nil || len(bindings) > 0 {
		return targetsOf(bindings), err
	}
	if from.Upstream() == "" {
		if rule := r.rules.Decide(&route.Facts{Domain: domain, User: u.User}); rule != nil {
			return r.trunk(rule.To)
		}
	}
	if r.known(aor) {
		return nil, errAway
	}
	return nil, errNotFound
}

// instance is a request to a GRUU: one instance and nobody else (RFC 5627 §5.4).
func (r *router) instance(u *sip.URI) ([]proxy.Target, error) {
	_, bindings, err := r.registrar.LookupGRUU(context.Background(), u)
	switch {
	case errors.Is(err, registrar.ErrNoGRUU):
		return nil, errNotFound
	case err == nil && len(bindings) == 0:
		return nil, errAway
	}
	return targetsOf(bindings), err
}

// targetsOf is one target a binding. The flows of one instance (RFC 5626 §5: one
// phone, several reg-ids) are alternatives, in reg-id order.
func targetsOf(bindings []registrar.Binding) []proxy.Target {
	out := make([]proxy.Target, len(bindings))
	if len(bindings) > 1 {
		slices.SortStableFunc(bindings, func(a, b registrar.Binding) int {
			if a.Q != b.Q {
				return int(b.Q) - int(a.Q)
			}
			return a.RegID - b.RegID
		})
	}
	for i := range bindings {
		b := &bindings[i]
		out[i] = proxy.Target{URI: b.Target(), Q: int(b.Q), Route: b.Path, Name: b.Name, Instance: b.Name}
		if b.Instance == "" {
			continue
		}
		if j := slices.IndexFunc(bindings[:i], func(o registrar.Binding) bool { return o.Instance == b.Instance }); j >= 0 {
			out[i].Instance = out[j].Instance
		}
	}
	return out
}

func (r *router) trunk(name string) ([]proxy.Target, error) {
	hops := hopsOf(r.trunks, name)
	if len(hops) == 0 {
		return nil, errTrunkGone
	}
	return []proxy.Target{{Hops: hops, Upstream: name, TryTimeout: r.trunks.Group(name).TryTimeout}}, nil
}

func hopsOf(trunks *trunk.Set, name string) []proxy.Hop {
	targets := trunks.Targets(name)
	hops := make([]proxy.Hop, len(targets))
	for i, t := range targets {
		hops[i] = proxy.Hop{Addr: t.Addr, Transport: t.Hop.Transport}
	}
	return hops
}

// identity answers the proxy's questions of who is who (proxy.Identity).
type identity struct {
	*own
	trunks *trunk.Set
	names  map[flow.Name]string // of the upstreams
}

func newIdentity(o *own, trunks *trunk.Set, groups []trunk.Group, keys *flow.Keys) *identity {
	id := &identity{own: o, trunks: trunks, names: map[flow.Name]string{}}
	for _, g := range groups {
		id.names[keys.UpstreamName(g.Name)] = g.Name
	}
	return id
}

// Upstream is the upstream that name stands for.
func (id *identity) Upstream(name flow.Name) string { return id.names[name] }

// Hops are the addresses of an upstream, in order.
func (id *identity) Hops(upstream string) []proxy.Hop { return hopsOf(id.trunks, upstream) }

// HopOf is the address that u leads to when it belongs to the upstream: in a
// dialog a PBX may name another port or another of its addresses, never a third party's.
func (id *identity) HopOf(upstream string, u *sip.URI) (proxy.Hop, bool) {
	host, port := u.HostPort()
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return id.hopByName(upstream, u)
	}
	addr = addr.Unmap()
	if id.trunks.UpstreamOf(netip.AddrPortFrom(addr, u.Port)) != upstream {
		return proxy.Hop{}, false
	}
	return proxy.Hop{Addr: netip.AddrPortFrom(addr, port), Transport: pinned(u)}, true
}

// pinned is the transport that u asks of a hop, 0 for either of UDP and TCP.
func pinned(u *sip.URI) sip.Transport {
	t, _ := u.Transport()
	if t.WebSocket() {
		return 0
	}
	return t
}

// hopByName is the hop whose host name u has.
func (id *identity) hopByName(upstream string, u *sip.URI) (proxy.Hop, bool) {
	for _, t := range id.trunks.Targets(upstream) {
		if !strings.EqualFold(t.Hop.Host, u.Host) {
			continue
		}
		h := proxy.Hop{Addr: t.Addr, Transport: t.Hop.Transport}
		if u.Port != 0 {
			h.Addr = netip.AddrPortFrom(t.Addr.Addr(), u.Port)
		}
		if tr := pinned(u); tr != 0 {
			h.Transport = tr
		}
		return h, true
	}
	return proxy.Hop{}, false
}

// knownOf tells users who are not registered (480) from nobody (404).
func knownOf(users digest.Users) func(aor string) bool {
	return func(aor string) bool {
		at := strings.LastIndexByte(aor, '@')
		user, domain := sip.Unescape(aor[:at]), aor[at+1:] // users are named as people write them
		for _, alg := range []digest.Algorithm{digest.MD5, digest.SHA256} {
			if _, ok := users.HA1(user, domain, alg); ok {
				return true
			}
		}
		return false
	}
}
