package transport

import "sync/atomic"

// Counters count from the start of the process.
type Counters struct {
	Datagrams  atomic.Uint64 // in
	Accepted   atomic.Uint64 // connections
	Dialled    atomic.Uint64 // connections
	DialFailed atomic.Uint64
	Open       atomic.Int64 // connections now

	Messages   atomic.Uint64 // SIP messages in
	Bad        atomic.Uint64 // of them refused by the parser
	KeepAlives atomic.Uint64 // CRLF CRLF on streams, answered
	Blank      atomic.Uint64 // datagrams of whitespace, ignored
	STUN       atomic.Uint64 // binding requests answered

	Fragmented    atomic.Uint64 // datagrams sent that exceed an Ethernet frame
	SendDropped   atomic.Uint64 // datagrams that the kernel had no room for
	SendFailed    atomic.Uint64 // datagrams refused otherwise
	FellBack      atomic.Uint64 // large requests that went by UDP because the hop takes no TCP
	RefusedFull   atomic.Uint64 // connections over a cap
	RefusedShakes atomic.Uint64 // TLS handshakes that failed or came too many at once
	Panics        atomic.Uint64
}
