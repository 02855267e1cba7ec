package relay

import (
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

var (
	errAway      = sip.Refuse(480, "Temporarily Unavailable")
	errDeadPath  = &sip.StatusError{Code: 480, Reason: "Temporarily Unavailable", Headers: []string{`Reason: SIP;cause=430;text="Flow Failed"`}}
	errAlias     = sip.Refuse(403, "Forbidden: Request-URI is a Contact that was given to somebody else")
	errForgery   = sip.Refuse(403, "Forbidden: Path was given to somebody else")
	errElsewhere = sip.Refuse(403, "Forbidden: this user may call through its registrar only")
)

// ByPath is whom a request of an upstream reaches by the Path that was made for name, over a connection (0: any): 480 once
// the binding is gone, and at once, for the registrar may know others. known: the name is, or that
// upstream can only know it from, a relayed binding.
func (r *Relay) ByPath(upstream string, name flow.Name, over flow.ID, uri string) (known bool, err error) {
	b, ok := r.ByName(name)
	switch {
	case !ok && r.IsRegistrar(upstream):
		if r.Awaits(upstream, name, uri) {
			return true, nil
		}
		return true, errDeadPath // RFC 5626 §5.3.1 in Reason: callers understand 480 only, a registrar may forget that binding
	case !ok:
		return false, nil
	case b.Upstream != upstream:
		r.Counters.add(ForgedPath)
		return true, errForgery
	case (r.replaced(&b, uri) || over != 0 && over != b.Over && !b.Keeps) && !r.Awaits(upstream, name, uri):
		r.Counters.add(StaleContact) // the registrar has an older Path, too, and would ring the user agent twice
		return true, errDeadPath
	}
	return true, nil
}

// replaced reports whether uri is a Contact that the user agent had before: the registrar has both, and
// would ring it twice.
func (r *Relay) replaced(b *Binding, uri string) bool {
	if uri == b.Contact || b.Alias != "" {
		return false
	}
	u, err := sip.ParseURI(uri)
	c, err2 := sip.ParseURI(b.Contact)
	if err != nil || err2 != nil || r.Hosts.Own(u.Host, u.Port) {
		return false // its AOR, or a registrar that writes our address there
	}
	return !sameUser(u.User, c.User) || !sip.SameHost(u.Host, c.Host)
}

// ByAlias is whom an upstream, "" for a user, reaches by a Request-URI of that user part. known: it is an alias
// of ours. inDialog requests reach what an ended binding left, too.
func (r *Relay) ByAlias(upstream, user string, inDialog bool) (b Binding, known bool, err error) {
	if len(user) != aliasLen {
		return b, false, nil
	}
	r.table.mu.RLock()
	e := r.table.called[user]
	over := false
	if e != nil {
		b, over = e.Binding, e.over
	}
	r.table.mu.RUnlock()
	if w, ok := r.awaitedAs(upstream, user); ok && (e == nil || over && !inDialog) {
		return w, true, nil
	}
	switch {
	case e == nil:
		return b, false, nil
	case b.Upstream != upstream:
		r.Counters.add(ForgedAlias)
		return b, true, errAlias
	case over && !inDialog:
		return b, true, errAway
	}
	return b, true, nil
}

// Callee says whether a relayed user's request out of a dialog may go where it points, and by which Request-URI its registrar
// finds it, "" for its own. A Contact that the registrar has accepted (attended transfer: RFC 3515, RFC 3891; Refer-To is what a
// browser has given in the call) stands for the AOR: the registrar knows the way to all its user agents, and only
// the one that has the dialog takes it.
func (r *Relay) Callee(registrar string, u *sip.URI) (uri string, err error) {
	own := r.Hosts.Own(u.Host, u.Port)
	if own && len(u.User) == aliasLen {
		if b, ok := r.byAlias(u.User); ok && b.Upstream == registrar {
			return "sip:" + b.AOR, nil
		}
	}
	if own || r.Hosts.Leads(registrar, u) {
		return "", nil
	}
	if aor := r.table.reachedAt(registrar, u); aor != "" {
		return "sip:" + aor, nil
	}
	r.Counters.add(Elsewhere)
	return "", errElsewhere
}

// Inward puts back what the registrar was told in place of a user agent's Contact: the Request-URI of
// a request that goes to the user agent called name (the zero Name: by its alias alone).
func (r *Relay) Inward(upstream string, name flow.Name, req *sip.Message, out *sip.Splice) {
	if !r.IsRegistrar(upstream) {
		return
	}
	u, err := sip.ParseURI(req.RequestURI())
	if err != nil {
		return
	}
	r.table.mu.RLock()
	e := r.table.called[u.User]
	if e == nil {
		e = r.table.named[name]
	}
	var b Binding
	if e != nil {
		b = e.Binding
	}
	r.table.mu.RUnlock()
	if e == nil || b.Upstream != upstream {
		return
	}
	if uri := r.inward(&b, req, &u); uri != "" && uri != req.RequestURI() {
		out.SetURI(uri)
	}
}

// inward is the Request-URI that b's user agent knows, "" to leave it.
func (r *Relay) inward(b *Binding, req *sip.Message, u *sip.URI) string {
	if b.Alias != "" {
		if u.User != b.Alias {
			return ""
		}
		if req.ToTag() != "" && b.Dialog != "" {
			return b.Dialog
		}
		return b.Contact
	}
	c, err := sip.ParseURI(b.Contact)
	if err == nil && req.ToTag() == "" && sameUser(c.User, u.User) && r.Hosts.Own(u.Host, u.Port) {
		return b.Contact // Asterisk's rewrite_contact=yes puts our address there
	}
	return ""
}

// Outward puts the alias in the place of a user agent's Contact in a message that goes to its registrar, whom
// facing leads to: every request, and responses that make or refresh a dialog.
func (r *Relay) Outward(upstream string, from *flow.Flow, m *sip.Message, out *sip.Splice, facing *sip.ConnInfo) {
	up := r.groups[upstream]
	if up == nil || !up.Alias || !m.Has(sip.Contact) || m.Method() == "REGISTER" || m.Status() >= 300 {
		return
	}
	user := r.speaker(upstream, from, m)
	if user == nil {
		return
	}
	for _, f := range m.Fields() {
		if f.Header != sip.Contact {
			continue
		}
		v := m.FieldValue(f)
		a, err := sip.ParseNameAddr(v)
		if err != nil {
			continue
		}
		r.learn(user, a.URI)
		out.Replace(f, withURI(strings.Trim(v, " \t"), &a, aliasURI(user.Alias, facing)))
		return
	}
}

// speaker is who of the user agents on a flow has sent m, nil where none is that registrar's. A request out of a dialog is
// his who is in From. Else the Contact tells them apart, then the side of the dialog that speaks, which may have the name that
// somebody called whose calls he takes. Of one user's several it is the one that is registered, and was so last.
func (r *Relay) speaker(upstream string, f *flow.Flow, m *sip.Message) *entry {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	var best *entry
	points := -1
	for _, e := range r.table.on[f.ID] {
		switch {
		case e.Upstream != upstream:
		case best == nil:
			best = e
		default:
			if points < 0 {
				points = r.looksLike(best, m)
			}
			if n := r.looksLike(e, m); n > points || n == points && e.Expires.After(best.Expires) {
				best, points = e, n
			}
		}
	}
	return best
}

// looksLike is how much says that e has sent m. Only flows that several user agents share are looked at so.
func (r *Relay) looksLike(e *entry, m *sip.Message) (points int) {
	side, byUser, byContact := sip.From, 4, 8
	switch {
	case m.Status() != 0:
		side = sip.To
	case m.ToTag() == "":
		byUser, byContact = 8, 4
	}
	if u, ok := uriIn(m.Value(side)); ok {
		if aor, ok := r.Hosts.AOR(&u); ok && aor == e.AOR || e.Alias != "" && u.User == e.Alias {
			points += byUser
		}
	}
	if u, ok := uriIn(m.Value(sip.Contact)); ok && sip.Unescape(u.User) == e.user {
		points += byContact
	}
	if !e.over {
		points++
	}
	return points
}

// uriIn is the URI of an address or Contact; of several the first.
func uriIn(value string) (u sip.URI, ok bool) {
	for v := range sip.SplitList(value) {
		a, err := sip.ParseNameAddr(v)
		if err != nil {
			return u, false
		}
		u, err = sip.ParseURI(a.URI)
		return u, err == nil
	}
	return u, false
}

// Contact is what the user agent that has sent m over a flow may be called at by its registrar, whom facing
// leads to; "" for one that is not registered there. inDialog is the Contact that it gave in m's dialog, "" for none.
func (r *Relay) Contact(upstream string, from *flow.Flow, m *sip.Message, inDialog string, facing *sip.ConnInfo) string {
	up := r.groups[upstream]
	if up == nil {
		return inDialog
	}
	user := r.speaker(upstream, from, m)
	switch {
	case user == nil:
		return inDialog
	case up.Alias:
		return aliasURI(user.Alias, facing)
	case inDialog != "":
		return inDialog
	}
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	return user.Contact
}

// learn keeps the Contact that a user agent gives in its calls: it differs from the registered one in
// parameters (ob), and requests in the dialog are to have it as it was.
func (r *Relay) learn(e *entry, uri string) {
	r.table.mu.RLock()
	same := uri == e.Dialog || e.Dialog == "" && uri == e.Contact
	contact := e.Contact
	r.table.mu.RUnlock()
	if same || len(uri) > maxContactText {
		return
	}
	u, err := sip.ParseURI(uri)
	c, err2 := sip.ParseURI(contact)
	if err != nil || err2 != nil || !sameUser(u.User, c.User) {
		return
	}
	r.table.mu.Lock()
	e.Dialog = strings.Clone(uri)
	r.table.mu.Unlock()
}

// Unknown is the answer to a registrar that asks for a user of its own whom nobody has registered here.
func Unknown() error { return errAway }

// Newest are the bindings of an AOR at an upstream, that refreshed last first.
func (r *Relay) Newest(aor, upstream string) []Binding {
	all := slices.DeleteFunc(r.Of(aor), func(b Binding) bool { return b.Upstream != upstream })
	slices.SortStableFunc(all, func(a, b Binding) int { return b.Expires.Compare(a.Expires) })
	return all
}

// Bare judges a user's request within a dialog without our Routes: its registrar has dropped the Record-Route of a call, where that
// is known; else the user has invented the dialog, or it is from before a restart, and he may not speak for others.
func (r *Relay) Bare(req *sip.Message, from *flow.Flow, upstream string, known bool) error {
	if known {
		r.notice(Notice{Upstream: upstream, Warn: true,
			Text: "the upstream drops Record-Route from its answers; requests within a dialog are routed by its Contact"})
		return nil
	}
	u, ok := uriIn(req.Value(sip.From))
	if ok && r.isOn(upstream, from, &u) {
		return nil
	}
	r.Counters.add(ForeignFrom)
	return errNotAccepted
}

// isOn reports whether u is how a user agent on a flow calls itself, or how its registrar has called it.
func (r *Relay) isOn(upstream string, f *flow.Flow, u *sip.URI) bool {
	aor, _ := r.Hosts.AOR(u)
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	return slices.ContainsFunc(r.table.on[f.ID], func(e *entry) bool {
		if e.Upstream != upstream {
			return false
		}
		c, err := sip.ParseURI(e.Contact)
		return e.AOR == aor || e.Alias != "" && e.Alias == u.User ||
			err == nil && sameUser(c.User, u.User) && sip.SameHost(c.Host, u.Host)
	})
}

// sameUser reports whether two user parts of URIs are equal (RFC 3261 §19.1.4); registrars write escapes their own way.
func sameUser(a, b string) bool { return a == b || sip.Unescape(a) == sip.Unescape(b) }
