package transaction

import "github.com/ringway/ringway/sip"

// This file is RFC 3261 §17.1.2: the client transaction of other requests than INVITE.

// otherResponseLocked takes a response and reports whether the user is to see it.
func (tx *Client) otherResponseLocked(m *sip.Message) (tell bool) {
	if tx.state != calling && tx.state != ringing {
		tx.table.counters.drop(LateResponse)
		return false
	}
	if m.Status() < 200 {
		tx.state = ringing
		return true
	}
	tx.finalLocked(closed)
	if tx.reliable {
		tx.terminateLocked()
	} else {
		tx.afterLocked(TimerK)
	}
	return true
}
