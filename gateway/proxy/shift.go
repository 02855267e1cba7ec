package proxy

import (
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/ringway/ringway/sip/transaction"
)

// A request that an upstream challenged and that we send once more has a CSeq of its own (RFC 3261 §22.2): from then
// on what its sender numbers n leaves with a higher number, in this dialog and this direction. shifts remember which, for as long as the call is in the call table, a subscription for as long as it lasts. What the first request
// of a dialog added stands in our Record-Route as well (shiftParam) and outlives a restart. Whoever was forgotten beyond that
// (Counters.ShiftsForgotten) leaves with too low a number, and is answered 500 by the upstream (§12.2.2); the other
// side can still end the call.
type shifts struct {
	seeds [2]maphash.Seed
	max   int
	p     *Proxy

	mu sync.Mutex // a leaf
	of map[callKey]*shift
}

// shift is one direction of a dialog: what the sender of a From tag sends to an upstream. Guarded by shifts.mu.
type shift struct {
	t       *shifts
	key     callKey
	numbers numbering
	invites [3]sentInvite // the newest, whatever is forgotten of numbers
	newest  int
	forks   []sentInvite // what a To tag has answered, of an INVITE that left more than once at a time

	calls int       // that it belongs to
	until time.Time // when it is of no use any more, if no call holds it
	timer transaction.Timer
}

// sentInvite is how an INVITE left: its ACK has the same number and credentials (§17.1.1.3, §22.1), its PRACK names it.
type sentInvite struct {
	cseq, left  uint32
	some        bool   // it is one
	credentials string // header line
	to          uint64 // hash of the To tag, of forks
}

// sending is a request about to leave.
type sending struct {
	cseq   uint32 // its sender's
	base   uint32 // what our Record-Route says of its dialog, for one that is not known
	invite bool
	dialog bool // others may follow
	again  bool // it has left before, and is to have another number
}

const (
	shiftLife   = time.Hour   // without use
	shiftLinger = time.Minute // without a call
	maxCSeq     = 1<<31 - 1   // RFC 3261 §8.1.1.5
)

func (t *shifts) init(p *Proxy, limit int) {
	t.p, t.max = p, 2*limit
	t.seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}
	t.of = make(map[callKey]*shift)
}

func (t *shifts) key(callID, fromTag, upstream string) callKey {
	return callKey{hashAll(t.seeds[0], callID, fromTag, upstream), hashAll(t.seeds[1], callID, fromTag, upstream)}
}

// number is what a request leaves with; false: there is no such number.
func (t *shifts) number(k callKey, r sending) (left uint32, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of[k]
	if s == nil {
		if !r.again && !r.dialog {
			return r.cseq + r.base, r.cseq+r.base <= maxCSeq
		}
		s = t.makeLocked(k, r.base)
	}
	s.until = later(s.until, time.Now().Add(shiftLife))
	switch {
	case max(s.numbers.high, s.numbers.left(r.cseq)) > maxCSeq, r.again && s.numbers.high == maxCSeq:
		return 0, false
	case r.again:
		left = s.numbers.again(r.cseq)
	default:
		left = s.numbers.first(r.cseq)
	}
	if r.invite {
		s.note(sentInvite{cseq: r.cseq, left: left})
	}
	return left, true
}

// sign notes the credentials that an INVITE leaves with.
func (t *shifts) sign(k callKey, i sentInvite) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.of[k]; s != nil {
		s.note(i)
	}
}

// maxForks bounds the To tags of one INVITE that are told apart.
const maxForks = 8

// answered notes which leaving of an INVITE the sender of a To tag answers.
func (t *shifts) answered(k callKey, i sentInvite, toTag string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of[k]
	if s == nil {
		return
	}
	i.to, i.some = maphash.String(t.seeds[0], toTag), true
	if slices.Contains(s.forks, i) {
		return
	}
	if len(s.forks) == maxForks {
		s.forks = s.forks[:copy(s.forks, s.forks[1:])]
	}
	s.forks = append(s.forks, i)
}

func (s *shift) note(i sentInvite) {
	i.some = true
	for j := range s.invites {
		if old := &s.invites[j]; old.some && old.cseq == i.cseq {
			*old = i
			return
		}
	}
	s.newest = (s.newest + 1) % len(s.invites)
	s.invites[s.newest] = i
}

// invite is how INVITE n left that the sender of a To tag has answered.
func (t *shifts) invite(k callKey, n, base uint32, toTag string) sentInvite {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of[k]
	if s == nil {
		return sentInvite{cseq: n, left: n + base}
	}
	if len(s.forks) > 0 {
		to := maphash.String(t.seeds[0], toTag)
		for _, i := range s.forks {
			if i.cseq == n && i.to == to {
				return i
			}
		}
	}
	for _, i := range s.invites {
		if i.some && i.cseq == n {
			return i
		}
	}
	return sentInvite{cseq: n, left: s.numbers.left(n)}
}

// above is a number that the other side has not seen, at least n.
func (t *shifts) above(k callKey, n uint32) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.of[k]; s != nil {
		return max(n, s.numbers.high+1)
	}
	return n
}

func (t *shifts) makeLocked(k callKey, base uint32) *shift {
	if len(t.of) >= t.max {
		for _, old := range t.of { // any: they are hashes of what peers choose, with seeds of ours
			t.p.Counters.ShiftsForgotten.Add(1)
			t.removeLocked(old)
			break
		}
	}
	s := &shift{t: t, key: k, numbers: numbering{base: base}, until: time.Now().Add(shiftLife)}
	t.of[k] = s
	t.p.Wheel.After(&s.timer, shiftLife, s)
	return s
}

func (t *shifts) removeLocked(s *shift) {
	delete(t.of, s.key)
	t.p.Wheel.Stop(&s.timer)
}

// drop forgets what began no dialog.
func (t *shifts) drop(k callKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.of[k]; s != nil && s.calls == 0 {
		t.removeLocked(s)
	}
}

// linger keeps it for a request that may come again, as long as the upstream knows of the one before (§17.2).
func (t *shifts) linger(k callKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.of[k]; s != nil && s.calls == 0 {
		s.until = time.Now().Add(shiftLinger)
		t.p.Wheel.After(&s.timer, shiftLinger, s)
	}
}

// keep holds it for a subscription of that length.
func (t *shifts) keep(k callKey, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.of[k]; s != nil {
		s.until = later(s.until, time.Now().Add(min(d, maxCallSilence)+time.Minute))
	}
}

// hold ties it to a call; nil when there is none.
func (t *shifts) hold(k callKey) *shift {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of[k]
	if s != nil {
		s.calls++
	}
	return s
}

// unhold takes back a hold that came to nothing.
func (s *shift) unhold() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	s.calls--
}

// release: a call has ended, or been forgotten.
func (s *shift) release(forgotten bool) {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.calls--; s.calls > 0 || t.of[s.key] != s {
		return
	}
	if forgotten {
		t.p.Counters.ShiftsForgotten.Add(1)
	}
	t.removeLocked(s)
}

// Expired is transaction.Alarm.
func (s *shift) Expired(*transaction.Timer) {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[s.key] != s || s.timer.Stale() {
		return
	}
	left := time.Until(s.until)
	if s.calls > 0 {
		left = shiftLife
	}
	if left <= 0 {
		t.removeLocked(s)
		return
	}
	t.p.Wheel.After(&s.timer, left, s)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func hashAll(seed maphash.Seed, parts ...string) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, s := range parts {
		h.WriteString(s)
		h.WriteByte(0)
	}
	return h.Sum64()
}
