package trunk

import (
	"fmt"
	"time"
)

// State is what is known of one address of a group.
type State uint8

// The states. Calls go to Unknown and Up.
const (
	Unknown State = iota // nobody has asked yet, or a time of silence agreed on is over
	Up
	Down
	Busy    // it asked for peace until a time (503 with Retry-After)
	Drained // the operator takes it out; what becomes of it meanwhile is followed
)

// String is the word for logs and metrics.
func (s State) String() string { return [...]string{"unknown", "up", "down", "busy", "drained"}[s] }

// States are all of them.
func States() []State { return []State{Unknown, Up, Down, Busy, Drained} }

// event is something that tells of an address's health.
type event uint8

const (
	probeAnswered    event = iota // any status but 408 and 503
	probeMissed                   // these, or none in time
	callAnswered                  // a call got a response but 408 and 503
	callUnavailable               // a call got 503, with or without Retry-After
	callSilent                    // a call got nothing at all within try_timeout
	callBroken                    // the connection ended under a call
	callNoConnection              // no connection could be made
	waited                        // health.until has come
)

// busyLongest bounds the peace that a Retry-After can ask for.
const busyLongest = 5 * time.Minute

// busyProbed is the same where probes tell whether it is well: one answer must not take a hop out for long.
const busyProbed = 30 * time.Second

// health is what is known of one address; next makes the one after an event.
type health struct {
	state    State // never Drained: that stands beside it
	cause    string
	since    time.Time
	misses   int       // probes in a row without an answer
	answers  int       // probes in a row with one
	failures int       // calls in a row that failed, with no sign of life between
	until    time.Time // Busy, and Down without probes: then it is Unknown again
}

// next is the health after event e, of which why tells more (an error, or what was
// answered); wait is the Retry-After of callUnavailable.
//
// Probes: DownAfter misses in a row are Down, UpAfter answers in a row Up again. Calls: an
// address to which no connection can be made is Down at once. A call that hears
// nothing, whose connection breaks, or that gets 503 without Retry-After is a failure:
// two of them with no sign of life between, or one together with a missed probe, are
// Down. So one lost packet takes nobody out. 503 with Retry-After is Busy for that long.
func (h health) next(c *HealthConfig, e event, why string, wait time.Duration, now time.Time) health {
	switch e {
	case probeAnswered:
		return h.answered(c, now)
	case probeMissed:
		h.misses, h.answers = h.misses+1, 0
		switch {
		case h.state == Down || h.state == Busy:
		case h.misses >= c.DownAfter:
			return h.to(Down, fmt.Sprintf("%d probes without an answer: %s", h.misses, why), now)
		case h.failures > 0:
			return h.to(Down, "a call failed and a probe has no answer: "+why, now)
		}
		return h
	case callAnswered:
		return h.alive(c, now)
	case callUnavailable:
		if h.state == Down && !c.Off {
			return h
		}
		if wait > 0 {
			if !c.Off {
				wait = min(wait, busyProbed)
			}
			h = h.to(Busy, why, now)
			h.until = now.Add(min(wait, busyLongest))
			return h
		}
		return h.failed(c, why, now)
	case callSilent, callBroken:
		return h.failed(c, why, now)
	case callNoConnection:
		return h.down(c, why, now)
	case waited:
		return h.over(now)
	}
	return h
}

func (h health) answered(c *HealthConfig, now time.Time) health {
	h.misses, h.failures, h.answers = 0, 0, h.answers+1
	switch h.state {
	case Unknown:
		return h.to(Up, "answers probes", now)
	case Down:
		if h.answers >= c.UpAfter {
			return h.to(Up, fmt.Sprintf("%d probes answered", h.answers), now)
		}
	}
	return h
}

// alive is a response to a call. An address that is Down stays so where probes decide:
// what comes late says nothing of now.
func (h health) alive(c *HealthConfig, now time.Time) health {
	if h.state == Down && !c.Off || h.state == Busy {
		return h
	}
	h.misses, h.failures = 0, 0
	if h.state != Up {
		return h.to(Up, "answers calls", now)
	}
	return h
}

func (h health) failed(c *HealthConfig, why string, now time.Time) health {
	h.failures++
	switch {
	case h.state == Down || h.state == Busy:
	case h.failures >= 2:
		return h.down(c, fmt.Sprintf("%d calls failed: %s", h.failures, why), now)
	case h.misses > 0:
		return h.down(c, "a probe has no answer and a call failed: "+why, now)
	}
	return h
}

func (h health) down(c *HealthConfig, why string, now time.Time) health {
	if h.state == Down {
		return h
	}
	h = h.to(Down, why, now)
	if c.Off {
		h.until = now.Add(c.Interval)
	}
	return h
}

// over is the end of until: calls may try it again.
func (h health) over(now time.Time) health {
	if h.until.IsZero() || now.Before(h.until) {
		return h
	}
	why := "left alone for long enough"
	if h.state == Busy {
		why = "Retry-After is over"
	}
	return h.to(Unknown, why, now)
}

func (h health) to(s State, why string, now time.Time) health {
	n := health{state: s, cause: why, since: now, misses: h.misses, answers: h.answers}
	if s == Down {
		n.answers = 0
	}
	return n
}

// usable reports whether calls go there.
func (h *health) usable() bool { return h.state == Unknown || h.state == Up }
