package proxy

import (
	"github.com/ringway/ringway/sip"
)

// Validate is §16.3 for a request that the gateway answers in a user agent's place.
func (p *Proxy) Validate(req *sip.Message) error {
	_, err := p.validate(req)
	return err
}

// Reachable reports whether some target's user agent has a live flow now. Targets
// that are hops of an upstream don't count: nobody asked them.
func (p *Proxy) Reachable(targets []Target) bool {
	for i := range targets {
		if len(targets[i].Hops) > 0 {
			continue
		}
		if f, _ := p.flowOf(&targets[i]); f != nil {
			return true
		}
	}
	return false
}

// CallCount is the length of the call table.
func (p *Proxy) CallCount() int {
	p.calls.mu.Lock()
	defer p.calls.mu.Unlock()
	return len(p.calls.calls)
}
