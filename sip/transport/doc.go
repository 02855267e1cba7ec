// Package transport carries SIP messages over UDP, TCP and TLS (RFC 3261 §18,
// RFC 3581): listeners, stream framing, connections made on demand, limits. Its
// Socket, a TCP connection that never blocks a sender and holds no buffer while
// idle, also lies under the WebSocket edge.
package transport
