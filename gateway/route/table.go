package route

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
)

// Facts are what rules look at in a request.
type Facts struct {
	Method string
	Domain string // of the Request-URI, in lower case
	User   string // as UserOf gives it
	Caller string // From's user@host, host in lower case; asked for only where Table.Uses says so
	Source Source
	// Header is all values of the lines of that name; nil: there are none.
	Header func(name string) []string
}

// Source is who sent a request.
type Source struct {
	Upstream      string // "" for a user
	Addr          netip.Addr
	Transport     sip.Transport
	Authenticated bool
}

// Table is compiled rules; it never changes.
type Table struct {
	rules []compiled
	uses  Uses
}

// Uses says which facts that cost something the rules ask for.
type Uses struct{ Caller, Header bool }

type matcher interface{ MatchString(string) bool }

type compiled struct {
	Rule
	domain string
	user   matcher // nil: any
	caller matcher
	header []headerCond
	dead   bool // a condition does not compile
}

type headerCond struct {
	name    string
	pattern matcher // nil: any value
}

// Compile prepares rules; a rule of which a finding is an Error matches nothing or not what it should.
func Compile(rules []Rule) (*Table, []Finding) {
	t := &Table{rules: make([]compiled, len(rules))}
	var found []Finding
	for i := range rules {
		c := &t.rules[i]
		c.Rule = rules[i]
		c.domain = hostKey(c.Match.Domain)
		pattern := func(key, s string) matcher {
			if s == "" {
				return nil
			}
			m, err := CompileUser(s)
			if err != nil {
				c.dead = true
				found = append(found, Finding{i, key, Error, err.Error() + "; write a regular expression (RE2) such as ^[0-9]+$"})
			}
			return m
		}
		c.user = pattern("match.user", c.Match.User)
		c.caller = pattern("match.caller", c.Match.Caller)
		for _, h := range c.Match.Header {
			c.header = append(c.header, headerCond{h.Name, pattern("match.header."+h.Name, h.Pattern)})
			t.uses.Header = true
		}
		t.uses.Caller = t.uses.Caller || c.caller != nil
	}
	return t, found
}

// Uses says what Decide needs to be told.
func (t *Table) Uses() Uses { return t.uses }

// CompileUser prepares one pattern. Dial patterns of the usual kind, such as
// ^[0-9]+$ or ^00, become a comparison byte by byte; the rest stay regular expressions.
func CompileUser(pattern string) (interface{ MatchString(string) bool }, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if d := dialPattern(pattern); d != nil {
		return d, nil
	}
	return re, nil
}

// Decide is the first rule that fits, nil for none: then only registered users can be reached.
func (t *Table) Decide(f *Facts) *Rule {
	for i := range t.rules {
		if c := &t.rules[i]; c.fits(f) {
			return &c.Rule
		}
	}
	return nil
}

func (c *compiled) fits(f *Facts) bool {
	switch {
	case c.dead, !c.admits(f.Source.Upstream), c.domain != "" && c.domain != f.Domain,
		!strings.HasPrefix(f.User, c.Match.Prefix), c.user != nil && !c.user.MatchString(f.User),
		len(c.Match.Method) > 0 && !slices.Contains(c.Match.Method, f.Method),
		len(c.Match.Source) > 0 && !slices.ContainsFunc(c.Match.Source, func(p Peer) bool { return p.is(&f.Source) }),
		c.caller != nil && !c.caller.MatchString(f.Caller):
		return false
	}
	for i := range c.header {
		if !c.header[i].fits(f) {
			return false
		}
	}
	return true
}

// admits reports whether the rule is for requests of an upstream, or with "" of users.
func (c *compiled) admits(upstream string) bool {
	if len(c.From) > 0 {
		if upstream == "" {
			return slices.Contains(c.From, Users)
		}
		return slices.Contains(c.From, upstream)
	}
	return upstream == "" || slices.ContainsFunc(c.Match.Source, func(p Peer) bool { return p.Upstream == upstream })
}

func (p *Peer) is(s *Source) bool {
	switch {
	case p.Upstream != "":
		return p.Upstream == s.Upstream
	case p.Transport != 0:
		return p.Transport == s.Transport || p.Transport == sip.WS && s.Transport == sip.WSS
	}
	return p.Net.Contains(s.Addr.Unmap())
}

func (h *headerCond) fits(f *Facts) bool {
	if f.Header == nil {
		return false
	}
	for _, v := range f.Header(h.name) {
		if h.pattern == nil || h.pattern.MatchString(v) {
			return true
		}
	}
	return false
}

// hostKey is the form in which domains are compared.
func hostKey(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
