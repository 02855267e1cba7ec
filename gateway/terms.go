package gateway

import (
	"errors"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// termsOf is how each upstream is dealt with (proxy.Config.Terms).
func (g *Gateway) termsOf(id *identity) func(upstream string) *proxy.Terms {
	all := map[string]*proxy.Terms{}
	g.accounts = map[string]*trunk.Account{}
	for i := range g.cfg.Upstreams {
		group := &g.cfg.Upstreams[i]
		t := &proxy.Terms{EarlyMedia: earlyMedia[group.EarlyMedia]}
		if group.Login != nil && !g.relayed.IsRegistrar(group.Name) { // its users have their own, and nobody is to be them by ours
			a := &account{Account: trunk.NewAccount(group.Login), upstream: group.Name, log: g.log}
			t.Login, g.accounts[group.Name] = a, a.Account
		}
		if group.Recurse {
			t.Redirect = func(req *sip.Message, from *flow.Flow, contact *sip.URI) []proxy.Target {
				return g.core.router.redirected(id, group.Name, req, contact, from)
			}
		}
		all[group.Name] = t
	}
	return func(upstream string) *proxy.Terms { return all[upstream] }
}

var earlyMedia = map[trunk.EarlyMedia]proxy.EarlyMedia{
	trunk.EarlyMediaPass: proxy.EarlyMediaPasses, trunk.EarlyMediaStrip: proxy.EarlyMediaStripped, trunk.EarlyMediaRing: proxy.EarlyMediaRings,
}

// share has registrations use the logins of requests.
func (a *registrations) share(accounts map[string]*trunk.Account) {
	for _, r := range a.all {
		if one := accounts[r.upstream]; one != nil {
			r.machine.Share(one)
		}
	}
}

// account is an upstream's login; it tells the operator what becomes of that (proxy.Login).
type account struct {
	*trunk.Account
	upstream string
	log      zerolog.Logger
	told     atomic.Int64 // when it was said last that it is refused, Unix seconds
	foreign  atomic.Bool  // that a challenge was not for it
}

// Answer has a caller hear whose fault it is that a challenge is not answered.
func (a *account) Answer(at netip.AddrPort, resp *sip.Message, tried trunk.Tried, method, uri string) (string, trunk.Tried, error) {
	line, next, err := a.Account.Answer(at, resp, tried, method, uri)
	if errors.Is(err, trunk.ErrOtherRealm) || errors.Is(err, trunk.ErrNoQOP) {
		err = &sip.StatusError{Code: 503, Reason: "Service Unavailable: challenge is not for our login at upstream " + a.upstream, Err: err}
	}
	return line, next, err
}

// Refused logs, once a minute; once what anybody who is called can bring about.
func (a *account) Refused(at netip.AddrPort, err error) {
	if errors.Is(err, trunk.ErrOtherRealm) || errors.Is(err, trunk.ErrNoQOP) {
		if a.foreign.CompareAndSwap(false, true) {
			a.log.Warn().Err(err).Str("upstream", a.upstream).Str("hop", at.String()).
				Msg("a challenge is not answered; callers get 503. If it is the upstream's own, say so in upstreams." + a.upstream + ".login.realm")
		}
		return
	}
	now, last := time.Now().Unix(), a.told.Load()
	if now-last >= 60 && a.told.CompareAndSwap(last, now) {
		a.log.Error().Err(err).Str("upstream", a.upstream).Str("hop", at.String()).
			Msg("the upstream refuses our login; callers get 503 (upstreams." + a.upstream + ".login)")
	}
}

// Accepted logs which realm is learnt.
func (a *account) Accepted(line string) {
	if realm := a.Account.Accepted(line); realm != "" {
		a.log.Info().Str("upstream", a.upstream).Str("realm", realm).
			Msg("the login is for this realm, whose challenges it has answered well for two callees; to be sure, write it to upstreams." + a.upstream + ".login.realm")
	}
}

// redirected is where a Contact of an upstream's redirection leads: to one of its very hops or to users of ours, and
// nowhere else, for it must not spend the caller's rights at others, nor have us knock at other ports of its hosts: what it
// redirects to may be what somebody has typed in there. The rules are asked as if the caller had called it.
func (r *router) redirected(id *identity, upstream string, req *sip.Message, contact *sip.URI, from *flow.Flow) []proxy.Target {
	if req.Method() == "REGISTER" {
		return nil
	}
	u := *contact
	u.Headers = ""
	targets, err := r.redirection(id, upstream, req, &u, from)
	if err != nil {
		return nil
	}
	for i := range targets {
		t := &targets[i]
		if t.Upstream != "" && t.Upstream != upstream {
			return nil
		}
		if t.URI == "" {
			t.URI = asIs.RequestURI(&u, u.Host, len(t.Hops) > 0)
		}
		if t.URI == "" {
			t.URI = u.String()
		}
	}
	return targets
}

func (r *router) redirection(id *identity, upstream string, req *sip.Message, u *sip.URI, from *flow.Flow) ([]proxy.Target, error) {
	if domain, ok := r.own.Domain(u.Host, u.Port); ok {
		return r.local(req, u, domain, from)
	}
	hop, ok := id.HopOf(upstream, u)
	if !ok || hop.Beside {
		return nil, errForeign
	}
	targets, err := r.byHost(upstream, req, u, from)
	if err == nil && targets[0].Upstream == upstream {
		targets[0].Hops = []proxy.Hop{hop}
	}
	return targets, err
}
