package ws

import "sync/atomic"

// Counters count from the start of the process.
type Counters struct {
	Accepted atomic.Uint64 // TCP connections
	Upgraded atomic.Uint64 // WebSockets
	Open     atomic.Int64  // WebSockets now

	RefusedHalfOpen    atomic.Uint64 // connections: too many handshakes of one address
	RefusedDraining    atomic.Uint64 // 503
	RefusedFull        atomic.Uint64 // 503: too many flows of one address or in all
	RefusedOrigin      atomic.Uint64 // 403
	RefusedSubprotocol atomic.Uint64 // 400
	RefusedUpgrade     atomic.Uint64 // 400, 405, 426: no WebSocket handshake

	Messages   atomic.Uint64 // SIP messages in
	Bad        atomic.Uint64 // of them refused by the parser
	KeepAlives atomic.Uint64 // CRLF CRLF answered
	Blank      atomic.Uint64 // other whitespace, ignored
	Pings      atomic.Uint64 // sent
	Panics     atomic.Uint64
}
