package registrar

import (
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
)

// merge applies g to the bindings that the AOR has (RFC 3261 §10.3 steps 6 and
// 7) and returns those it is to have. It may be called again with others. have
// is its own.
func (r *Registrar) merge(g *registration, have []Binding) ([]Binding, error) {
	g.changes = g.changes[:0]
	list := slices.DeleteFunc(have, func(b Binding) bool {
		gone := !b.Live(g.now)
		if gone {
			g.note(Expired, &b)
		}
		return gone
	})
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
	return sameURI(b.Contact, c.text, &c.uri)
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
		b := list[i]
		matches := c.matches(&b)
		switch {
		case matches && at < 0:
			at = len(out)
			out = append(out, b)
		case matches || r.supersedes(c, &b):
			g.note(Replaced, &b)
		default:
			out = append(out, b)
		}
	}
	what := Refreshed
	if at < 0 {
		what, at = Registered, len(out)
		out = append(out, Binding{Created: g.now})
	} else if out[at].Name != c.bind.Name { // an equal Contact in other words, or another instance
		g.note(renamed, &out[at])
	}
	out[at] = g.binding(c, &out[at])
	g.note(what, &out[at])
	return out
}

// binding is c over what was bound before (old); of the message it keeps copies only.
func (g *registration) binding(c *contact, old *Binding) Binding {
	b := c.bind
	b.Created = old.Created
	b.AOR = keep(old.AOR, g.aor)
	b.Head, b.Tail = keep(old.Head, c.head), keep(old.Tail, c.tail)
	b.Contact = old.Contact
	if b.Contact != c.text { // it stands in Head
		i := strings.Index(b.Head, c.text)
		b.Contact = b.Head[i : i+len(c.text)]
	}
	b.CallID = keep(old.CallID, g.callID)
	b.Instance = keep(old.Instance, c.instance)
	b.UserAgent = keep(old.UserAgent, g.userAgent)
	b.Path = cloned(b.Path[:1:cap(b.Path)], g.paths, old.Path)
	return b
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
