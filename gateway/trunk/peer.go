package trunk

import (
	"errors"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transaction"
)

// Peer is one address of a group: its health and its load. It lives as long as the
// address is the group's, whatever is looked up meanwhile. Methods are safe for
// concurrent use and never block.
type Peer struct {
	// Static after construction.
	set *Set
	cfg *HealthConfig
	key peerKey

	target atomic.Pointer[Target]

	calls atomic.Int64 // in progress
	out   atomic.Int64 // 0: usable; until when not, in Unix nanoseconds; never: until told otherwise
	spare atomic.Bool  // not usable, but better than none
	calm  atomic.Bool  // up, and nothing to forgive: responses change nothing

	// Guarded by mu; the only lock taken under it is that of Set.changes.
	mu      sync.Mutex
	health  health
	drained bool
	refusal refusal
	lastErr string // of a probe or call
	took    time.Duration
	downs   uint64    // how often it went Down or Busy
	probe   uint64    // counts probes; the answer to an older one is nothing
	asked   time.Time // when the running probe was sent; zero: none runs
	sent    time.Time // when the last one was
	due     time.Time // next probe; zero: not scheduled
}

type peerKey struct {
	group     string
	addr      netip.AddrPort
	transport sip.Transport
}

const never = math.MaxInt64

// usable reports whether calls go there; now is filled in when the time is needed.
func (p *Peer) usable(now *int64) bool {
	out := p.out.Load()
	if out == 0 {
		return true
	}
	if out == never {
		return false
	}
	if *now == 0 {
		*now = time.Now().UnixNano()
	}
	return *now >= out
}

// Began counts a call that is placed there; Ended is to follow.
func (p *Peer) Began() { p.calls.Add(1) }

// Ended is the end of a call, or of the try to place it.
func (p *Peer) Ended() { p.calls.Add(-1) }

// Heard tells of a response to a call for callee (a hash): its status and, of 503, the Retry-After in it (0:
// none). 408 says nothing: it may be about who is behind the address.
func (p *Peer) Heard(status int, retryAfter time.Duration, callee uint64) {
	switch {
	case status == 408:
	case status == 503:
		p.unavailable(retryAfter, callee)
	case !p.calm.Load():
		p.tell(callAnswered, "", 0)
	}
}

// refusal is the last 503 since a call was answered.
type refusal struct {
	callee uint64
	at     time.Time
	many   bool // another callee was refused, too
}

// refusalLife is how long a second 503 may be after the first.
const refusalLife = 30 * time.Second

// unavailable sees to a 503. The server may have it from whoever is called, though it should not pass it on (RFC 3261 §16.7 step 6):
// only those for two callees, with no call answered between, are surely its own. Until then those without Retry-After
// count once, and one with it (§21.5.4) has the server left alone where another will do.
func (p *Peer) unavailable(wait time.Duration, callee uint64) {
	now := time.Now()
	p.mu.Lock()
	was := p.refusal
	again := now.Sub(was.at) < refusalLife
	p.refusal = refusal{callee, now, again && (was.many || was.callee != callee)}
	same := again && !p.refusal.many
	p.mu.Unlock()
	switch {
	case wait > 0:
		p.tell(callUnavailable, "503 with Retry-After: "+wait.String(), wait)
	case same:
		p.doubt(errRefused503)
	default:
		p.tell(callUnavailable, "503", 0)
	}
}

var errRefused503 = errors.New("503")

// Lost tells of a call that got no response: transaction.ErrTimeout when there was none
// within try_timeout, transaction.ErrTransport, which may be wrapped with the cause, when the connection ended under it, any
// other error when no connection could be made. Without counts it may be for what was sent, or for who sent it: the address is
// probed, no more.
func (p *Peer) Lost(err error, counts bool) {
	switch {
	case !counts:
		p.doubt(err)
	case errors.Is(err, transaction.ErrTimeout):
		p.tell(callSilent, "no response", 0)
	case errors.Is(err, transaction.ErrTransport):
		p.tell(callBroken, broken(err), 0)
	default:
		p.tell(callNoConnection, err.Error(), 0)
	}
}

// doubted is how soon after a probe a doubt makes another: whoever sends what makes doubts makes no flood of probes.
const doubted = time.Second

// doubt has p probed at once.
func (p *Peer) doubt(err error) {
	if p.cfg.Off {
		return
	}
	now := time.Now()
	p.mu.Lock()
	p.lastErr = err.Error()
	next := now
	if again := p.sent.Add(doubted); next.Before(again) {
		next = again
	}
	wake := p.asked.IsZero() && next.Before(p.due)
	if wake {
		p.due = next
	}
	p.mu.Unlock()
	if wake {
		p.set.wake()
	}
}

// broken says what ended the connection, if that is known.
func broken(err error) string {
	if err == transaction.ErrTransport {
		return "connection lost"
	}
	return err.Error()
}

// Target is where it is, as the newest snapshot has it. Not to be changed.
func (p *Peer) Target() *Target { return p.target.Load() }

// tell makes the health after an event of a call. What is doubtful is probed at once.
func (p *Peer) tell(e event, why string, wait time.Duration) {
	now := time.Now()
	p.mu.Lock()
	before := p.health
	p.health = before.next(p.cfg, e, why, wait, now)
	if e == callAnswered {
		p.refusal = refusal{}
	} else {
		p.lastErr = why
	}
	wake := !p.health.until.IsZero()
	if !p.cfg.Off && p.asked.IsZero() {
		next := p.due
		switch {
		case p.health.state == Down && before.state != Down:
			next = now.Add(p.cfg.DownInterval)
		case p.health.failures > before.failures:
			next = now
		}
		if next.Before(p.due) {
			p.due, wake = next, true
		}
	}
	p.unlock(before.state)
	if wake {
		p.set.wake()
	}
}

// unlock publishes the health, and has Run tell of a change. The caller had locked mu when the
// state was before.
func (p *Peer) unlock(before State) {
	h := &p.health
	out := int64(0)
	switch {
	case p.drained || h.state == Down && h.until.IsZero():
		out = never
	case !h.usable():
		out = h.until.UnixNano()
	}
	p.out.Store(out)
	p.spare.Store(!p.drained && h.state == Busy && !p.refusal.many)
	p.calm.Store(h.state == Up && h.failures == 0 && h.misses == 0 && p.refusal == refusal{})
	if before != h.state && (h.state == Down || h.state == Busy) {
		p.downs++
	}
	if before != h.state && p.set.cfg.Changed != nil {
		p.set.changed(Transition{Upstream: p.key.group, Peer: p, Hop: p.Target().String(), From: before, To: h.state, Cause: h.cause})
	}
	p.mu.Unlock()
}

// drain takes p out or lets it in again.
func (p *Peer) drain(out bool) {
	p.mu.Lock()
	p.drained = out
	p.unlock(p.health.state)
}

// back is about how long it takes until p may be asked again.
func (p *Peer) back(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.drained:
		return retryLongest
	case !p.health.until.IsZero():
		return p.health.until.Sub(now)
	}
	return time.Duration(max(p.cfg.UpAfter-p.health.answers, 1)) * p.cfg.DownInterval
}

// Status is what is known of an address now.
type Status struct {
	Upstream  string
	Hop       string // address and transport, and the name that led to it
	Addr      netip.AddrPort
	Transport sip.Transport
	State     State
	Since     time.Time     // of State; zero: from the start
	Cause     string        // of State
	LastError string        // of a probe or a call, "" for none so far
	Probe     time.Duration // what the last answered probe took, 0 for none so far
	Calls     int           // in progress
	Downs     uint64        // times it went down or busy
}

// Usable reports whether calls go there.
func (s *Status) Usable() bool { return s.State == Unknown || s.State == Up }

func (p *Peer) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Upstream: p.key.group, Hop: p.Target().String(), Addr: p.key.addr, Transport: p.key.transport, State: p.health.state,
		Since: p.health.since, Cause: p.health.cause, LastError: p.lastErr, Probe: p.took, Calls: int(p.calls.Load()), Downs: p.downs,
	}
	if p.drained {
		s.State = Drained
	}
	return s
}

// Transition is a change of an address's state.
type Transition struct {
	Upstream string
	Peer     *Peer
	Hop      string
	From, To State
	Cause    string
}
