package proxy

import (
	"hash/maphash"
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// inviteCount bounds the INVITEs that one user has pending.
type inviteCount struct {
	shards [16]struct {
		sync.Mutex
		of map[uint64]int // by the user's hash; no entry is 0
	}
}

var errInvites = &sip.StatusError{Code: 503, Reason: "Service Unavailable: too many calls of one user being set up", Headers: []string{"Retry-After: 5"}}

// countInvite takes a place of the caller's for an INVITE; the response context gives it
// back with the final response (leaveInvite). 0: it is not counted.
func (p *Proxy) countInvite(req *sip.Message, from *flow.Flow) (user uint64, err error) {
	if p.MaxInvites == 0 || p.Caller == nil || req.Method() != "INVITE" {
		return 0, nil
	}
	name := p.Caller(req, from)
	if name == "" {
		return 0, nil
	}
	user = maphash.String(p.seed, name) | 1 // never 0
	s := &p.invites.shards[user>>1%uint64(len(p.invites.shards))]
	s.Lock()
	defer s.Unlock()
	if s.of[user] >= p.MaxInvites {
		p.Counters.TooManyInvites.Add(1)
		return 0, errInvites
	}
	if s.of == nil {
		s.of = make(map[uint64]int)
	}
	s.of[user]++
	return user, nil
}

func (p *Proxy) leaveInvite(user uint64) {
	if user == 0 {
		return
	}
	s := &p.invites.shards[user>>1%uint64(len(p.invites.shards))]
	s.Lock()
	defer s.Unlock()
	if s.of[user]--; s.of[user] <= 0 {
		delete(s.of, user)
	}
}
