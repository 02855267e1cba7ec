package route

import (
	"strings"

	"github.com/ringway/ringway/sip"
)

// RewriteUser is the user that the rule makes of one that it fits, escapes undone. It is never
// empty for one that is not.
func (r *Route) RewriteUser(user string) string {
	w, was := &r.Rewrite, user
	if r.replace != nil {
		if at := r.replace.FindStringSubmatchIndex(user); at != nil {
			user = user[:at[0]] + string(r.replace.ExpandString(nil, w.Replace, user, at)) + user[at[1]:]
		}
	}
	if w.Strip > 0 && w.Strip < len(user) {
		user = user[w.Strip:]
	}
	if w.E164 != (E164{}) {
		user = w.E164.apply(user)
	}
	if user = w.Prefix + user; user == "" {
		return was
	}
	return user
}

// RequestURI is the Request-URI that a request for u leaves with, "" when u stays
// byte for byte. host is what a number without a host (a tel URI) is looked for at
// (RFC 3261 §19.1.6). hop: an upstream's host will be put in the place of u's, and
// what says how to reach u's host must go (transport, maddr, ttl).
func (r *Route) RequestURI(u *sip.URI, host string, hop bool) string {
	v, changed := *u, false
	user := UserOf(u)
	if !u.IsSIP() {
		v = telURI(u, host)
		changed = true
	}
	if now := r.RewriteUser(user); now != user {
		v.User, changed = withUser(&v, now), true
	}
	if hop {
		if p := withoutWay(v.Params); p != v.Params || v.Headers != "" {
			v.Params, v.Headers, changed = p, "", true
		}
	}
	if !changed {
		return ""
	}
	return v.String()
}

// telURI is RFC 3261 §19.1.6: the number with its parameters becomes the user.
func telURI(u *sip.URI, host string) sip.URI {
	number, params, some := strings.Cut(u.Opaque, ";")
	v := sip.URI{Scheme: "sip", User: escape(bare(unescape(number))), Host: host, Params: ";user=phone"}
	if some {
		v.User += ";" + userParams(params)
	}
	return v
}

// userParams are a tel URI's parameters in the alphabet of a user part.
func userParams(s string) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if plainUser(s[i]) || s[i] == '%' {
			b = append(b, s[i])
		} else {
			b = append(b, escape(s[i:i+1])...)
		}
	}
	return string(b)
}

// withUser is the user part of u with another user; a telephone number keeps its parameters, but
// a global one has no context (RFC 3966 §5.1.5).
func withUser(u *sip.URI, user string) string {
	escaped := escape(user)
	_, params, some := strings.Cut(u.User, ";")
	if !some || !phone(u) {
		return escaped
	}
	for p := range strings.SplitSeq(params, ";") {
		name, _, _ := strings.Cut(p, "=")
		if user[0] != '+' || !sip.EqualFold(name, "phone-context") {
			escaped += ";" + p
		}
	}
	return escaped
}

// withoutWay cuts the parameters that say how a host is reached.
func withoutWay(p sip.Params) sip.Params {
	way := func(name string) bool {
		return sip.EqualFold(name, "transport") || sip.EqualFold(name, "maddr") || sip.EqualFold(name, "ttl")
	}
	some := false
	for name := range p.All() {
		some = some || way(unescape(name))
	}
	if !some {
		return p
	}
	var b strings.Builder
	for name, value := range p.All() {
		if way(unescape(name)) {
			continue
		}
		b.WriteString(";" + name)
		if value != "" {
			b.WriteString("=" + value)
		}
	}
	return sip.Params(b.String())
}

// Toward is a Request-URI with the host of an upstream's hop ("host[:port]") in place
// of its own: ruri_host hop.
func Toward(uri, host string) string {
	u, err := sip.ParseURI(uri)
	if err != nil || !u.IsSIP() {
		return uri
	}
	u.Host, u.Port = host, 0
	return u.String()
}

// Request is what a change of headers looks at.
type Request struct {
	From     string   // the header's value
	Privacy  []string // values of all Privacy lines
	Identity string   // AOR to assert to the upstream (RFC 3325 §5), "" for none
}

// Change is what a rule does to the header of a request that leaves by it.
type Change struct {
	From   string // new value, "" keeps
	Remove []string
	Add    []HeaderLine
}

// Change is what the rule does to a request's header. From changes outward only: in
// responses the caller sees its own again (RFC 3261 §8.2.6.2), ACK and CANCEL of the
// INVITE are made from the copy that left and have the new one. Later requests of the caller
// in the dialog are changed by Within.
func (r *Route) Change(req *Request) Change {
	w := &r.Rewrite
	c := Change{Remove: w.Remove}
	c.from(w, req)
	for _, h := range w.Set {
		c.Remove = append(c.Remove[:len(c.Remove):len(c.Remove)], h.Name)
	}
	if req.Identity != "" {
		c.Add = append(c.Add, HeaderLine{"P-Asserted-Identity", w.Asserted.asserted(req.Identity)})
	}
	if v := w.Privacy.value(req.Privacy); v != "" {
		c.Remove = append(c.Remove[:len(c.Remove):len(c.Remove)], "Privacy")
		c.Add = append(c.Add, HeaderLine{"Privacy", v})
	}
	c.Add = append(append(c.Add, w.Set...), w.Add...)
	return c
}

func (c *Change) from(w *Rewrite, req *Request) {
	if w.Privacy != PrivacyID && w.From == (Party{}) {
		return
	}
	a, err := sip.ParseNameAddr(req.From)
	if err != nil {
		return
	}
	if w.Privacy == PrivacyID { // RFC 3323 §4.1.1.3
		a.Display, a.URI = `"Anonymous"`, "sip:anonymous@anonymous.invalid"
	} else {
		w.From.apply(&a)
	}
	c.From = a.String()
}

// apply replaces parts of an address.
func (p *Party) apply(a *sip.NameAddr) {
	if p.Display != "" {
		a.Display = quoted(p.Display)
	}
	if p.User == "" && p.Domain == "" {
		return
	}
	u, err := sip.ParseURI(a.URI)
	if err != nil {
		return
	}
	if !u.IsSIP() {
		if p.Domain == "" {
			return // a number has no host to put a user before
		}
		u = telURI(&u, p.Domain)
	}
	if p.User != "" {
		u.User, u.Pass = escape(p.User), ""
	}
	if p.Domain != "" {
		u.Host, u.Port = p.Domain, 0
	}
	a.URI = u.String()
}

// asserted is the value of P-Asserted-Identity for an AOR (RFC 3325 §9.1).
func (p *Party) asserted(aor string) string {
	a := sip.NameAddr{URI: "sip:" + aor}
	p.apply(&a)
	return a.String()
}

// quoted is a quoted-string (RFC 3261 §25.1).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// value is what the Privacy header becomes, "" when it stays as it is (RFC 3323 §4.2).
func (p Privacy) value(asked []string) string {
	var values []string
	id := false
	for _, line := range asked {
		for v := range strings.SplitSeq(line, ";") {
			if v = strings.Trim(v, " \t"); v == "" || sip.EqualFold(v, "none") && p == PrivacyID {
				continue // none stands alone
			}
			id = id || sip.EqualFold(v, "id")
			values = append(values, v)
		}
	}
	switch {
	case p == PrivacyID && !id:
		return strings.Join(append(values, "id"), ";")
	case p == PrivacyNone && len(values) == 0:
		return "none"
	}
	return ""
}

// Apply puts the change into a copy of the request it was made for.
func (c *Change) Apply(req *sip.Message, out *sip.Splice) {
	for _, f := range req.Fields() {
		switch {
		case f.Header == sip.From && c.From != "":
			out.Replace(f, c.From)
		case c.removes(req.Name(f)):
			out.Remove(f)
		}
	}
	for _, h := range c.Add {
		out.Add(h.Name, h.Value)
	}
}

func (c *Change) removes(name string) bool {
	for _, r := range c.Remove {
		if sameName(r, name) {
			return true
		}
	}
	return false
}
