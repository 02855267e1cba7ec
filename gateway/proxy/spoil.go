package proxy

import "github.com/ringway/ringway/sip"

// How a response context ends that panicked: its request is answered 500, what rings is cancelled,
// and it holds no timer, no place and no lock.

var (
	errSpoilt = sip.Refuse(500, "Server Internal Error")
	spoilt    = reason(500, "Server Internal Error")
)

// survive is deferred by what runs without the lock, on behalf of the context.
func (rc *responseContext) survive() {
	if v := recover(); v != nil {
		rc.spoil()
		rc.p.Panicked.Pass(v)
	}
}

func (rc *responseContext) spoil() {
	rc.mu.Lock()
	defer rc.unlock()
	rc.spoilLocked()
}

// spoilLocked ends the context in whatever state a panic has left it. A 2xx that could not be passed on
// and comes again is acknowledged and ended, as is any that comes too late.
func (rc *responseContext) spoilLocked() {
	rc.acts = nil
	if rc.req == nil {
		return // it has come to its end
	}
	defer func() { _ = recover() }() // of the same cause, which is told
	defer rc.closeLocked("")
	answered := rc.tx.Request() == nil
	if !answered || rc.final == 0 {
		rc.final = errSpoilt.Code
	}
	for _, t := range rc.targets {
		t.state = ended
		rc.p.leaveWaits(t)
	}
	for _, b := range rc.branches {
		b.won = b.won && answered
		if !b.done {
			b.abandoned = true
			rc.closeBranchLocked(b)
			rc.cancelBranchLocked(b, spoilt)
		}
	}
	if !answered {
		rc.tx.Refuse(errSpoilt)
	}
}
