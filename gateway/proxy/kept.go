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
	// ByPath is asked for a request of an upstream that came by the Path made for name. known: it waits for that user
	// agent like any other, and err, if there is one, is the answer; else it is 430 when the flow is gone.
	ByPath(req *sip.Message, from *flow.Flow, name flow.Name) (known bool, err error)
	// ByContact is asked for a request within a dialog that shows no route set of ours: whom its
	// Request-URI stands for, to.Name and to.Flow, or the upstream whose server it is.
	ByContact(req *sip.Message, from *flow.Flow) (to flow.Token, upstream string, known bool, err error)
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
	known, err := p.Agents.ByPath(req, from, r.dst.Name)
	t.path = !known
	return t, err
}
