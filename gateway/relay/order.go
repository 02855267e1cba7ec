package relay

import (
	"hash/maphash"

	"github.com/ringway/ringway/sip/flow"
)

// Answers to REGISTERs come in any order: from a hop that is slow, or was given up, or lost a datagram. What a 2xx says holds
// unless one to a later REGISTER has been here: later by CSeq where the Call-ID is the same (RFC 3261 §10.3 step 7), else as
// they came. Whoever asked after that answer cannot be too late: a user agent may begin its CSeq anew, when its registrar lets it.

// turn is the place of a REGISTER among its like.
type turn struct {
	callID uint64 // its hash
	cseq   uint32
	serial uint64 // of its arrival
}

// before reports whether t is older than last.
func (t turn) before(last turn) bool {
	if t.callID == last.callID && t.cseq != last.cseq {
		return t.cseq < last.cseq
	}
	return t.serial < last.serial
}

// order remembers the last REGISTER that was answered, of each user agent and of all of a user's (Contact: *). Its memory is
// fixed: what it forgets it lets pass. Guarded by the table's mu.
type order struct {
	seed maphash.Seed
	last []lastTurn
}

type lastTurn struct {
	who uint64
	turn
	answered uint64 // how many had come when it was
}

const orderSlots = 8192

func (o *order) init() { o.seed, o.last = maphash.MakeSeed(), make([]lastTurn, orderSlots) }

func (o *order) agent(n flow.Name) uint64 { return maphash.Bytes(o.seed, n[:]) }

func (o *order) user(aor string) uint64 { return maphash.String(o.seed, aor) }

// late reports whether a later one of who has been answered.
func (o *order) late(who uint64, t turn) bool {
	l := &o.last[who%orderSlots]
	return l.who == who && t.serial <= l.answered && t.before(l.turn)
}

func (o *order) note(who uint64, t turn, now uint64) { o.last[who%orderSlots] = lastTurn{who, t, now} }

// takesLocked notes that x is answered, for its user agent or all of its user's; false if it is too late for that.
func (t *table) takesLocked(x *Registration) bool {
	who := t.order.user(x.aor)
	if t.order.late(who, x.turn) {
		return false
	}
	if !x.all {
		if who = t.order.agent(x.name); t.order.late(who, x.turn) {
			return false
		}
	}
	t.order.note(who, x.turn, x.relay.serial.Load())
	return true
}

// takes is takesLocked for what ends bindings.
func (x *Registration) takes() bool {
	t := &x.relay.table
	t.mu.Lock()
	taken := t.takesLocked(x)
	t.mu.Unlock()
	if !taken {
		x.relay.Counters.add(Outdated)
	}
	return taken
}

// end ends its binding; false: it is too late to say so.
func (x *Registration) end(why Change) bool {
	taken := x.takes()
	if taken {
		x.relay.end(x.name, nil, why)
	}
	return taken
}
