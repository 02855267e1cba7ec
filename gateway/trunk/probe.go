package trunk

import (
	"context"
	"strconv"
	"time"
)

// Prober asks an address whether it is there.
type Prober interface {
	// Probe sends one OPTIONS to t without waiting and calls done once, with the status
	// of the final response or with why there is none. After within nobody waits any
	// more: it is a miss, and done need not be called.
	Probe(t Target, within time.Duration, done func(status int, err error))
}

// watch sends the probes when they are due, and ends what has a time to end.
func (s *Set) watch(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.woken:
		}
		s.tellChanges()
		next := time.Time{}
		for _, p := range s.now.Load().peers {
			next = earlier(next, s.tick(p, time.Now()))
		}
		s.tellChanges()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// changed queues a transition for Run to tell: whom it is told may be slow, and a call is waiting.
func (s *Set) changed(t Transition) {
	s.changes.Lock()
	s.changes.queue = append(s.changes.queue, t)
	s.changes.Unlock()
	s.wake()
}

func (s *Set) tellChanges() {
	s.changes.Lock()
	queue := s.changes.queue
	s.changes.queue = nil
	s.changes.Unlock()
	for _, t := range queue {
		s.cfg.Changed(t)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// wake has watch look again.
func (s *Set) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// tick does what is due for p and says when there is something again, zero for never.
func (s *Set) tick(p *Peer, now time.Time) (next time.Time) {
	p.mu.Lock()
	before := p.health.state
	if !p.health.until.IsZero() && !now.Before(p.health.until) {
		p.health = p.health.next(p.cfg, waited, "", 0, now)
	}
	if !p.asked.IsZero() && now.Sub(p.asked) >= p.cfg.Timeout {
		p.answerLocked(false, "no answer in "+p.cfg.Timeout.String(), now)
	}
	next = p.health.until
	send := false
	if !p.cfg.Off && s.cfg.Prober != nil {
		if p.due.IsZero() {
			p.due = now.Add(s.cfg.Phase(p.interval()))
		}
		if p.asked.IsZero() && !now.Before(p.due) {
			send = true
			p.asked, p.sent, p.due = now, now, now.Add(p.interval())
			p.probe++
		}
		next = earlier(next, p.due)
		if !p.asked.IsZero() {
			next = earlier(next, p.asked.Add(p.cfg.Timeout))
		}
	}
	n, t := p.probe, *p.Target()
	p.unlock(before)
	if send {
		s.cfg.Prober.Probe(t, p.cfg.Timeout, func(status int, err error) { p.answered(n, status, err) })
	}
	return next
}

// interval is the time from one probe to the next.
func (p *Peer) interval() time.Duration {
	if p.health.state == Up {
		return p.cfg.Interval
	}
	return p.cfg.DownInterval
}

// answered is the end of the n-th probe.
func (p *Peer) answered(n uint64, status int, err error) {
	now := time.Now()
	p.mu.Lock()
	if n != p.probe || p.asked.IsZero() {
		p.mu.Unlock()
		return // too late
	}
	before := p.health.state
	switch {
	case err != nil:
		p.answerLocked(false, err.Error(), now)
	case status == 408 || status == 503:
		p.answerLocked(false, strconv.Itoa(status), now)
	default:
		p.took = now.Sub(p.asked)
		p.answerLocked(true, "", now)
	}
	p.unlock(before)
	p.set.wake()
}

// answerLocked ends the running probe. Where the state changes, so does the time of
// the next one.
func (p *Peer) answerLocked(ok bool, why string, now time.Time) {
	sent, before := p.asked, p.health.state
	p.asked = time.Time{}
	e := probeAnswered
	if !ok {
		e, p.lastErr = probeMissed, why
	}
	p.health = p.health.next(p.cfg, e, why, 0, now)
	if p.health.state != before {
		p.due = sent.Add(p.interval())
	}
}
