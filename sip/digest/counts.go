package digest

import "sync"

// The size of counts: 4,096 sets of 8 nonces are 32,768 in 0.6 MiB. Where nonces live
// two minutes, that is 270 logins a second before any is forgotten early.
const (
	countSets = 4096
	countWays = 8
)

// counts remembers the highest nc of the nonces in use (RFC 7616 §3.4: the
// server's copy of nc). Its memory is fixed. What it has to forget it does not
// forgive: each set knows how old the youngest nonce was that it dropped early,
// and everything as old as that is taken for used up.
type counts struct {
	floor uint64 // static: nonces made up to then are of an earlier life
	ttl   uint64 // static, milliseconds
	sets  []countSet
}

type countSet struct {
	mu      sync.Mutex
	dropped uint64 // when the youngest nonce was made that was dropped unexpired
	ways    [countWays]count
}

type count struct {
	id, made uint64
	nc       uint32
}

// use reports whether nc is higher than any used with the nonce before, and
// notes it. now is for telling which nonces have expired.
func (c *counts) use(id, made, now uint64, nc uint32) bool {
	s := &c.sets[id%uint64(len(c.sets))]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.ways {
		if w := &s.ways[i]; w.id == id && w.made == made {
			if nc <= w.nc {
				return false
			}
			w.nc = nc
			return true
		}
	}
	// A floor ahead of now is from before the clock was set back: it would lock everybody out.
	floor := max(c.floor, s.dropped)
	if made < floor && floor <= now || made == s.dropped && made != 0 {
		return false
	}
	*s.victim(now, c.ttl) = count{id, made, nc}
	return true
}

// victim is the way to overwrite: a free or expired one, else that of the oldest nonce.
func (s *countSet) victim(now, ttl uint64) *count {
	oldest := &s.ways[0]
	for i := range s.ways {
		w := &s.ways[i]
		if w.made > now || now-w.made > ttl {
			return w
		}
		if w.made < oldest.made {
			oldest = w
		}
	}
	s.dropped = max(s.dropped, oldest.made)
	return oldest
}
