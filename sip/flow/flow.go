// Package flow names the gateway's transport associations (RFC 5626 calls them
// flows): their ids, the table of living ones, what user agent is behind each,
// and the signed tokens by which a route set or a Path names them.
package flow

import (
	"sync"

	"github.com/ringway/ringway/sip"
)

// ID names a flow for the life of the process. 0 is no flow.
type ID uint64

// Name is the keyed hash of (AOR, +sip.instance, reg-id), without an instance of
// (AOR, Contact URI): what a token says of the user agent. For an upstream it is
// the keyed hash of its name. The zero Name is nobody.
type Name [12]byte

// Flow is one association to a peer. UDP peers get a Flow of their own for each
// datagram until the table adopts one (Table.Adopt).
type Flow struct {
	// Static after construction.
	sip.Conn
	ID ID

	mu sync.Mutex
}

// AuthenticatedAs records that the peer proved to be aor ("user@domain").
func (f *Flow) AuthenticatedAs(aor string) { panic("stub") }

// Is reports whether the peer proved to be aor.
func (f *Flow) Is(aor string) bool { panic("stub") }

// AORs are what the peer proved to be.
func (f *Flow) AORs() []string { panic("stub") }

// Proven reports whether the peer proved any identity.
func (f *Flow) Proven() bool { panic("stub") }

// Live reports whether the connection is still open.
func (f *Flow) Live() bool { panic("stub") }

// Current is the newest flow of the same user agent: f itself, or the one that
// took over its Name (the client reconnected), live or not.
func (f *Flow) Current() *Flow { panic("stub") }

// Predecessors are the ids of the flows f took over from, newest first, at most 4.
func (f *Flow) Predecessors() []ID { panic("stub") }

// SameAgent reports whether g is f, or one took over from the other, directly or not, or both are one UDP peer.
func (f *Flow) SameAgent(g *Flow) bool { panic("stub") }

// Upstream is the name of the upstream the peer belongs to, "" for none.
func (f *Flow) Upstream() string { panic("stub") }

// SetUpstream records that the peer is of a configured upstream.
func (f *Flow) SetUpstream(name string) { panic("stub") }
