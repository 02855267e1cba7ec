// Package flow names the gateway's transport associations (RFC 5626 calls them
// flows): their ids, the table of living ones, what user agent is behind each,
// and the signed tokens by which a route set or a Path names them.
package flow

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
)

// ID names a flow for the life of the process. 0 is no flow.
type ID uint64

// Name is the keyed hash of (AOR, +sip.instance, reg-id), without an instance of
// (AOR, Contact URI): what a token says of the user agent. For an upstream it is
// the keyed hash of its name. The zero Name is nobody.
type Name [12]byte

// maxPredecessors bounds how many reconnects back a transaction is still found.
const maxPredecessors = 4

// Flow is one association to a peer. UDP peers get a Flow of their own for each
// datagram until the table adopts one (Table.Adopt).
type Flow struct {
	// Static after construction.
	sip.Conn
	ID ID

	heard atomic.Int64 // unix seconds: when a connection was opened, an adopted UDP peer last heard
	dead  atomic.Bool

	// Guarded by mu, which is a leaf: nothing is called under it.
	mu       sync.Mutex
	aors     []string
	names    []Name // what it speaks for
	upstream string
	next     *Flow // who took over
	prev     []ID  // whom it took over from, newest first
}

// AuthenticatedAs records that the peer proved to be aor ("user@domain").
func (f *Flow) AuthenticatedAs(aor string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.aors, aor) {
		f.aors = append(f.aors, aor)
	}
}

// Is reports whether the peer proved to be aor.
func (f *Flow) Is(aor string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.aors, aor)
}

// Forget takes back AuthenticatedAs: what proved it has ended.
func (f *Flow) Forget(aor string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.aors, aor); i >= 0 {
		f.aors = slices.Delete(slices.Clone(f.aors), i, i+1)
	}
}

// Proved is aor when the peer proved to be it, else "". It allocates nothing.
func (f *Flow) Proved(aor []byte) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.aors {
		if a == string(aor) {
			return a
		}
	}
	return ""
}

// AORs are what the peer proved to be.
func (f *Flow) AORs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.aors)
}

// Proven reports whether the peer proved any identity or belongs to an upstream.
func (f *Flow) Proven() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.aors) > 0 || f.upstream != ""
}

// SpeaksFor reports whether n is bound to f.
func (f *Flow) SpeaksFor(n Name) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Contains(f.names, n)
}

// Names are what f speaks for.
func (f *Flow) Names() []Name {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.names)
}

// Distrust closes a connection that we opened and over which nothing has come since: whoever is asked there does
// not get the question. Others are left to their own keep-alives.
func (f *Flow) Distrust(since time.Time) {
	c, ok := f.Conn.(interface{ Heard() time.Time })
	if ok && f.Info().Dialled && c.Heard().Before(since) {
		f.Conn.Close(sip.CloseDead)
	}
}

// Cause is what ended the connection, nil where nothing is known beyond the reason.
func (f *Flow) Cause() error {
	if c, ok := f.Conn.(interface{ Cause() error }); ok {
		return c.Cause()
	}
	return nil
}

// Opened is when the connection was opened, to the second.
func (f *Flow) Opened() time.Time { return time.Unix(f.heard.Load(), 0) }

// Live reports whether the connection is still open.
func (f *Flow) Live() bool { return !f.dead.Load() }

// Current is the newest flow of the same user agent: f itself, or the one that
// took over its Name (the client reconnected), live or not.
func (f *Flow) Current() *Flow {
	for {
		f.mu.Lock()
		next := f.next
		f.mu.Unlock()
		if next == nil {
			return f
		}
		f = next
	}
}

// Predecessors are the ids of the flows f took over from, newest first, at most
// 4. The slice is not to be changed.
func (f *Flow) Predecessors() []ID {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.prev
}

// SameAgent reports whether g is f, or one took over from the other, directly or
// not, or both are one UDP peer.
func (f *Flow) SameAgent(g *Flow) bool {
	if f == g || f.Current() == g.Current() {
		return true
	}
	a, b := f.Info(), g.Info()
	return a.Transport == sip.UDP && b.Transport == sip.UDP && a.Remote == b.Remote && a.Local == b.Local
}

// Upstream is the name of the upstream the peer belongs to, "" for none.
func (f *Flow) Upstream() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.upstream
}

// SetUpstream records that the peer is of a configured upstream.
func (f *Flow) SetUpstream(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upstream = name
}

func (f *Flow) addName(n Name) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.names, n) {
		f.names = append(f.names, n)
	}
}

func (f *Flow) named() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.names) > 0
}

func (f *Flow) dropName(n Name) (left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.Index(f.names, n); i >= 0 {
		f.names = slices.Delete(f.names, i, i+1)
	}
	return len(f.names)
}

// follow makes g, which has just been bound, the flow that f's user agent is on
// now. The table calls it under its takeover lock, which keeps the chain free of circles.
func (f *Flow) follow(g *Flow) {
	g.mu.Lock()
	g.next = nil // g is the newest, even if f took over from it before
	g.mu.Unlock()
	f.mu.Lock()
	f.next = g
	old := append([]ID{f.ID}, f.prev...)
	f.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range old {
		if !slices.Contains(g.prev, id) && len(g.prev) < maxPredecessors {
			g.prev = append(g.prev[:len(g.prev):len(g.prev)], id) // readers hold the old slice
		}
	}
}

func (f *Flow) touch() { f.heard.Store(time.Now().Unix()) }
