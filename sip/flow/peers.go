package flow

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
)

const (
	// maxUnbound bounds the UDP peers that are remembered without a binding (a caller in a
	// dialog, a phone whose NAT gave it another port), maxOfAddress those of one address.
	maxUnbound   = 100_000
	maxOfAddress = 1024
	// unboundIdle is how long such a peer is remembered after its last datagram; upstreamIdle one
	// of an upstream: there are few, and their calls may be long and silent.
	unboundIdle  = time.Hour
	upstreamIdle = 12 * time.Hour
	// Looking for whom to forget stops after so many that were heard of late.
	maxLooks = 64
)

// peer identifies a UDP association: our socket's address and the peer's.
type peer struct{ local, remote netip.AddrPort }

// udpPeers are the UDP peers that were adopted. Those with a binding stay; the others
// are forgotten when they have been silent for long, and the longest silent ones when there
// are too many: nobody who makes more of them keeps others out.
type udpPeers struct {
	sync.RWMutex
	max     int // without a binding
	all     map[peer]*adopted
	unbound *list.List                // of *adopted, about in the order in which they were last heard
	of      map[netip.Addr]*list.List // the same by address, IPv6 by /64
}

// adopted is a UDP peer that is listed. Guarded by the lock of udpPeers.
type adopted struct {
	flow     *Flow
	at       peer
	queued   int64         // unix seconds: when it was put at the end of its lists
	all, own *list.Element // in unbound and in of; nil: it has a binding
}

func (u *udpPeers) init() {
	u.max, u.all, u.unbound, u.of = maxUnbound, make(map[peer]*adopted), list.New(), make(map[netip.Addr]*list.List)
}

// networkOf is what counts as one address.
func networkOf(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	p, _ := a.Prefix(64)
	return p.Addr()
}

// settle lists f as what it is after its names have changed.
func (t *Table) settle(f *Flow) {
	info := f.Info()
	if info.Transport != sip.UDP {
		return
	}
	u := &t.udp
	u.Lock()
	defer u.Unlock()
	a := u.all[peer{info.Local, info.Remote}]
	switch {
	case a == nil || a.flow != f:
	case f.named() && a.all != nil:
		u.unqueue(a)
	case !f.named() && a.all == nil:
		t.queueLocked(a)
	}
}

// queueLocked puts a among those without a binding, and forgets who has to go.
func (t *Table) queueLocked(a *adopted) {
	u, now := &t.udp, time.Now().Unix()
	t.sweepLocked(now)
	network := networkOf(a.at.remote.Addr())
	if own := u.of[network]; own != nil && own.Len() >= maxOfAddress {
		t.forgetLocked(u.longestSilent(own))
	}
	if u.unbound.Len() >= u.max {
		t.forgetLocked(u.longestSilent(u.unbound))
	}
	own := u.of[network]
	if own == nil {
		own = list.New()
		u.of[network] = own
	}
	a.queued, a.all, a.own = now, u.unbound.PushBack(a), own.PushBack(a)
}

// sweepLocked forgets a few that have been silent for long: more than one for each
// that comes, so that the list follows the number of the living.
func (t *Table) sweepLocked(now int64) {
	for range 8 {
		e := t.udp.unbound.Front()
		if e == nil {
			return
		}
		a := e.Value.(*adopted)
		silent := time.Duration(now-a.flow.heard.Load()) * time.Second
		switch upstream := a.flow.Upstream() != ""; {
		case silent > unboundIdle && !upstream || silent > upstreamIdle:
			t.forgetLocked(a)
		case upstream:
			t.udp.putLast(a, now)
		case !t.udp.requeue(a):
			return
		}
	}
}

// longestSilent is the first of a list that was not heard since it was put there, about.
func (u *udpPeers) longestSilent(l *list.List) *adopted {
	for range maxLooks {
		if a := l.Front().Value.(*adopted); !u.requeue(a) {
			return a
		}
	}
	return l.Front().Value.(*adopted)
}

// requeue puts a to the end when it was heard since it was put there last.
func (u *udpPeers) requeue(a *adopted) bool {
	heard := a.flow.heard.Load()
	if heard <= a.queued {
		return false
	}
	u.putLast(a, heard)
	return true
}

func (u *udpPeers) putLast(a *adopted, now int64) {
	a.queued = now
	u.unbound.MoveToBack(a.all)
	u.of[networkOf(a.at.remote.Addr())].MoveToBack(a.own)
}

func (u *udpPeers) unqueue(a *adopted) {
	network := networkOf(a.at.remote.Addr())
	own := u.of[network]
	u.unbound.Remove(a.all)
	own.Remove(a.own)
	if own.Len() == 0 {
		delete(u.of, network)
	}
	a.all, a.own = nil, nil
}

// forgetLocked ends a peer without a binding; the next datagram from there is a stranger's.
func (t *Table) forgetLocked(a *adopted) {
	t.udp.unqueue(a)
	delete(t.udp.all, a.at)
	t.remove(a.flow)
}
