package proxy

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// A connection to an upstream's server ends for many reasons, most of which say nothing of the server: it was idle, the
// server was restarted. What was on its way, or has to be said still, gets one new connection (RFC 3261 §18.4).

var errOtherTransport = errors.New("no connection of the same transport")

// upstreamStream reports whether b went over a TCP or TLS connection to a server of an upstream.
func (b *branch) upstreamStream() bool {
	tr := b.to.Info().Transport
	return tr.Reliable() && !tr.WebSocket() && (b.w.Upstream != "" || len(b.w.Hops) > 0)
}

// sameHop is the server that b went to, ok, or another connection of it that is open. next is where its request goes by
// Route or Request-URI, nil where that is not known any more.
func (p *Proxy) sameHop(b *branch, next *sip.URI) (h Hop, open *flow.Flow, ok bool) {
	at, hops := b.to.Info(), []Hop(nil)
	switch {
	case len(b.w.Hops) > 0:
		hops = b.w.Hops[b.hop : b.hop+1]
	case next != nil:
		id, found := p.wayTo(b.w.Upstream, b.t.rc.req.CallID(), 0, next)
		if len(found) == 0 {
			open = p.connection(id, b.w.Upstream)
			return Hop{Transport: at.Transport}, open, open != nil && open != b.to
		}
		hops = found
	default:
		hops = p.Identity.Hops(b.w.Upstream)
	}
	i := slices.IndexFunc(hops, func(o Hop) bool { return o.Addr == at.Remote })
	if i < 0 && (next == nil || len(hops) == 0) {
		return h, nil, false
	}
	h = hops[max(i, 0)]
	h.Transport = at.Transport
	return h, nil, true
}

// nextLocked is where the request goes within its dialog, nil when it is over.
func (rc *responseContext) nextLocked() *sip.URI {
	if rc.req == nil {
		return nil
	}
	u, err := rc.route.nextURI(rc.req)
	if err != nil {
		return nil
	}
	return &u
}

// sizeOfStream has Reach take a connection where the hop takes datagrams, too.
const sizeOfStream = 1 << 16

// reconnect opens a connection to h, of its transport and no other, unless one is open, and calls done once.
func (p *Proxy) reconnect(h Hop, open *flow.Flow, done func(*flow.Flow, error)) {
	check := func(f *flow.Flow, err error) {
		if err == nil && f.Info().Transport != h.Transport {
			err = errOtherTransport
		}
		done(f, err)
	}
	if open != nil {
		check(open, nil)
		return
	}
	p.Network.Reach(h, sizeOfStream, check)
}

// resendLocked sends the request of b once more over a new connection to the same server, when the connection ended before
// any response. It is for what cannot be lost quietly and does no harm twice: not for an INVITE that begins a call
// and has other servers, unless this one has asked for it (it may hang up with its challenge). false: there is nothing more to be tried.
func (rc *responseContext) resendLocked(b *branch) bool {
	if b.heard || b.resent || b.cancelled || rc.closedLocked() || !b.upstreamStream() {
		return false
	}
	if rc.invite && !rc.inDialog && b.t.left() && (b.try == nil || !b.try.again) {
		return false
	}
	h, open, ok := rc.p.sameHop(b, rc.nextLocked())
	if !ok {
		return false
	}
	b.resent, b.resending = true, true
	rc.p.watch.remove(&b.watch)
	rc.p.Counters.Reopened.Add(1)
	rc.todo(act{kind: actResend, b: b, f: open, hop: h})
	return true
}

// reconnected goes on with a branch whose connection ended.
func (b *branch) reconnected(h Hop, f *flow.Flow, err error) {
	rc := b.t.rc
	defer rc.survive()
	if !b.move(h, f, err) {
		return
	}
	if !b.tx.Move(f) { // it was not even sent
		rc.relaunch(b, h, f)
		return
	}
	if !f.Live() {
		b.flowClosed(f, sip.CloseLost) // it closed before it was watched
	}
}

// move makes f the flow of b; false when b is over, or is now.
func (b *branch) move(h Hop, f *flow.Flow, err error) bool {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	b.resending = false
	switch {
	case b.done:
		return false
	case err != nil:
		if h.Peer != nil {
			h.Peer.Lost(err, true)
		}
		rc.failoverLocked(b.t)
		rc.abandonLocked(b, answer{err: unavailable(err)}, nextHop)
		return false
	}
	b.to = f
	rc.p.watch.add(&b.watch, f, b)
	return true
}

// relaunch sends over f what no connection has taken yet, as a branch of its own.
func (rc *responseContext) relaunch(b *branch, h Hop, f *flow.Flow) {
	rc.mu.Lock()
	defer rc.unlock()
	if b.done {
		return
	}
	rc.closeBranchLocked(b)
	b.abandoned = true
	b.t.state = reaching
	rc.todo(act{kind: actLaunch, req: rc.req, t: b.t, w: b.w, f: f, name: b.name, hop: h, again: true})
}

// cancelElsewhereLocked cancels b, whose connection is gone: by a new one, once. Nobody waits for what it may answer: a 2xx
// that comes all the same is acknowledged and ended.
func (rc *responseContext) cancelElsewhereLocked(b *branch) {
	h, open, ok := rc.p.sameHop(b, rc.nextLocked())
	if ok {
		rc.todo(act{kind: actCancelElsewhere, b: b, f: open, hop: h, lines: b.reason})
	} else {
		rc.todo(act{kind: actCancel, b: b, lines: b.reason})
	}
	if b.done {
		return
	}
	b.abandoned = true
	rc.closeBranchLocked(b)
	a := answer{err: errTerminated}
	if !rc.closedLocked() { // Timer C
		a = answer{err: sip.Refuse(408, "Request Timeout")}
	}
	rc.endLocked(b.t, a)
}

// lostLocked reports whether a CANCEL of b needs another connection.
func (b *branch) lostLocked() bool {
	return b.heard && !b.to.Live() && b.upstreamStream()
}

// cancelElsewhere does so. Without a connection the transaction ends by itself.
func (p *Proxy) cancelElsewhere(a *act) {
	b, h, lines := a.b, a.hop, a.lines
	p.Counters.Cancels.Add(1)
	p.reconnect(h, a.f, func(f *flow.Flow, err error) {
		if err == nil {
			b.tx.Move(f)
		} else if h.Peer != nil {
			h.Peer.Lost(err, true)
		}
		b.tx.Cancel(lines...)
	})
}

// ghostFlow finds the connection to acknowledge and end a late answer by, which may have come over another than its
// INVITE left by, and calls do once it is there.
func (p *Proxy) ghostFlow(b *branch, do func(*flow.Flow)) {
	to := b.tx.Flow().Current()
	if !to.Live() && b.upstreamStream() {
		if h, open, ok := p.sameHop(b, nil); ok {
			p.reconnect(h, open, func(f *flow.Flow, err error) {
				if err == nil {
					do(f)
				}
			})
			return
		}
	}
	do(to)
}

// lostBy is err with what ended the connection, where that is known.
func lostBy(err error, f *flow.Flow) error {
	if err != transaction.ErrTransport {
		return err
	}
	if cause := f.Cause(); cause != nil {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}
