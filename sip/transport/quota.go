package transport

import (
	"net/netip"
	"sync"
)

// Quota counts what peers hold, per address and in all. An IPv6 peer is its /64.
type Quota struct {
	mu    sync.Mutex
	held  map[netip.Addr]int32
	total int
}

// Take counts one more for a and reports whether neither limit is passed.
func (q *Quota) Take(a netip.Addr, perAddr, total int) bool {
	a = Holder(a)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.held == nil {
		q.held = make(map[netip.Addr]int32)
	}
	n := q.held[a]
	if int(n) >= perAddr || q.total >= total {
		return false
	}
	q.held[a] = n + 1
	q.total++
	return true
}

// Release undoes one Take.
func (q *Quota) Release(a netip.Addr) {
	a = Holder(a)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.total--
	if n := q.held[a]; n > 1 {
		q.held[a] = n - 1
	} else {
		delete(q.held, a)
	}
}

// Total is the number held in all.
func (q *Quota) Total() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Holder is what a counts as: IPv4 itself, IPv6 its /64.
func Holder(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// Rate admits a number of events a second and a burst of them. It belongs to one goroutine.
type Rate struct {
	tokens float64
	last   int64 // nanoseconds
}

// Allow takes one event at time now (nanoseconds on any steady clock).
func (r *Rate) Allow(now int64, perSecond, burst float64) bool {
	if r.last == 0 {
		r.tokens = burst
	} else {
		r.tokens = min(burst, r.tokens+float64(now-r.last)*perSecond/1e9)
	}
	r.last = now
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
