package proxy

import (
	"math/rand/v2"
	"strconv"

	"github.com/ringway/ringway/sip"
)

// Stop ends every call that has no final response: its callers are told 503 and when to
// come again (RFC 3261 §21.5.4), its callees CANCEL. It is for the end of the process: what
// still rings then would find nobody to carry its answer.
func (p *Proxy) Stop() {
	for _, u := range p.Table.Invites() {
		if rc, ok := u.(*responseContext); ok {
			rc.stop()
		}
	}
}

func (rc *responseContext) stop() {
	rc.mu.Lock()
	defer rc.unlock()
	if rc.final != 0 || rc.cancelled {
		return
	}
	rc.stopped = true
	for _, t := range rc.targets {
		switch t.state {
		case running:
			rc.abandonLocked(t.branch, answer{err: errAway}, stopping)
		case holding, connecting:
			rc.p.leaveWaits(t)
			rc.endLocked(t, answer{err: errAway})
		}
		if rc.targets == nil {
			return // that was the last one
		}
	}
}

// restarting asks the caller to come back at a time of its own, so that not all do at once.
func restarting() *sip.StatusError {
	return &sip.StatusError{
		Code: 503, Reason: "Service Unavailable: restarting", Headers: []string{"Retry-After: " + strconv.Itoa(5+rand.IntN(26))},
	}
}
