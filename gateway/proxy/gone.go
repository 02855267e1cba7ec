package proxy

import (
	"slices"
	"sync"

	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// maxGone bounds the user agents whose connection has just ended.
const maxGone = 100_000

// goneList remembers for dead_peer_bye who was behind the names of flows that
// ended, bindings or no bindings: what waits on such a flow goes over to the next of that name; a client that is back and has authenticated, but not registered yet, is a
// party of its dialogs by its AOR.
type goneList struct {
	mu     sync.Mutex
	byName map[flow.Name]*goneAgent
}

type goneAgent struct {
	p     *Proxy
	f     *flow.Flow
	names []flow.Name
	aors  []string
	timer transaction.Timer
}

func (l *goneList) init() { l.byName = make(map[flow.Name]*goneAgent) }

func (l *goneList) of(name flow.Name) *goneAgent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byName[name]
}

// left notes that f ended.
func (p *Proxy) left(f *flow.Flow) {
	names, aors := f.Names(), f.AORs()
	if len(names) == 0 || len(aors) == 0 {
		return
	}
	g := &goneAgent{p: p, f: f, names: names, aors: aors}
	l := &p.gone
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.byName) >= maxGone {
		return
	}
	for _, n := range names {
		l.byName[n] = g
	}
	p.Wheel.After(&g.timer, p.Times.DeadPeerBye, g)
}

// Expired is transaction.Alarm.
func (g *goneAgent) Expired(*transaction.Timer) {
	l := &g.p.gone
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range g.names {
		if l.byName[n] == g {
			delete(l.byName, n)
		}
	}
}

// sameUser reports whether f proved an AOR that name's user agent has proved, on
// a flow that lives or has just ended. Where several users shared that flow, it is the one
// whose name it is.
func (p *Proxy) sameUser(name flow.Name, f *flow.Flow) bool {
	old, aors := p.Flows.ByName(name), []string(nil)
	if old != nil {
		aors = old.AORs()
	} else if g := p.gone.of(name); g != nil {
		old, aors = g.f, g.aors
	}
	return slices.ContainsFunc(aors, func(aor string) bool {
		return f.Is(aor) && (len(aors) == 1 || p.Bound == nil || slices.Contains(p.Bound(aor, old), name))
	})
}
