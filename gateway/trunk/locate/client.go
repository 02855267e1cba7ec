package locate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpSize is the EDNS0 buffer size that passes without fragments.
	udpSize = 1232
	// rounds is how often a silent server is asked again: datagrams get lost.
	rounds = 2
	// maxAsking bounds the sockets in use.
	maxAsking = 64
)

// Counters count from the Resolver's start.
type Counters struct {
	Questions uint64 // sent, tries included
	Timeouts  uint64 // no answer within Timeout
	Errors    uint64 // unreachable servers, unreadable answers
	Refusals  uint64 // SERVFAIL, REFUSED and other codes that are no answer
	Strays    uint64 // datagrams dropped: wrong id, question or form
	Truncated uint64 // answers asked again over TCP
}

type counters struct {
	questions, timeouts, errors, refusals, strays, truncated atomic.Uint64
}

func (c *counters) read() Counters {
	return Counters{c.questions.Load(), c.timeouts.Load(), c.errors.Load(), c.refusals.Load(), c.strays.Load(), c.truncated.Load()}
}

// client asks the servers of the machine or of Config.
type client struct {
	// Static after construction.
	timeout  time.Duration
	exchange Exchange
	servers  *servers
	slots    chan struct{} // one for each try under way

	counters counters
}

func newClient(cfg Config) *client {
	c := &client{timeout: cfg.Timeout, exchange: cfg.Exchange, slots: make(chan struct{}, maxAsking)}
	if c.exchange == nil {
		c.exchange = c.overNetwork
	}
	c.servers = newServers(cfg)
	return c
}

// resolve answers q, following aliases that a server leaves to us.
func (c *client) resolve(ctx context.Context, q question) (*answer, error) {
	shortest := time.Duration(1<<31) * time.Second
	for range maxChain {
		got, err := c.first(ctx, q)
		if err != nil {
			return nil, err
		}
		shortest = min(shortest, got.ttl)
		if got.alias == "" {
			got.ttl = shortest
			return got, nil
		}
		name, ok := hostName(got.alias)
		if !ok {
			return nil, fmt.Errorf("alias of no host: %q", got.alias)
		}
		q.name = name
	}
	return nil, errLoop
}

// first is what the first server says that answers at all.
func (c *client) first(ctx context.Context, q question) (*answer, error) {
	var last error
	list := c.servers.order()
	done := make([]bool, len(list)) // those that have refused
	for range rounds {
		for i, s := range list {
			if done[i] {
				continue
			}
			got, err := c.try(ctx, s, q)
			if err == nil {
				c.servers.heard(s)
				return got, nil
			}
			if ctx.Err() != nil {
				if last == nil {
					last = err
				}
				return nil, last
			}
			last = fmt.Errorf("server %s: %w", s, err)
			if done[i] = !silent(err); !done[i] {
				c.servers.lost(s)
			}
		}
	}
	return nil, last
}

// silent sorts an error: the server may answer if asked again.
func silent(err error) bool {
	var code rcode
	return !errors.As(err, &code) && !errors.Is(err, errLame) && !errors.Is(err, errLoop)
}

// rcode is a response code that is no answer.
type rcode int

func (r rcode) Error() string { return "answered " + dns.RcodeToString[int(r)] }

// try asks one server once; a second time without EDNS0 if it cannot read that (RFC 6891 §7).
func (c *client) try(ctx context.Context, server string, q question) (*answer, error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a, err := c.send(ctx, server, q, true)
	if err == nil && (a.Rcode == dns.RcodeFormatError || a.Rcode == dns.RcodeNotImplemented || a.Rcode == dns.RcodeBadVers) {
		a, err = c.send(ctx, server, q, false)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		c.counters.timeouts.Add(1)
		return nil, fmt.Errorf("no answer in %s", c.timeout)
	case err != nil:
		c.counters.errors.Add(1)
		return nil, err
	case a.Rcode != dns.RcodeSuccess && a.Rcode != dns.RcodeNameError:
		c.counters.refusals.Add(1)
		return nil, rcode(a.Rcode)
	}
	return read(a, q.name, q.qtype)
}

func (c *client) send(ctx context.Context, server string, q question, edns bool) (*dns.Msg, error) {
	m := &dns.Msg{Question: []dns.Question{{Name: q.name, Qtype: q.qtype, Qclass: dns.ClassINET}}}
	m.Id = dns.Id() // random (RFC 5452 §9.2); each question has a socket of its own, so a port, too
	m.RecursionDesired = true
	if edns {
		m.SetEdns0(udpSize, false)
	}
	c.counters.questions.Add(1)
	a, err := c.exchange(ctx, server, m)
	if err != nil {
		return nil, err
	}
	if !answersTo(m, a) {
		return nil, errForeign
	}
	return a, nil
}
