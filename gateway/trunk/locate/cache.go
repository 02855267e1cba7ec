package locate

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxEntries = 8192 // questions with a known answer
	maxFlights = 1024 // questions under way
)

// question is one name and type; the name is in lower case, with its final dot.
type question struct {
	name  string
	qtype uint16
}

func (q question) String() string {
	return dns.TypeToString[q.qtype] + " " + q.name
}

// known is the state of a question: immutable, what the last look-up made of it.
type known struct {
	*answer            // the last one, of records or of none; nil: there never was one
	expires  time.Time // when the answer's own TTL ends
	until    time.Time // ask again after
	err      error     // why answer is stale or missing
	doubted  bool      // one "there is none" has contradicted answer
	failures int       // look-ups in a row that gave nothing
}

// settle is what a look-up's outcome makes of what was known before (RFC 2308, 8767):
//   - records take the place of everything;
//   - "there is none" does, too, except that over records it must be said twice, a
//     negative TTL apart: a slip in a zone does not take a PBX out;
//   - a failure leaves the last answer in force until MaxStale after its TTL.
func settle(before known, got *answer, err error, now time.Time, cfg *Config) known {
	if err != nil {
		n := before
		n.failures, n.err = before.failures+1, err
		n.until = now.Add(min(cfg.Retry<<min(before.failures, 8), 6*cfg.Retry))
		if n.answer != nil && now.After(n.expires.Add(cfg.MaxStale)) {
			n.answer, n.doubted = nil, false
		}
		return n
	}
	n := known{answer: got}
	if got.none {
		n.until = now.Add(min(max(got.ttl, cfg.MinTTL), cfg.NegativeTTL))
		if before.answer != nil && !before.none && !before.doubted {
			n.answer, n.expires, n.doubted = before.answer, before.expires, true
			n.err = ErrNone
			return n
		}
	} else {
		n.until = now.Add(min(max(got.ttl, cfg.MinTTL), cfg.MaxTTL))
	}
	n.expires = n.until
	return n
}

// cache holds what is known of each question, and sees to it that one is asked once
// at a time.
type cache struct {
	// Static after construction.
	cfg     Config
	resolve func(context.Context, question) (*answer, error)
	ctx     context.Context // of the questions under way
	cancel  context.CancelFunc
	asking  sync.WaitGroup

	mu      sync.Mutex // a leaf
	entries map[question]*entry
	flights int
	closed  bool
}

type entry struct {
	known
	flight *flight // nil: nobody asks now
}

// flight is a question under way; known is set before done is closed.
type flight struct {
	done  chan struct{}
	known known
}

var errBusy = errors.New("too many questions under way")

func newCache(cfg Config, resolve func(context.Context, question) (*answer, error)) *cache {
	c := &cache{cfg: cfg, resolve: resolve, entries: map[question]*entry{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.asking.Wait()
}

// answers yields what is known of each question, asking in parallel what is not fresh.
// When ctx ends, the rest is what was known before.
func (c *cache) answers(ctx context.Context, qs ...question) []known {
	out, flights := make([]known, len(qs)), make([]*flight, len(qs))
	for i, q := range qs {
		out[i], flights[i] = c.begin(ctx, q)
	}
	for i, f := range flights {
		if f == nil {
			continue
		}
		select {
		case <-f.done:
			out[i] = f.known
		case <-ctx.Done():
			out[i].err = fmt.Errorf("%s: %w", qs[i], ctx.Err())
			out[i].until = time.Now()
		}
	}
	return out
}

// begin yields what is known of q, and the flight to wait for unless that is fresh.
func (c *cache) begin(ctx context.Context, q question) (known, *flight) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[q]
	switch {
	case e == nil:
		e = &entry{}
	case now.Before(e.until):
		return e.known, nil
	case e.flight != nil:
		return e.known, e.flight
	}
	refuse := ctx.Err()
	if c.closed {
		refuse = ErrClosed
	} else if c.flights >= maxFlights {
		refuse = errBusy
	}
	if refuse != nil {
		n := e.known
		n.err, n.until = fmt.Errorf("%s: %w", q, refuse), now
		return n, nil
	}
	c.addLocked(q, e)
	e.flight = &flight{done: make(chan struct{})}
	c.flights++
	c.asking.Go(func() { c.fly(q, e, e.flight) })
	return e.known, e.flight
}

// addLocked makes room for q. An entry with a flight may go: its waiters hold the flight.
func (c *cache) addLocked(q question, e *entry) {
	if _, there := c.entries[q]; !there && len(c.entries) >= maxEntries {
		delete(c.entries, oldest(c.entries, func(e *entry) time.Time { return e.until }))
	}
	c.entries[q] = e
}

var errPanic = errors.New("the answer could not be worked on")

// resolveSafely is resolve for a goroutine that nobody else guards: what a stranger's answer breaks is that question, and those
// who wait for it hear so.
func (c *cache) resolveSafely(ctx context.Context, q question) (got *answer, err error) {
	defer func() {
		if v := recover(); v != nil {
			c.cfg.Panicked.Pass(v)
			err = errPanic
		}
	}()
	return c.resolve(ctx, q)
}

func (c *cache) fly(q question, e *entry, f *flight) {
	ctx, cancel := context.WithTimeout(c.ctx, flightTries*c.cfg.Timeout)
	defer cancel()
	got, err := c.resolveSafely(ctx, q)
	if err != nil {
		err = fmt.Errorf("%s: %w", q, err)
	}
	now := time.Now()
	c.mu.Lock()
	e.known = settle(e.known, got, err, now, &c.cfg)
	if errors.Is(e.err, ErrNone) {
		e.err = fmt.Errorf("%s: %w, of late", q, ErrNone)
	}
	f.known = e.known
	e.flight = nil
	c.flights--
	c.mu.Unlock()
	close(f.done)
}

// flightTries is how many Timeouts a question may take in all, whatever the number of
// servers and aliases.
const flightTries = 6
