package gateway

import (
	"context"
	"strings"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// decide is the rule that a request goes by, nil for none.
func (r *router) decide(req *sip.Message, u *sip.URI, domain string, from *flow.Flow) *route.Route {
	return r.decideFor(req, u, domain, "", from)
}

// decideFor is the same for a caller other than From's; "" is From's.
func (r *router) decideFor(req *sip.Message, u *sip.URI, domain, caller string, from *flow.Flow) *route.Route {
	info := from.Info()
	f := route.Facts{
		Method: req.Method(), Domain: domain, User: route.UserOf(u),
		Source: route.Source{
			Upstream: from.Upstream(), Addr: info.Remote.Addr(), Transport: info.Transport, Authenticated: from.Proven(),
		},
	}
	uses := r.rules.Uses()
	if f.Caller = caller; uses.Caller && caller == "" {
		f.Caller = route.CallerOf(req.Value(sip.From))
	}
	if uses.Header {
		f.Header = func(name string) []string { return route.HeaderOf(req, name) }
	}
	return r.rules.Decide(&f)
}

// local is a request to a domain of ours: the first rule that fits says where to. Who is
// registered comes before an upstream unless the rule is always; a GRUU is one instance
// whatever the rules say, but they may refuse it.
func (r *router) local(req *sip.Message, u *sip.URI, domain string, from *flow.Flow) ([]proxy.Target, error) {
	if route.UserOf(u) == "" {
		return nil, errNoUser
	}
	callee := *u
	callee.Host, callee.Port = domain, 0
	rule := r.decide(req, u, domain, from)
	upstream := rule != nil && rule.To != route.Location
	switch {
	case rule != nil && rule.Refusal != nil:
		return nil, rule.Refusal
	case registrar.IsGRUU(&callee):
		return r.instance(&callee)
	case upstream && rule.Always:
		return r.leaveBy(rule, rule.To, req, u, domain, from)
	case r.relayed.Keeps(domain):
		return r.toKept(rule, req, u, domain, from)
	case rule != nil && !upstream:
		if v, err := sip.ParseURI(rule.RequestURI(&callee, domain, false)); err == nil {
			callee = v
		}
	}
	aor := callee.AOR()
	bindings, err := r.registrar.Lookup(context.Background(), aor)
	switch {
	case err != nil || len(bindings) > 0:
		return targetsOf(bindings), err
	case upstream:
		return r.leaveBy(rule, rule.To, req, u, domain, from)
	case r.known(aor):
		return nil, errAway
	}
	return nil, errNotFound
}

// byHost is a request of a user for a server of an upstream (an attended transfer's, or an invention to get round
// the rules). They are asked as if it were for our domain: what they refuse or lead elsewhere goes that way. Else
// it goes to that upstream, its Request-URI as the upstream gave it, with what a rule that leads there says of the caller.
func (r *router) byHost(name string, req *sip.Message, u *sip.URI, from *flow.Flow) ([]proxy.Target, error) {
	rule := r.decide(req, u, r.own.first, from)
	switch {
	case rule == nil:
		rule = &asIs
	case rule.Refusal != nil || rule.To != name:
		return r.local(req, u, r.own.first, from)
	}
	targets, err := r.leaveBy(rule, name, req, u, u.Host, from)
	if err == nil {
		t := &targets[0]
		t.URI = asIs.RequestURI(u, u.Host, t.Hops[0].Host != "")
	}
	return targets, err
}

// asIs is a rule that changes nothing.
var asIs route.Route

// leaveBy is an upstream as target, with what the rule changes on the way there.
func (r *router) leaveBy(rule *route.Route, name string, req *sip.Message, u *sip.URI, domain string, from *flow.Flow) ([]proxy.Target, error) {
	targets, err := r.trunk(name, req.CallID())
	if err != nil {
		return nil, err
	}
	t := &targets[0]
	t.URI = rule.RequestURI(u, domain, t.Hops[0].Host != "")
	if rule.Alters() {
		identity := ""
		if from.Upstream() == "" && r.trusts(name) {
			identity = r.own.proved(req, from)
		}
		t.Rewrite, t.Mark = rewriting(rule, identity), rule.Mark()
	}
	return targets, nil
}

// rewriting applies a rule's change to each copy of a request.
func rewriting(rule *route.Route, identity string) func(*sip.Message, *sip.Splice) error {
	return func(req *sip.Message, out *sip.Splice) error {
		c := rule.Change(&route.Request{
			From: req.Value(sip.From), Privacy: route.HeaderOf(req, "Privacy"), Identity: identity,
		})
		c.Apply(req, out)
		return nil
	}
}

// trusts reports whether an upstream may be told, and believed, who a caller is (RFC 3325 §2.3).
func (r *router) trusts(upstream string) bool {
	g := r.trunks.Group(upstream)
	return g != nil && g.Trusted
}

// authority is "host[:port]" as a hop's URI has it: what ruri_host hop puts into the Request-URI.
func authority(h *trunk.Hop) string {
	_, host, _ := strings.Cut(h.URI, ":")
	if end := strings.IndexAny(host, ";?"); end >= 0 {
		host = host[:end]
	}
	return host
}
