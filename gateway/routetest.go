package gateway

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringway/ringway/gateway/policy"
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
)

// What `ringway route test` speaks of.
type (
	RouteCall        = route.Call
	RouteHeader      = route.HeaderLine
	RouteExplanation = route.Explanation
	RouteCase        = route.Case
	RouteResult      = route.Result
)

// ExplainRoute says what the routes do with a call, from the configuration alone:
// nothing is looked up and nobody asked. The error is about the call.
func (c *Config) ExplainRoute(call *RouteCall) (*RouteExplanation, error) {
	site, err := c.routeSite()
	if err != nil {
		return nil, err
	}
	table, _ := route.Compile(c.Routes)
	return table.Explain(site, call)
}

// RunRouteCases asks about each of an operator's expectations.
func (c *Config) RunRouteCases(cases []RouteCase) ([]RouteResult, error) {
	site, err := c.routeSite()
	if err != nil {
		return nil, err
	}
	table, _ := route.Compile(c.Routes)
	return table.Run(site, cases), nil
}

// routeSite is what the rules' explanation needs of the rest.
func (c *Config) routeSite() (*route.Site, error) {
	own, err := newOwn(c, func() ([]net.Addr, error) { return nil, nil })
	if err != nil {
		return nil, err
	}
	trunks := trunk.NewSet(trunk.Config{Groups: c.Upstreams})
	users := map[userKey]bool{}
	for i := range c.Users {
		users[userKey{c.Users[i].Name, c.Users[i].Realm}] = true
	}
	return &route.Site{
		User: func(user, domain string) bool { return users[userKey{user, domain}] },
		ByHost: func(host string) string {
			name, _ := trunks.ByHost(host)
			return name
		},
		Keeps: func(domain string) string {
			if d := c.Domain(domain); d != nil && d.relayed() {
				return d.Registrar
			}
			return ""
		},
		Domain: own.first, Ours: own.Domain, Scrubbed: policy.Withheld,
		UpstreamOf: func(a netip.Addr) string { return trunks.UpstreamOf(netip.AddrPortFrom(a, 0)) },
		Upstream: func(name string) (up route.Upstream, ok bool) {
			g := trunks.Group(name)
			if g == nil {
				return up, false
			}
			up.Trusted = g.Trusted
			if g.RURIHost == trunk.HostOfHop && len(g.Hops) > 0 {
				up.Host = authority(&g.Hops[0])
			}
			return up, true
		},
	}, nil
}

// LoadRouteCases reads a file of expectations: a list of calls, each with what is
// expected of it. An error of what it says is a Problems.
func LoadRouteCases(path string) ([]RouteCase, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := newDecoder(path)
	root := d.parse(data)
	var cases []RouteCase
	if len(d.problems) == 0 {
		d.list("cases", root, func(path string, n ast.Node) { cases = append(cases, d.readCase(path, n)) })
	}
	if len(d.problems) == 0 && len(cases) == 0 {
		d.problem("", "holds no case; write - { from: alice, to: \"+4930123\", expect: { to: carrier } }")
	}
	if len(d.problems) > 0 {
		return nil, d.sorted()
	}
	return cases, nil
}

func (d *decoder) readCase(path string, n ast.Node) RouteCase {
	c := RouteCase{Line: position(n).Line}
	x := &c.Expect
	lines := func(dst *[]RouteHeader) func(string, ast.Node) {
		return func(path string, n ast.Node) {
			d.headers(path, n, func(name, value string) { *dst = append(*dst, RouteHeader{Name: name, Value: value}) })
		}
	}
	d.object(path, n, keys{
		"name": d.string(&c.Name), "from": d.string(&c.From), "to": d.string(&c.To), "source": d.string(&c.Source),
		"method": d.string(&c.Method), "headers": lines(&c.Headers), "registered": d.bool(&c.Registered),
		"expect": d.table(keys{
			"rule": d.string(&x.Rule), "to": d.string(&x.To), "ruri": d.string(&x.RURI), "from": d.string(&x.From),
			"status": d.number(&x.Status, 699), "reason": d.string(&x.Reason), "headers": lines(&x.Headers),
		}),
	})
	for _, key := range []string{"from", "to", "expect"} {
		if d.at[path+"."+key] == nil {
			d.problem(path, "missing %s", key)
		}
	}
	if c.Name == "" {
		c.Name = fmt.Sprintf("%s -> %s", c.From, c.To)
	}
	return c
}
