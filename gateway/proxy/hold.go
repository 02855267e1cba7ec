package proxy

import (
	"hash/maphash"
	"sync"

	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// What waits for a flow: requests and ACKs for a user agent that is away, and ACKs
// of one that has yet to prove who it is. All is bounded: nobody can fill the list with what he
// sends to himself, nor fill it for one user agent.
const (
	maxHeldPerDialog = 16  // for one user agent
	maxHeldPerQueue  = 256 // for one user agent
	maxHeldPerSender = 512 // of one user; an upstream speaks for many and has no bound of its own
	maxHeldPerPair   = 64  // of one user for one user agent
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
	next, prev *waitNode
	key        waitKey
	dialog     uint64 // hash of the Call-ID
	sender     uint64 // hash of the user, 0 for one without a bound
	who        waiter
	queued     bool
}

// waitQueue is who waits for one key.
type waitQueue struct {
	first, last *waitNode
	n           int
}

// waitShare is what maxHeldPerDialog and maxHeldPerPair count: what waits for key in a dialog, or of a sender.
type waitShare struct {
	key waitKey
	of  uint64
}

// waitList keeps who waits for whom, first in, first out. Adding and removing cost the same
// however many there are.
type waitList struct {
	seed maphash.Seed
	mu   sync.Mutex
	n    int
	wait map[waitKey]*waitQueue
	of   map[uint64]int // by sender
	in   map[waitShare]int
}

func (l *waitList) init() {
	l.seed = maphash.MakeSeed()
	l.wait, l.of, l.in = make(map[waitKey]*waitQueue), make(map[uint64]int), make(map[waitShare]int)
}

func (l *waitList) hash(s string) uint64 { return maphash.String(l.seed, s) }

// sender is whose share what came from f counts against.
func (l *waitList) sender(f *flow.Flow) uint64 {
	if f.Upstream() != "" {
		return 0
	}
	if aors := f.AORs(); len(aors) > 0 {
		return l.hash(aors[0]) | 1
	}
	return uint64(f.ID) | 1
}

// add queues n, which came from a flow; false when the list or a share of it is full.
func (l *waitList) add(n *waitNode, key waitKey, callID string, from *flow.Flow, who waiter) bool {
	n.key, n.dialog, n.sender, n.who = key, l.hash(callID), l.sender(from), who
	dialog, pair := waitShare{key, n.dialog}, waitShare{key, n.sender}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.wait[key]
	if l.n >= maxHeld || q != nil && q.n >= maxHeldPerQueue || l.in[dialog] >= maxHeldPerDialog ||
		n.sender != 0 && (l.of[n.sender] >= maxHeldPerSender || l.in[pair] >= maxHeldPerPair) {
		return false
	}
	if q == nil {
		q = &waitQueue{first: n}
		l.wait[key] = q
	} else {
		q.last.next = n
	}
	n.prev, n.next, q.last = q.last, nil, n
	q.n++
	l.n++
	l.in[dialog]++
	if n.sender != 0 {
		l.of[n.sender]++
		l.in[pair]++
	}
	n.queued = true
	return true
}

// remove takes n out and reports whether it was still there.
func (l *waitList) remove(n *waitNode) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !n.queued {
		return false
	}
	q := l.wait[n.key]
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		q.first = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		q.last = n.prev
	}
	if q.n--; q.n == 0 {
		delete(l.wait, n.key)
	}
	l.leftLocked(n)
	return true
}

// leftLocked gives back what n took of the shares.
func (l *waitList) leftLocked(n *waitNode) {
	n.queued, n.next, n.prev = false, nil, nil
	l.n--
	less(l.in, waitShare{n.key, n.dialog})
	if n.sender != 0 {
		less(l.of, n.sender)
		less(l.in, waitShare{n.key, n.sender})
	}
}

func less[K comparable](counts map[K]int, key K) {
	if counts[key] > 1 {
		counts[key]--
	} else {
		delete(counts, key)
	}
}

// wake empties a queue and wakes its waiters in order.
func (l *waitList) wake(key waitKey, f *flow.Flow) {
	l.mu.Lock()
	var woken []waiter // their nodes may be queued anew once the lock is gone
	if q := l.wait[key]; q != nil {
		delete(l.wait, key)
		woken = make([]waiter, 0, q.n)
		for n := q.first; n != nil; {
			next := n.next
			woken = append(woken, n.who)
			l.leftLocked(n)
			n = next
		}
	}
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
	if l.in[waitShare{key, d}] == 0 {
		return nil
	}
	for n := l.wait[key].first; n != nil; n = n.next {
		if n.dialog == d && is(n.who) {
			return n
		}
	}
	return nil
}
