package transaction

import "github.com/ringway/ringway/sip"

// This file is RFC 3261 §17.1.1 with RFC 6026 §7.2, and §9.1: the INVITE client transaction and its CANCEL.

// inviteResponseLocked takes a response to the INVITE and reports whether the user is to see it.
func (tx *Client) inviteResponseLocked(m *sip.Message) (tell bool) {
	status := m.Status()
	switch {
	case status/100 == 2 && tx.state <= closed && tx.state != unstarted:
		if tx.state != closed {
			tx.finalLocked(answered)
			tx.afterLocked(TimerM)
		}
		return true // also after another final response: a proxy behind us may have had a 2xx since (§16.7 step 5)
	case status/100 == 2 && tx.state == answered:
		return true
	case tx.state == closed && status >= 300:
		if tx.ack != nil {
			tx.resendLocked(tx.ack)
		}
		if status != tx.final {
			tx.table.counters.drop(LateResponse) // no retransmission: the server cannot make up its mind
		}
		return false
	case tx.state != calling && tx.state != ringing:
		tx.table.counters.drop(LateResponse)
		return false
	case status < 200:
		tx.ringLocked()
		return true
	default:
		tx.rejectedLocked(m)
		return true
	}
}

// ringLocked enters Proceeding: timers A and B end, a CANCEL may go.
func (tx *Client) ringLocked() {
	if tx.state == calling {
		tx.state = ringing
		tx.table.wheel.Stop(&tx.timer)
	}
	if tx.cancel == cancelWanted {
		tx.sendCancelLocked()
	}
}

// rejectedLocked enters Completed: the ACK goes out, and again for each retransmission
// that timer D (zero on reliable transports) lets in.
func (tx *Client) rejectedLocked(m *sip.Message) {
	ack := tx.out.AppendAck(nil, m)
	_ = deliver(tx.flow, ack)
	if tx.reliable {
		tx.terminateLocked()
		return
	}
	tx.finalLocked(closed)
	tx.ack, tx.final = ack, m.Status()
	tx.afterLocked(TimerD)
}

// sendCancelLocked sends the CANCEL and waits 64*T1 for the INVITE's final response; on
// UDP the CANCEL is sent again, as timer E of its own transaction would do, until it is answered.
func (tx *Client) sendCancelLocked() {
	tx.cancel = cancelSent
	tx.pace = newPace(TimerE, 64*T1, tx.reliable)
	tx.afterLocked(tx.pace.step)
	_ = deliver(tx.flow, tx.out.AppendCancel(nil, tx.extra...))
}

// cancelResponseLocked takes a response to the CANCEL; used: it is the first.
func (tx *Client) cancelResponseLocked(status int) (used bool) {
	used = status >= 200 && tx.cancel == cancelSent
	if used {
		tx.cancel = cancelAnswered
	}
	return used
}
