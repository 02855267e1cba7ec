package route

import (
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
)

// compiler makes a table and notes what is wrong on the way.
type compiler struct {
	table *Table
	conds []*condition
	found []Finding
	rule  int
}

func (c *compiler) errorf(key, text string) {
	c.found = append(c.found, Finding{c.rule, key, Error, text})
}
func (c *compiler) warningf(key, text string) {
	c.found = append(c.found, Finding{c.rule, key, Warning, text})
}

// Compile prepares rules and tells what is wrong with them, in their order. The table is complete: a rule that
// cannot be compiled fits nothing. One with an Error among its findings is not to be used.
func Compile(rules []Rule) (*Table, []Finding) {
	t := &Table{routes: make([]Route, len(rules)), upstreams: map[string]*index{}}
	c := &compiler{table: t, conds: make([]*condition, len(rules))}
	for i := range rules {
		c.rule = i
		r := &t.routes[i]
		r.Rule, r.Index = rules[i], i
		r.cond = c.condition(&r.Rule)
		c.conds[i] = r.cond
		c.action(r)
		c.rewrite(r)
	}
	var m methods
	for _, cond := range c.conds {
		m.add(cond.methods)
	}
	k := newKinds(c.conds)
	t.users = newIndex(c.conds, &m, k)
	for i, cond := range c.conds {
		if cond.senders.users {
			t.users.add(i)
		}
		for _, name := range cond.senders.upstreams {
			if t.upstreams[name] == nil {
				t.upstreams[name] = newIndex(c.conds, &m, k)
			}
			t.upstreams[name].add(i)
		}
	}
	t.users.finish()
	for _, ix := range t.upstreams {
		ix.finish()
	}
	t.setMarks()
	c.compare(rules)
	slices.SortStableFunc(c.found, func(a, b Finding) int { return a.Rule - b.Rule })
	return t, c.found
}

// condition compiles what a rule asks.
func (c *compiler) condition(r *Rule) *condition {
	m := &r.Match
	cond := &condition{
		methods: m.Method, prefix: m.Prefix, source: slices.Clone(m.Source), domain: hostKey(m.Domain), senders: sendersOf(r),
	}
	ok := true
	for i := range cond.source {
		p := &cond.source[i]
		p.Net = p.Net.Masked()
		if *p == (Peer{}) {
			c.errorf("match.source", "an entry that names nothing; write a transport, an upstream or a network")
			ok = false
		}
	}
	user, good := c.pattern("match.user", m.User)
	ok = ok && good
	if user != nil {
		cond.user = user.run
	}
	caller, good := c.pattern("match.caller", m.Caller)
	ok = ok && good
	if caller != nil {
		cond.caller = caller.run
		c.table.uses.Caller = true
	}
	for _, h := range m.Header {
		p, good := c.pattern("match.header."+h.Name, h.Pattern)
		ok = ok && good
		cond.header = append(cond.header, headerCond{h.Name, p})
		c.table.uses.Header = true
	}
	cond.regexps = [2]*pattern{user, caller}
	if ok {
		cond.keys = keysOf(m.Prefix, user)
		c.consistent(r, cond)
	}
	return cond
}

func (c *compiler) pattern(key, text string) (p *pattern, ok bool) {
	if text == "" {
		return nil, true
	}
	p, err := compilePattern(text)
	if err != nil {
		c.errorf(key, err.Error()+"; write a regular expression (RE2) such as ^[0-9]+$")
		return nil, false
	}
	return p, true
}

// keysOf is what a user must begin with: what both say.
func keysOf(prefix string, user *pattern) []string {
	if user == nil {
		return shortest([]string{prefix})
	}
	var both []string
	for _, k := range user.keys() {
		switch {
		case strings.HasPrefix(k, prefix):
			both = append(both, k)
		case strings.HasPrefix(prefix, k):
			both = append(both, prefix)
		}
	}
	return shortest(both)
}

// senders is whose requests a rule can be for.
type senders struct {
	users     bool
	upstreams []string
}

// sendersOf puts Rule.From and Match.Source together: an upstream must be named by
// one of them, and a source that is given must let it through.
func sendersOf(r *Rule) (s senders) {
	others := len(r.Match.Source) == 0 // somebody not named in Source may fit it
	var named []string
	for _, p := range r.Match.Source {
		if p.Upstream == "" {
			others = true
		} else {
			named = append(named, p.Upstream)
		}
	}
	if len(r.From) == 0 {
		return senders{others, unique(named)}
	}
	for _, name := range r.From {
		switch {
		case name == Users:
			s.users = others
		case others || slices.Contains(named, name):
			s.upstreams = append(s.upstreams, name)
		}
	}
	s.upstreams = unique(s.upstreams)
	return s
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}

// action checks what a rule does.
func (c *compiler) action(r *Route) {
	rej := &r.Reject
	switch {
	case rej.Status == 0 && rej.Reason != "":
		c.errorf("reject", "a reason without a status; write such as 403 "+rej.Reason)
	case rej.Status == 0 && r.To == "":
		c.errorf("", "does nothing; add to: an upstream or location, or reject: a status")
	case rej.Status != 0 && r.To != "":
		c.errorf("reject", "stands beside to; a rule does one of them")
	case rej.Status != 0 && (rej.Status < 400 || rej.Status > 699):
		c.errorf("reject", "a status from 400 to 699 refuses a request (RFC 3261 §21)")
	case r.Always && (r.To == "" || r.To == Location):
		c.warningf("always", "means something only where to names an upstream")
	}
	if !oneLine(rej.Reason) {
		c.errorf("reject", "the reason has control characters")
	}
	if rej.Status == 0 {
		return
	}
	reason := rej.Reason
	if reason == "" {
		reason = sip.StatusText(rej.Status)
	}
	r.Refusal = sip.Refuse(rej.Status, reason)
}

func oneLine(s string) bool { return plain(strings.ReplaceAll(s, "\t", " ")) }
