package proxy

import "sync/atomic"

// Drop says why something was given up without an answer; each is a metric label.
type Drop uint8

// Why messages are dropped.
const (
	DropAckNoToken  Drop = iota // ACK without a valid flow token
	DropAckStranger             // ACK from somebody who is no party of the dialog
	DropAckUnproven             // ACK held for authentication that did not come
	DropAckAway                 // ACK held for a flow that did not come back
	DropAckHops                 // ACK with Max-Forwards 0
	DropAckSend                 // ACK that could not be sent
	DropAckBad                  // ACK whose Route or Request-URI cannot be used
	DropHeldFull                // held message beyond the bounds
	DropNoVia                   // response whose only Via is ours (§16.7 step 3)
	DropForeignVia              // late response with other Vias than its request had (§16.7 step 3)
	DropReturn                  // response to an upstream whose connection closed and that takes no other (§18.2.2)
	DropOwn                     // BYE or ACK of ours that what the peer said does not let us make
	dropCount                   // keep last
)

// String is the label.
func (d Drop) String() string {
	return [...]string{"ack_no_token", "ack_stranger", "ack_unproven", "ack_away", "ack_hops", "ack_send", "ack_bad", "held_full", "no_via", "foreign_via", "response_unreturned", "own_request"}[d]
}

// Drops lists all reasons.
func Drops() []Drop {
	all := make([]Drop, dropCount)
	for i := range all {
		all[i] = Drop(i)
	}
	return all
}

// Counters only grow, but for the two that say so.
type Counters struct {
	Forwarded       atomic.Uint64 // copies of requests sent
	Responses       atomic.Uint64 // responses passed back
	Acks            atomic.Uint64 // ACKs to 2xx passed on
	Cancels         atomic.Uint64 // branches cancelled
	Failovers       atomic.Uint64 // hops given up for the next
	Moved           atomic.Uint64 // branches that went on over a newer flow
	Held            atomic.Uint64 // messages that waited for a flow
	Released        atomic.Uint64 // of those, sent when it came back
	TimerC          atomic.Uint64
	RingTimeouts    atomic.Uint64
	DeadFlows       atomic.Uint64 // WebSocket flows closed for silence
	GhostAnswers    atomic.Uint64 // late 2xx that we acknowledged and ended
	ViasMended      atomic.Uint64 // responses whose Vias were not those of their request
	Reopened        atomic.Uint64 // connections to an upstream for what its own did not take any more
	DeadPeerByes    atomic.Uint64 // BYEs sent for a peer that is gone
	Contexts        atomic.Int64  // response contexts without a final response now
	refused         [7]atomic.Uint64
	drops           [dropCount]atomic.Uint64
	CallsForgotten  atomic.Uint64 // calls put out of the full call table
	CallsExpired    atomic.Uint64 // calls that were silent for too long
	LoginsAnswered  atomic.Uint64 // challenges of upstreams answered for a caller
	LoginsRefused   atomic.Uint64 // of those that could not be
	ShiftsForgotten atomic.Uint64 // dialogs whose CSeqs towards an upstream are not known any more
	Redirected      atomic.Uint64 // 3xx of upstreams followed here
	TimersRaised    atomic.Uint64 // 422 of upstreams answered with a longer session interval
	ForgedTokens    atomic.Uint64 // requests refused for a Path or Record-Route that we did not make so
	Strays          atomic.Uint64 // requests refused for a To tag, or a Request-URI, of no dialog
	TooManyInvites  atomic.Uint64 // INVITEs refused for MaxInvites
}

// Dropped is how many messages were dropped for reason d.
func (c *Counters) Dropped(d Drop) uint64 { return c.drops[d].Load() }

// Refused is how many requests were refused before forwarding, by class of status (3–6).
func (c *Counters) Refused(class int) uint64 { return c.refused[class].Load() }

func (c *Counters) drop(d Drop)       { c.drops[d].Add(1) }
func (c *Counters) refuse(status int) { c.refused[min(max(status/100, 0), 6)].Add(1) }
