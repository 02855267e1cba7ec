package proxy

import (
	"hash/maphash"
	"sync"

	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// What waits for a flow: requests and ACKs for a user agent that is away, and ACKs
// of one that has yet to prove who it is. All is bounded.
const (
	maxHeldPerDialog = 16
	maxHeld          = 10_000
)

type (
	transactionTimer = transaction.Timer
	alarm            = transaction.AlarmFunc
)

// waitKey is what is waited for: a name that a flow is to speak for, or a flow
// that is to be named.
type waitKey struct {
	name flow.Name
	from flow.ID
}

// waiter is woken, outside the list's lock, when its flow is there.
type waiter interface{ wake(f *flow.Flow) }

// waitNode is one entry, embedded in its owner.
type waitNode struct {
	next   *waitNode
	key    waitKey
	dialog uint64 // hash of the Call-ID
	who    waiter
	queued bool
}

// waitList keeps who waits for whom, first in, first out.
type waitList struct {
	seed maphash.Seed
	mu   sync.Mutex
	n    int
	wait map[waitKey]*waitNode // first of each queue
}

func (l *waitList) init() {
	l.seed = maphash.MakeSeed()
	l.wait = make(map[waitKey]*waitNode)
}

func (l *waitList) hash(callID string) uint64 { return maphash.String(l.seed, callID) }

// add queues n; false when the list or its dialog's share of it is full.
func (l *waitList) add(n *waitNode, key waitKey, callID string, who waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.key, n.dialog, n.who, n.next = key, l.hash(callID), who, nil
	same := 0
	var last *waitNode
	for e := l.wait[key]; e != nil; e = e.next {
		if last = e; e.dialog == n.dialog {
			same++
		}
	}
	if l.n >= maxHeld || same >= maxHeldPerDialog {
		return false
	}
	if last == nil {
		l.wait[key] = n
	} else {
		last.next = n
	}
	l.n++
	n.queued = true
	return true
}

// remove takes n out and reports whether it was still there.
func (l *waitList) remove(n *waitNode) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.removeLocked(n)
}

func (l *waitList) removeLocked(n *waitNode) bool {
	if !n.queued {
		return false
	}
	n.queued = false
	l.n--
	first := l.wait[n.key]
	if first == n {
		if n.next == nil {
			delete(l.wait, n.key)
		} else {
			l.wait[n.key] = n.next
		}
		return true
	}
	for e := first; e != nil; e = e.next {
		if e.next == n {
			e.next = n.next
			return true
		}
	}
	return true
}

// wake empties a queue and wakes its waiters in order.
func (l *waitList) wake(key waitKey, f *flow.Flow) {
	l.mu.Lock()
	var woken []waiter // their nodes may be queued anew once the lock is gone
	for e := l.wait[key]; e != nil; e = e.next {
		e.queued = false
		l.n--
		woken = append(woken, e.who)
	}
	delete(l.wait, key)
	l.mu.Unlock()
	for _, w := range woken {
		w.wake(f)
	}
}

// find returns the queued waiter of one dialog for which is returns true.
func (l *waitList) find(key waitKey, callID string, is func(waiter) bool) *waitNode {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.hash(callID)
	for e := l.wait[key]; e != nil; e = e.next {
		if e.dialog == d && is(e.who) {
			return e
		}
	}
	return nil
}
