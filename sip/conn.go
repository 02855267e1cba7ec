package sip

import "net/netip"

// Transport is a transport protocol as a Via names it.
type Transport uint8

// The transports. WS and WSS are SIP over WebSocket (RFC 7118).
const (
	UDP Transport = iota + 1
	TCP
	TLS
	WS
	WSS
)

// String is the token of a Via header (RFC 3261 §20.42, RFC 7118 §5.2).
func (t Transport) String() string {
	return [...]string{"", "UDP", "TCP", "TLS", "WS", "WSS"}[t]
}

// Param is the transport parameter of a URI (RFC 3261 §19.1.1); for WSS it is "ws", as
// wss is no value of it (RFC 7118 §5.2.3).
func (t Transport) Param() string {
	return [...]string{"", "udp", "tcp", "tls", "ws", "ws"}[t]
}

// Reliable reports whether the transport delivers in order or not at all.
func (t Transport) Reliable() bool { return t != UDP }

// WebSocket reports whether the peer is a WebSocket client: it cannot be dialled.
func (t Transport) WebSocket() bool { return t == WS || t == WSS }

// ConnInfo is what is known of a connection from its start to its end.
type ConnInfo struct {
	Transport Transport
	Local     netip.AddrPort // our end
	Remote    netip.AddrPort // the peer's end
	// Advertise is the sent-by that the peer is told to reach us at ("host:port",
	// IPv6 in brackets): the listener's advertise, or Local.
	Advertise string
	// Listener indexes the configured listen entry that the connection came in by or is sent from.
	Listener int
	Dialled  bool // we opened it
	// Names are the SIP domains that the client certificate of an accepted TLS connection is for
	// (RFC 5922), where those whom we trust signed it.
	Names []string
}

// CloseReason says why a connection ended or is to end; each is a metric label.
type CloseReason string

// Why connections end.
const (
	CloseNormal      CloseReason = "normal"      // peer: WebSocket 1000, or end of a TCP stream
	CloseGoingAway   CloseReason = "going_away"  // peer: WebSocket 1001, its page is gone
	CloseLost        CloseReason = "lost"        // transport error, WebSocket 1005/1006
	CloseDead        CloseReason = "dead"        // no pong in time, or no answer and no pong
	CloseSlow        CloseReason = "slow_reader" // send queue full or write past its deadline
	CloseProtocol    CloseReason = "protocol"    // framing broken: 1002, or a stream that lost its frame
	CloseTooBig      CloseReason = "too_big"     // 1009
	CloseEncoding    CloseReason = "encoding"    // text message that is not UTF-8: 1007
	CloseFlood       CloseReason = "flood"       // rate limits exceeded: 1008
	CloseUnproven    CloseReason = "unproven"    // neither authenticated nor registered in time: 1008
	CloseShutdown    CloseReason = "shutdown"    // we are restarting: 1012
	CloseOverload    CloseReason = "overload"    // 1013
	CloseAdmin       CloseReason = "admin"       // closed by the operator
	ClosePanic       CloseReason = "panic"       // a handler panicked: 1011
	CloseUnsupported CloseReason = "unsupported" // not SIP at all, again and again: 1008
)

// Gone reports whether nothing is to wait for the peer: its page was closed, or
// we cut it off for not reading.
func (r CloseReason) Gone() bool { return r == CloseGoingAway || r == CloseSlow }

// Conn is one transport association to a peer: a WebSocket, a TCP or TLS
// connection, or a UDP socket together with the peer's address.
type Conn interface {
	// Send sends one whole SIP message, or queues a copy; it never blocks. The
	// callee neither changes b nor keeps it, so that it is the caller's again. An error means that the connection is closed or is being closed.
	Send(b []byte) error
	// Info returns the same pointer for the life of the connection.
	Info() *ConnInfo
	// Close ends the connection and returns at once. On UDP it does nothing.
	Close(CloseReason)
}
