package gateway

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringway/ringway/gateway/route"
)

func (c *Config) readRoutes(d *decoder) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		d.list(path, n, func(path string, n ast.Node) {
			r := route.Rule{Line: position(n).Line}
			d.object(path, n, keys{
				"name":    d.string(&r.Name),
				"match":   func(path string, n ast.Node) { d.readMatch(path, n, &r.Match) },
				"from":    d.texts(func(s string) error { r.From = append(r.From, s); return nil }),
				"to":      d.string(&r.To),
				"reject":  d.readReject(&r.Reject),
				"always":  d.bool(&r.Always),
				"rewrite": func(path string, n ast.Node) { d.readRewrite(path, n, &r.Rewrite) },
			})
			c.Routes = append(c.Routes, r)
		})
	}
}

// readMatch reads a condition: a text is a regular expression on the user, a
// mapping has named conditions that must all hold.
func (d *decoder) readMatch(path string, n ast.Node, m *route.Match) {
	user := d.parsed(func(s string) error {
		m.User = s
		return notEmpty(s)
	})
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		user(path, n)
		return
	}
	d.object(path, n, keys{
		"user":   user,
		"prefix": d.string(&m.Prefix),
		"caller": d.parsed(func(s string) error { m.Caller = s; return notEmpty(s) }),
		"domain": d.parsed(func(s string) (err error) {
			m.Domain, err = domainName(s)
			return err
		}),
		"source": func(path string, n ast.Node) {
			m.Source = []route.Peer{}
			d.texts(func(s string) error { m.Source = append(m.Source, peerOf(s)); return nil })(path, n)
		},
		"method": func(path string, n ast.Node) {
			m.Method = []string{}
			d.texts(func(s string) error { m.Method = append(m.Method, s); return nil })(path, n)
		},
		"header": func(path string, n ast.Node) {
			m.Header = []route.HeaderMatch{}
			d.headers(path, n, func(name, value string) { m.Header = append(m.Header, route.HeaderMatch{Name: name, Pattern: value}) })
		},
	})
}

func notEmpty(pattern string) error {
	if pattern == "" {
		return errors.New("an empty pattern; write \".*\" for every user")
	}
	return nil
}

// peerOf is a sender as a route names it: a transport, a network, else an upstream.
func peerOf(s string) route.Peer {
	if scheme, ok := schemes[s]; ok {
		return route.Peer{Transport: scheme.transport}
	}
	if p, err := parsePrefix(s); err == nil {
		return route.Peer{Net: p}
	}
	return route.Peer{Upstream: s}
}

// headers reads a mapping of header names to texts; null is an empty one.
func (d *decoder) headers(path string, n ast.Node, add func(name, value string)) {
	d.mapping(path, n, func(name, path string, v ast.Node) {
		value := ""
		if v != nil {
			d.string(&value)(path, v)
		}
		add(name, value)
	})
}

// readReject reads STATUS [REASON].
func (d *decoder) readReject(r *route.Reject) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		status, reason, _ := strings.Cut(strings.TrimSpace(s), " ")
		n, err := strconv.Atoi(status)
		if err != nil {
			return fmt.Errorf("%q has no status; write \"403 Forbidden\"", s)
		}
		r.Status, r.Reason = n, strings.TrimSpace(reason)
		return nil
	})
}

func (d *decoder) readRewrite(path string, n ast.Node, w *route.Rewrite) {
	lines := func(dst *[]route.HeaderLine) func(string, ast.Node) {
		return func(path string, n ast.Node) {
			d.headers(path, n, func(name, value string) { *dst = append(*dst, route.HeaderLine{Name: name, Value: value}) })
		}
	}
	party := func(p *route.Party) func(string, ast.Node) {
		return d.table(keys{"display": d.string(&p.Display), "user": d.string(&p.User), "domain": d.string(&p.Domain)})
	}
	var privacy string
	d.object(path, n, keys{
		"replace":  d.string(&w.Replace),
		"strip":    d.number(&w.Strip, 255),
		"e164":     d.readE164(&w.E164),
		"prefix":   d.string(&w.Prefix),
		"from":     party(&w.From),
		"asserted": party(&w.Asserted),
		"privacy":  d.oneOf(&privacy, "keep", "id", "none"),
		"remove":   d.texts(func(s string) error { w.Remove = append(w.Remove, s); return nil }),
		"set":      lines(&w.Set),
		"add":      lines(&w.Add),
	})
	switch privacy {
	case "id":
		w.Privacy = route.PrivacyID
	case "none":
		w.Privacy = route.PrivacyNone
	}
}

// readE164 reads a country code, or a mapping that says how one dials there.
func (d *decoder) readE164(e *route.E164) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		country := d.parsed(func(s string) error {
			e.Country = strings.TrimPrefix(s, "+")
			return nil
		})
		*e = route.Dialling("")
		switch n.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			d.object(path, n, keys{"country": country, "international": d.string(&e.International), "national": d.string(&e.National)})
		default:
			country(path, n)
		}
	}
}

// validateRoutes checks what rules name, then the rules themselves.
func (c *Config) validateRoutes(d *decoder) {
	known := map[string]bool{route.Location: true}
	for _, g := range c.Upstreams {
		known[g.Name] = len(g.Hops) > 0
	}
	for i := range c.Routes {
		c.validateRoute(d, fmt.Sprintf("routes[%d]", i), &c.Routes[i], known)
	}
	_, found := route.Compile(c.Routes)
	for _, f := range found {
		path := fmt.Sprintf("routes[%d]", f.Rule)
		if f.Key != "" {
			path += "." + f.Key
		}
		if f.Severity == route.Error {
			d.problem(path, "%s", f.Text)
		} else {
			d.doubts = append(d.doubts, doubt{path, f.Text})
		}
	}
}

// doubt is a warning that was found while checking.
type doubt struct{ path, text string }

// validateRoute checks the names of a rule; known says which upstreams can be sent to.
func (c *Config) validateRoute(d *decoder, path string, r *route.Rule, known map[string]bool) {
	if d.at[path+".match"] == nil && r.From == nil {
		d.problem(path, "missing match; write match: \".*\" for every user")
	}
	switch hops, is := known[r.To]; {
	case r.To == "":
	case !is:
		d.problem(path+".to", "no upstream %q%s", r.To, suggest(r.To, known))
	case !hops:
		d.problem(path+".to", "upstream %s has no hops to send to", r.To)
	}
	if dom := c.Domain(r.Match.Domain); dom != nil {
		r.Match.Domain = dom.Name // an alias means its domain
	} else if r.Match.Domain != "" {
		d.problem(path+".match.domain", "%s is none of our domains", r.Match.Domain)
	}
	delete(known, route.Location)
	defer func() { known[route.Location] = true }()
	senders := slices.Clone(r.From)
	for _, p := range r.Match.Source {
		if p.Upstream != "" {
			senders = append(senders, p.Upstream)
		}
	}
	for j, name := range senders {
		if _, is := known[name]; is || name == route.Users {
			continue
		}
		at := fmt.Sprintf("%s.from[%d]", path, j)
		if j >= len(r.From) {
			at = path + ".match.source"
		} else if d.at[at] == nil {
			at = path + ".from"
		}
		d.problem(at, "no upstream %q%s", name, suggest(name, known))
	}
}
