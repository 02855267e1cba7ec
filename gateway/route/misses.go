package route

import (
	"slices"
	"strings"
)

// Misses is the first condition of the rule that does not hold, in words; "" when all hold.
func (r *Route) Misses(f *Facts) string {
	m, c := &r.Match, r.cond
	switch {
	case f.Source.Upstream == "" && !c.senders.users:
		return "is for requests of " + strings.Join(c.senders.upstreams, ", ") + ", not of users"
	case f.Source.Upstream != "" && !slices.Contains(c.senders.upstreams, f.Source.Upstream):
		return "does not name " + f.Source.Upstream + " in from"
	case c.domain != "" && c.domain != hostKey(f.Domain):
		return "domain is " + f.Domain + ", not " + c.domain
	case !plain(f.User):
		return "the user has control characters"
	case len(m.Method) > 0 && !slices.Contains(m.Method, f.Method):
		return "method is " + f.Method + ", not " + strings.Join(m.Method, ", ")
	case !strings.HasPrefix(f.User, m.Prefix):
		return "user " + f.User + " does not begin with " + m.Prefix
	case c.user != nil && !c.user.MatchString(f.User):
		return "user " + f.User + " does not fit " + m.User
	case len(c.keys) == 0:
		return "can never match"
	case len(c.source) > 0 && !sentBy(c.source, &f.Source):
		return "source is " + f.Source.String() + ", not " + peers(c.source)
	case c.caller != nil && !c.caller.MatchString(f.Caller):
		return "caller " + f.Caller + " does not fit " + m.Caller
	}
	for i := range c.header {
		h := &c.header[i]
		if h.fits(f) {
			continue
		}
		if f.Header == nil || len(f.Header(h.name)) == 0 {
			return "there is no " + h.name
		}
		return h.name + ": " + strings.Join(f.Header(h.name), ", ") + " does not fit " + h.pattern.text
	}
	return ""
}

// String names a sender.
func (s *Source) String() string {
	words := make([]string, 0, 3)
	if s.Upstream != "" {
		words = append(words, s.Upstream)
	}
	if s.Transport != 0 {
		words = append(words, strings.ToLower(s.Transport.String()))
	}
	if s.Addr.IsValid() {
		words = append(words, s.Addr.String())
	}
	return strings.Join(words, " ")
}

// String is a Peer as a configuration has it.
func (p *Peer) String() string {
	switch {
	case p.Upstream != "":
		return p.Upstream
	case p.Transport != 0:
		return strings.ToLower(p.Transport.String())
	case p.Net.IsSingleIP():
		return p.Net.Addr().String()
	}
	return p.Net.String()
}

func peers(ps []Peer) string {
	words := make([]string, len(ps))
	for i := range ps {
		words[i] = ps[i].String()
	}
	return strings.Join(words, ", ")
}
