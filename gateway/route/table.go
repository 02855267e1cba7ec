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
	Domain string // of the Request-URI
	User   string // as UserOf gives it
	Caller string // From's user@host, host in lower case; needed only where Table.Uses says so
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

// Uses says which facts that cost something the rules ask for.
type Uses struct{ Caller, Header bool }

// Route is a compiled rule.
type Route struct {
	Rule
	Index int // in the list

	// Refusal is the answer of a rule that rejects; nil otherwise.
	Refusal *sip.StatusError

	cond    *condition
	replace *regexp.Regexp // Match.User again, for Rewrite.Replace
	mark    uint32
}

// Table is compiled rules; it never changes.
type Table struct {
	routes []Route
	uses   Uses
	// Who sends decides first: a rule for users is none for upstreams.
	users     *index
	upstreams map[string]*index
	marks     map[uint32]*Route
}

// Uses says what Decide needs to be told.
func (t *Table) Uses() Uses { return t.uses }

// Len is the number of rules.
func (t *Table) Len() int { return len(t.routes) }

// Decide is the first rule that fits, nil for none: then only registered users can
// be reached. It allocates nothing, whatever the rules (but what f.Header does).
func (t *Table) Decide(f *Facts) *Route {
	ix := t.users
	if f.Source.Upstream != "" {
		ix = t.upstreams[f.Source.Upstream]
	}
	if ix == nil || !plain(f.User) {
		return nil
	}
	i := ix.first(f)
	if i < 0 {
		return nil
	}
	return &t.routes[i]
}

// plain reports whether a user has no control characters: nobody dials such, and "."
// in a pattern would not fit them.
func plain(user string) bool {
	for i := 0; i < len(user); i++ {
		if user[i] < ' ' || user[i] == 0x7f {
			return false
		}
	}
	return true
}

// condition is what of a rule is asked when a request is routed, the cheap parts first.
type condition struct {
	methods []string
	prefix  string
	user    matcher // nil: any
	source  []Peer
	caller  matcher
	header  []headerCond

	// What only compiling needs.
	domain  string
	senders senders
	keys    []string // each user that fits begins with one of them; none: none fits
	regexps [2]*pattern
}

// fits reports whether all holds but what the index has seen to: sender and domain, and
// what s says.
func (c *condition) fits(f *Facts, s sure) bool {
	switch {
	case len(c.methods) > 0 && !slices.Contains(c.methods, f.Method),
		!strings.HasPrefix(f.User, c.prefix),
		s&sureUser == 0 && c.user != nil && !c.user.MatchString(f.User),
		len(c.source) > 0 && !sentBy(c.source, &f.Source),
		s&sureCaller == 0 && c.caller != nil && !c.caller.MatchString(f.Caller):
		return false
	}
	for i := range c.header {
		if !c.header[i].fits(f) {
			return false
		}
	}
	return true
}

func sentBy(peers []Peer, s *Source) bool {
	for i := range peers {
		if peers[i].is(s) {
			return true
		}
	}
	return false
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

type headerCond struct {
	name    string
	pattern *pattern // nil: any value
}

func (h *headerCond) fits(f *Facts) bool {
	if f.Header == nil {
		return false
	}
	for _, v := range f.Header(h.name) {
		if h.pattern == nil || h.pattern.run.MatchString(v) {
			return true
		}
	}
	return false
}

// hostKey is the form in which domains are compared.
func hostKey(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
