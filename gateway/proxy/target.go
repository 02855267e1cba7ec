package proxy

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Hop is one address of a next hop.
type Hop struct {
	Addr      netip.AddrPort
	Transport sip.Transport // 0: UDP or TCP by the size of the request
	Host      string        // "host[:port]" that the Request-URI gets, "" leaves its own
	// Beside: no hop itself but another port or transport of its host.
	Beside bool
	// Peer is told what becomes of what is sent there. Optional.
	Peer Peer
}

// Peer is an address of an upstream. Its methods are called with a response context locked: they
// must not block nor call the proxy.
type Peer interface {
	// Began: an INVITE that begins a call is sent there. Ended follows once: it failed, or
	// the call is over.
	Began()
	Ended()
	// Heard is a response: the first provisional one of a request, or a final one. retryAfter is what a
	// 503 asks for, 0 for nothing; callee is a hash of whom it is for.
	Heard(status int, retryAfter time.Duration, callee uint64)
	// Lost: no response, with transaction.ErrTimeout where an INVITE got none for TryTimeout or
	// nothing came at all, transaction.ErrTransport, with the cause where it is known, where the connection ended under the request; any other
	// error: no connection could be made. counts is false where that, or a 503, may be for what was sent, or for who sent it:
	// the address is to be looked at, no more.
	Lost(err error, counts bool)
}

// Target is one way to deliver a request: over a flow (Route, Name) or to a hop (Hops).
type Target struct {
	URI string // the Request-URI it gets; "" leaves it
	Q   int    // thousandths; higher ones are tried first, equal ones together
	// Route are Path values; the top one is ours and its token names the flow.
	Route []string
	// Name is the user agent's, where Route does not say it. Targets with the same
	// Instance (the zero one: the same Name) are alternatives, in order.
	Name     flow.Name
	Instance flow.Name
	// Hops are tried in order, each for TryTimeout (0: Times.Try).
	Hops       []Hop
	Upstream   string // whose hops they are, "" for a user agent
	TryTimeout time.Duration
	// Rewrite changes the copy after our own lines; an error ends the branch with its
	// status. From may change: the caller gets its own back in responses. Optional.
	Rewrite func(req *sip.Message, out *sip.Splice) error
	// Mark goes into our Record-Route and is what Config.Again is asked with for later requests of the dialog; 0: none.
	Mark uint32
	// Exchange follows what goes there and comes back. Optional.
	Exchange Exchange

	id   flow.ID       // flow to prefer, of an in-dialog token
	hold time.Duration // how long to wait for a flow that is away; 0: Times.Grace
	path bool          // the request came with a Path of ours: 430 when the flow is gone
}

// targets is §16.5: what the tokens say, else what the router finds.
func (p *Proxy) targets(req *sip.Message, from *flow.Flow, r *route) ([]Target, error) {
	switch {
	case r.pair || r.bare:
		t, err := p.tokenTarget(req, r)
		return []Target{t}, err
	case r.path:
		t, err := p.byPath(req, from, r)
		return []Target{t}, err
	}
	targets, err := p.Router.Targets(req, from)
	if err == nil && len(targets) == 0 {
		err = errAway
	}
	return targets, err
}

var (
	errAway   = sip.Refuse(480, "Temporarily Unavailable")
	errFailed = sip.Refuse(430, "Flow Failed") // RFC 5626 §5.3
)

// tokenTarget is the destination of an in-dialog request: the user agent that the
// token names, or its upstream. What the client wrote (Route, Request-URI) picks among the
// upstream's hops, its connections, and where its servers said in this call that they listen, and nothing else.
func (p *Proxy) tokenTarget(req *sip.Message, r *route) (Target, error) {
	t := Target{Name: r.dst.Name, id: r.dst.Flow, hold: p.Times.Hold, Upstream: r.dstName}
	if req.Method() == "INVITE" {
		t.hold = p.Times.HoldInvite
	}
	if r.dstName == "" {
		return t, nil
	}
	t.Rewrite = p.again(r, false)
	u, err := r.nextURI(req)
	if err != nil {
		return t, errBadURI
	}
	t.id, t.Hops = p.wayTo(r.dstName, req.CallID(), r.dst.Flow, &u)
	if len(t.Hops) == 0 && p.Flows.ByID(t.id) == nil {
		return t, errAway
	}
	return t, nil
}

// reaches reports whether f is the connection that the upstream made from the very
// address to be reached: a server that sends from its port need not listen there.
func reaches(f *flow.Flow, hop *Hop) bool {
	if f == nil || !f.Live() {
		return false
	}
	info := f.Info()
	return info.Transport.Reliable() && info.Remote == hop.Addr && (hop.Transport == 0 || hop.Transport == info.Transport)
}

// nextURI is where §16.6 step 6 would send the request: the next Route or the Request-URI.
func (r *route) nextURI(req *sip.Message) (sip.URI, error) {
	switch {
	case r.next != "":
		return routeURI(r.next)
	case r.strict != "":
		return sip.ParseURI(r.strict)
	}
	return sip.ParseURI(req.RequestURI())
}

// target is one entry of the target set while it is tried: the ways that lead to
// one instance or one trunk, and how far they have been tried. Its context's mu guards it.
type target struct {
	rc    *responseContext
	ways  []Target
	way   int // index of the way in use
	hop   int // index of the hop in use
	state targetState

	branch    *branch // the newest
	breadth   int     // its share of Max-Breadth (RFC 5393 §5.3.3)
	holdUntil time.Time
	tried     uint64    // ways that have had a branch, by bit
	waits     []wayWait // while holding, for whichever way comes back first
}

// wayWait is the wait for the flow of one way.
type wayWait struct {
	t    *target
	way  int
	node waitNode
}

type targetState uint8

const (
	idle       targetState = iota // its group has not been reached
	holding                       // waiting for a flow to come back
	connecting                    // a connection is being opened
	reaching                      // a copy is being made
	running                       // a branch is running
	ended
)

// newTargets groups targets by instance and orders them by q, highest first.
func newTargets(rc *responseContext, set []Target) []*target {
	if len(set) == 1 {
		rc.oneTarget = target{rc: rc, ways: set}
		return []*target{&rc.oneTarget}
	}
	var all []*target
	for _, w := range set {
		who := w.instance()
		i := slices.IndexFunc(all, func(t *target) bool {
			return who != (flow.Name{}) && t.ways[0].instance() == who
		})
		if i >= 0 {
			all[i].ways = append(all[i].ways, w)
			continue
		}
		all = append(all, &target{rc: rc, ways: []Target{w}})
	}
	slices.SortStableFunc(all, func(a, b *target) int { return b.ways[0].Q - a.ways[0].Q })
	return all
}

// instance is what alternatives have in common; trunk targets stand alone.
func (t *Target) instance() flow.Name {
	switch {
	case len(t.Hops) > 0:
		return flow.Name{}
	case t.Instance != (flow.Name{}):
		return t.Instance
	}
	return t.Name
}

// current is the way in use.
func (t *target) current() *Target { return &t.ways[t.way] }

// left reports whether another way or hop remains.
func (t *target) left() bool {
	return t.way+1 < len(t.ways) || t.hop+1 < len(t.current().Hops)
}

// advance goes on to the next hop or way.
func (t *target) advance() {
	if t.hop+1 < len(t.current().Hops) {
		t.hop++
		return
	}
	t.way, t.hop = t.way+1, 0
}

// flowOf is the flow that a way over a flow leads to, nil while it is away; name
// is whom to wait for. What Path values remain below ours go into the request.
func (p *Proxy) flowOf(w *Target) (f *flow.Flow, name flow.Name) {
	id, name := w.id, w.Name
	if len(w.Route) > 0 {
		if u, err := routeURI(w.Route[0]); err == nil {
			if tok, ok := p.Keys.Verify(u.User); ok {
				id, name = tok.Flow, tok.Name
			}
		}
	}
	return p.liveFlow(id, name), name
}
