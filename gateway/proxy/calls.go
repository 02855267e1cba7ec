package proxy

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// The call table knows the dialogs that INVITEs made through us. It is passive:
// routing asks it only what is no part of a call that it knows, and losing it costs limits, call records and the BYE to
// the survivor of a dead peer, nothing else.

const defaultMaxCalls = 100_000

// Call is one dialog, as its parties see it.
type Call struct {
	CallID, FromTag, ToTag string
	Caller, Callee         Party
	Started, Ended         time.Time
	EndedBy                string // "bye", "dead_peer", "expired", "forgotten"
}

// Party is one side of a call.
type Party struct {
	Address  string // From or To value, tag included
	Contact  string // remote target
	Upstream string
	Flow     flow.ID
	Name     flow.Name
	Routes   []string // route set beyond us, towards this side
	CSeq     uint32   // highest it has used
}

// call is an entry of the table. Its strings are clones.
type call struct {
	Call
	p    *Proxy
	peer Peer // counts it, nil for nobody
	key  callKey
	next *call // newer
	prev *call // older
	twin *call // another dialog of the same Call-ID
	side [2]callSide
	dead transaction.Timer

	// Guarded by the table's mu.
	shifts []*shift // that it holds
	others []string // To tags of further 2xx to its INVITE (RFC 3261 §13.2.2.4)
	age    transaction.Timer
	due    time.Time // when it has been silent for too long
	timed  bool      // by a session timer (RFC 4028)
}

// callSide is what hangs on the flow of one party.
type callSide struct {
	c     *call
	watch watchNode
	gone  time.Time // guarded by the table's mu; when its flow was lost
}

type callKey struct{ a, b uint64 }

type callTable struct {
	seeds [2]maphash.Seed
	max   int

	mu     sync.Mutex
	calls  map[callKey]*call
	byID   map[uint64]*call // hash of the Call-ID: its newest dialog
	oldest *call
	newest *call
}

func (t *callTable) init(limit int) {
	t.max = limit
	if limit == 0 {
		t.max = defaultMaxCalls
	}
	t.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	t.calls, t.byID = make(map[callKey]*call), make(map[uint64]*call)
}

// key is the same whichever side sends: the tags are taken in order.
func (t *callTable) key(callID, one, other string) callKey {
	if one > other {
		one, other = other, one
	}
	return callKey{t.hash(t.seeds[0], callID, one, other), t.hash(t.seeds[1], callID, one, other)}
}

func (t *callTable) hash(seed maphash.Seed, parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range parts {
		h.WriteString(s)
		h.WriteByte(0)
	}
	return h.Sum64()
}

// answered enters the dialog that the 2xx m makes; branch b brought it, and peer counts it. It returns the call
// that had to go for it.
func (t *callTable) answered(p *Proxy, rc *responseContext, b *branch, m *sip.Message, peer Peer) (forgotten *call) {
	c := &call{p: p, peer: peer, key: t.key(m.CallID(), m.FromTag(), m.ToTag())}
	n, _ := m.CSeq()
	if b.try != nil {
		n = b.try.cseq
	}
	from := rc.from.Current()
	c.Call = Call{CallID: m.CallID(), FromTag: m.FromTag(), ToTag: m.ToTag(), Started: time.Now()}
	c.Caller = Party{
		Address: m.Value(sip.From), Contact: contactOf(rc.req), Upstream: from.Upstream(), Flow: from.ID, Name: rc.name, CSeq: n,
	}
	c.Callee = Party{Address: m.Value(sip.To), Contact: contactOf(m), Upstream: b.w.Upstream, Flow: b.to.ID, Name: b.w.Name}
	if up := c.Callee.Upstream; up != "" {
		c.Callee.Name = p.upstreamName(up)
	}
	c.Callee.Routes, c.Caller.Routes = splitRecords(m, b.records)
	if p.renumbers(b.w.Upstream, 0) {
		if s := p.shifts.hold(p.shifts.key(m.CallID(), m.FromTag(), b.w.Upstream)); s != nil {
			c.shifts = append(c.shifts, s)
		}
	}
	c.own()
	c.side[0].c, c.side[1].c = c, c
	for i, f := range [...]*flow.Flow{from, b.to} {
		if f.Upstream() == "" {
			p.watch.add(&c.side[i].watch, f, &c.side[i])
		}
	}
	c.refreshLocked(m) // nobody else has it yet
	return t.enter(c)
}

// own copies what c says into one string of its own, so that no message lives as long as the call.
func (c *call) own() {
	parts := [...]*string{
		&c.CallID, &c.FromTag, &c.ToTag, &c.Caller.Address, &c.Caller.Contact, &c.Callee.Address, &c.Callee.Contact,
	}
	n := 0
	for _, s := range parts {
		n += len(*s)
	}
	b := make([]byte, 0, n)
	for _, s := range parts {
		b = append(b, *s...)
	}
	all := string(b)
	for _, s := range parts {
		*s, all = all[:len(*s)], all[len(*s):]
	}
}

// splitRecords reads the route sets beyond us from the Record-Routes of a 2xx, of
// which the last records values were in the request we sent, ours first (RFC 3261
// §12.1): towards the callee bottom up, towards the caller top down.
func splitRecords(m *sip.Message, records int) (below, above []string) {
	n := countValues(m, sip.RecordRoute)
	ours := n - records
	if ours < 0 || n == 2 {
		return nil, nil // the callee did not copy them, or they are ours alone
	}
	i := 0
	for v := range m.Values(sip.RecordRoute) {
		switch {
		case i < ours:
			below = append(below, strings.Clone(v))
		case i >= ours+2:
			above = append(above, strings.Clone(v))
		}
		i++
	}
	slices.Reverse(below)
	return below, above
}

func countValues(m *sip.Message, h sip.Header) (n int) {
	if m.Has(h) {
		for range m.Values(h) {
			n++
		}
	}
	return n
}

// contactOf is the remote target that m gives.
func contactOf(m *sip.Message) string {
	if !m.Has(sip.Contact) {
		return ""
	}
	for v := range m.Values(sip.Contact) {
		if addr, err := addrOf(v); err == nil {
			return addr
		}
	}
	return ""
}

// enter links c in and returns the oldest call when the table was full.
func (t *callTable) enter(c *call) (forgotten *call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.calls[c.key]; old != nil {
		t.unlinkLocked(old)
		forgotten = old
	} else if len(t.calls) >= t.max {
		forgotten = t.oldest
		t.unlinkLocked(forgotten)
	}
	t.calls[c.key] = c
	id := t.hash(t.seeds[0], c.CallID)
	c.twin, t.byID[id] = t.byID[id], c
	c.p.Wheel.After(&c.age, time.Until(c.due), (*callAge)(c))
	c.prev = t.newest
	if c.prev != nil {
		c.prev.next = c
	} else {
		t.oldest = c
	}
	t.newest = c
	return forgotten
}

func (t *callTable) unlinkLocked(c *call) {
	c.p.Wheel.Stop(&c.age)
	delete(t.calls, c.key)
	t.unlinkTwinLocked(c)
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		t.oldest = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		t.newest = c.prev
	}
	c.next, c.prev = nil, nil
}

// take removes c and reports whether it was still there.
func (t *callTable) take(c *call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.calls[c.key] != c {
		return false
	}
	t.unlinkLocked(c)
	return true
}

// seen notes the CSeq and the target of an in-dialog request.
func (t *callTable) seen(req *sip.Message) {
	k := t.key(req.CallID(), req.FromTag(), req.ToTag())
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[k]
	if c == nil {
		return
	}
	side := &c.Caller
	if req.FromTag() != c.FromTag {
		side = &c.Callee
	}
	if n, _ := req.CSeq(); n > side.CSeq {
		side.CSeq = n
	}
	if !c.timed {
		c.due = time.Now().Add(maxCallSilence)
	}
	if m := req.Method(); m == "INVITE" || m == "UPDATE" { // target refresh, RFC 3261 §12.2, RFC 3311
		if contact := contactOf(req); contact != "" && contact != side.Contact {
			side.Contact = strings.Clone(contact)
		}
	}
}

// refreshed notes the target and the session timer in a 2xx to a re-INVITE or UPDATE.
func (t *callTable) refreshed(m *sip.Message) {
	k, contact := t.key(m.CallID(), m.FromTag(), m.ToTag()), contactOf(m)
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[k]
	if c == nil {
		return
	}
	c.refreshLocked(m)
	if contact == "" {
		return
	}
	side := &c.Caller
	if m.ToTag() != c.FromTag {
		side = &c.Callee
	}
	if side.Contact != contact {
		side.Contact = strings.Clone(contact)
	}
}

// attach has the call of an in-dialog request hold s; false when it does so already, or there is none.
func (t *callTable) attach(req *sip.Message, s *shift) bool {
	k := t.key(req.CallID(), req.FromTag(), req.ToTag())
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.calls[k]
	if c == nil || slices.Contains(c.shifts, s) {
		return false
	}
	c.shifts = append(c.shifts, s)
	return true
}

// end forgets the call that a BYE has ended.
func (t *callTable) end(bye *sip.Message) {
	k := t.key(bye.CallID(), bye.FromTag(), bye.ToTag())
	t.mu.Lock()
	c := t.calls[k]
	if c != nil {
		t.unlinkLocked(c)
	}
	t.mu.Unlock()
	if c != nil {
		c.leave("bye")
	}
}

// leave lets go of a call that has left the table.
func (c *call) leave(how string) {
	c.p.Wheel.Stop(&c.dead)
	c.p.watch.remove(&c.side[0].watch)
	c.p.watch.remove(&c.side[1].watch)
	if c.peer != nil {
		c.peer.Ended()
	}
	for _, s := range c.shifts { // nobody else has the call any more
		s.release(how == "forgotten")
	}
	if c.p.Ended != nil {
		defer c.p.Panicked.Catch()
		c.Ended, c.EndedBy = time.Now(), how
		c.p.Config.Ended(c.Call)
	}
}

// ContactIn is the remote target that the sender of an in-dialog request has given in its call, "" where that is not known.
func (p *Proxy) ContactIn(req *sip.Message) string {
	if req.ToTag() == "" {
		return ""
	}
	t := &p.calls
	k := t.key(req.CallID(), req.FromTag(), req.ToTag())
	t.mu.Lock()
	defer t.mu.Unlock()
	switch c := t.calls[k]; {
	case c == nil:
		return ""
	case req.FromTag() == c.FromTag:
		return c.Caller.Contact
	default:
		return c.Callee.Contact
	}
}

// Calls is a snapshot of the call table, oldest first.
func (p *Proxy) Calls() []Call {
	t := &p.calls
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Call, 0, len(t.calls))
	for c := t.oldest; c != nil; c = c.next {
		all = append(all, c.Call)
	}
	return all
}

// flowClosed: a peer is gone; after dead_peer_bye the survivor hears of it. A peer that
// we close to restart is not gone: the call outlives us.
func (s *callSide) flowClosed(_ *flow.Flow, why sip.CloseReason) {
	if why == sip.CloseShutdown {
		return
	}
	c := s.c
	c.p.calls.mu.Lock()
	s.gone = time.Now()
	c.p.calls.mu.Unlock()
	c.p.Wheel.After(&c.dead, c.p.Times.DeadPeerBye, c)
}

// flowMoved: the peer is back on f.
func (s *callSide) flowMoved(f *flow.Flow) {
	p := s.c.p
	p.calls.mu.Lock()
	defer p.calls.mu.Unlock()
	if p.calls.calls[s.c.key] != s.c {
		return
	}
	s.gone = noTime
	s.party().Flow = f.ID
	p.watch.remove(&s.watch)
	p.watch.add(&s.watch, f, s)
}

func (s *callSide) party() *Party {
	if s == &s.c.side[0] {
		return &s.c.Caller
	}
	return &s.c.Callee
}

// Expired is transaction.Alarm: a peer has been away for dead_peer_bye.
func (c *call) Expired(*transaction.Timer) {
	p := c.p
	p.calls.mu.Lock()
	if p.calls.calls[c.key] != c {
		p.calls.mu.Unlock()
		return
	}
	dead, alive := c.Caller, c.Callee
	if c.side[0].gone.IsZero() {
		dead, alive = alive, dead
	}
	both := !c.side[0].gone.IsZero() && !c.side[1].gone.IsZero()
	lost := !c.side[0].gone.IsZero() || !c.side[1].gone.IsZero()
	p.calls.mu.Unlock()
	if !lost || p.liveFlow(dead.Flow, dead.Name) != nil && !both {
		return
	}
	if !p.calls.take(c) {
		return
	}
	defer c.leave("dead_peer")
	if !both {
		p.byeSurvivor(c.CallID, &dead, &alive)
	}
}
