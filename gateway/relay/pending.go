package relay

import (
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// unanswered is how long a REGISTER may be on its way to a registrar: longer than its transaction lives.
const unanswered = 40 * time.Second

// pending are the REGISTERs that a registrar has not answered yet. One that takes a Contact may use it before we get its
// 2xx: Asterisk asks after it (OPTIONS) and sends what lamp is lit (NOTIFY) as soon as it is stored. Only who stores
// it knows the Path or the alias, so whoever uses them has accepted the REGISTER. A leaf lock.
type pending struct {
	mu     sync.Mutex
	named  map[flow.Name]*Registration
	called map[string]*Registration // by alias
}

func (p *pending) init() {
	p.named, p.called = map[flow.Name]*Registration{}, map[string]*Registration{}
}

// awaited notes that x has gone to a registrar.
func (x *Registration) awaited() {
	if x.asked == 0 {
		return
	}
	p := &x.relay.pending
	p.mu.Lock()
	p.named[x.name] = x
	if x.alias != "" {
		p.called[x.alias] = x
	}
	p.mu.Unlock()
	x.relay.Wheel.After(&x.wait, unanswered, x)
}

// settled: it has been answered.
func (x *Registration) settled() {
	x.relay.Wheel.Stop(&x.wait)
	x.dismiss()
}

// Expired is transaction.Alarm: nobody has answered.
func (x *Registration) Expired(*transaction.Timer) { x.dismiss() }

func (x *Registration) dismiss() {
	p := &x.relay.pending
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.named[x.name] == x {
		delete(p.named, x.name)
	}
	if p.called[x.alias] == x {
		delete(p.called, x.alias)
	}
}

// Awaits reports whether an upstream may be about to accept what it was told of name, and means that by uri.
func (r *Relay) Awaits(upstream string, name flow.Name, uri string) bool {
	r.pending.mu.Lock()
	x := r.pending.named[name]
	r.pending.mu.Unlock()
	if x == nil || x.up.Name != upstream || x.up.Alias || !x.from.Live() {
		return false
	}
	u, err := sip.ParseURI(uri)
	return err == nil && u.User == x.uri.User && (sip.SameHost(u.Host, x.uri.Host) || r.Hosts.Own(u.Host, u.Port))
}

// awaitedAs is the binding that there will be once an upstream has accepted what it was told by an alias.
func (r *Relay) awaitedAs(upstream, alias string) (b Binding, ok bool) {
	r.pending.mu.Lock()
	x := r.pending.called[alias]
	r.pending.mu.Unlock()
	if x == nil || x.up.Name != upstream || !x.from.Live() {
		return b, false
	}
	return Binding{AOR: x.aor, Upstream: upstream, Contact: x.addr.URI, Alias: alias, Name: x.name, Flow: x.from}, true
}

// Awaited reports whether an upstream asks after a user agent by an alias that it has just been told.
func (r *Relay) Awaited(upstream, alias string) bool {
	if len(alias) != aliasLen {
		return false
	}
	_, ok := r.awaitedAs(upstream, alias)
	return ok
}
