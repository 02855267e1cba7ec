package route

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
)

// Call is a request that never was: what `route test` asks about.
type Call struct {
	// From and To are a user, a number, user@domain or a URI; without a domain they are in the first of ours.
	From, To string
	// Source is who sends it: an upstream, a transport, an address, or several of these
	// set off by blanks or commas. "": a user over WebSocket.
	Source     string
	Method     string // "": INVITE
	Headers    []HeaderLine
	Registered bool // the callee is registered with us
}

// Site is what an explanation needs to know of the rest of the configuration.
type Site struct {
	Domain string // the first of ours
	// Ours is the domain of ours that a host stands for.
	Ours func(host string, port uint16) (domain string, ok bool)
	// Upstream is what is known of an upstream.
	Upstream func(name string) (Upstream, bool)
	// UpstreamOf is the upstream that an address belongs to, "" for none. Optional.
	UpstreamOf func(netip.Addr) string
	// Scrubbed says which headers of a user's never leave. Optional.
	Scrubbed func(name string) bool
}

// Upstream is what the way to an upstream does to a request.
type Upstream struct {
	Host    string // "host[:port]" of its first hop that the Request-URI gets; "": it keeps its own
	Trusted bool   // it is told who the caller is
}

// Explanation is what becomes of a Call and why.
type Explanation struct {
	Route *Route // that wins; nil: none fits
	Steps []Step // the rules up to the one that wins, or all
	// To is the upstream it goes to, or Location; "": it is answered with Status and Reason.
	To      string
	Status  int
	Reason  string
	Note    string       // why To is not what the rule says, "" where it is
	URI     string       // Request-URI it leaves with; a registered user's becomes his Contact
	From    string       // value of From
	Headers []HeaderLine // of the call's those that stay, and those put in
}

// Step is one rule that was asked.
type Step struct {
	Rule int
	Name string
	Line int
	Why  string // its first condition that does not hold; "": it fits
}

var errNoUser = errors.New("names no user; write such as +4930123, alice or sip:alice@example.com")

// Explain says what the rules do with a call. The error is about the call.
func (t *Table) Explain(site *Site, call *Call) (*Explanation, error) {
	from, err := address(call.From, site.Domain)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	to, err := address(call.To, site.Domain)
	if err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	f := Facts{Method: call.Method, User: UserOf(&to), Header: call.header, Domain: site.Domain}
	if f.Method == "" {
		f.Method = "INVITE"
	}
	if f.User == "" {
		return nil, fmt.Errorf("to: %q %w", call.To, errNoUser)
	}
	if f.Source, err = source(call.Source, site); err != nil {
		return nil, err
	}
	e := &Explanation{URI: to.String(), From: "<" + from.String() + ">"}
	f.Caller = CallerOf(e.From)
	if !to.IsSIP() {
		e.Status, e.Reason, e.Note = 416, sip.StatusText(416), "a Request-URI is sip or sips; write the number alone" // RFC 3261 §8.2.2.1
		return e, nil
	}
	domain, ours := site.Ours(to.Host, to.Port)
	if !ours {
		e.Status, e.Reason, e.Note = 403, "Forbidden: not a domain of this server", to.Host+" is none of our domains; no rule is asked"
		return e, nil
	}
	f.Domain = domain
	e.decide(t, &f, call)
	e.leave(site, &to, &f, call)
	return e, nil
}

// header is Facts.Header.
func (c *Call) header(name string) (values []string) {
	for _, h := range c.Headers {
		if sameName(h.Name, name) {
			values = append(values, h.Value)
		}
	}
	return values
}

// address makes a URI of what people write.
func address(s, domain string) (sip.URI, error) {
	if s == "" {
		return sip.URI{}, errNoUser
	}
	text := s
	scheme, _, _ := strings.Cut(strings.ToLower(s), ":")
	if scheme != "sip" && scheme != "sips" && scheme != "tel" {
		user, host, at := strings.Cut(s, "@")
		if !at {
			host = domain
		}
		text = "sip:" + user + "@" + host
		if strings.IndexByte(user, '%') < 0 {
			text = "sip:" + escape(user) + "@" + host
		}
	}
	u, err := sip.ParseURI(text)
	if err != nil {
		return u, fmt.Errorf("%q is no address: %w", s, err)
	}
	return u, nil
}

// source reads Call.Source.
func source(s string, site *Site) (Source, error) {
	var src Source
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
		if t := sip.ParseTransport(word); t != 0 {
			src.Transport = t
		} else if a, err := netip.ParseAddr(word); err == nil {
			src.Addr = a.Unmap()
		} else if _, ok := site.Upstream(word); ok {
			src.Upstream = word
		} else {
			return src, fmt.Errorf("source: %q is neither an upstream nor a transport nor an address", word)
		}
	}
	if src.Upstream == "" && src.Addr.IsValid() && site.UpstreamOf != nil && !src.Transport.WebSocket() {
		src.Upstream = site.UpstreamOf(src.Addr)
	}
	if src.Transport == 0 {
		if src.Transport = sip.WSS; src.Upstream != "" {
			src.Transport = sip.UDP
		}
	}
	src.Authenticated = src.Upstream == ""
	return src, nil
}

// decide finds the rule, and where the call goes by it.
func (e *Explanation) decide(t *Table, f *Facts, call *Call) {
	e.Route = t.Decide(f)
	for i := range t.routes {
		r := &t.routes[i]
		if r == e.Route {
			e.Steps = append(e.Steps, Step{i, r.Name, r.Line, ""})
			break
		}
		e.Steps = append(e.Steps, Step{i, r.Name, r.Line, r.Misses(f)})
	}
	switch {
	case e.Route != nil && e.Route.Refusal != nil:
		e.Status, e.Reason = e.Route.Refusal.Code, e.Route.Refusal.Reason
	case e.Route != nil && e.Route.To != Location && (e.Route.Always || !call.Registered):
		e.To = e.Route.To
	case e.Route != nil && e.Route.To != Location:
		e.To, e.Note = Location, "the callee is registered, and the rule is not always"
	case call.Registered:
		e.To = Location
	default:
		e.Status, e.Reason = 480, sip.StatusText(480)
		if e.Route == nil {
			e.Note = "no rule fits, and the callee is not registered; 404 if there is no such user"
		}
	}
}

// leave says what the request looks like behind us.
func (e *Explanation) leave(site *Site, to *sip.URI, f *Facts, call *Call) {
	e.Headers = slices.Clone(call.Headers)
	if e.To == "" {
		e.URI, e.From, e.Headers = "", "", nil
		return
	}
	if f.Source.Upstream == "" && site.Scrubbed != nil {
		e.Headers = slices.DeleteFunc(e.Headers, func(h HeaderLine) bool { return site.Scrubbed(h.Name) })
	}
	if e.Note != "" {
		return // as if there were no rule
	}
	if e.Route == nil {
		return
	}
	up, upstream := Upstream{}, e.To != Location
	if upstream {
		up, _ = site.Upstream(e.To)
	}
	if uri := e.Route.RequestURI(to, site.Domain, up.Host != ""); uri != "" {
		e.URI = uri
	}
	if up.Host != "" {
		e.URI = Toward(e.URI, up.Host)
	}
	if upstream {
		e.change(site, f, up.Trusted)
	}
}

func (e *Explanation) change(site *Site, f *Facts, trusted bool) {
	req := Request{From: e.From}
	for _, h := range e.Headers {
		if sameName(h.Name, "Privacy") {
			req.Privacy = append(req.Privacy, h.Value)
		}
	}
	if u, err := sip.ParseURI("sip:" + f.Caller); err == nil && trusted && f.Source.Upstream == "" {
		if _, ours := site.Ours(u.Host, u.Port); ours {
			req.Identity = f.Caller
		}
	}
	c := e.Route.Change(&req)
	if c.From != "" {
		e.From = c.From
	}
	e.Headers = slices.DeleteFunc(e.Headers, func(h HeaderLine) bool { return c.removes(h.Name) })
	e.Headers = append(e.Headers, c.Add...)
}

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
