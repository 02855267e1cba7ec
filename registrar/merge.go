package registrar

import (
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// merge applies g to the bindings that the AOR has (RFC 3261 §10.3 steps 6 and
// 7) and returns those it is to have. It may be called again with others. have
// is its own.
func (r *Registrar) merge(g *registration, have []Binding) ([]Binding, error) {
	g.changes = g.changes[:0]
	list := g.expire(have)
	if err := g.checkOrder(list); err != nil {
		return nil, err
	}
	if g.all {
		for i := range list {
			g.note(Unregistered, &list[i])
		}
		return nil, nil
	}
	for i := range g.contacts {
		c := &g.contacts[i]
		if c.seconds == 0 {
			list = g.remove(c, list, Unregistered)
		} else {
			list = r.bind(g, c, list)
		}
	}
	return r.makeRoom(g, list)
}

// expire takes out what has ended.
func (g *registration) expire(list []Binding) []Binding {
	ended := func(b Binding) bool { return !b.Live(g.now) }
	if !slices.ContainsFunc(list, ended) {
		return list
	}
	for i := range list {
		if !list[i].Live(g.now) {
			g.note(Expired, &list[i])
		}
	}
	return slices.DeleteFunc(list, ended)
}

func (g *registration) note(what Change, b *Binding) {
	g.changes = append(g.changes, change{Event: Event{what, *b}})
}

// checkOrder refuses a REGISTER that is older than one which made a binding that
// it touches (RFC 3261 §10.3 step 7).
func (g *registration) checkOrder(list []Binding) error {
	for i := range list {
		b := &list[i]
		if b.CallID != g.callID || g.cseq > b.CSeq {
			continue
		}
		touched := g.all
		for j := range g.contacts {
			touched = touched || g.contacts[j].matches(b)
		}
		if touched {
			return errOrder
		}
	}
	return nil
}

// matches reports whether c speaks of b: with Outbound the same instance and
// reg-id (RFC 5626 §6), or an equal Contact URI (RFC 3261 §10.3 step 7). The URI
// counts between two Outbound bindings of different instances or reg-ids not at
// all: they are different flows.
func (c *contact) matches(b *Binding) bool {
	if c.regID > 0 && b.RegID > 0 {
		return c.regID == b.RegID && c.instance == b.Instance
	}
	return b.Contact == c.text || sameURI(b.Contact, c.text, c.parsed())
}

// supersedes reports whether c takes the place of b, which it does not match: it
// is of the same user agent, which lost the flow of b and came back with another
// Contact (without Outbound, browsers make a new one with each page).
func (r *Registrar) supersedes(c *contact, b *Binding) bool {
	return c.instance != "" && c.instance == b.Instance &&
		(c.regID == 0 || b.RegID == 0) && !r.index.live(b.Flow) && b.Flow != c.bind.Flow
}

func (g *registration) remove(c *contact, list []Binding, why Change) []Binding {
	return slices.DeleteFunc(list, func(b Binding) bool {
		gone := c.matches(&b)
		if gone {
			g.note(why, &b)
		}
		return gone
	})
}

// bind makes or refreshes the binding of c. One binding takes the place of all that it matches.
func (r *Registrar) bind(g *registration, c *contact, list []Binding) []Binding {
	at := -1
	out := list[:0]
	for i := range list {
		b := &list[i]
		matches := c.matches(b)
		switch {
		case matches && at < 0:
			at = len(out)
		case matches || r.supersedes(c, b):
			g.note(Replaced, b)
			continue
		}
		if out = out[:len(out)+1]; len(out) <= i {
			out[len(out)-1] = *b
		}
	}
	what := Refreshed
	if at < 0 {
		what, at = Registered, len(out)
		out = append(out, Binding{Created: g.now})
	} else if out[at].Name != c.bind.Name { // an equal Contact in other words, or another instance
		g.note(renamed, &out[at])
	}
	g.renew(&out[at], c)
	g.note(what, &out[at])
	return out
}

// renew makes b the binding of c; of the message it keeps copies only, and those only of what is new.
func (g *registration) renew(b *Binding, c *contact) {
	was := *b
	*b = c.bind
	b.Created = was.Created
	b.AOR = keep(was.AOR, g.aor)
	b.Head, b.Tail = keep(was.Head, c.head), keep(was.Tail, c.tail)
	b.Contact = was.Contact
	if b.Contact != c.text { // it stands in Head
		i := strings.Index(b.Head, c.text)
		b.Contact = b.Head[i : i+len(c.text)]
	}
	b.CallID = keep(was.CallID, g.callID)
	b.Instance = keep(was.Instance, c.instance)
	b.UserAgent = keep(was.UserAgent, g.userAgent)
	b.Path = g.way(was.Path, c.bind.Name)
}

// way is the route set to name: our own value and those that the REGISTER carried (RFC 3327). old is
// used again where nothing has changed.
func (g *registration) way(old []string, name flow.Name) []string {
	g.path = g.registrar.edge.AppendPath(g.path[:0], name, g.from)
	if len(old) == 1+len(g.paths) && old[0] == string(g.path) && slices.Equal(old[1:], g.paths) {
		return old
	}
	way := append(make([]string, 0, 1+len(g.paths)), string(g.path))
	for _, v := range g.paths {
		way = append(way, strings.Clone(v))
	}
	return way
}

// makeRoom keeps the AOR within its number of bindings.
func (r *Registrar) makeRoom(g *registration, list []Binding) ([]Binding, error) {
	for len(list) > r.maxBindings {
		i := r.leastMissed(g, list)
		if i < 0 || r.whenFull == Refuse {
			return nil, errFull
		}
		g.note(Evicted, &list[i])
		list = slices.Delete(list, i, i+1)
	}
	return list, nil
}

// leastMissed is the index of the binding to replace, -1 when all are of this REGISTER.
func (r *Registrar) leastMissed(g *registration, list []Binding) int {
	best, bestLive := -1, false
	for i := range list {
		b := &list[i]
		if b.Updated.Equal(g.now) {
			continue
		}
		live := b.Transport == sip.UDP || r.index.live(b.Flow)
		if best < 0 || bestLive && !live || live == bestLive && b.Updated.Before(list[best].Updated) {
			best, bestLive = i, live
		}
	}
	return best
}
