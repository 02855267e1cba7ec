package ws

import (
	"math/rand/v2"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// watch is the one timer of a flow and what it waits for, in time since the
// server's epoch.
type watch struct {
	timer   *time.Timer
	proveBy time.Duration // 0: proven
	pingAt  time.Duration
	pongBy  time.Duration // 0: no ping unanswered
	heard   uint32        // when the ping was sent
}

// startWatch arms the timer: to prove an identity, and for the first ping.
func (f *Flow) startWatch() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.watch.proveBy = now + f.srv.cfg.ProveTime
	f.watch.pingAt = now + f.srv.pingAfter()
	f.watch.timer = time.AfterFunc(f.untilLocked(now), f.tick)
}

// pingAfter draws a time between 4/5 of the interval and the interval, so that
// the pings of clients that came together spread.
func (s *Server) pingAfter() time.Duration {
	d := s.cfg.PingInterval
	return d - time.Duration(rand.Int64N(int64(d)/5+1))
}

func (f *Flow) untilLocked(now time.Duration) time.Duration {
	next := f.watch.pingAt
	if t := f.watch.pongBy; t != 0 {
		next = min(next, t)
	}
	if t := f.watch.proveBy; t != 0 {
		next = min(next, t)
	}
	return max(next-now, 0)
}

// tick does what is due.
func (f *Flow) tick() {
	defer f.srv.faults.Catch()
	if why := f.due(); why != "" {
		f.Close(why)
	}
}

func (f *Flow) due() sip.CloseReason {
	proven := f.flow.Proven()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closing {
		return ""
	}
	w, now := &f.watch, f.now()
	if w.pongBy != 0 && f.heard.Load() != w.heard {
		w.pongBy = 0
	}
	if proven {
		w.proveBy = 0
	}
	switch {
	case w.pongBy != 0 && now >= w.pongBy:
		return sip.CloseDead
	case w.proveBy != 0 && now >= w.proveBy:
		return sip.CloseUnproven
	case now >= w.pingAt:
		w.pingAt = now + f.srv.pingAfter()
		if w.pongBy == 0 {
			w.pongBy, w.heard = now+f.srv.cfg.PongTime, f.heard.Load()
		}
		f.pingLocked()
	}
	w.timer.Reset(f.untilLocked(now))
	return ""
}

// pingLocked sends a ping without payload: whatever comes back counts.
func (f *Flow) pingLocked() {
	f.srv.count.Pings.Add(1)
	f.writeLocked(opPing, nil)
}

// probe is a ping that somebody waits for.
type probe struct {
	timer *time.Timer
	done  func(alive bool)
}

// Ping asks the client behind to whether it lives. done is called once: true when
// anything comes from it within the time, on its reader's goroutine; false
// when nothing does, and then the flow is closed with sip.CloseDead, or when it ends
// otherwise. Flows that are no WebSockets are taken for living while they are open.
func (s *Server) Ping(to *flow.Flow, within time.Duration, done func(alive bool)) {
	f, ok := to.Conn.(*Flow)
	if !ok {
		done(to.Live())
		return
	}
	f.mu.Lock()
	if f.closing {
		f.mu.Unlock()
		done(false)
		return
	}
	p := &probe{done: done}
	f.probes = append(f.probes, p)
	f.probing.Store(true)
	p.timer = time.AfterFunc(within, func() { f.unanswered(p) })
	f.pingLocked()
	f.mu.Unlock()
}

func (f *Flow) unanswered(p *probe) {
	defer f.srv.faults.Catch()
	f.mu.Lock()
	waiting := false
	for _, q := range f.probes {
		waiting = waiting || p == q
	}
	f.mu.Unlock()
	if waiting {
		f.Close(sip.CloseDead)
		f.answerProbes(false)
	}
}

// answerProbes tells all who wait.
func (f *Flow) answerProbes(alive bool) {
	f.mu.Lock()
	probes := f.probes
	f.probes = nil
	f.probing.Store(false)
	f.mu.Unlock()
	for _, p := range probes {
		p.timer.Stop()
		f.answer(p, alive)
	}
}

// answer keeps a panic of one who waits from the others.
func (f *Flow) answer(p *probe, alive bool) {
	defer f.srv.faults.Catch()
	p.done(alive)
}
