package transaction

// This file is RFC 3261 §17.2.2 with RFC 4320: the server transaction of any other request.

func (tx *Server) answerOtherLocked(status int, b []byte) {
	switch {
	case tx.state > proceeding:
		tx.table.counters.drop(UnsentLate)
	case status == 100 && tx.reliable: // elsewhere 100 is sent by us, when it is time (RFC 4320 §4.1)
		if tx.state == trying {
			tx.afterLocked(TimerF - Late100)
		}
		tx.provisionalLocked(b)
	case status < 200:
		tx.table.counters.drop(UnsentInterim)
	case status == 408: // RFC 4320 §4.2: the client's own timer F tells it as much
		tx.table.counters.drop(Unsent408)
		tx.completeLocked(nil)
	default:
		tx.completeLocked(b)
	}
}

// completeLocked enters Completed; b nil: without a response.
func (tx *Server) completeLocked(b []byte) {
	tx.state, tx.req, tx.last = completed, nil, b
	if b != nil {
		tx.deliverLocked(b)
	}
	if tx.unsent || !tx.reliable {
		tx.afterLocked(TimerJ)
	}
	tx.settleLocked()
}

// settleOtherLocked: timer J, zero on reliable transports, answers the request sent again.
func (tx *Server) settleOtherLocked() {
	if tx.reliable {
		tx.terminateLocked(nil)
		return
	}
	tx.table.unlistServer(tx)
}

func (tx *Server) otherAlarmLocked() {
	switch tx.state {
	case trying:
		tx.send100Locked()
		tx.afterLocked(TimerF - Late100)
	case proceeding: // the client has given up; a response would be late (RFC 4320 §4.2)
		tx.terminateLocked(ErrTimeout)
	case completed:
		tx.terminateLocked(nil)
	}
}
