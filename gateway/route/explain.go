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
	// ByHost is the upstream that a host is a hop of, "" for none. Optional.
	ByHost func(host string) string
	// Keeps is the upstream that keeps the users of a domain of ours, "" when they register here. Optional.
	Keeps func(domain string) string
	// User reports whether somebody who registers here has that name, escapes undone. Optional.
	User func(user, domain string) bool
	// UpstreamOf is the upstream that an address belongs to, "" for none. Optional.
	UpstreamOf func(netip.Addr) string
	// Scrubbed says which headers of a user's never leave, or not to an upstream. Optional.
	Scrubbed func(name string, upstream bool) bool
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
	x := explaining{Explanation: e, table: t, site: site, call: call, to: &to, f: &f}
	switch {
	case to.Headers != "":
		e.answer(400, "Bad Request: headers in Request-URI", "a Request-URI has nothing after '?' (RFC 3261 §19.1.1)")
	case !to.IsSIP():
		e.answer(416, "", "a Request-URI is sip or sips; write the number alone") // RFC 3261 §8.2.2.1
	default:
		if caller, ok := x.admit(&from); ok {
			x.decide(caller)
		}
	}
	if e.To == "" {
		e.URI, e.From = "", ""
		return e, nil
	}
	x.leave()
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

// explaining is one question being answered, by the same steps as the gateway takes.
type explaining struct {
	*Explanation
	table *Table
	site  *Site
	call  *Call
	to    *sip.URI
	f     *Facts
	by    *Route // what it leaves by; nil: the Request-URI as it stands
}

// asIs is a rule that changes nothing.
var asIs Route

func (e *Explanation) answer(status int, reason, note string) {
	if reason == "" {
		reason = sip.StatusText(status)
	}
	e.Status, e.Reason, e.Note = status, reason, note
}

func (s *Site) keeps(domain string) string {
	if s.Keeps == nil {
		return ""
	}
	return s.Keeps(domain)
}

// admit is whether a sender may write such a From, and of which domain of ours he is: "" for an upstream.
func (x *explaining) admit(from *sip.URI) (domain string, ok bool) {
	if x.f.Source.Upstream != "" {
		return "", true
	}
	if sip.EqualFold(from.Host, "anonymous.invalid") { // RFC 3323 §4.1.1.3: known by his connection
		return x.site.Domain, true
	}
	domain, ours := x.site.Ours(from.Host, from.Port)
	switch {
	case !ours || !from.IsSIP() || from.User == "":
		reason := "Forbidden: From is no user of a domain of ours"
		if x.f.Source.Transport == sip.UDP {
			reason = "Forbidden: neither a user of ours nor a known upstream"
		}
		x.answer(403, reason, "users call as users of our domains, no rule is asked; say which upstream sends it with --source")
		return "", false
	case x.site.keeps(domain) == "" && x.site.User != nil && !x.site.User(unescape(from.User), domain):
		x.answer(403, "Forbidden: credentials are not those of the user in From", "there is no user "+unescape(from.User)+"@"+domain+"; no rule is asked")
		return "", false
	}
	return domain, true
}

// decide finds the rule, and where the call goes by it. caller is the domain of the user who calls.
func (x *explaining) decide(caller string) {
	host := x.to.Host
	domain, ours := x.site.Ours(host, x.to.Port)
	hop := ""
	if !ours && x.site.ByHost != nil {
		hop = x.site.ByHost(host)
	}
	if keeper := x.site.keeps(caller); caller != "" && keeper != "" {
		x.toRegistrar(caller, keeper, ours || hop == keeper)
		return
	}
	switch {
	case ours:
		x.ask(domain)
		x.local(domain)
	case hop != "" && x.f.Source.Upstream == "":
		x.byHost(hop)
	default:
		x.answer(403, "Forbidden: not a domain of this server", host+" is none of our domains; no rule is asked")
	}
}

// ask finds the rule for a domain, and why those before it do not fit.
func (x *explaining) ask(domain string) {
	x.f.Domain = domain
	x.Route = x.table.Decide(x.f)
	for i := range x.table.routes {
		r := &x.table.routes[i]
		if r == x.Route {
			x.Steps = append(x.Steps, Step{i, r.Name, r.Line, ""})
			break
		}
		x.Steps = append(x.Steps, Step{i, r.Name, r.Line, r.Misses(x.f)})
	}
}

// toRegistrar is a call of a user whom an upstream keeps: it goes there, and rules may only refuse it.
func (x *explaining) toRegistrar(domain, keeper string, may bool) {
	if !may {
		x.answer(403, "Forbidden: this user may call through its registrar only", keeper+" keeps the caller's domain, and "+x.to.Host+" is neither ours nor its; no rule is asked")
		return
	}
	x.ask(domain)
	if x.refused() {
		return
	}
	x.To = keeper
	if x.Route != nil {
		x.Note = "the users of " + domain + " call through " + keeper + ", their registrar; rules can only refuse that"
	}
}

func (x *explaining) refused() bool {
	if x.Route == nil || x.Route.Refusal == nil {
		return false
	}
	x.answer(x.Route.Refusal.Code, x.Route.Refusal.Reason, "")
	return true
}

// local is a call to a domain of ours.
func (x *explaining) local(domain string) {
	rule, keeper := x.Route, x.site.keeps(domain)
	upstream := rule != nil && rule.To != Location
	switch {
	case x.refused():
	case upstream && (rule.Always || keeper == "" && !x.call.Registered):
		x.To, x.by = rule.To, rule
	case keeper != "":
		x.toKept(keeper, upstream)
	case x.call.Registered:
		if x.To = Location; upstream {
			x.Note = "the callee is registered, and the rule is not always"
		} else {
			x.by = rule
		}
	default:
		x.nobody(domain)
	}
}

// toKept is a call to a user whom an upstream keeps, of somebody else than those.
func (x *explaining) toKept(keeper string, upstream bool) {
	switch from := x.f.Source.Upstream; {
	case from == keeper && x.call.Registered:
		if x.To = Location; upstream {
			x.Note = "the callee has registered at " + keeper + " through us, and the rule is not always"
		}
	case upstream:
		x.To, x.by = x.Route.To, x.Route
	case from == keeper:
		x.answer(480, "", "the callee has not registered at "+keeper+" through us")
	default:
		x.To, x.by = keeper, &kept
	}
}

// kept is for a call to somebody whom an upstream keeps: its Request-URI stays.
var kept Route

// nobody is a callee who is not registered.
func (x *explaining) nobody(domain string) {
	note := ""
	if x.Route == nil {
		note = "no rule fits, and the callee is not registered"
	}
	if x.site.User == nil {
		if note != "" {
			note += "; 404 if there is no such user"
		}
		x.answer(480, "", note)
		return
	}
	callee := *x.to
	callee.Host, callee.Port = domain, 0
	if x.Route != nil {
		if v, err := sip.ParseURI(x.Route.RequestURI(&callee, domain, false)); err == nil {
			callee = v
		}
	}
	if x.site.User(unescape(callee.User), domain) {
		x.answer(480, "", note)
		return
	}
	if note != "" {
		note = "no rule fits, and there is no such user"
	}
	x.answer(404, "", note)
}

// byHost is a user's call to a hop's address: the rules are asked as for our first domain.
func (x *explaining) byHost(hop string) {
	x.ask(x.site.Domain)
	switch rule := x.Route; {
	case rule == nil:
		x.Note = x.to.Host + " is a hop of " + hop + ", and no rule says anything else"
	case rule.Refusal != nil || rule.To != hop:
		x.local(x.site.Domain)
		return
	}
	x.To, x.by = hop, &asIs
	x.f.Domain = x.to.Host
}

// leave says what the request looks like behind us.
func (x *explaining) leave() {
	x.Headers = slices.Clone(x.call.Headers)
	upstream := x.To != Location
	up, sender := Upstream{}, Upstream{}
	if upstream {
		up, _ = x.site.Upstream(x.To)
	}
	from := x.f.Source.Upstream
	if from != "" {
		sender, _ = x.site.Upstream(from)
	}
	x.Headers = slices.DeleteFunc(x.Headers, func(h HeaderLine) bool {
		if from != "" && sender.Trusted {
			return upstream && !up.Trusted && sameName(h.Name, "P-Asserted-Identity") // RFC 3325 §5
		}
		return x.site.Scrubbed != nil && x.site.Scrubbed(h.Name, upstream && from == "")
	})
	if x.by == nil {
		return
	}
	if x.by != &kept {
		to := *x.to
		if !upstream {
			to.Host, to.Port = x.f.Domain, 0
		}
		if uri := x.by.RequestURI(&to, x.f.Domain, up.Host != ""); uri != "" {
			x.URI = uri
		}
		if up.Host != "" {
			x.URI = Toward(x.URI, up.Host)
		}
	}
	if upstream {
		x.change(up.Trusted)
	}
}

// change is what the rule does to headers, also where a hop's address was called.
func (x *explaining) change(trusted bool) {
	req := Request{From: x.From}
	for _, h := range x.Headers {
		if sameName(h.Name, "Privacy") {
			req.Privacy = append(req.Privacy, h.Value)
		}
	}
	if u, err := sip.ParseURI("sip:" + x.f.Caller); err == nil && trusted && x.f.Source.Upstream == "" {
		if domain, ours := x.site.Ours(u.Host, u.Port); ours {
			u.Host, u.Port = domain, 0
			req.Identity = u.AOR()
		}
	}
	if trusted && x.f.Source.Upstream == "" && strings.HasSuffix(x.f.Caller, "@anonymous.invalid") && x.Note == "" {
		x.Note = "P-Asserted-Identity names the user who is logged in, whom from does not say"
	}
	by := x.by
	if by == &asIs && x.Route != nil {
		by = x.Route
	}
	c := by.Change(&req)
	if c.From != "" {
		x.From = c.From
	}
	x.Headers = slices.DeleteFunc(x.Headers, func(h HeaderLine) bool { return c.removes(h.Name) })
	x.Headers = append(x.Headers, c.Add...)
}
