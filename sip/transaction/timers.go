package transaction

import "time"

// The timers of RFC 3261 appendix A, with RFC 6026's L and M. On reliable
// transports A, E and G never fire, and D, I, J and K are zero.
const (
	T1 = 500 * time.Millisecond // round-trip time estimate
	T2 = 4 * time.Second        // longest interval between retransmissions of a non-INVITE request or an INVITE's response
	T4 = 5 * time.Second        // how long a message stays in the network

	TimerA = T1      // INVITE again: doubles each time
	TimerB = 64 * T1 // INVITE without any response
	TimerD = 32 * time.Second
	TimerE = T1 // other request again: doubles up to T2
	TimerF = 64 * T1
	TimerG = T1 // final response to INVITE again: doubles up to T2
	TimerH = 64 * T1
	TimerI = T4
	TimerJ = 64 * T1
	TimerK = T4
	TimerL = 64 * T1 // RFC 6026 §7.1: Accepted, server
	TimerM = 64 * T1 // RFC 6026 §7.2: Accepted, client

	// Trying100 is when an INVITE is answered with 100 unless something was sent (RFC 3261 §17.2.1).
	Trying100 = 200 * time.Millisecond
	// Late100 is the same for other requests: when the client's timer E reaches T2 (RFC 4320 §4.1).
	Late100 = T1 + 2*T1 + 4*T1
)

// pace runs a retransmission timer and the time-out that ends it on one Timer.
type pace struct {
	step time.Duration // armed now
	left time.Duration // until the time-out, at the moment of arming
}

// newPace begins with first; on a reliable transport only the time-out counts.
func newPace(first, all time.Duration, reliable bool) pace {
	if reliable {
		first = all
	}
	return pace{first, all}
}

// next is called when the armed step has passed and takes the step to arm now: over
// says that the time-out has come.
func (p *pace) next(step time.Duration) (over bool) {
	p.left -= p.step
	p.step = min(step, p.left)
	return p.left <= 0
}
