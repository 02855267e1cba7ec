package proxy

import "sync"

// A server that has said 100 and dies is heard of no more: over UDP no connection ends, and after a provisional response
// the transaction sends nothing again. So who waits for one after a 100 is found by it.

// mute is one entry of the index, part of its branch.
type mute struct {
	next, prev *branch
	listed     bool
}

// muteIndex finds the INVITEs by the peer that has answered them with nothing but 100. Its lock is a leaf.
type muteIndex struct {
	mu    sync.Mutex
	first map[Peer]*branch
}

func (x *muteIndex) init() { x.first = make(map[Peer]*branch) }

// add enters b, once; its context's lock orders calls for one branch.
func (x *muteIndex) add(b *branch) {
	if b.peer == nil || b.mute.listed {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.first[b.peer]
	b.mute = mute{next: next, listed: true}
	if next != nil {
		next.mute.prev = b
	}
	x.first[b.peer] = b
}

func (x *muteIndex) remove(b *branch) {
	if !b.mute.listed {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	next, prev := b.mute.next, b.mute.prev
	if next != nil {
		next.mute.prev = prev
	}
	switch {
	case prev != nil:
		prev.mute.next = next
	case next != nil:
		x.first[b.peer] = next
	default:
		delete(x.first, b.peer)
	}
	b.mute = mute{}
}

// of lists who waits for a peer.
func (x *muteIndex) of(p Peer) (all []*branch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for b := x.first[p]; b != nil; b = b.mute.next {
		all = append(all, b)
	}
	return all
}

// HopDown gives up, for the next hop, the INVITEs to which a peer that is found dead has said nothing but 100. One that has
// said nothing at all is a matter of TryTimeout, and is still being sent again. Those that ring have reached somebody.
func (p *Proxy) HopDown(peer Peer) {
	for _, b := range p.mutes.of(peer) {
		b.hopDown()
	}
}

func (b *branch) hopDown() {
	rc := b.t.rc
	rc.mu.Lock()
	defer rc.unlock()
	if b.done || b.proceeded {
		return
	}
	rc.failoverLocked(b.t)
	rc.abandonLocked(b, answer{err: unavailable(nil)}, nextHop)
}
