// Package proxy is RFC 3261 §16 with RFC 5393, 6026, 5626, 3327, 3326, 4320 and
// 5658: a transaction-stateful proxy that knows neither registrar nor trunk nor
// WebSocket. A file per clause: validate §16.3, route §16.4, target §16.5,
// forward §16.6, response and finish §16.7, best §16.7.6, timerc §16.8, cancel §16.10.
//
// It runs to completion on the goroutine that delivers an event. Lock order:
// response context, then transaction, then send queue; the waiting list, the
// flow watch and the call table have leaf locks.
package proxy

import (
	"cmp"
	"hash/maphash"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Config is all that a Proxy needs; every field but the optional ones is required.
type Config struct {
	Table    *transaction.Table
	Wheel    *transaction.Wheel
	Flows    *flow.Table
	Keys     *flow.Keys
	Router   Router
	Network  Network
	Identity Identity
	Node     byte // goes into the tokens

	// Authenticate proves who is behind a flow by the request's credentials: nil,
	// or the *sip.StatusError (407) to answer with.
	Authenticate func(req *sip.Message, from *flow.Flow) error
	// Bound are the names of aor's user agents on f, asked for a flow that several users share. Optional.
	Bound func(aor string, f *flow.Flow) []flow.Name
	// Branch is run over each copy of a request before it leaves (header hygiene, SDP); an error ends the branch
	// with its status. Optional.
	Branch func(req *sip.Message, out *sip.Splice, from, to *flow.Flow, t *Target) error
	// Relay is run over each response before it goes back; up is where it came from. Optional.
	Relay func(tx *transaction.Server, resp *sip.Message, out *sip.Splice, up *flow.Flow)
	// Terms are how an upstream is dealt with beyond passing messages on, nil: nohow. Optional.
	Terms func(upstream string) *Terms
	// Agents knows user agents whose registrar is an upstream. Optional.
	Agents Agents
	// Barred is asked about a request that has a To tag, but is not for the other side of a call that we know: the error to
	// answer with where rules keep such a request for uri from that upstream. Optional.
	Barred func(req *sip.Message, uri string, from *flow.Flow, upstream string) error
	// Again is what a Target's Rewrite does to the requests of the same sender that follow in the dialog, found by its Mark: nil
	// for nothing. Optional.
	Again func(upstream string, mark uint32, ack bool) func(req *sip.Message, out *sip.Splice) error
	// Finished is told of each request that got its final response. Optional.
	Finished func(Summary)
	// Ended is told of each call that leaves the call table. Optional.
	Ended func(Call)

	// Wasted is told of each ACK that cannot be passed on; it may close the flow. Optional.
	Wasted func(from *flow.Flow)

	// Panicked is told of a panic in the work for one request or in a hook; that request then ends with 500, where
	// it has no answer yet, and nothing else does. nil: the panic goes on.
	Panicked fault.Handler

	// Options are the option tags that may stand in Proxy-Require.
	Options []string
	Times   Times
	// MaxCalls bounds the call table; the oldest call is forgotten first. 0: 100,000.
	MaxCalls int
	// MaxBreadth is how many branches one request may run at a time (RFC 5393 §5.3.3). 0: 60.
	MaxBreadth int
	// MaxInvites bounds the INVITEs that one Caller has pending. 0: it does not.
	MaxInvites int
	// Caller is the user whose request it is, "" for one whose INVITEs are not counted. Optional.
	Caller func(req *sip.Message, from *flow.Flow) string
}

// Times are the proxy's own timers; zero values are the defaults named.
type Times struct {
	TimerC      time.Duration // 185 s, RFC 3261 §16.8
	Ring        time.Duration // 120 s: a call that nobody answers
	Try         time.Duration // 2 s: silence of a hop before the next is tried, where the target says none
	Answer      time.Duration // 5 s: silence of a WebSocket flow before it is pinged
	Pong        time.Duration // 3 s
	Grace       time.Duration // 5 s: reconnect_grace
	HoldInvite  time.Duration // 32 s: an in-dialog INVITE for a flow that is away
	Hold        time.Duration // 25 s: other in-dialog requests
	DeadPeerBye time.Duration // 60 s
}

func (t Times) withDefaults() Times {
	return Times{
		TimerC:      cmp.Or(t.TimerC, 185*time.Second),
		Ring:        cmp.Or(t.Ring, 120*time.Second),
		Try:         cmp.Or(t.Try, 2*time.Second),
		Answer:      cmp.Or(t.Answer, 5*time.Second),
		Pong:        cmp.Or(t.Pong, 3*time.Second),
		Grace:       cmp.Or(t.Grace, 5*time.Second),
		HoldInvite:  cmp.Or(t.HoldInvite, 32*time.Second),
		Hold:        cmp.Or(t.Hold, 25*time.Second),
		DeadPeerBye: cmp.Or(t.DeadPeerBye, 60*time.Second),
	}
}

// Router finds where a request goes that carries no flow token of ours.
type Router interface {
	// Targets is the target set of a request, or a *sip.StatusError: 404, 480, 403. Targets
	// with the same Name are alternatives, in order: the flows of one instance.
	Targets(req *sip.Message, from *flow.Flow) ([]Target, error)
}

// Network reaches next hops.
type Network interface {
	// Reach finds or opens a flow to h for a request of about size octets and calls done
	// once, at once where nothing has to be opened.
	Reach(h Hop, size int, done func(*flow.Flow, error))
	// Ping asks whether the peer of a WebSocket flow is there and calls done once, within that time.
	Ping(f *flow.Flow, within time.Duration, done func(alive bool))
}

// Identity knows which addresses are ours and which are an upstream's.
type Identity interface {
	// Own reports whether host:port (port 0: none given) is one of our domains or addresses.
	Own(host string, port uint16) bool
	// Upstream is the upstream that name stands for, "" for none.
	Upstream(name flow.Name) string
	// HopOf is the address u leads to, when that is an address of the upstream: a hop, or another port beside one.
	HopOf(upstream string, u *sip.URI) (Hop, bool)
	// Hops are the addresses of an upstream, best first.
	Hops(upstream string) []Hop
}

// Summary is one finished request.
type Summary struct {
	Method   string
	CallID   string
	Request  *sip.Message // valid during the call only
	Status   int
	From     *flow.Flow
	Upstream string // of the callee's side, "" for a user of ours
	Took     time.Duration
}

// Proxy is the proxy core. All methods are safe for concurrent use.
type Proxy struct {
	// Static after construction.
	Config
	// Counters count what happens; read them at any time.
	Counters Counters
	seed     maphash.Seed

	watch      watchIndex
	mutes      muteIndex
	waiting    waitList
	gone       goneList
	calls      callTable
	invites    inviteCount
	homes      homes
	named      named
	subscribed named // dialogs of subscriptions
	shifts     shifts

	minimums minimums
	names    sync.Map // upstream name → flow.Name
}

// New makes a proxy; add it to the flow table's watchers.
func New(cfg Config) *Proxy {
	p := &Proxy{Config: cfg, seed: maphash.MakeSeed()}
	p.Times = cfg.Times.withDefaults()
	p.MaxBreadth = cmp.Or(cfg.MaxBreadth, 60)
	p.watch.init()
	p.mutes.init()
	p.waiting.init()
	p.gone.init()
	p.homes.init()
	p.named.init()
	p.subscribed.init()
	p.calls.init(cfg.MaxCalls)
	p.shifts.init(p, p.calls.max)
	return p
}

// Request proxies one request that the gateway has admitted (§16.2).
func (p *Proxy) Request(tx *transaction.Server) {
	req, from := tx.Request(), tx.Flow()
	err := p.request(tx, req, from)
	if err == error(ErrUnregistered) && p.await(tx, req, from) {
		return
	}
	if err != nil {
		p.decline(tx, req, from, err)
	}
}

// decline answers a request that does not go on.
func (p *Proxy) decline(tx *transaction.Server, req *sip.Message, from *flow.Flow, err error) {
	s := sip.AsStatus(err)
	p.Counters.refuse(s.Code)
	if s == errBadToken || s == errHalfToken {
		p.Counters.ForgedTokens.Add(1)
	}
	p.refuse(tx, req, s)
	p.finished(req, from, s.Code, "", time.Time{})
}

// refuse leaves no state but for an INVITE within a dialog: its ACK has no To tag of ours, and would pass for one to a 2xx.
func (p *Proxy) refuse(tx *transaction.Server, req *sip.Message, s *sip.StatusError) {
	if tx.Method() == "INVITE" && req.ToTag() != "" && tx.Flow().Proven() {
		tx.Reply(&sip.Reply{Status: s.Code, Reason: s.Reason, Headers: s.Headers})
		return
	}
	tx.Refuse(s)
}

func (p *Proxy) request(tx *transaction.Server, req *sip.Message, from *flow.Flow) error {
	loop, err := p.validate(req)
	if err != nil {
		return err
	}
	r, err := p.preprocess(req, from)
	if err != nil {
		return err
	}
	if r.pair || r.bare {
		if err := p.mayAsk(req, from, &r); err != nil {
			p.Counters.Strays.Add(1)
			return err
		}
	}
	targets, err := p.targets(req, from, &r)
	if err != nil {
		return err
	}
	breadth, err := p.maxBreadth(req)
	if err != nil {
		return err
	}
	user, err := p.countInvite(req, from)
	if err != nil {
		return err
	}
	if r.pair || r.bare {
		p.calls.seen(req)
	}
	p.homes.note(from, req.TopVia())
	p.noteNamed(r.upstream, req, from)
	rc := newContext(p, tx, req, &r, targets)
	rc.loop, rc.breadth, rc.user = loop, breadth, user
	tx.SetUser(rc)
	rc.start()
	return nil
}

func (p *Proxy) finished(req *sip.Message, from *flow.Flow, status int, upstream string, started time.Time) {
	if p.Finished == nil {
		return
	}
	s := Summary{Method: req.Method(), CallID: req.CallID(), Request: req, Status: status, From: from, Upstream: upstream}
	if !started.IsZero() {
		s.Took = time.Since(started)
	}
	defer p.Panicked.Catch()
	p.Finished(s)
}

// upstreamName is the hash that stands for an upstream in tokens.
func (p *Proxy) upstreamName(upstream string) flow.Name {
	if n, ok := p.names.Load(upstream); ok {
		return n.(flow.Name)
	}
	n := p.Keys.UpstreamName(upstream)
	p.names.Store(upstream, n)
	return n
}
