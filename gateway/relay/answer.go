package relay

import (
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Answers is told of each response of a hop before it goes back, under no lock.
func (x *Registration) Answers(m *sip.Message, hop *flow.Flow) {
	status := m.Status()
	if status < 200 {
		return
	}
	defer x.settled() // last: by then it is bound
	info := hop.Info()
	x.relay.sticky.took(x.aor, Hop{info.Remote, info.Transport})
	if status >= 300 {
		x.refused(m)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list = contactsOf(m, x.room[:0])
	x.done = m
	x.unalias()
	switch {
	case x.all:
		if x.takes() {
			x.relay.endListedNot(x)
		}
	case x.value != "":
		x.acceptedLocked(m, Hop{info.Remote, info.Transport})
	}
}

// Returns changes the copy of a response that is about to go back.
func (x *Registration) Returns(m *sip.Message, out *sip.Splice) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done != m {
		return
	}
	spliceContacts(m, out, x.list)
	if x.grow == 0 || !m.Has(sip.Expires) {
		return
	}
	if n, err := sip.ParseExpires(m.Value(sip.Expires)); err == nil && n > x.grow {
		for _, f := range m.Fields() {
			if f.Header == sip.Expires {
				out.Replace(f, decimal(x.grow))
			}
		}
	}
}

// unalias gives the Contacts of other tabs of the user back what they were.
func (x *Registration) unalias() {
	if !x.up.Alias {
		return
	}
	for i := range x.list {
		l := &x.list[i]
		if l.bad || len(l.uri.User) != aliasLen || l.uri.User == x.alias {
			continue
		}
		if b, ok := x.relay.byAlias(l.uri.User); ok && b.AOR == x.aor {
			l.now = withURI(l.value, &l.addr, b.Contact)
		}
	}
}

// acceptedLocked is a 2xx to a REGISTER with one Contact: the registrar says whether it is bound, and how long.
func (x *Registration) acceptedLocked(m *sip.Message, hop Hop) {
	sent, err := sip.ParseURI(x.sent)
	i := -1
	if err == nil {
		i = find(x.list, &sent, x.sent, x.instance, x.rewritten)
	}
	if i < 0 {
		x.unlisted(m)
		return
	}
	l := &x.list[i]
	if !l.uri.Equal(&sent) {
		x.relay.notice(Notice{Upstream: x.up.Name, AOR: x.aor, Warn: true,
			Text: "the registrar rewrites Contact (rewrite_contact, NAT options); we put it right, but it may not reach every user agent"})
	}
	granted := x.granted(m, l)
	if x.asked == 0 || granted == 0 {
		x.restore(l)
		x.end(Unregistered)
		return
	}
	x.grow = uint32(x.relay.MaxExpires / time.Second)
	x.restore(l)
	if granted > x.grow {
		granted = x.grow
		v := l.value
		if l.now != "" {
			v = l.now
		}
		l.now = withExpires(v, l.addr.Params, granted)
	}
	x.checkPath(m)
	x.relay.bind(x, granted, hop, x.serviceRoute(m))
}

// checkPath warns of a registrar that does not say that it keeps the Path (RFC 3327 §5.3: the 2xx has a copy of the REGISTER's).
func (x *Registration) checkPath(m *sip.Message) {
	if x.up.Alias || x.pathListed(m) {
		return
	}
	text := "the registrar returns another Path than it got; calls may not reach user agents (contact: alias needs no Path)"
	x.keeps = m.Has(sip.Path)
	if !x.keeps {
		text = "the registrar returns no Path; if calls do not reach user agents, it does not follow it (Kamailio: use_path, Asterisk: support_path; contact: alias needs no Path)"
	}
	x.relay.notice(Notice{Upstream: x.up.Name, AOR: x.aor, Warn: true, Text: text})
}

// pathListed reports whether a Path of the 2xx has our token.
func (x *Registration) pathListed(m *sip.Message) bool {
	for v := range m.Values(sip.Path) {
		if strings.Contains(v, x.token()) {
			return true
		}
	}
	return false
}

// token is what the Path that was sent has before the '@'.
func (x *Registration) token() string {
	t, _, _ := strings.Cut(strings.TrimPrefix(x.path, "<sip:"), "@")
	return t
}

// restore gives the user agent back the Contact URI that it sent, byte for byte.
func (x *Registration) restore(l *listed) {
	if l.addr.URI != x.addr.URI {
		l.now = withURI(l.value, &l.addr, x.addr.URI)
	}
}

// rewritten reports whether host is what a registrar may put into a Contact in place of its own: where the REGISTER
// seemed to come from.
func (x *Registration) rewritten(host string, port uint16) bool {
	return x.relay.Hosts.Own(host, port) || strings.Trim(host, "[]") == remote(x.from).Unmap().String()
}

// granted are the seconds that the registrar gives a listed Contact (RFC 3261 §10.2.4).
func (x *Registration) granted(m *sip.Message, l *listed) uint32 {
	if v, ok := l.addr.Params.Value("expires"); ok {
		if n, err := sip.ParseExpires(v); err == nil {
			return n
		}
	}
	if n, err := sip.ParseExpires(m.Value(sip.Expires)); err == nil {
		return n
	}
	x.relay.notice(Notice{Upstream: x.up.Name, AOR: x.aor, Warn: true, Text: "the registrar's 2xx does not say how long a Contact is bound"})
	return max(x.asked, 1)
}

// unlisted: the registrar does not have the Contact (any more).
func (x *Registration) unlisted(m *sip.Message) {
	if x.asked == 0 {
		x.end(Unregistered)
		return
	}
	if !x.end(NotListed) {
		return
	}
	x.relay.notice(Notice{Upstream: x.up.Name, AOR: x.aor, Status: m.Status(), Warn: true,
		Text: "the registrar's 2xx does not list the Contact that it was asked to bind; the user cannot call through this gateway"})
}

// serviceRoute is what the registrar wants requests of this user to pass (RFC 3608); nil where that
// leads away from it.
func (x *Registration) serviceRoute(m *sip.Message) (routes []string) {
	size := 0
	for _, f := range m.Fields() {
		if f.Header != sip.Other || !sip.EqualFold(m.Name(f), "Service-Route") {
			continue
		}
		for v := range sip.SplitList(m.FieldValue(f)) {
			if size += len(v); size > maxServiceText || !loose(v) {
				return x.badService()
			}
			routes = append(routes, strings.Clone(v))
		}
	}
	if len(routes) == 0 {
		return nil
	}
	a, _ := sip.ParseNameAddr(routes[0])
	u, err := sip.ParseURI(a.URI)
	if err != nil || !x.relay.Hosts.Leads(x.up.Name, &u) {
		return x.badService()
	}
	return routes
}

// loose reports whether v is a Route value of a loose router (RFC 3608 §6.1).
func loose(v string) bool {
	a, err := sip.ParseNameAddr(v)
	if err != nil {
		return false
	}
	u, err := sip.ParseURI(a.URI)
	return err == nil && u.IsSIP() && u.Params.Has("lr")
}

func (x *Registration) badService() []string {
	x.relay.Counters.add(ForeignRoute)
	x.relay.notice(Notice{Upstream: x.up.Name, AOR: x.aor, Warn: true,
		Text: "the registrar's Service-Route does not lead to the upstream by a loose router; it is ignored"})
	return nil
}

// refused looks at a final response that is no 2xx: wrong passwords are counted, and what an operator
// can put right is explained.
func (x *Registration) refused(m *sip.Message) {
	status := m.Status()
	if status == 423 {
		x.relay.floors.raise(x.up.Name, m)
	}
	x.relay.judge(x.up, x.req, m, x.aor, x.from)
	if text := explanation(m, x.tried); text != "" {
		x.relay.notice(Notice{Upstream: x.up.Name, AOR: x.aor, Status: status, Text: text})
	}
}

// explanation says what a registrar's refusal of a relayed REGISTER mostly means.
func explanation(m *sip.Message, login bool) string {
	switch status := m.Status(); {
	case status == 420:
		return "the registrar lacks an extension (Unsupported); if that is path: switch it on there, or contact: alias here, which needs none"
	case status == 423:
		return "the registrar wants longer registrations (Min-Expires); the user agent asks again by itself"
	case status == 403 && login:
		return "the registrar forbids: a wrong password, or more contacts than it takes (Asterisk: max_contacts, remove_existing)"
	case status == 403:
		return "the registrar forbids without asking for a password: it may take this gateway for a trunk (Asterisk: endpoint_identifier_order), or refuse its address"
	case status == 404:
		return "the registrar does not know the user; it may take this gateway for a trunk, which has no such AOR (Asterisk: endpoint_identifier_order=username before ip)"
	case status == 439:
		return "the registrar wants Outbound of the first hop, which is this gateway: it has to take the ob parameter of Path (RFC 5626)"
	}
	return ""
}
