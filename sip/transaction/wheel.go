package transaction

import (
	"context"
	"math"
	"math/bits"
	"sync"
	"time"

	"github.com/ringway/ringway/sip/fault"
)

// Resolution is the wheel's step. A timer never fires early; it fires at most one step late.
const Resolution = 10 * time.Millisecond

const (
	slotBits = 6
	slots    = 1 << slotBits
	levels   = 6 // 2^36 steps: 21 years
	farthest = 1 << (slotBits * levels)
)

// Alarm is told that one of its timers went off.
type Alarm interface {
	// Expired runs on the wheel's goroutine, outside the wheel's lock. It must not block.
	Expired(t *Timer)
}

// AlarmFunc lets a function be an Alarm.
type AlarmFunc func()

// Expired calls f.
func (f AlarmFunc) Expired(*Timer) { f() }

// Timer is one entry of a Wheel, embedded in what it belongs to; the zero Timer
// is stopped. It must not be copied while armed.
type Timer struct {
	// Guarded by the wheel's mu.
	next, prev *Timer
	at         uint64 // step at which it is due
	alarm      Alarm
	level      uint8 // 1 and up: level+1 of the wheel; 0: not armed
	slot       uint8

	turn  uint32 // counts After and Stop
	fired uint32 // turn that the running Expired call belongs to
}

// dueLevel marks a timer on the due list.
const dueLevel = levels + 1

// Stale reports that the timer was stopped or armed anew after it went off, so that the
// Expired call it is asked in has nothing to do. It is to be asked under the lock
// under which the owner calls After and Stop.
func (t *Timer) Stale() bool { return t.turn != t.fired }

// Wheel is a hierarchical timer wheel: arming and stopping cost O(1) and no
// allocation. One runtime timer is armed, for the next deadline only, so an
// idle wheel does not tick.
//
// Stop and After say nothing about an Expired call that is already on its way:
// that call may still come once. An owner calls After and Stop under a lock of its
// own, and its alarm asks Timer.Stale under the same lock.
type Wheel struct {
	base    time.Time
	onPanic fault.Handler // nil: a panic of an alarm ends the process

	mu    sync.Mutex
	now   uint64 // all steps up to this one have been worked off
	level [levels]wheelLevel
	due   timerList // expired or armed for "at once", in the order of their calls

	clock *time.Timer // nil unless Run is running
	armed uint64      // step the clock is set for, or never
}

const never = math.MaxUint64

type wheelLevel struct {
	used  uint64 // bit n: slot n is not empty
	slots [slots]timerList
}

// NewWheel makes a wheel; timers may be armed at once and fire once Run runs.
func NewWheel() *Wheel { return &Wheel{base: time.Now()} }

// After arms t to call alarm.Expired(t) in d; a timer already armed is moved. d <= 0
// means as soon as the wheel's goroutine gets to it.
func (w *Wheel) After(t *Timer, d time.Duration, alarm Alarm) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlinkLocked(t)
	t.alarm = alarm
	t.turn++
	if d <= 0 {
		w.pushDueLocked(t)
		w.armLocked(0)
		return
	}
	t.at = w.stepAfter(d)
	w.insertLocked(t)
	w.armLocked(t.at)
}

// Stop disarms t and reports whether it was armed.
func (w *Wheel) Stop(t *Timer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	t.turn++
	return w.unlinkLocked(t)
}

// Run calls the alarms until ctx ends.
func (w *Wheel) Run(ctx context.Context) error {
	clock := time.NewTimer(time.Hour)
	defer clock.Stop()
	w.mu.Lock()
	w.clock, w.armed = clock, never
	w.mu.Unlock()
	for {
		w.work()
		select {
		case <-ctx.Done():
			w.mu.Lock()
			w.clock = nil
			w.mu.Unlock()
			return ctx.Err()
		case <-clock.C:
		}
	}
}

// work calls all alarms that are due and sets the clock for the next.
func (w *Wheel) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		w.advanceLocked(w.elapsed())
		if w.due.first == nil {
			break
		}
		for t := w.due.first; t != nil; t = w.due.first {
			alarm := t.alarm
			w.unlinkLocked(t)
			t.fired = t.turn
			w.callLocked(alarm, t)
		}
	}
	w.armed = never
	if step, _, ok := w.nextLocked(); ok {
		w.armLocked(step)
		return
	}
	w.clock.Stop()
}

// callLocked calls an alarm without the lock.
func (w *Wheel) callLocked(alarm Alarm, t *Timer) {
	w.mu.Unlock()
	defer w.mu.Lock()
	defer w.onPanic.Catch()
	alarm.Expired(t)
}

// armLocked sets the clock for step unless it goes off earlier anyway. Stopping a
// timer leaves the clock alone: one vain wake-up is cheaper than a search.
func (w *Wheel) armLocked(step uint64) {
	if w.clock == nil || w.armed <= step {
		return
	}
	w.armed = step
	w.clock.Reset(time.Duration(step)*Resolution - time.Since(w.base))
}

func (w *Wheel) elapsed() uint64 { return uint64(time.Since(w.base) / Resolution) }

// stepAfter is the first step not before now+d.
func (w *Wheel) stepAfter(d time.Duration) uint64 {
	step := uint64((time.Since(w.base) + d + Resolution - 1) / Resolution)
	return min(max(step, w.now+1), w.now+farthest-1)
}

// insertLocked files t by the highest group of bits in which its step differs
// from now: everything in a lower level is due before anything in a higher one.
func (w *Wheel) insertLocked(t *Timer) {
	l := min((bits.Len64((t.at^w.now)|1)-1)/slotBits, levels-1)
	s := t.at >> (l * slotBits) % slots
	t.level, t.slot = uint8(l)+1, uint8(s)
	w.level[l].slots[s].push(t)
	w.level[l].used |= 1 << s
}

func (w *Wheel) unlinkLocked(t *Timer) bool {
	switch t.level {
	case 0:
		return false
	case dueLevel:
		w.due.remove(t)
	default:
		l := &w.level[t.level-1]
		l.slots[t.slot].remove(t)
		if l.slots[t.slot].first == nil {
			l.used &^= 1 << t.slot
		}
	}
	t.level = 0
	return true
}

func (w *Wheel) pushDueLocked(t *Timer) {
	t.level = dueLevel
	w.due.push(t)
}

// nextLocked finds the next slot in use: the step at which it begins, and its level.
func (w *Wheel) nextLocked() (step uint64, level int, ok bool) {
	for l := range levels {
		used := w.level[l].used
		if used == 0 {
			continue
		}
		shift := l * slotBits
		at := w.now >> shift
		if ahead := used >> (at % slots) >> 1; ahead != 0 {
			return (at + 1 + uint64(bits.TrailingZeros64(ahead))) << shift, l, true
		}
		// Behind us in the highest level only: it wraps.
		return (at - at%slots + slots + uint64(bits.TrailingZeros64(used))) << shift, l, true
	}
	return 0, 0, false
}

// advanceLocked moves the wheel to step to; what has become due goes to the due list.
func (w *Wheel) advanceLocked(to uint64) {
	for {
		step, l, ok := w.nextLocked()
		if !ok || step > to {
			w.now = max(w.now, to)
			return
		}
		w.now = step
		list := &w.level[l].slots[step>>(l*slotBits)%slots]
		for t := list.first; t != nil; t = list.first {
			w.unlinkLocked(t)
			if t.at <= w.now {
				w.pushDueLocked(t)
			} else {
				w.insertLocked(t)
			}
		}
	}
}

// timerList is first in, first out, so that timers of one step fire in the order they were armed.
type timerList struct{ first, last *Timer }

func (l *timerList) push(t *Timer) {
	t.prev, t.next = l.last, nil
	if l.last != nil {
		l.last.next = t
	} else {
		l.first = t
	}
	l.last = t
}

func (l *timerList) remove(t *Timer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.last = t.prev
	}
	t.prev, t.next = nil, nil
}
