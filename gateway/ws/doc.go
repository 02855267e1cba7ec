// Package ws is the SIP-over-WebSocket edge (RFC 7118 on RFC 6455): the HTTP
// server, the upgrade and its checks, limits, close codes, and Flow, the
// connection of one client. One SIP message is one WebSocket message, both ways.
package ws
