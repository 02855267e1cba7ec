package proxy

import (
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Exchange follows a request to a target, and what comes back.
type Exchange interface {
	// Leaves changes a copy last, before it goes over to; an error ends the branch with its status.
	Leaves(req *sip.Message, out *sip.Splice, to *flow.Flow) error
	// Answers is told of each response before it goes anywhere, under no lock.
	Answers(m *sip.Message, from *flow.Flow)
	// Returns changes a response that is about to go back, after Config.Relay and like it.
	Returns(m *sip.Message, out *sip.Splice)
}

// Agents knows user agents whose registrar is an upstream: it reaches them by what we gave it.
type Agents interface {
	// ByPath is asked for a request of an upstream that came by a Path of ours. known: it waits for that user
	// agent like any other, and err, if there is one, is the answer; else it is 430 when the flow is gone.
	ByPath(req *sip.Message, from *flow.Flow, to flow.Token) (known bool, err error)
	// ByContact is asked for a request within a dialog that shows no route set of ours: whom its
	// Request-URI stands for, to.Name and to.Flow, or the upstream whose server it is.
	ByContact(req *sip.Message, from *flow.Flow) (to flow.Token, upstream string, known bool, err error)
	// Bare is told of what ByContact has found to be a user's, for an upstream; known: its dialog is, and From is the one
	// there. The error refuses it: its From is not of that flow.
	Bare(req *sip.Message, from *flow.Flow, upstream string, known bool) error
	// ServiceRoute is what the registrar of the user who has sent a request out of a dialog wants it to pass (RFC 3608), which
	// the target that is found for it is given anyhow; nil for nothing.
	ServiceRoute(req *sip.Message, from *flow.Flow) []string
}

// preloaded takes off the Routes beyond ours of a request out of a dialog when they are the sender's Service-Route (RFC 3608 §6.1),
// the whole of it and no more: we put it on ourselves. false: they lead where nobody told it to go.
func (p *Proxy) preloaded(req *sip.Message, from *flow.Flow, r *route) bool {
	if p.Agents == nil || r.path || r.strict != "" || r.upstream != "" {
		return false
	}
	service := p.Agents.ServiceRoute(req, from)
	n := 0
	for v := range req.Values(sip.Route) {
		if n++; n <= r.pops {
			continue
		}
		if n-r.pops > len(service) || !sameRoute(v, service[n-r.pops-1]) {
			return false
		}
	}
	if n-r.pops != len(service) {
		return false
	}
	r.pops, r.next = n, ""
	return true
}

// sameRoute reports whether two Route values name one URI (RFC 3261 §19.1.4).
func sameRoute(a, b string) bool {
	if a == b {
		return true
	}
	u, err := routeURI(a)
	v, err2 := routeURI(b)
	return err == nil && err2 == nil && u.Equal(&v)
}

// bare finds the other side of a dialog by the Request-URI alone, where there is nothing else.
func (p *Proxy) bare(req *sip.Message, from *flow.Flow, r *route) error {
	if p.Agents == nil || r.next != "" || r.path || r.pair || r.strict != "" {
		return errNoToken
	}
	to, upstream, known, err := p.Agents.ByContact(req, from)
	if err == nil && !known {
		err = errNoToken
	}
	r.bare, r.dst, r.dstName = err == nil, to, upstream
	return err
}

// byPath is the target of a request that came by a Path of ours.
func (p *Proxy) byPath(req *sip.Message, from *flow.Flow, r *route) (Target, error) {
	t := Target{Name: r.dst.Name, id: r.dst.Flow, path: true}
	if p.Agents == nil {
		return t, nil
	}
	known, err := p.Agents.ByPath(req, from, r.dst)
	t.path = !known
	return t, err
}
