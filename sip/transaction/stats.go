package transaction

import "sync/atomic"

// Drop says why something that arrived, or that a user wanted sent, went nowhere; each is a metric label.
type Drop uint8

// The reasons.
const (
	StrayResponse   Drop = iota // matches no transaction of ours (RFC 3261 §16.7 would forward it; we do not)
	ForeignResponse             // names a transaction of ours, but comes from another peer
	LateResponse                // a further response to a transaction that has its final one
	StrayAck                    // ACK to an INVITE that has no final response yet
	StrayCancel                 // CANCEL that matches no INVITE: answered 481
	BadRequest                  // malformed: answered with what is wrong
	BadMessage                  // malformed ACK, response or no SIP at all: not answered
	OverPending                 // beyond MaxPending: answered 503
	ShuttingDown                // new request after Shutdown: answered 503
	Unsent408                   // 408 to a non-INVITE request (RFC 4320 §4.2)
	UnsentInterim               // provisional to a non-INVITE request (RFC 4320 §4.1)
	UnsentLate                  // a user's response after the final one, or after the client gave up
	Undelivered                 // final response whose flow died and did not come back
	Amplifying                  // refusal over UDP that would be over 2.5 times as long as its request
	dropCount
)

var dropNames = [dropCount]string{
	"stray_response", "foreign_response", "late_response", "stray_ack", "stray_cancel", "bad_request", "bad_message",
	"over_pending", "shutting_down", "unsent_408", "unsent_interim", "unsent_late", "undelivered", "amplifying",
}

// String is the metric label.
func (d Drop) String() string { return dropNames[d] }

// Drops yields all reasons.
func Drops() []Drop {
	all := make([]Drop, dropCount)
	for i := range all {
		all[i] = Drop(i)
	}
	return all
}

// Kind is a kind of transaction; each is a metric label.
type Kind uint8

// The kinds.
const (
	ServerInvite Kind = iota
	ServerOther
	ClientInvite
	ClientOther
	kindCount
)

var kindNames = [kindCount]string{"server_invite", "server_other", "client_invite", "client_other"}

// String is the metric label.
func (k Kind) String() string { return kindNames[k] }

// Kinds yields all kinds.
func Kinds() []Kind { return []Kind{ServerInvite, ServerOther, ClientInvite, ClientOther} }

// Stats is a snapshot of the counters; all but Live only grow.
type Stats struct {
	Created         [kindCount]uint64
	Live            [kindCount]int64
	TimedOut        [kindCount]uint64 // timers B, F, H
	Absorbed        uint64            // retransmitted requests that went no further
	ResentRequests  uint64            // by timers A and E, ACK and CANCEL included
	ResentResponses uint64            // by timer G, or because the request came again
	Drops           [dropCount]uint64
}

type counters struct {
	created, ended, timedOut                  [kindCount]atomic.Uint64
	absorbed, resentRequests, resentResponses atomic.Uint64
	drops                                     [dropCount]atomic.Uint64
}

func (c *counters) drop(d Drop) { c.drops[d].Add(1) }

// Stats reads the counters.
func (t *Table) Stats() Stats {
	c := &t.counters
	s := Stats{
		Absorbed:        c.absorbed.Load(),
		ResentRequests:  c.resentRequests.Load(),
		ResentResponses: c.resentResponses.Load(),
	}
	for k := range kindCount {
		ended := c.ended[k].Load()
		s.Created[k] = c.created[k].Load()
		s.Live[k] = int64(s.Created[k] - ended)
		s.TimedOut[k] = c.timedOut[k].Load()
	}
	for d := range dropCount {
		s.Drops[d] = c.drops[d].Load()
	}
	return s
}
