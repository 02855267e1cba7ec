package route

import (
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// consistent looks for conditions of one rule that exclude each other, and for lists
// that were written and are empty.
func (c *compiler) consistent(r *Rule, cond *condition) {
	m := &r.Match
	c.empty("match.source", m.Source != nil && len(m.Source) == 0)
	c.empty("match.method", m.Method != nil && len(m.Method) == 0)
	c.empty("match.header", m.Header != nil && len(m.Header) == 0)
	c.empty("from", r.From != nil && len(r.From) == 0)
	switch user := cond.regexps[0]; {
	case len(cond.keys) > 0:
	case user != nil && len(user.keys()) == 0:
		c.errorf("match.user", "fits nothing")
	default:
		c.errorf("match.prefix", "can never match: no user begins with "+quote(m.Prefix)+" and fits "+m.User+"; drop one of them")
	}
	if !cond.senders.users && len(cond.senders.upstreams) == 0 {
		c.errorf("match.source", "can never match: from and source exclude each other; drop one of them")
	}
	c.doubtful(m, cond)
	for _, name := range m.Method {
		c.method(name)
	}
	for _, h := range m.Header {
		if !token(h.Name) {
			c.errorf("match.header", quote(h.Name)+" is no name of a header")
		}
	}
}

func (c *compiler) empty(key string, is bool) {
	if is {
		c.errorf(key, "an empty list; leave the key out, or say what is meant")
	}
}

// doubtful warns of patterns that probably say something else than meant.
func (c *compiler) doubtful(m *Match, cond *condition) {
	if p := cond.regexps[0]; p != nil && m.Prefix == "" && dialled(p.tree) {
		c.warningf("match.user", "fits numbers that have "+m.User+" anywhere; write ^"+m.User+" for those that begin with it")
	}
	if i := strings.IndexByte(m.Prefix, '%'); i >= 0 && len(m.Prefix) > i+2 {
		c.warningf("match.prefix", "escapes are undone before a user is looked at; write the characters themselves")
	}
	c.numbers(m)
	c.caller(m, cond)
	if !plain(m.Prefix) {
		c.errorf("match.prefix", "has control characters; no user has")
	}
}

// numbers warns of users that no number is.
func (c *compiler) numbers(m *Match) {
	if cut := strings.NewReplacer("-", "", ".", "", "(", "", ")", "", " ", "").Replace(m.Prefix); cut != m.Prefix && number(cut) {
		c.warningf("match.prefix", "separators are cut from numbers before they are looked at; write "+cut)
	}
	for _, k := range [...]struct{ key, text string }{{"match.prefix", m.Prefix}, {"match.user", strings.TrimPrefix(m.User, "^")}} {
		if rest, is := withoutScheme(k.text); is {
			c.warningf(k.key, "a user has no scheme before it; write "+rest)
		} else if at := strings.IndexByte(k.text, '@'); at >= 0 {
			c.warningf(k.key, "a user ends before '@', and its domain is a condition of its own; write "+k.text[:at]+" here and the rest into domain")
		}
	}
}

// withoutScheme cuts "sip:", "sips:" or "tel:" off.
func withoutScheme(s string) (rest string, is bool) {
	for _, scheme := range []string{"sip:", "sips:", "tel:"} {
		if len(s) >= len(scheme) && sip.EqualFold(s[:len(scheme)], scheme) {
			return s[len(scheme):], true
		}
	}
	return s, false
}

// caller warns of patterns that no user@host, its host in lower case, fits.
func (c *compiler) caller(m *Match, cond *condition) {
	p := cond.regexps[1]
	if p == nil {
		return
	}
	if rest, is := withoutScheme(strings.TrimPrefix(m.Caller, "^")); is {
		c.warningf("match.caller", "a caller is user@host without a scheme; write ^"+rest)
		return
	}
	if at := strings.LastIndexByte(m.Caller, '@'); at >= 0 && !p.all {
		if _, host := capitals(p.tree, false); host {
			c.warningf("match.caller", "hosts are compared in lower case; write "+m.Caller[:at]+strings.ToLower(m.Caller[at:]))
		}
		return
	}
	if re := p.tree; re.Op == syntax.OpConcat && re.Sub[0].Op == syntax.OpBeginText && re.Sub[len(re.Sub)-1].Op == syntax.OpEndText && !mayHold(re, '@') {
		c.warningf("match.caller", "a caller is user@host, so only tel: numbers can fit; write "+strings.TrimSuffix(m.Caller, "$")+"@")
	}
}

// capitals reports whether an expression asks for upper-case letters behind an '@'.
func capitals(re *syntax.Regexp, behind bool) (at, found bool) {
	if re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase == 0 {
		for _, r := range re.Rune {
			found = found || behind && 'A' <= r && r <= 'Z'
			behind = behind || r == '@'
		}
	}
	for _, s := range re.Sub {
		var is bool
		behind, is = capitals(s, behind)
		found = found || is
	}
	return behind, found
}

// mayHold reports whether a text that fits can have r in it.
func mayHold(re *syntax.Regexp, r rune) bool {
	switch re.Op {
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return true
	case syntax.OpLiteral:
		return slices.Contains(re.Rune, r)
	case syntax.OpCharClass:
		for i := 0; i < len(re.Rune); i += 2 {
			if re.Rune[i] <= r && r <= re.Rune[i+1] {
				return true
			}
		}
	}
	return slices.ContainsFunc(re.Sub, func(s *syntax.Regexp) bool { return mayHold(s, r) })
}

// dialled reports whether an expression begins as a number does and has no anchors.
func dialled(re *syntax.Regexp) bool {
	first := re
	for first.Op == syntax.OpConcat || first.Op == syntax.OpCapture || first.Op == syntax.OpPlus {
		first = first.Sub[0]
	}
	if (first.Op != syntax.OpLiteral && first.Op != syntax.OpCharClass) || len(first.Rune) == 0 {
		return false
	}
	if last := re.Sub; re.Op == syntax.OpConcat && last[len(last)-1].Op == syntax.OpEndText {
		return false // "0$" means the end
	}
	for _, r := range first.Rune {
		if r != '+' && (r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// method warns of methods that no rule is asked for and that nobody knows.
func (c *compiler) method(name string) {
	const known = " INVITE OPTIONS BYE MESSAGE SUBSCRIBE NOTIFY REFER INFO UPDATE PRACK PUBLISH "
	switch {
	case !token(name):
		c.errorf("match.method", quote(name)+" is no method")
	case name == "ACK" || name == "CANCEL":
		c.warningf("match.method", name+" goes the way of its INVITE; no rule is asked")
	case name == "REGISTER":
		c.warningf("match.method", "REGISTER goes to the registrar; no rule is asked")
	case strings.Contains(known, " "+name+" "):
	case strings.Contains(known, " "+strings.ToUpper(name)+" "):
		c.warningf("match.method", "methods are told apart by case (RFC 3261 §7.1); write "+strings.ToUpper(name))
	default:
		c.warningf("match.method", "unknown method "+name)
	}
}

// token is the production of RFC 3261 §25.1.
func token(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~") == ""
}

// compare looks for rules that an earlier one leaves nothing to, and names used twice.
func (c *compiler) compare(rules []Rule) {
	names := map[string]int{}
	for i := range rules {
		c.rule = i
		if name := rules[i].Name; name != "" {
			if first, taken := names[name]; taken {
				c.errorf("name", quote(name)+" is the name of "+refer(rules, first)+" already")
			} else {
				names[name] = i
			}
		}
		b := c.conds[i]
		if len(b.keys) == 0 || !b.senders.users && len(b.senders.upstreams) == 0 {
			continue // said already
		}
		for j := range i {
			a := c.conds[j]
			if !a.covers(b) {
				continue
			}
			if b.covers(a) {
				c.errorf("match", "the conditions are those of "+refer(rules, j)+"; drop one of the rules")
			} else {
				c.errorf("match", "can never match: "+refer(rules, j)+" takes all of it before; move this one up, or drop it")
			}
			break
		}
	}
}

// refer names a rule in a message.
func refer(rules []Rule, i int) string {
	s := "routes[" + strconv.Itoa(i) + "]"
	if rules[i].Name != "" {
		s += " (" + rules[i].Name + ")"
	}
	if rules[i].Line > 0 {
		s += " in line " + strconv.Itoa(rules[i].Line)
	}
	return s
}

func quote(s string) string { return strconv.Quote(s) }

// covers reports whether a surely fits whatever b fits; where that cannot be told it says no.
func (a *condition) covers(b *condition) bool {
	switch {
	case len(a.keys) == 0, a.domain != "" && a.domain != b.domain, !a.senders.covers(&b.senders),
		len(a.methods) > 0 && (len(b.methods) == 0 || !subset(b.methods, a.methods)),
		!a.sourceCovers(b), !a.userCovers(b):
		return false
	}
	if p, q := a.regexps[1], b.regexps[1]; p != nil && !p.all && (q == nil || q.text != p.text) {
		return false
	}
	for _, h := range a.header {
		if !slices.ContainsFunc(b.header, h.covers) {
			return false
		}
	}
	return true
}

func (s *senders) covers(o *senders) bool {
	return (s.users || !o.users) && subset(o.upstreams, s.upstreams)
}

func subset(part, all []string) bool {
	return !slices.ContainsFunc(part, func(s string) bool { return !slices.Contains(all, s) })
}

func (a *condition) sourceCovers(b *condition) bool {
	if len(a.source) == 0 {
		return true
	}
	return len(b.source) > 0 && !slices.ContainsFunc(b.source, func(q Peer) bool {
		return !slices.ContainsFunc(a.source, func(p Peer) bool { return p.covers(&q) })
	})
}

func (p *Peer) covers(q *Peer) bool {
	switch {
	case p.Upstream != "" || q.Upstream != "":
		return p.Upstream == q.Upstream
	case p.Transport != 0 || q.Transport != 0:
		return p.Transport == q.Transport || p.Transport == sip.WS && q.Transport == sip.WSS
	}
	return p.Net.Bits() <= q.Net.Bits() && p.Net.Contains(q.Net.Addr())
}

func (h *headerCond) covers(o headerCond) bool {
	return sameName(h.name, o.name) &&
		(h.pattern == nil || o.pattern != nil && (h.pattern.text == o.pattern.text || h.pattern.all))
}

func (a *condition) userCovers(b *condition) bool {
	if !strings.HasPrefix(b.prefix, a.prefix) &&
		slices.ContainsFunc(b.keys, func(k string) bool { return !strings.HasPrefix(k, a.prefix) }) {
		return false
	}
	p, q := a.regexps[0], b.regexps[0]
	switch {
	case p == nil || p.some || q != nil && q.text == p.text:
		return true
	case p.dial == nil:
		return false
	case q != nil && q.dial != nil && p.dial.covers(q.dial):
		return true
	}
	begins := func(key string) bool {
		d := dialOfPrefix(key)
		return d != nil && p.dial.covers(d)
	}
	return begins(b.prefix) || !slices.ContainsFunc(b.keys, func(k string) bool { return !begins(k) })
}
