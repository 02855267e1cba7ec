package proxy

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// maxRedirects is how many Contacts one request follows.
const maxRedirects = 8

// redirectedLocked follows a 3xx of an upstream whose Terms say so (§16.7 step 4): its Contacts that lead somewhere
// become further targets, in the order of their q; the response goes no further. What has been tried, by
// whatever way, is not tried again. false: it is an answer like any.
func (rc *responseContext) redirectedLocked(b *branch, m *sip.Message) bool {
	s := m.Status()
	if s < 300 || s >= 400 || s == 305 || s == 380 || rc.inDialog || rc.closedLocked() {
		return false
	}
	terms := rc.p.terms(b.w.Upstream)
	if terms == nil || terms.Redirect == nil {
		return false
	}
	var found []Target
	for _, c := range contactsOf(m) {
		if len(rc.followed) >= maxRedirects {
			break
		}
		u, err := sip.ParseURI(c.uri)
		if err != nil || !rc.followLocked(&u) {
			continue
		}
		for _, t := range terms.Redirect(rc.req, rc.from, &u) {
			t.Q = c.q
			found = append(found, t)
		}
	}
	if len(found) == 0 {
		return false
	}
	rc.p.Counters.Redirected.Add(1)
	rc.addTargetsLocked(found)
	t := b.t
	t.state = ended
	rc.pending--
	if rc.pending == 0 {
		rc.startGroupLocked()
	}
	return true
}

// followLocked reports whether u is new to this request.
func (rc *responseContext) followLocked(u *sip.URI) bool {
	if rc.followed == nil {
		if own, err := sip.ParseURI(rc.req.RequestURI()); err == nil {
			rc.followed = append(rc.followed, own)
		}
	}
	if !u.IsSIP() || slices.ContainsFunc(rc.followed, func(o sip.URI) bool { return o.Equal(u) }) {
		return false
	}
	rc.followed = append(rc.followed, *u)
	return true
}

// addTargetsLocked puts targets among those that have not been tried, by q.
func (rc *responseContext) addTargetsLocked(set []Target) {
	fresh := &responseContext{} // newTargets may use what is part of a context
	for _, t := range newTargets(fresh, set) {
		n := new(target)
		*n = *t
		n.rc = rc
		rc.targets = append(rc.targets, n)
	}
	slices.SortStableFunc(rc.targets[rc.next:], func(a, b *target) int { return b.ways[0].Q - a.ways[0].Q })
}

type contact struct {
	uri string
	q   int // thousandths
}

// contactsOf are the Contacts of a redirection, the best first.
func contactsOf(m *sip.Message) (all []contact) {
	for v := range m.Values(sip.Contact) {
		a, err := sip.ParseNameAddr(v)
		if err != nil {
			continue
		}
		q, _ := a.Params.Value("q")
		all = append(all, contact{a.URI, thousandths(q)})
	}
	slices.SortStableFunc(all, func(a, b contact) int { return cmp.Compare(b.q, a.q) })
	return all
}

// thousandths reads a qvalue (RFC 3261 §25.1); 1000 where there is none.
func thousandths(q string) int {
	whole, fraction, _ := strings.Cut(q, ".")
	n, err := strconv.ParseUint((fraction + "000")[:3], 10, 16)
	switch {
	case err != nil || whole != "0":
		return 1000
	}
	return int(n)
}
