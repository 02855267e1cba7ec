// Package transaction is RFC 3261 §17 with RFC 6026 and RFC 4320 for a proxy:
// tables and state machines that run on the goroutine that delivers the event,
// with one timer wheel, and leave every decision about other branches to their users.
package transaction

import (
	"context"
	"errors"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Errors given to Failed and Ended.
var (
	ErrTimeout   = errors.New("transaction timed out") // timer B, F or H
	ErrTransport = errors.New("transport failed")      // the flow is closed or refused the message
)

// User is the transaction user of the table: the gateway's core.
type User interface {
	// Request is called once for each new request but ACK and CANCEL, on the
	// goroutine that read it. The transaction exists and absorbs retransmissions.
	Request(tx *Server)
	// Ack is called for an ACK that no INVITE server transaction absorbs: the ACK to a 2xx, to be proxied.
	Ack(m *sip.Message, from *flow.Flow)
}

// ServerUser is told what happens to a server transaction, never under its lock.
type ServerUser interface {
	// Cancelled: a CANCEL for this INVITE came and was answered 200 (RFC 3261 §9.2).
	Cancelled(tx *Server, cancel *sip.Message)
	// Ended: the transaction is over. err is nil, ErrTimeout (no ACK within timer H) or ErrTransport.
	Ended(tx *Server, err error)
}

// ClientUser is told what happens to a client transaction, never under its lock.
type ClientUser interface {
	// Response: 1xx (100 too), the final response once, and every 2xx to an INVITE
	// (RFC 6026 §7.2), retransmissions included. ACKs to non-2xx were sent already.
	Response(tx *Client, m *sip.Message)
	// Failed: no final response will come: ErrTimeout or ErrTransport. Called at most once, never after a final response.
	Failed(tx *Client, err error)
}

// Outgoing makes the texts of a request being sent; *sip.Splice is one.
type Outgoing interface {
	Append(dst []byte) []byte
	AppendAck(dst []byte, resp *sip.Message) []byte
	AppendCancel(dst []byte, extra ...string) []byte
}

// Config sets the timers (RFC 3261 appendix A); zero values are the RFC's.
type Config struct {
	User       User
	MaxPending int // server transactions without a final response per flow; 0: 1024. Beyond: 503 without state
}

// Table holds the transactions.
type Table struct{}

// NewTable makes a table; nothing runs before Run.
func NewTable(cfg Config) *Table { panic("stub") }

// Run drives the timers until ctx ends.
func (t *Table) Run(ctx context.Context) error { panic("stub") }

// Receive takes a message that the flow's reader parsed; it returns when all that it causes is done or queued.
func (t *Table) Receive(m *sip.Message, from *flow.Flow) { panic("stub") }

// Client makes a client transaction to be started with Client.Start. id is the number
// in the branch (see Branch); method is the request's.
func (t *Table) Client(id uint64, method string, to *flow.Flow, u ClientUser) *Client { panic("stub") }

// NewID draws the number of a new branch.
func NewID() uint64 { panic("stub") }

// AppendBranch writes a branch parameter's value: magic cookie, id, loop hash (RFC 5393 §4.2); fixed length.
func AppendBranch(dst []byte, id uint64, loop uint64) []byte { panic("stub") }

// ParseBranch reads a branch of ours.
func ParseBranch(branch string) (id, loop uint64, ok bool) { panic("stub") }

// FlowClosed: the flow's connection ended. Client transactions on it fail with ErrTransport only when
// FailFlow is called (the proxy decides after reconnect_grace); kept responses wait likewise.
func (t *Table) FailFlow(f *flow.Flow) { panic("stub") }

// FlowMoved: the user agent of old is back on f: final responses that could not be sent to old are sent to f.
func (t *Table) FlowMoved(old, f *flow.Flow) { panic("stub") }

// Server is a server transaction.
type Server struct{}

// Request is the request; nil once a final response to an INVITE has been sent and acknowledged or accepted.
func (tx *Server) Request() *sip.Message { panic("stub") }

// Method is the request's method, also when Request is gone.
func (tx *Server) Method() string { panic("stub") }

// Flow is where the request came from.
func (tx *Server) Flow() *flow.Flow { panic("stub") }

// SetUser sets who is told of CANCEL and the end; called within User.Request.
func (tx *Server) SetUser(u ServerUser) { panic("stub") }

// Reply answers with a response made by us; SourceAddr/SourcePort and ToTag are filled in here.
func (tx *Server) Reply(r *sip.Reply) { panic("stub") }

// Refuse answers with err's status.
func (tx *Server) Refuse(err *sip.StatusError) { panic("stub") }

// Forward sends a response that is already spliced. Order: it is queued before Forward returns.
func (tx *Server) Forward(status int, b []byte) { panic("stub") }

// Client is a client transaction.
type Client struct{}

// Start arms the timers and sends. out is kept until the transaction needs it no more.
func (tx *Client) Start(out Outgoing) { panic("stub") }

// Cancel sends a CANCEL once a provisional response has come (RFC 3261 §9.1), at once or later; extra as in
// sip.Splice.AppendCancel. The CANCEL's own transaction is the table's business. When no
// final response follows within 64*T1 the transaction fails with ErrTimeout.
func (tx *Client) Cancel(extra ...string) { panic("stub") }

// Flow is where the request was sent.
func (tx *Client) Flow() *flow.Flow { panic("stub") }
