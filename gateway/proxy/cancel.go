package proxy

import (
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Cancelled is transaction.ServerUser: §16.10. The caller's Reason goes on with
// our CANCELs (RFC 3326 §2).
func (rc *responseContext) Cancelled(_ *transaction.Server, cancel *sip.Message) {
	var reason []string
	if cancel != nil && cancel.Has(sip.Reason) {
		for _, f := range cancel.Fields() {
			if f.Header == sip.Reason {
				reason = append(reason, "Reason: "+cancel.FieldValue(f))
			}
		}
	}
	rc.mu.Lock()
	defer rc.unlock()
	rc.cancelLocked(reason)
}

// callerGone is a CANCEL that the caller cannot send any more.
func (rc *responseContext) callerGone() {
	rc.mu.Lock()
	defer rc.unlock()
	if rc.invite {
		rc.cancelLocked(tooLate)
	}
}

func (rc *responseContext) cancelLocked(reason []string) {
	if rc.final != 0 || rc.cancelled {
		return
	}
	rc.cancelled, rc.reason = true, reason
	rc.cancelPendingLocked()
}

// cancelPendingLocked cancels every running branch and ends what has none yet.
func (rc *responseContext) cancelPendingLocked() {
	for _, t := range rc.targets {
		switch t.state {
		case running:
			if rc.invite {
				rc.cancelBranchLocked(t.branch, rc.reason)
			}
		case holding, connecting: // what the connection is for is not sent any more
			rc.p.leaveWaits(t)
			if rc.final == 0 {
				rc.endLocked(t, rc.unsentLocked())
			} else {
				t.state = ended
			}
		}
		if rc.targets == nil {
			return // that was the last one
		}
	}
}

// cancelBranchLocked sends the CANCEL once the branch has a provisional (RFC 3261 §9.1).
func (rc *responseContext) cancelBranchLocked(b *branch, reason []string) {
	if b.cancelled || !rc.invite {
		return
	}
	b.cancelled, b.reason = true, reason
	switch {
	case !b.started:
	case b.lostLocked():
		rc.cancelElsewhereLocked(b)
	default:
		rc.todo(act{kind: actCancel, b: b, lines: reason})
	}
}

// flowClosed: the caller's connection ended.
func (rc *responseContext) flowClosed(_ *flow.Flow, why sip.CloseReason) {
	if why.Gone() {
		rc.callerGone()
		return
	}
	rc.mu.Lock()
	defer rc.unlock()
	if rc.final == 0 {
		rc.graceBy = rc.now().Add(rc.p.Times.Grace)
		rc.armLocked()
	}
}

// flowMoved: the caller is back on f.
func (rc *responseContext) flowMoved(f *flow.Flow) {
	rc.mu.Lock()
	defer rc.unlock()
	rc.p.watch.remove(&rc.watch)
	if rc.final == 0 {
		rc.graceBy = noTime
		rc.p.watch.add(&rc.watch, f, rc)
	}
}
