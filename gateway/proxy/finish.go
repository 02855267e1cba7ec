package proxy

import (
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transaction"
)

// How a response context ends: §16.7 steps 6 to 9.

// endLocked ends t with a; the last one decides.
func (rc *responseContext) endLocked(t *target, a answer) {
	if t.state == ended {
		return
	}
	t.state = ended
	rc.pending--
	rc.best.add(a, rc.cancelled)
	if rc.pending > 0 || rc.final != 0 {
		return
	}
	if rc.next < len(rc.targets) && !rc.closedLocked() {
		rc.startGroupLocked()
		return
	}
	rc.finishLocked(t)
}

// unsentLocked is how a target ends that is not tried (any more).
func (rc *responseContext) unsentLocked() answer {
	if rc.cancelled {
		return answer{err: errTerminated}
	}
	return answer{err: errAway}
}

var errTerminated = sip.Refuse(487, "Request Terminated")

// finishLocked sends the best response (§16.7 steps 6–9).
func (rc *responseContext) finishLocked(last *target) {
	a := rc.best.choose()
	up := last.current().Upstream
	switch status := a.status(); {
	case rc.cancelled && a.msg == nil:
		a.err = errTerminated
	case rc.stopped:
		a = answer{err: restarting()}
	case rc.timedOut && (a.msg == nil || status == 487 || status == 408):
		a = answer{err: rc.ringTimeout()}
	case status == 430 && !last.current().path:
		a = answer{err: errAway}
	case status == 480 && a.msg == nil && last.current().path:
		a.err = errFailed
	case status == 408 && !rc.invite: // RFC 4320 §4.2: the transaction keeps it to itself
		a = answer{err: sip.Refuse(408, "Request Timeout")}
	}
	rc.final = a.status()
	if a.msg != nil {
		rc.forwardBestLocked(a)
	} else {
		if rc.tx.Refuse(a.err); !rc.from.Live() {
			rc.reopenLocked(a.err.Code, nil)
		}
	}
	rc.closeLocked(up)
}

func (rc *responseContext) ringTimeout() *sip.StatusError {
	if rc.rung {
		return sip.Refuse(480, "No Answer")
	}
	return sip.Refuse(408, "Request Timeout")
}

func (rc *responseContext) forwardBestLocked(a answer) {
	out := rc.spliceResponse(a.msg) // never nil: the request is there still
	rc.best.addChallenges(a.msg, out)
	rc.sendLocked(a.from, a.msg, out)
}

// closeLocked lets go of all that only a pending request needs: the context
// itself lives as long as its transactions do.
func (rc *responseContext) closeLocked(up string) {
	p := rc.p
	p.Counters.Contexts.Add(-1)
	p.leaveInvite(rc.user)
	p.Wheel.Stop(&rc.timer)
	p.watch.remove(&rc.watch)
	rc.forgetLoginLocked(up)
	rc.todo(act{kind: actFinished, req: rc.req, n: rc.final, up: up})
	copying := false
	for _, t := range rc.targets {
		copying = copying || t.state == reaching // a copy may be in the making, which reads the route without the lock
		p.leaveWaits(t)
		t.ways = t.ways[t.way : t.way+1 : t.way+1]
		t.way, t.hop = 0, 0
	}
	rc.req, rc.best = nil, bestResponse{}
	rc.targets, rc.branches, rc.oneBranch = nil, nil, [1]*branch{}
	if rc.inDialog && !copying {
		rc.route = route{} // parts of the request
	}
}

// Ended is transaction.ServerUser.
func (rc *responseContext) Ended(_ *transaction.Server, err error) {
	if err == nil {
		return
	}
	rc.callerGone()
}
