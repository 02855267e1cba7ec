package registrar

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const indexShards = 64

// index finds bindings by Contact and by flow; the store finds them by AOR only.
//
// Lock order: stripe → store → contacts shard → flows shard → Flow.mu.
type index struct {
	seed           maphash.Seed
	stripes        [indexShards]stripe
	contacts       [indexShards]contactShard
	flows          [indexShards]flowShard
	aors, bindings atomic.Int64
}

// stripe serialises the changes of its AORs, so that store and index agree.
type stripe struct {
	sync.Mutex
	indexed map[string][]indexed // by AOR: what the index holds of it
}

// indexed is an owner with what reading its Contact value came to, so that
// a refresh needs not read it again.
type indexed struct {
	owner
	checked              bool   // by this process, with the configuration it has
	head, tail, instance string // see Binding
	q                    uint16
	regID                int
}

// recall fills in c when a binding of aor has the Contact value but for the seconds,
// which it returns, "" for a value without an expires parameter.
func (x *index) recall(aor, value string, c *contact) (seconds string, ok bool) {
	s := x.stripe(aor)
	s.Lock()
	defer s.Unlock()
	list := s.indexed[aor]
	for i := range list {
		o := &list[i]
		if seconds, ok = o.secondsIn(value); !ok {
			continue
		}
		c.text, c.head, c.tail, c.key = o.contact, o.head, o.tail, o.key
		c.q, c.instance, c.regID, c.name, c.known = o.q, o.instance, o.regID, o.name, o
		return seconds, true
	}
	return "", false
}

// secondsIn cuts from value what o has the rest of. Where Outbound was not used a reg-id
// may have been left aside: such a value is read anew.
func (o *indexed) secondsIn(value string) (seconds string, ok bool) {
	if !o.checked || o.instance != "" && o.regID == 0 {
		return "", false
	}
	if n := len(o.head) + len(o.tail); len(value) > n && strings.HasPrefix(value, o.head) && strings.HasSuffix(value, o.tail) {
		seconds = value[len(o.head) : len(value)-len(o.tail)]
		_, err := sip.ParseExpires(seconds)
		return seconds, err == nil
	}
	return "", o.tail == "" && len(value)+len(noExpires) == len(o.head) && strings.HasPrefix(o.head, value) && strings.HasSuffix(o.head, noExpires)
}

// owner is an AOR that has bound a Contact.
type owner struct {
	aor, contact string
	key          uint64
	flow         flow.ID
	name         flow.Name
	remote       netip.AddrPort
}

type contactShard struct {
	sync.RWMutex
	owners map[uint64][]owner
}

// attached is a flow with the AORs that have bindings over it: nearly always
// one, thousands over the connection of another proxy.
type attached struct {
	flow *flow.Flow
	one  string
	more map[string]struct{}
}

func (a *attached) add(aor string) {
	switch {
	case a.one == "" || a.one == aor:
		a.one = aor
	case a.more == nil:
		a.more = map[string]struct{}{aor: {}}
	default:
		a.more[aor] = struct{}{}
	}
}

// remove reports whether no AOR is left.
func (a *attached) remove(aor string) (empty bool) {
	delete(a.more, aor)
	if a.one == aor {
		a.one = ""
	}
	return a.one == "" && len(a.more) == 0
}

func (a *attached) aors() []string {
	list := make([]string, 0, 1+len(a.more))
	if a.one != "" {
		list = append(list, a.one)
	}
	for aor := range a.more {
		if aor != a.one {
			list = append(list, aor)
		}
	}
	return list
}

type flowShard struct {
	sync.RWMutex
	byID map[flow.ID]*attached
}

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	for i := range indexShards {
		x.stripes[i].indexed = make(map[string][]indexed)
		x.contacts[i].owners = make(map[uint64][]owner)
		x.flows[i].byID = make(map[flow.ID]*attached)
	}
	return x
}

func (x *index) stripe(aor string) *stripe {
	return &x.stripes[maphash.String(x.seed, aor)%indexShards]
}

func (x *index) shardOf(id flow.ID) *flowShard { return &x.flows[uint64(id)%indexShards] }

// key is the same for URIs that are equal by RFC 3261 §19.1.4, and for some that are not.
func (x *index) key(u *sip.URI) uint64 {
	v := sip.URI{Scheme: u.Scheme, User: u.User, Host: u.Host}
	if strings.HasPrefix(v.Host, "[") {
		if a, err := netip.ParseAddr(strings.Trim(v.Host, "[]")); err == nil {
			v.Host = a.String()
		}
	}
	var room [256]byte
	return maphash.Bytes(x.seed, v.AppendAOR(room[:0]))
}

// claim enters o unless a Contact equal to it (c) is held by another AOR that
// does not share it with f. added tells whether o was not there before.
func (x *index) claim(o owner, c *contact, f *flow.Flow) (added, ok bool) {
	s := &x.contacts[o.key%indexShards]
	s.Lock()
	defer s.Unlock()
	list := s.owners[o.key]
	for i := range list {
		if list[i].aor == o.aor && list[i].contact == o.contact {
			return false, true
		}
	}
	for i := range list {
		if h := &list[i]; h.aor != o.aor && sameURI(h.contact, o.contact, c.parsed()) && !x.mayShare(h, f) {
			return false, false
		}
	}
	s.owners[o.key] = append(list, o)
	return true, true
}

// mayShare reports whether a Contact held by another AOR may be bound over f as
// well: it is the same user agent with two accounts. On UDP, and where the old
// connection is gone, its address has to do.
func (x *index) mayShare(o *owner, f *flow.Flow) bool {
	held := x.flow(o.flow)
	if held != nil && held.SameAgent(f) {
		return true
	}
	if held != nil && held.Live() && held.Info().Transport != sip.UDP {
		return false
	}
	return o.remote.Addr() == f.Info().Remote.Addr()
}

// sameURI compares text with want, whose parsed form is u.
func sameURI(text, want string, u *sip.URI) bool {
	if text == want {
		return true
	}
	v, err := sip.ParseURI(text)
	return err == nil && v.Equal(u)
}

func (x *index) drop(o *owner) {
	s := &x.contacts[o.key%indexShards]
	s.Lock()
	defer s.Unlock()
	list := slices.DeleteFunc(s.owners[o.key], func(h owner) bool { return h.aor == o.aor && h.contact == o.contact })
	if len(list) == 0 {
		delete(s.owners, o.key)
	} else {
		s.owners[o.key] = list
	}
}

// put enters o, or renews its flow and address.
func (x *index) put(o *owner) {
	s := &x.contacts[o.key%indexShards]
	s.Lock()
	defer s.Unlock()
	list := s.owners[o.key]
	for i := range list {
		if list[i].aor == o.aor && list[i].contact == o.contact {
			list[i] = *o
			return
		}
	}
	s.owners[o.key] = append(list, *o)
}

// owners are those of the Contact u.
func (x *index) owners(u *sip.URI, text string) []owner {
	key := x.key(u)
	s := &x.contacts[key%indexShards]
	s.RLock()
	defer s.RUnlock()
	var out []owner
	for _, o := range s.owners[key] {
		if sameURI(o.contact, text, u) {
			out = append(out, o)
		}
	}
	return out
}

// set makes the index agree with list, now the bindings of aor. The caller holds
// the stripe s. from is a flow that may not be attached yet, or nil.
func (x *index) set(s *stripe, aor string, list []Binding, from *flow.Flow) {
	old := s.indexed[aor]
	if agrees(old, list) {
		return
	}
	fresh := x.ownersOf(list, old, from)
	for i := range fresh {
		x.put(&fresh[i].owner)
		x.attach(fresh[i].flow, fresh[i].aor, from)
	}
	for i := range old {
		o := &old[i]
		if !slices.ContainsFunc(fresh, func(n indexed) bool { return n.contact == o.contact }) {
			x.drop(&o.owner)
		}
		if !slices.ContainsFunc(fresh, func(n indexed) bool { return n.flow == o.flow }) {
			x.detach(o.flow, aor)
		}
	}
	x.bindings.Add(int64(len(fresh) - len(old)))
	switch {
	case len(fresh) == 0:
		delete(s.indexed, aor)
		x.aors.Add(-1)
	case len(old) == 0:
		s.indexed[fresh[0].aor] = fresh
		x.aors.Add(1)
	default:
		s.indexed[aor] = fresh
	}
}

// ownersOf are the owners that list makes; old saves parsing known Contacts again. A binding over
// from was made by a REGISTER that this process has read.
func (x *index) ownersOf(list []Binding, old []indexed, from *flow.Flow) []indexed {
	out := make([]indexed, 0, len(list))
	for i := range list {
		b := &list[i]
		o := indexed{owner: owner{aor: b.AOR, contact: b.Contact, flow: b.Flow, name: b.Name, remote: b.Received},
			head: b.Head, tail: b.Tail, instance: b.Instance, q: b.Q, regID: b.RegID}
		o.checked = from != nil && from.ID == b.Flow
		if j := slices.IndexFunc(old, func(n indexed) bool { return n.contact == b.Contact }); j >= 0 {
			o.key = old[j].key
			o.checked = o.checked || old[j].checked && old[j].head == o.head && old[j].tail == o.tail
		} else if u, err := sip.ParseURI(b.Contact); err == nil {
			o.key = x.key(&u)
		}
		out = append(out, o)
	}
	return out
}

func agrees(old []indexed, list []Binding) bool {
	if len(old) != len(list) {
		return false
	}
	for i := range old {
		if o, b := &old[i], &list[i]; o.contact != b.Contact || o.flow != b.Flow || o.name != b.Name || o.remote != b.Received ||
			o.head != b.Head || o.tail != b.Tail || o.regID != b.RegID {
			return false
		}
	}
	return true
}

func (x *index) attach(id flow.ID, aor string, from *flow.Flow) {
	s := x.shardOf(id)
	s.Lock()
	defer s.Unlock()
	a := s.byID[id]
	if a == nil {
		if from == nil || from.ID != id {
			return // a flow of another process, or of one before a restart
		}
		a = &attached{flow: from}
		s.byID[id] = a
	}
	a.add(aor)
}

func (x *index) detach(id flow.ID, aor string) {
	s := x.shardOf(id)
	s.Lock()
	defer s.Unlock()
	a := s.byID[id]
	if a == nil {
		return
	}
	if a.remove(aor) {
		delete(s.byID, id)
	}
}

// flow is the flow id when bindings go over it, dead or alive, else nil.
func (x *index) flow(id flow.ID) *flow.Flow {
	s := x.shardOf(id)
	s.RLock()
	defer s.RUnlock()
	if a := s.byID[id]; a != nil {
		return a.flow
	}
	return nil
}

// named finds the flow of a binding of aor that goes by name: f when one is over
// it, else another's, nil when there is none.
func (x *index) named(aor string, name flow.Name, f *flow.Flow) *flow.Flow {
	s := x.stripe(aor)
	s.Lock()
	defer s.Unlock()
	var other *flow.Flow
	for i := range s.indexed[aor] {
		switch o := &s.indexed[aor][i]; {
		case o.name != name:
		case o.flow == f.ID:
			return f
		default:
			other = x.flow(o.flow)
		}
	}
	return other
}

// aorsOf are the AORs with bindings over a flow.
func (x *index) aorsOf(id flow.ID) []string {
	s := x.shardOf(id)
	s.RLock()
	defer s.RUnlock()
	if a := s.byID[id]; a != nil {
		return a.aors()
	}
	return nil
}

// live reports whether a binding's flow is one of ours and open.
func (x *index) live(id flow.ID) bool {
	f := x.flow(id)
	return f != nil && f.Live()
}
