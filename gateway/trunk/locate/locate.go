// Package locate finds the servers of a SIP host: RFC 3263 over NAPTR, SRV, A and
// AAAA, with a cache that outlives an outage of the DNS. It knows nothing of trunks
// and is the only home of the DNS library.
package locate

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
)

// Target is what a URI says of a server.
type Target struct {
	Host      string        // name or IP address, IPv6 with or without brackets
	Port      uint16        // 0: the URI names none
	Transport sip.Transport // UDP, TCP or TLS when the URI pins it; 0: it does not
	Secure    bool          // a sips URI: TLS only
}

// Server is one address to try.
type Server struct {
	Addr netip.AddrPort
	// Transport is how to reach it; 0: UDP or TCP by size (RFC 3261 §18.1.1).
	Transport sip.Transport
	// Priority ranks the servers of one Result: 0 is tried first, equal ones share
	// by Weight. It is a rank over NAPTR services and SRV priorities, not the number
	// in the record.
	Priority uint16
	// Weight is the SRV record's; each address of the record's name carries it.
	Weight uint16
	// Name is the SRV target, or the host. A certificate is checked against the
	// Target's host instead (RFC 5922 §4).
	Name string
	// Local: this machine says so (hosts(5), RFC 6761 §6.3), no DNS.
	Local bool
}

// Result is what is known of a Target now. Servers is shared: never change it.
type Result struct {
	// Servers stand in the order of Priority, at most 32. Order applies the weights.
	Servers []Server
	// Fresh is how long the answer holds: ask again after it. More than 0; at least a
	// second where the DNS was asked just now.
	Fresh time.Duration
	// Stale: the DNS does not answer, or contradicts itself; Servers is what it said last.
	Stale bool
	// Err says why Servers is stale, empty or lacks some.
	Err error
}

// Errors that Result.Err wraps. Anything else is an outage or a bad Target.
var (
	// ErrNone: the DNS says that there is no such name or record.
	ErrNone = errors.New("no such name or record")
	// ErrNotOffered: the only SRV target is "." (RFC 2782).
	ErrNotOffered = errors.New("the service is not offered at this domain")
	// ErrClosed: the Resolver is closed.
	ErrClosed = errors.New("resolver is closed")
)

// Exchange sends q to a server ("address:port") and returns what it answered. It ends
// with ctx. The answer need not have been checked.
type Exchange func(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error)

// Config is how a Resolver asks. The zero Config is the machine's way.
type Config struct {
	// Panicked is told of a panic over a question, which then has failed. nil: it goes on.
	Panicked fault.Handler
	// Servers are tried in order, "address" or "address:port". None: those of
	// ResolvConf, whose search list then applies to names, too.
	Servers []string
	// Timeout is for one try at one server. Default 2s.
	Timeout time.Duration
	// MinTTL and MaxTTL clamp the TTLs of records. Default 5s and 1h.
	MinTTL, MaxTTL time.Duration
	// NegativeTTL is the longest that "there is none" holds. Default 1m.
	NegativeTTL time.Duration
	// Retry is the wait after a failed question; it doubles up to six times its
	// length (RFC 9520 §3.2). Default 5s.
	Retry time.Duration
	// MaxStale is how long an answer outlives its TTL in an outage (RFC 8767 §5).
	// Default 72h.
	MaxStale time.Duration
	// ResolvConf and HostsFile are read again when they change. Default
	// /etc/resolv.conf and /etc/hosts.
	ResolvConf, HostsFile string
	// Exchange takes the place of UDP and TCP. For tests.
	Exchange Exchange
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		to    *time.Duration
		value time.Duration
	}{
		{&c.Timeout, 2 * time.Second}, {&c.MinTTL, 5 * time.Second}, {&c.MaxTTL, time.Hour},
		{&c.NegativeTTL, time.Minute}, {&c.Retry, 5 * time.Second}, {&c.MaxStale, 72 * time.Hour},
	} {
		if *d.to <= 0 {
			*d.to = d.value
		}
	}
	if c.ResolvConf == "" {
		c.ResolvConf = "/etc/resolv.conf"
	}
	if c.HostsFile == "" {
		c.HostsFile = "/etc/hosts"
	}
	return c
}

// Resolver locates servers. It is safe for concurrent use, its memory is bounded.
type Resolver struct {
	// Static after construction.
	cfg   Config
	cache *cache
	hosts *hosts
	ask   *client

	mu      sync.RWMutex // a leaf
	located map[Target]*located
}

// located is never changed after it is published.
type located struct {
	Result
	until  time.Time // ask again after
	usable time.Time // in an outage Servers serve until then
}

// maxLocated bounds the Targets with a ready Result.
const maxLocated = 2048

// New makes a Resolver; it asks nothing yet and reads no file.
func New(cfg Config) *Resolver {
	cfg = cfg.withDefaults()
	r := &Resolver{cfg: cfg, located: map[Target]*located{}}
	r.hosts = &hosts{path: cfg.HostsFile}
	r.ask = newClient(cfg)
	r.cache = newCache(cfg, r.ask.resolve)
	return r
}

// Close ends the questions under way and waits for them. Locate then knows only what
// is fresh in the cache.
func (r *Resolver) Close() { r.cache.close() }

// Counters are what the Resolver has done so far.
func (r *Resolver) Counters() Counters { return r.ask.counters.read() }

// Locate finds the servers of t (RFC 3263 §4). What is fresh in the cache comes at
// once and without allocation; else it waits for the DNS until ctx ends, and then
// takes what it knew before.
func (r *Resolver) Locate(ctx context.Context, t Target) Result {
	r.mu.RLock()
	l := r.located[t]
	r.mu.RUnlock()
	if l != nil {
		if left := time.Until(l.until); left > 0 {
			res := l.Result
			res.Fresh = left
			return res
		}
	}
	return r.locate(ctx, t, l)
}

func (r *Resolver) locate(ctx context.Context, t Target, before *located) Result {
	s := newSearch(ctx, r, t)
	servers := s.servers()
	now := time.Now()
	l := &located{until: s.until, usable: s.until.Add(r.cfg.MaxStale)}
	l.Servers, l.Stale, l.Err = servers, s.stale, s.err()
	if s.stale && before != nil {
		l.usable = before.usable
	}
	if len(servers) == 0 && s.failed && before != nil && len(before.Servers) > 0 && now.Before(before.usable) {
		// The records led to a name that cannot be asked: the servers of before are the better guess.
		l.Servers, l.Stale, l.usable = before.Servers, true, before.usable
	}
	l.Fresh = max(l.until.Sub(now), time.Second) // a caller that waits for it must not spin
	if ctx.Err() == nil {
		r.remember(t, l)
	}
	return l.Result
}

func (r *Resolver) remember(t Target, l *located) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.located[t]; !known && len(r.located) >= maxLocated {
		delete(r.located, oldest(r.located, func(l *located) time.Time { return l.until }))
	}
	r.located[t] = l
}

// oldest picks, among a few entries of m in no order, the one whose time is first: a
// bounded price for making room.
func oldest[K comparable, V any](m map[K]V, when func(V) time.Time) (victim K) {
	var first time.Time
	seen := 0
	for k, v := range m {
		if at := when(v); seen == 0 || at.Before(first) {
			victim, first = k, at
		}
		if seen++; seen == 32 {
			break
		}
	}
	return victim
}
