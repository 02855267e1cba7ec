package policy

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// FloodLimit is what a peer that has proved nothing may do.
type FloodLimit struct {
	Rate  int // refused requests a second, in the long run
	Burst int // as many at once
}

// LoginLimit is how many wrong passwords cost what.
type LoginLimit struct {
	Failures int           // of one user from one address within a minute
	Penalty  time.Duration // no login of that user from there for so long
}

const (
	failureWindow = time.Minute
	// addressShare is how many UDP peers at the limit one address may stand for: a NAT has many
	// phones behind it, and an attacker with one address has 65,535 ports.
	addressShare = 32

	// What a client that has proved itself may send that is of no use to anybody: late answers and ACKs of calls that
	// are over come in hundreds after a restart, not in thousands.
	wasteEvery = time.Second / 200
	wasteBurst = 1000 * wasteEvery
)

// ErrFlood is the answer to a peer that has proved nothing and goes on too fast.
var ErrFlood = &sip.StatusError{Code: 503, Reason: "Service Unavailable: too many requests without authentication", Headers: []string{"Retry-After: 5"}}

// Flood bounds the requests of peers that proved nothing: beyond the limit they get
// 503, and after as many again the connection is closed. It is charged with
// refusals alone (Identity), so nobody else is ever slowed down. UDP peers of one address
// (IPv6: of one /64) have addressShare times the limit together. Its memory is fixed.
type Flood struct {
	// Static after construction.
	every time.Duration // what one request takes
	burst time.Duration

	peers     cells
	addresses cells
	wasted    cells
	Stats     FloodStats
}

// FloodStats count what the limit did.
type FloodStats struct {
	Refused atomic.Int64 // requests answered 503
	Closed  atomic.Int64 // connections closed
}

// NewFlood returns the limit with nothing used up; now is nil for time.Now.
func NewFlood(limit FloodLimit, now func() time.Time) *Flood {
	every := time.Second / time.Duration(limit.Rate)
	return &Flood{every: every, burst: time.Duration(limit.Burst) * every, peers: newCells(now), addresses: newCells(now), wasted: newCells(now)}
}

// Admit is the step of admission that comes first. On UDP, where there is nothing to close, a peer that goes
// on too fast is served at the allowed pace. What is forged in the name of an upstream or of
// a UDP peer that has registered is never held against it.
func (l *Flood) Admit(_ *sip.Message, from *flow.Flow) error {
	if datagram(from) && from.Upstream() != "" {
		return nil
	}
	now := l.peers.since()
	ahead := time.Duration(l.peers.look(l.key(from)).until) - now
	if ahead <= l.burst-l.every && !(forgeable(from) && l.addressFull(from, now)) {
		return nil
	}
	l.Stats.Refused.Add(1)
	if !datagram(from) {
		l.Charge(from)
		if ahead > 2*l.burst && from.Live() {
			l.Stats.Closed.Add(1)
			from.Close(sip.CloseFlood)
		}
	}
	return ErrFlood
}

// Stray reports whether a message that no stage sees may pass: from a peer that has proved
// nothing it is charged, and what comes beyond the limit is to be dropped; a connection
// is closed where Admit would close it.
func (l *Flood) Stray(from *flow.Flow) bool {
	if from.Proven() {
		return true
	}
	over := l.Admit(nil, from) != nil
	l.Charge(from)
	return !over
}

// Waste charges a connection whose peer has proved itself with a message that went nowhere and that nobody answers, and
// closes it when it sends nothing else. Others pay before (Stray); upstreams do not, nor do UDP peers, who are no connection.
func (l *Flood) Waste(from *flow.Flow) {
	if datagram(from) || from.Upstream() != "" || !from.Proven() {
		return
	}
	now, until := int64(l.wasted.since()), int64(0)
	l.wasted.update(l.key(from), func(c *cell) {
		c.until = max(c.until, now) + int64(wasteEvery)
		until = c.until
	})
	if time.Duration(until-now) > wasteBurst && from.Live() {
		l.Stats.Closed.Add(1)
		from.Close(sip.CloseFlood)
	}
}

// forgeable reports whether anybody can send in the peer's name and be charged for it.
func forgeable(from *flow.Flow) bool { return datagram(from) && !from.Proven() }

// Charge counts one refused request of a peer that has proved nothing, or a wrong password.
func (l *Flood) Charge(from *flow.Flow) {
	now := int64(l.peers.since())
	l.peers.update(l.key(from), func(c *cell) { c.until = max(c.until, now) + int64(l.every) })
	if forgeable(from) {
		l.addresses.update(l.addressKey(from), func(c *cell) { c.until = max(c.until, now) + int64(l.every/addressShare) })
	}
}

// addressFull reports whether all the UDP peers of one address have used up their share.
func (l *Flood) addressFull(from *flow.Flow, now time.Duration) bool {
	return time.Duration(l.addresses.look(l.addressKey(from)).until)-now > l.burst-l.every/addressShare
}

func (l *Flood) addressKey(from *flow.Flow) uint64 {
	ip, n := network(from.Info().Remote.Addr())
	return maphash.Bytes(l.addresses.seed, ip[:n])
}

// key is a connection's id, a UDP peer's address and port. One that has proved itself is
// another than what anybody sends in its name: it pays for wrong passwords only, which
// take a nonce sent to its address.
func (l *Flood) key(from *flow.Flow) uint64 {
	var b [19]byte
	if !datagram(from) {
		binary.BigEndian.PutUint64(b[:], uint64(from.ID))
		return maphash.Bytes(l.peers.seed, b[:8])
	}
	remote := from.Info().Remote
	ip := remote.Addr().As16()
	copy(b[:], ip[:])
	binary.BigEndian.PutUint16(b[16:], remote.Port())
	if from.Proven() {
		b[18] = 1
	}
	return maphash.Bytes(l.peers.seed, b[:])
}

// Logins bounds failed logins: too many of one user from one address in a minute block
// that pair for a while. IPv6 addresses of one /64 are one. Its memory is fixed.
type Logins struct {
	limit LoginLimit // static after construction
	cells cells
}

// NewLogins returns a counter of failures without any; now is nil for time.Now.
func NewLogins(limit LoginLimit, now func() time.Time) *Logins { return &Logins{limit, newCells(now)} }

// Blocked reports whether the user may not even try from there now.
func (l *Logins) Blocked(user, realm string, from netip.Addr) bool {
	c := l.cells.look(l.key(user, realm, from))
	return c.count >= int64(l.limit.Failures) && int64(l.cells.since()) < c.until
}

// Failed counts a wrong password.
func (l *Logins) Failed(user, realm string, from netip.Addr) {
	now := int64(l.cells.since())
	l.cells.update(l.key(user, realm, from), func(c *cell) {
		if now >= c.until {
			c.count, c.until = 0, now+int64(failureWindow)
		}
		if c.count++; c.count == int64(l.limit.Failures) {
			c.until = now + int64(l.limit.Penalty)
		}
	})
}

func (l *Logins) key(user, realm string, from netip.Addr) uint64 {
	ip, n := network(from)
	var h maphash.Hash
	h.SetSeed(l.cells.seed)
	h.Write(ip[:n])
	h.WriteString(realm)
	h.WriteByte(0)
	h.WriteString(user)
	return h.Sum64()
}

// network is what an address counts as: IPv4 itself, of IPv6 the first n octets, its /64.
func network(a netip.Addr) (ip [16]byte, n int) {
	if a.Unmap().Is4() {
		return a.As16(), 16
	}
	return a.As16(), 8
}

// cells are numbers by key in a table of fixed size, for limits: where a set is
// full, the cell that ends first is given up. Keys are hashed with a secret seed, so that
// nobody can choose whom to push out.
type cells struct {
	seed  maphash.Seed
	now   func() time.Time
	start time.Time
	sets  []cellSet
}

const (
	cellSets = 1024
	cellWays = 8
)

type cellSet struct {
	mu   sync.Mutex
	ways [cellWays]cell
}

type cell struct {
	key   uint64
	until int64 // since start; what the cell says matters till then
	count int64
}

func newCells(now func() time.Time) cells {
	if now == nil {
		now = time.Now
	}
	return cells{seed: maphash.MakeSeed(), now: now, start: now(), sets: make([]cellSet, cellSets)}
}

// since is the time since start.
func (t *cells) since() time.Duration { return t.now().Sub(t.start) }

func (t *cells) look(key uint64) cell {
	s := &t.sets[key%cellSets]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.ways {
		if s.ways[i].key == key {
			return s.ways[i]
		}
	}
	return cell{}
}

func (t *cells) update(key uint64, f func(*cell)) {
	s := &t.sets[key%cellSets]
	s.mu.Lock()
	defer s.mu.Unlock()
	at := &s.ways[0]
	for i := range s.ways {
		c := &s.ways[i]
		if c.key == key {
			f(c)
			return
		}
		if c.until < at.until {
			at = c
		}
	}
	*at = cell{key: key}
	f(at)
}
