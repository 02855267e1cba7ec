package registrar

import (
	"container/heap"
	"sync"
	"time"

	"github.com/ringway/ringway/sip/flow"
)

// deadline is something to look at later: the bindings of aor; else a name that
// its dead flow has held long enough; else a dead flow whose grace is over.
type deadline struct {
	at   time.Time
	aor  string
	flow *flow.Flow
	name flow.Name
}

// deadlines wait in one heap for the one timer of Run. An AOR stands in it once,
// for the earliest end it may have: a refresh, which only moves that end on,
// changes nothing, and the AOR goes back when its turn comes too early.
type deadlines struct {
	sooner chan struct{} // something is now due before what was first

	mu    sync.Mutex
	items deadlineHeap
	due   map[string]time.Time // by AOR
}

func newDeadlines() *deadlines {
	return &deadlines{sooner: make(chan struct{}, 1), due: make(map[string]time.Time)}
}

// expires asks for a look at aor's bindings at at, or earlier.
func (d *deadlines) expires(aor string, at time.Time) {
	d.mu.Lock()
	was, ok := d.due[aor]
	if ok && !at.Before(was) {
		d.mu.Unlock()
		return
	}
	d.due[aor] = at
	d.mu.Unlock()
	d.push(deadline{at: at, aor: aor})
}

func (d *deadlines) push(x deadline) {
	d.mu.Lock()
	heap.Push(&d.items, x)
	first := d.items[0] == x
	d.mu.Unlock()
	if !first {
		return
	}
	select {
	case d.sooner <- struct{}{}:
	default:
	}
}

// pop takes out what is due at now, one at a time.
func (d *deadlines) pop(now time.Time) (x deadline, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.items) > 0 && !d.items[0].at.After(now) {
		x = heap.Pop(&d.items).(deadline)
		if x.aor == "" {
			return x, true
		}
		if d.due[x.aor].Equal(x.at) { // not overtaken by an earlier one
			delete(d.due, x.aor)
			return x, true
		}
	}
	return deadline{}, false
}

// next is how long it is to the first deadline, an hour at most.
func (d *deadlines) next(now time.Time) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.items) == 0 {
		return time.Hour
	}
	return min(time.Hour, max(0, d.items[0].at.Sub(now)))
}

type deadlineHeap []deadline

func (h deadlineHeap) Len() int           { return len(h) }
func (h deadlineHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h deadlineHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *deadlineHeap) Push(x any)        { *h = append(*h, x.(deadline)) }
func (h *deadlineHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = deadline{}
	*h = old[:len(old)-1]
	return x
}
