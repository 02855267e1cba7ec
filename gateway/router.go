package gateway

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// router decides where a request goes that carries no token of ours: by the rules (rules.go) to
// the location service or an upstream (docs/architecture.md). It implements proxy.Router.
type router struct {
	own       *own
	registrar *registrar.Registrar
	known     func(aor string) bool // a user of ours, registered or not
	trunks    *trunk.Set
	rules     *route.Table
	relayed   *relayed
}

var (
	errNotFound  = sip.Refuse(404, "Not Found")
	errAway      = sip.Refuse(480, "Temporarily Unavailable")
	errForeign   = sip.Refuse(403, "Forbidden: not a domain of this server")
	errNoUser    = sip.Refuse(404, "Not Found: Request-URI names no user")
	errBadURI    = sip.Refuse(400, "Bad Request: Request-URI is no SIP URI")
	errTrunkGone = &sip.StatusError{Code: 500, Reason: "Server Internal Error", Err: errors.New("a route leads to an upstream that is not configured")}
)

// Targets is the target set (RFC 3261 §16.5), or 403 for a domain that is not ours,
// 404 for nobody we know, 480 for a user who is not registered.
func (r *router) Targets(req *sip.Message, from *flow.Flow) ([]proxy.Target, error) {
	u, err := sip.ParseURI(req.RequestURI())
	if err != nil {
		return nil, errBadURI
	}
	if targets, mine, err := r.kept(req, &u, from); mine {
		return targets, err
	}
	if domain, ok := r.own.Domain(u.Host, u.Port); ok {
		return r.local(req, &u, domain, from)
	}
	if name, ok := r.trunks.ByHost(u.Host); ok && from.Upstream() == "" {
		return r.byHost(name, req, &u, from) // before Contacts: nobody takes an upstream's calls by registering its address
	}
	if b, err := r.registrar.LookupContact(context.Background(), req.RequestURI()); err != nil || len(b) > 0 {
		return targetsOf(b), err // SIP.js names its peer so in an attended transfer
	}
	return nil, errForeign
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

// trunk is the addresses of an upstream that a call tries now, in order.
func (r *router) trunk(name, callID string) ([]proxy.Target, error) {
	g := r.trunks.Group(name)
	if g == nil {
		return nil, errTrunkGone
	}
	var room [8]trunk.Target
	targets, retryAfter := r.trunks.Select(room[:0], name, callID)
	if len(targets) == 0 {
		return nil, trunkDown(name, len(r.trunks.Targets(name)), retryAfter)
	}
	hops := hopsOf(targets)
	if g.RURIHost == trunk.HostOfHop {
		for i := range hops {
			hops[i].Host = authority(targets[i].Hop)
		}
	}
	return []proxy.Target{{Hops: hops, Upstream: name, TryTimeout: g.TryTimeout}}, nil
}

// trunkDown says that nobody of an upstream can be asked now, and when to try again.
func trunkDown(name string, addrs int, retryAfter time.Duration) *sip.StatusError {
	reason := "Service Unavailable: upstream " + name
	switch addrs {
	case 0:
		reason += ": no address is known"
	case 1:
		reason += ": its only hop is down"
	default:
		reason += ": all " + strconv.Itoa(addrs) + " hops down"
	}
	seconds := int((retryAfter + time.Second - 1) / time.Second)
	return &sip.StatusError{Code: 503, Reason: reason, Headers: []string{"Retry-After: " + strconv.Itoa(seconds)}}
}

func hopsOf(targets []trunk.Target) []proxy.Hop {
	hops := make([]proxy.Hop, len(targets))
	for i := range targets {
		hops[i] = hopOf(&targets[i])
	}
	return hops
}

func hopOf(t *trunk.Target) proxy.Hop {
	return proxy.Hop{Addr: t.Addr, Transport: t.Transport, Peer: t.Peer}
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

// Hops are the addresses of an upstream, the healthy ones first: a dialog has to reach it
// if it can.
func (id *identity) Hops(upstream string) []proxy.Hop {
	var room [8]trunk.Target
	targets, _ := id.trunks.Select(room[:0], upstream, "")
	for _, t := range id.trunks.Targets(upstream) {
		if !slices.ContainsFunc(targets, func(o trunk.Target) bool { return o.Peer == t.Peer }) {
			targets = append(targets, t)
		}
	}
	return hopsOf(targets)
}

// HopOf is the address that u leads to when it is one of the upstream's hops, or (Beside) another port or transport of a
// hop's host: a PBX may name one in a dialog. That is reached by a flow that came from there, and dialled only where the
// proxy knows from a Via of the PBX's own that it listens there: u can be a user's invention.
func (id *identity) HopOf(upstream string, u *sip.URI) (proxy.Hop, bool) {
	host, port := u.HostPort()
	addr, err := netip.ParseAddr(host)
	byName := err != nil
	addr = addr.Unmap()
	h, found := proxy.Hop{Transport: pinned(u), Beside: true}, false
	for _, t := range id.trunks.Targets(upstream) {
		switch {
		case byName && !strings.EqualFold(t.Hop.Host, u.Host), !byName && t.Addr.Addr() != addr:
			continue
		case byName && u.Port == 0:
			port = t.Addr.Port()
		}
		at := netip.AddrPortFrom(t.Addr.Addr(), port)
		if tr, ok := speaks(&t, h.Transport); ok && at == t.Addr {
			return proxy.Hop{Addr: at, Transport: tr, Peer: t.Peer}, true
		}
		if !found {
			h.Addr, found = at, true
		}
	}
	if !found {
		return proxy.Hop{}, false
	}
	return h, true
}

// speaks reports whether a URI that asks for want, 0 for nothing, means the transport of t, and which one to take.
func speaks(t *trunk.Target, want sip.Transport) (sip.Transport, bool) {
	switch {
	case want == 0 || want == t.Transport:
		return t.Transport, true
	case t.Transport == 0 && (want == sip.UDP || want == sip.TCP):
		return want, true
	}
	return 0, false
}

// pinned is the transport that u asks of a hop, 0 for either of UDP and TCP.
func pinned(u *sip.URI) sip.Transport {
	t, _ := u.Transport()
	if t.WebSocket() {
		return 0
	}
	return t
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
