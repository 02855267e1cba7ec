package relay

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

const (
	// linger is how long a name stays with its dead flow, and what the alias stood for with it: calls
	// over it go on when the user agent is back.
	linger = 64 * time.Second
	// maxOver bounds the ended bindings that an AOR leaves behind on living flows.
	maxOver = 4
)

// Binding is plain data: a user agent that a registrar behind us has accepted.
type Binding struct {
	AOR      string
	Upstream string
	Contact  string // the URI as the user agent gave it
	Dialog   string // the URI that it gives in its calls, where that is another
	Alias    string // what the registrar knows it by, "" where it is the Contact
	Sent     string // the Contact URI that the registrar has
	Path     string // the Path that the registrar has; "" with an alias
	CallID   string
	CSeq     uint32
	Expires  time.Time
	Login    string   // whose credentials the registrar took, "" for none
	Routes   []string // the registrar's Service-Route; never changed
	Hop      Hop
	Name     flow.Name
	Flow     *flow.Flow
	Over     flow.ID // the connection that the Path names
	Keeps    bool    // the registrar has shown that it kept another Path
}

// entry is a binding in the table. Guarded by the table's mu.
type entry struct {
	Binding
	r     *Relay
	timer transaction.Timer
	place uint64 // of its Contact (table.at)
	user  string // of its Contact, unescaped
	over  bool   // no binding any more; its calls may go on
}

// table finds bindings. Its lock is a leaf but for the wheel's.
type table struct {
	mu     sync.RWMutex
	named  map[flow.Name]*entry
	called map[string]*entry // by alias
	on     map[flow.ID][]*entry
	of     map[string][]*entry // by AOR, oldest first
	at     map[uint64][]*entry // by user and host of the Contact (place)
	seed   maphash.Seed        // of place
	order  order
	live   int
}

func (t *table) init() {
	t.named, t.called = map[flow.Name]*entry{}, map[string]*entry{}
	t.on, t.of = map[flow.ID][]*entry{}, map[string][]*entry{}
	t.at, t.seed = map[uint64][]*entry{}, maphash.MakeSeed()
	t.order.init()
}

// Len is how many bindings there are now.
func (r *Relay) Len() int {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	return r.table.live
}

// bind enters what a 2xx has granted, and says so before the user agent can hear of it.
func (r *Relay) bind(x *Registration, seconds uint32, hop Hop, routes []string) {
	f := r.Flows.Adopt(x.from)
	if f == nil {
		return
	}
	what, old, out := r.enter(x, f, time.Duration(seconds)*time.Second, hop, routes)
	if what == Outdated {
		r.Counters.add(Outdated)
		return
	}
	f.AuthenticatedAs(x.aor)
	r.Flows.Bind(f, x.name)
	if now := r.flowOf(x.name); now != nil && now != f { // another REGISTER was quicker to enter, not to bind
		r.Flows.Bind(now, x.name)
	}
	if old.Flow != nil && old.Flow != f {
		r.forget(old.Flow, x.aor)
	}
	if out.Flow != nil {
		r.Flows.Unbind(out.Flow, out.Name)
		r.forget(out.Flow, out.AOR)
		r.unregister(out)
		r.tell(Evicted, &out)
	}
	if old.Sent != "" && old.Sent != x.sent { // it still rings there; nothing else ends it
		r.unregister(old)
	}
	b, _ := r.ByName(x.name)
	r.tell(what, &b)
	if !f.Live() { // it ended meanwhile: nobody else will tell
		r.FlowClosed(f, sip.CloseLost)
	}
}

// enter puts x into the table: old is what it replaces, out what it has put out of a full AOR. Outdated: it changes nothing, for the
// user agent has said something else meanwhile, or is back on another connection.
func (r *Relay) enter(x *Registration, f *flow.Flow, life time.Duration, hop Hop, routes []string) (what Change, old, out Binding) {
	t := &r.table
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.named[x.name]
	if !t.takesLocked(x) || e != nil && !e.over && e.Flow != f && !f.Live() && e.Flow.Live() {
		return Outdated, old, out
	}
	what = Refreshed
	if e == nil {
		e = &entry{r: r, over: true}
		e.AOR, e.Name, e.Alias, e.Upstream = strings.Clone(x.aor), x.name, x.alias, x.up.Name
		t.named[x.name] = e
		if e.Alias != "" {
			t.called[e.Alias] = e
		}
		out = t.makeRoomLocked(e.AOR, r.MaxBindings)
		t.of[e.AOR] = append(t.of[e.AOR], e)
	} else if !e.over {
		old = e.Binding
	}
	if e.over {
		what, e.over = Registered, false
		t.live++
	}
	if e.Flow != f {
		t.leaveFlowLocked(e)
		e.Flow = f
		t.on[f.ID] = append(t.on[f.ID], e)
	}
	if x.addr.URI != e.Contact {
		t.contactLocked(e, x)
	}
	e.Expires, e.Hop, e.Routes, e.Login = time.Now().Add(life), hop, routes, keep(e.Login, x.login)
	e.Over, e.Keeps = x.from.ID, x.keeps
	if x.up.Unregister {
		e.Sent, e.Path, e.CallID = keep(e.Sent, x.sent), keep(e.Path, x.path), keep(e.CallID, x.req.CallID())
		e.CSeq, _ = x.req.CSeq()
	}
	r.Wheel.After(&e.timer, life, e)
	return what, old, out
}

// contactLocked gives e the Contact of x.
func (t *table) contactLocked(e *entry, x *Registration) {
	e.Contact, e.Dialog = strings.Clone(x.addr.URI), ""
	e.user = strings.Clone(sip.Unescape(x.uri.User))
	less(t.at, e.place, e)
	e.place = t.place(&x.uri)
	t.at[e.place] = append(t.at[e.place], e)
}

// keep is old when it equals s, else a copy of s that does not hold on to a message.
func keep(old, s string) string {
	if old == s {
		return old
	}
	return strings.Clone(s)
}

// makeRoomLocked keeps an AOR within its number of bindings, live and ended.
func (t *table) makeRoomLocked(aor string, limit int) (out Binding) {
	live, over := 0, 0
	var oldest, ended *entry
	for _, e := range t.of[aor] {
		switch {
		case e.over:
			if over++; ended == nil {
				ended = e
			}
		default:
			if live++; oldest == nil || e.Expires.Before(oldest.Expires) {
				oldest = e
			}
		}
	}
	if over > maxOver {
		t.removeLocked(ended)
	}
	if live >= limit {
		out = oldest.Binding
		t.endLocked(oldest)
		t.removeLocked(oldest)
	}
	return out
}

func (t *table) leaveFlowLocked(e *entry) {
	if e.Flow == nil {
		return
	}
	less(t.on, e.Flow.ID, e)
	e.Flow = nil
}

func less[K comparable](m map[K][]*entry, k K, e *entry) {
	list := m[k]
	if i := slices.Index(list, e); i >= 0 {
		list = slices.Delete(list, i, i+1)
	}
	if len(list) == 0 {
		delete(m, k)
	} else {
		m[k] = list
	}
}

// endLocked makes e an ended binding, which its calls can still use; false if it was that.
func (t *table) endLocked(e *entry) bool {
	if e.over {
		return false
	}
	e.over = true
	t.live--
	return true
}

// removeLocked takes e out of the table.
func (t *table) removeLocked(e *entry) {
	e.r.Wheel.Stop(&e.timer)
	if t.named[e.Name] == e {
		delete(t.named, e.Name)
	}
	if e.Alias != "" && t.called[e.Alias] == e {
		delete(t.called, e.Alias)
	}
	less(t.of, e.AOR, e)
	less(t.at, e.place, e)
	t.leaveFlowLocked(e)
}

// place is the same for URIs that are equal (RFC 3261 §19.1.4).
func (t *table) place(u *sip.URI) uint64 {
	return maphash.String(t.seed, sip.Unescape(u.User)) ^ bits.RotateLeft64(maphash.String(t.seed, strings.ToLower(u.Host)), 1)
}

// reachedAt is the AOR of an upstream that has registered u as its Contact, "" for none, and for a Contact that several
// AORs claim: it would be anybody's.
func (t *table) reachedAt(upstream string, u *sip.URI) (aor string) {
	bare := *u
	bare.Headers = ""
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, e := range t.at[t.place(u)] {
		c, err := sip.ParseURI(e.Contact)
		if c.Headers = ""; err != nil || e.over || e.Upstream != upstream || !c.Equal(&bare) {
			continue
		}
		if aor != "" && aor != e.AOR {
			return ""
		}
		aor = e.AOR
	}
	return aor
}

// flowOf is the flow of a binding.
func (r *Relay) flowOf(name flow.Name) *flow.Flow {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	if e := r.table.named[name]; e != nil && !e.over {
		return e.Flow
	}
	return nil
}

// ByName is the binding of a user agent.
func (r *Relay) ByName(name flow.Name) (Binding, bool) {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	if e := r.table.named[name]; e != nil && !e.over {
		return e.Binding, true
	}
	return Binding{}, false
}

// byAlias is the binding, or what one left, that an alias stands for.
func (r *Relay) byAlias(alias string) (Binding, bool) {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	if e := r.table.called[alias]; e != nil {
		return e.Binding, true
	}
	return Binding{}, false
}

// Of are the bindings of an AOR.
func (r *Relay) Of(aor string) (all []Binding) {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	for _, e := range r.table.of[aor] {
		if !e.over {
			all = append(all, e.Binding)
		}
	}
	return all
}

// On is the binding of aor over f; of several the newest.
func (r *Relay) On(f *flow.Flow, aor string) (b Binding, ok bool) {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	for _, e := range r.table.on[f.ID] {
		if !e.over && e.AOR == aor && (!ok || e.Expires.After(b.Expires)) {
			b, ok = e.Binding, true
		}
	}
	return b, ok
}

// Names are those of aor's user agents on f: first who is registered, the newest before the others.
func (r *Relay) Names(aor string, f *flow.Flow) (names []flow.Name) {
	r.table.mu.RLock()
	defer r.table.mu.RUnlock()
	var all []*entry
	for _, e := range r.table.on[f.ID] {
		if e.AOR == aor {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b *entry) int {
		if a.over != b.over {
			if a.over {
				return 1
			}
			return -1
		}
		return b.Expires.Compare(a.Expires)
	})
	for _, e := range all {
		names = append(names, e.Name)
	}
	return names
}

// hopOf is the address of its registrar that knows an AOR best.
func (r *Relay) hopOf(aor string) Hop {
	r.table.mu.RLock()
	var newest *entry
	for _, e := range r.table.of[aor] {
		if !e.over && (newest == nil || e.Expires.After(newest.Expires)) {
			newest = e
		}
	}
	r.table.mu.RUnlock()
	if newest != nil {
		return newest.Hop
	}
	return r.sticky.of(aor)
}

// HopOf is hopOf for a user's other requests.
func (r *Relay) HopOf(aor string) Hop { return r.hopOf(aor) }

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
