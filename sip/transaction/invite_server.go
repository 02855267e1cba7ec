package transaction

// This file is RFC 3261 §17.2.1 with RFC 6026 §7.1: the INVITE server transaction.

func (tx *Server) answerInviteLocked(status int, b []byte) {
	switch {
	case status/100 == 2 && tx.state > proceeding:
		tx.lost = deliver(tx.flow, b) != nil // a further 2xx, or its retransmission, which will come again
	case tx.state > proceeding:
		tx.table.counters.drop(UnsentLate)
	case status < 200:
		tx.stopLocked()
		tx.provisionalLocked(b)
	case status < 300:
		tx.acceptLocked(b)
	default:
		tx.rejectLocked(b)
	}
}

// acceptLocked enters Accepted: the INVITE sent again is absorbed, and whoever sent the 2xx retransmits it.
func (tx *Server) acceptLocked(b []byte) {
	tx.state, tx.req, tx.last, tx.cancel = accepted, nil, nil, nil
	tx.afterLocked(TimerL)
	tx.deliverLocked(b)
	tx.settleLocked()
}

// rejectLocked enters Completed: the response is sent again until the ACK comes. On a
// reliable transport that is only done when the client has moved to another flow.
func (tx *Server) rejectLocked(b []byte) {
	tx.state, tx.req, tx.last, tx.cancel = completed, nil, b, nil
	tx.pace = newPace(TimerG, TimerH, tx.reliable)
	tx.afterLocked(tx.pace.step)
	tx.deliverLocked(b)
}

func (tx *Server) settleInviteLocked() {
	if tx.state == accepted {
		tx.last = nil
		tx.table.unlistServer(tx)
	}
}

// ack takes an ACK and reports whether it ends here.
func (tx *Server) ack() bool {
	tx.mu.Lock()
	defer tx.unlockAndTell()
	switch tx.state {
	case trying, proceeding:
		tx.table.counters.drop(StrayAck)
	case completed:
		tx.confirmLocked()
	case confirmed:
		tx.table.counters.absorbed.Add(1)
	default: // accepted: the ACK to the 2xx, from a client that reuses the branch
		return false
	}
	return true
}

// confirmLocked: timer I, zero on reliable transports, absorbs further ACKs.
func (tx *Server) confirmLocked() {
	tx.state, tx.last, tx.unsent = confirmed, nil, false
	if tx.reliable {
		tx.terminateLocked(nil)
		return
	}
	tx.table.unlistServer(tx)
	tx.afterLocked(TimerI)
}

func (tx *Server) inviteAlarmLocked() {
	switch tx.state {
	case trying:
		tx.send100Locked()
	case completed:
		if tx.pace.next(min(2*tx.pace.step, T2)) { // timer H
			tx.terminateLocked(ErrTimeout)
			return
		}
		tx.resendLocked() // timer G
		tx.afterLocked(tx.pace.step)
	case confirmed, accepted:
		tx.terminateLocked(nil)
	}
}
