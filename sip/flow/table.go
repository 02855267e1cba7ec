package flow

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
)

// Watcher is told of what happens to flows, outside all locks of the table.
type Watcher interface {
	// FlowNamed: f now speaks for name; old is the flow it took over from, or nil.
	FlowNamed(f *Flow, name Name, old *Flow)
	// FlowClosed: f's connection ended.
	FlowClosed(f *Flow, why sip.CloseReason)
}

const (
	shardCount = 64
	transports = int(sip.WSS) + 1
)

// Table holds the flows that can be looked up: all connections, and UDP peers
// that registered or called. All methods are safe for concurrent use.
type Table struct {
	watchers []Watcher
	onPanic  fault.Handler
	first    uint64        // one below the oldest id
	last     atomic.Uint64 // the newest id
	open     [transports]atomic.Int64
	opened   [transports]atomic.Uint64
	shards   [shardCount]shard
	takeover sync.Mutex // before Flow.mu
	udp      udpPeers   // before shards and Flow.mu
}

type shard struct {
	sync.RWMutex
	byID   map[ID]*Flow
	byName map[Name]*Flow // newest flow that spoke for it, kept while it lives
}

// NewTable returns an empty table. Its ids start at a random number, so that a
// token from before a restart does not name somebody else's flow.
func NewTable() *Table {
	t := &Table{}
	var b [8]byte
	rand.Read(b[:])
	t.first = binary.BigEndian.Uint64(b[:]) >> 1
	t.last.Store(t.first)
	for i := range t.shards {
		t.shards[i].byID = make(map[ID]*Flow)
		t.shards[i].byName = make(map[Name]*Flow)
	}
	t.udp.init()
	return t
}

// Watch adds w; all watchers are added before the first flow.
func (t *Table) Watch(w Watcher) { t.watchers = append(t.watchers, w) }

// OnPanic sets who is told of a watcher that panics, before the first flow; the other watchers hear of the
// flow all the same. nil: the panic goes on.
func (t *Table) OnPanic(h fault.Handler) { t.onPanic = h }

func (t *Table) tellNamed(w Watcher, f *Flow, name Name, old *Flow) {
	defer t.onPanic.Catch()
	w.FlowNamed(f, name, old)
}

func (t *Table) tellClosed(w Watcher, f *Flow, why sip.CloseReason) {
	defer t.onPanic.Catch()
	w.FlowClosed(f, why)
}

var nameSeed = maphash.MakeSeed()

func (t *Table) idShard(id ID) *shard { return &t.shards[uint64(id)%shardCount] }

func (t *Table) nameShard(n Name) *shard {
	return &t.shards[maphash.Bytes(nameSeed, n[:])%shardCount]
}

// Open gives a new connection its flow and enters it.
func (t *Table) Open(c sip.Conn) *Flow {
	f := &Flow{Conn: c, ID: ID(t.last.Add(1))}
	t.enter(f)
	return f
}

func (t *Table) enter(f *Flow) {
	f.touch()
	s := t.idShard(f.ID)
	s.Lock()
	s.byID[f.ID] = f
	s.Unlock()
	n := f.Info().Transport
	t.open[n].Add(1)
	t.opened[n].Add(1)
}

// Datagram makes the flow of a UDP peer for one received datagram: the adopted
// one for that peer, or an unlisted one with ID 0.
func (t *Table) Datagram(c sip.Conn) *Flow {
	info := c.Info()
	t.udp.RLock()
	a := t.udp.all[peer{info.Local, info.Remote}]
	t.udp.RUnlock()
	if a == nil {
		return &Flow{Conn: c}
	}
	a.flow.touch()
	return a.flow
}

// Adopt enters a UDP peer's flow so that it can be looked up, and returns the
// listed flow: f, or the one that was listed for that peer already. Other
// transports' flows are returned as they are. Until it is bound it may have to make room for
// others; it is forgotten an hour after its last datagram.
func (t *Table) Adopt(f *Flow) *Flow {
	info := f.Info()
	if info.Transport != sip.UDP || f.ID != 0 {
		return f
	}
	key := peer{info.Local, info.Remote}
	t.udp.Lock()
	defer t.udp.Unlock()
	if a := t.udp.all[key]; a != nil {
		return a.flow
	}
	g := &Flow{Conn: f.Conn, ID: ID(t.last.Add(1)), aors: f.AORs(), upstream: f.Upstream()}
	g.touch()
	a := &adopted{flow: g, at: key}
	t.udp.all[key] = a
	t.queueLocked(a)
	t.enter(g)
	return g
}

// remove unlists f and marks it dead; false when that was done before.
func (t *Table) remove(f *Flow) bool {
	if f.dead.Swap(true) {
		return false
	}
	s := t.idShard(f.ID)
	s.Lock()
	delete(s.byID, f.ID)
	s.Unlock()
	t.open[f.Info().Transport].Add(-1)
	return true
}

// Bind says that f speaks for name from now on; a flow that did before is taken
// over (Flow.Current, Predecessors) once it speaks for nothing else or is dead.
func (t *Table) Bind(f *Flow, name Name) {
	s := t.nameShard(name)
	s.Lock()
	old := s.byName[name]
	s.byName[name] = f
	s.Unlock()
	if old == f {
		return
	}
	f.addName(name)
	t.settle(f)
	if old != nil && (old.dropName(name) == 0 || !old.Live()) {
		t.takeover.Lock()
		old.follow(f)
		t.takeover.Unlock()
		t.settle(old)
	}
	for _, w := range t.watchers {
		t.tellNamed(w, f, name, old)
	}
}

// Unbind says that f no longer speaks for name: the binding is gone. A UDP peer that
// speaks for nothing any more is as one that was just adopted (Adopt).
func (t *Table) Unbind(f *Flow, name Name) {
	s := t.nameShard(name)
	s.Lock()
	if s.byName[name] == f {
		delete(s.byName, name)
	}
	s.Unlock()
	f.dropName(name)
	t.settle(f)
}

// Closed is called once by the transport when a connection has ended. The
// user agent's names stay with the dead flow until it is back on another
// (Bind) or its binding ends (Unbind).
func (t *Table) Closed(f *Flow, why sip.CloseReason) {
	if !t.remove(f) {
		return
	}
	for _, w := range t.watchers {
		t.tellClosed(w, f, why)
	}
}

// Issued reports whether id is of a flow of this table, live or not. One from before a restart is not.
func (t *Table) Issued(id ID) bool { return uint64(id) > t.first && uint64(id) <= t.last.Load() }

// ByID is the live flow of that id, or nil.
func (t *Table) ByID(id ID) *Flow {
	s := t.idShard(id)
	s.RLock()
	defer s.RUnlock()
	return s.byID[id]
}

// ByName is the live flow that speaks for name, or nil.
func (t *Table) ByName(n Name) *Flow {
	s := t.nameShard(n)
	s.RLock()
	f := s.byName[n]
	s.RUnlock()
	if f == nil || !f.Live() {
		return nil
	}
	return f
}

// Len is the number of flows entered.
func (t *Table) Len() (n int) {
	for i := range t.open {
		n += int(t.open[i].Load())
	}
	return n
}

// Count is how many flows of a transport are open now, and how many ever were.
func (t *Table) Count(tr sip.Transport) (open, opened uint64) {
	return uint64(max(0, t.open[tr].Load())), t.opened[tr].Load()
}

// All returns a snapshot of the flows entered.
func (t *Table) All() []*Flow {
	all := make([]*Flow, 0, t.Len())
	for i := range t.shards {
		s := &t.shards[i]
		s.RLock()
		for _, f := range s.byID {
			all = append(all, f)
		}
		s.RUnlock()
	}
	return all
}
