package proxy

import (
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// watched is told what becomes of the flow it hangs on, outside all locks of the index.
type watched interface {
	flowClosed(f *flow.Flow, why sip.CloseReason)
	flowMoved(f *flow.Flow)
}

// watchNode is one entry of the index, embedded in its owner.
type watchNode struct {
	next, prev *watchNode
	id         flow.ID // guarded by the shard of id; 0: not entered
	owner      watched
}

const watchShards = 64

// watchIndex finds what hangs on a flow: its lists are intrusive, so that a call costs
// two map operations and nothing allocated.
type watchIndex struct {
	shards [watchShards]struct {
		sync.Mutex
		first map[flow.ID]*watchNode
	}
}

func (x *watchIndex) init() {
	for i := range x.shards {
		x.shards[i].first = make(map[flow.ID]*watchNode)
	}
}

// add enters n under f; a UDP flow never closes and is not watched. The owner's
// lock orders calls for one node.
func (x *watchIndex) add(n *watchNode, f *flow.Flow, owner watched) {
	if f.ID == 0 || f.Info().Transport == sip.UDP || n.id != 0 {
		return
	}
	s := &x.shards[f.ID%watchShards]
	s.Lock()
	defer s.Unlock()
	n.id, n.owner, n.prev, n.next = f.ID, owner, nil, s.first[f.ID]
	if n.next != nil {
		n.next.prev = n
	}
	s.first[f.ID] = n
}

func (x *watchIndex) remove(n *watchNode) {
	if n.id == 0 {
		return
	}
	s := &x.shards[n.id%watchShards]
	s.Lock()
	defer s.Unlock()
	if n.next != nil {
		n.next.prev = n.prev
	}
	if n.prev != nil {
		n.prev.next = n.next
	} else if n.next != nil {
		s.first[n.id] = n.next
	} else {
		delete(s.first, n.id)
	}
	n.id, n.next, n.prev = 0, nil, nil
}

// on lists who hangs on a flow, the newest first.
func (x *watchIndex) on(id flow.ID) (owners []watched) {
	s := &x.shards[id%watchShards]
	s.Lock()
	defer s.Unlock()
	for n := s.first[id]; n != nil; n = n.next {
		owners = append(owners, n.owner)
	}
	return owners
}

// FlowClosed is flow.Watcher.
func (p *Proxy) FlowClosed(f *flow.Flow, why sip.CloseReason) {
	for _, o := range p.watch.on(f.ID) {
		o.flowClosed(f, why)
	}
	p.left(f)
	if f.Upstream() != "" {
		p.homes.forget(f.ID)
		return // answers may come on another connection of the same hop
	}
	if why.Gone() {
		p.Table.FailFlow(f)
		return
	}
	// Branches have waited by then, and what else there is hangs on nobody.
	p.Wheel.After(new(transactionTimer), p.Times.HoldInvite, alarm(func() {
		if c := f.Current(); !c.Live() {
			p.Table.FailFlow(f)
		}
	}))
}

// FlowNamed is flow.Watcher: a user agent registered. What hangs on its old flow
// goes over to the new one, and what waited for it is sent, in order.
func (p *Proxy) FlowNamed(f *flow.Flow, name flow.Name, old *flow.Flow) {
	switch {
	case old == nil:
		p.callsOf(name, f)
	case old != f && old.Current() == f:
		p.Table.FlowMoved(old, f)
		for _, o := range p.watch.on(old.ID) {
			o.flowMoved(f)
		}
	}
	p.waiting.wake(waitKey{name: name}, f)
	p.waiting.wake(waitKey{from: f.ID}, f)
}

// callsOf takes the calls of a user agent over to f that is back after its binding had ended.
func (p *Proxy) callsOf(name flow.Name, f *flow.Flow) {
	g := p.gone.of(name)
	if g == nil || g.f == f {
		return
	}
	for _, o := range p.watch.on(g.f.ID) {
		if side, ok := o.(*callSide); ok {
			side.flowMoved(f)
		}
	}
}
