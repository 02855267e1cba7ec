package proxy

import (
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transaction"
)

// A call whose BYE never comes (a phone that was switched off, on the other side an upstream)
// leaves the table when its session timer has run out (RFC 4028 §10), without one when
// nothing was heard of it for long.
const (
	maxCallSilence = 12 * time.Hour
	minSession     = 90 * time.Second // RFC 4028 §4
	// sessionSlack is for a refresh that is on its way, or waits for a client to be back.
	sessionSlack = time.Minute
)

// callAge keeps the alarm of age apart from that of dead.
type callAge call

// refreshLocked notes what a 2xx to INVITE or UPDATE says of the session timer; none
// means that there is none any more (RFC 4028 §7.2).
func (c *call) refreshLocked(m *sip.Message) {
	session := interval(m.Named("Session-Expires"))
	c.timed = session > 0
	c.due = time.Now().Add(maxCallSilence)
	if c.timed {
		c.due = time.Now().Add(min(max(session, minSession)+sessionSlack, maxCallSilence))
	}
}

// Expired is transaction.Alarm. Timers are not set anew with each message, but when they go off.
func (a *callAge) Expired(*transaction.Timer) {
	c := (*call)(a)
	t := &c.p.calls
	t.mu.Lock()
	if t.calls[c.key] != c || c.age.Stale() {
		t.mu.Unlock()
		return
	}
	if left := time.Until(c.due); left > 0 {
		c.p.Wheel.After(&c.age, left, a)
		t.mu.Unlock()
		return
	}
	t.unlinkLocked(c)
	t.mu.Unlock()
	c.p.Counters.CallsExpired.Add(1)
	c.leave("expired")
}
