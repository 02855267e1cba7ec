// Package transaction is RFC 3261 §17 with RFC 6026 and RFC 4320 for a proxy:
// tables and state machines that run on the goroutine that delivers the event,
// with one timer wheel, and leave every decision about other branches to their users.
//
// Lock order: the user's lock, then one transaction's, then the send queue; the
// locks of the table and the wheel are leaves. Events are delivered with no lock of this
// package held, and never from within a call that the user makes into a transaction:
// what such a call causes (a failed Start, the end of a transaction by
// its final response) comes from the wheel's goroutine a moment later.
package transaction

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/fault"
	"github.com/ringway/ringway/sip/flow"
)

// Errors given to Failed and Ended.
var (
	ErrTimeout   = errors.New("transaction timed out") // timer B, F or H
	ErrTransport = errors.New("transport failed")      // the flow is closed or refused the message
	ErrInternal  = errors.New("transaction panicked")  // Config.OnPanic has been told
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
	// Called at most once, and not after a final response.
	Cancelled(tx *Server, cancel *sip.Message)
	// Ended: the transaction is over, called once. err is nil; ErrTimeout: no ACK within timer H, or
	// the client of another request has given up waiting; ErrTransport: a response could not be delivered, or FailFlow.
	Ended(tx *Server, err error)
}

// ClientUser is told what happens to a client transaction, never under its lock.
type ClientUser interface {
	// Response: 1xx (100 too), the final response once, and every 2xx to an INVITE
	// (RFC 6026 §7.2), retransmissions included. ACKs to non-2xx were sent already.
	Response(tx *Client, m *sip.Message)
	// Failed: no final response will come: ErrTimeout or ErrTransport. Called at most
	// once, never after a final response, never from within Start or Cancel.
	Failed(tx *Client, err error)
}

// Outgoing makes the texts of a request being sent; *sip.Splice is one.
type Outgoing interface {
	CSeq() uint32
	Append(dst []byte) []byte
	AppendAck(dst []byte, resp *sip.Message) []byte
	AppendCancel(dst []byte, extra ...string) []byte
}

// Config sets up a Table.
type Config struct {
	User User
	// MaxPending bounds the server transactions of one connection that wait for a final
	// response or the ACK to it; 0: 1024. Beyond: 503 without state. Peers with an Upstream
	// name, and datagrams of unlisted flows, are not counted.
	MaxPending int
	// Wasted is told, with no lock held, of each message that served nobody: responses that are stray, foreign
	// or late, a CANCEL for nothing, what is no SIP. It may close the flow. Optional.
	Wasted func(from *flow.Flow)
	// OnPanic is told of a panic in a transaction, which ends that transaction (ErrInternal), and in what the wheel
	// calls (Failed, Ended, alarms of the Wheel's other users), which ends only that call. A panic in
	// User.Request is answered 500 and goes on to the message's reader. nil: every panic goes on.
	OnPanic fault.Handler
}

const shardCount = 64

// Table holds the transactions.
type Table struct {
	// Static after construction.
	user       User
	wasted     func(*flow.Flow)
	onPanic    fault.Handler
	maxPending int
	keys       keyer
	wheel      *Wheel

	counters counters
	shutdown atomic.Bool
	servers  [shardCount]serverShard
	clients  [shardCount]clientShard
	peers    [shardCount]peerShard
	held     heldCancels
}

type serverShard struct {
	sync.RWMutex
	byKey map[key]*Server
}

type clientShard struct {
	sync.RWMutex
	byID map[uint64]*Client
}

// NewTable makes a table; nothing runs before Run.
func NewTable(cfg Config) *Table {
	t := &Table{user: cfg.User, wasted: cfg.Wasted, onPanic: cfg.OnPanic, maxPending: cfg.MaxPending, keys: newKeyer(), wheel: NewWheel()}
	if t.wasted == nil {
		t.wasted = func(*flow.Flow) {}
	}
	if t.maxPending == 0 {
		t.maxPending = 1024
	}
	t.wheel.onPanic = cfg.OnPanic
	for i := range shardCount {
		t.servers[i].byKey = make(map[key]*Server)
		t.clients[i].byID = make(map[uint64]*Client)
		t.peers[i].byFlow = make(map[flow.ID]peer)
	}
	return t
}

// Run drives the timers until ctx ends.
func (t *Table) Run(ctx context.Context) error { return t.wheel.Run(ctx) }

// Wheel is the table's timer wheel, for timers of its users.
func (t *Table) Wheel() *Wheel { return t.wheel }

// Shutdown refuses new requests outside dialogs from now on (503, Retry-After). Transactions
// that exist live on, and so do ACK, CANCEL and requests with a To tag, which they need to get done.
func (t *Table) Shutdown() { t.shutdown.Store(true) }

// Receive takes a message that the flow's reader parsed; it returns when all that it causes is done or queued.
func (t *Table) Receive(m *sip.Message, from *flow.Flow) {
	via := m.TopVia()
	switch {
	case via.Host == "":
		t.waste(BadMessage, from)
	case !m.IsRequest():
		t.receiveResponse(m, via, from)
	case m.Method() == "ACK":
		t.receiveAck(m, t.keys.of(m, via, from), from)
	case m.Method() == "CANCEL":
		t.receiveCancel(m, t.keys.of(m, via, from), from)
	default:
		t.receiveRequest(m, t.keys.of(m, via, from), from)
	}
}

// ReceiveBad takes what sip.Parse returned with an error; m may be nil. A request is answered
// with what is wrong, without state; ACK, responses and what is no SIP are dropped.
func (t *Table) ReceiveBad(m *sip.Message, err error, from *flow.Flow) {
	if m == nil || !m.IsRequest() || m.Method() == "ACK" {
		t.waste(BadMessage, from)
		return
	}
	t.counters.drop(BadRequest)
	t.answer(m, refusal(sip.AsStatus(err)), t.keys.of(m, m.TopVia(), from), from)
}

// waste counts a message that went nowhere.
func (t *Table) waste(why Drop, from *flow.Flow) {
	t.counters.drop(why)
	t.wasted(from)
}

// answer sends a response without state.
func (t *Table) answer(m *sip.Message, r sip.Reply, k key, to *flow.Flow) {
	p := newBuffer()
	defer p.free()
	p.b = appendReply(p.b, m, r, k, to)
	if r.Status >= 300 && len(p.b) > t.reflects(m, to) && !t.shorten(p, m, r, k, to) {
		t.counters.drop(Amplifying)
		return
	}
	_ = deliver(to, p.b) // to is gone: so is the reason to answer
}

// reflects is how many octets m may be refused with: two and a half times its own, where its source may be
// forged and the refusal hits somebody else.
func (t *Table) reflects(m *sip.Message, to *flow.Flow) int {
	if to.Info().Transport != sip.UDP || to.Upstream() != "" {
		return math.MaxInt
	}
	return len(m.String()) * 5 / 2
}

// shorten makes a refusal of the standard phrase and then of ever fewer headers, the last of which is the one that
// everybody can use (of challenges: MD5); false when none is short enough.
func (t *Table) shorten(p *buffer, m *sip.Message, r sip.Reply, k key, to *flow.Flow) bool {
	most := t.reflects(m, to)
	for r.Reason = ""; ; r.Headers = r.Headers[1:] {
		p.b = appendReply(p.b[:0], m, r, k, to)
		switch {
		case len(p.b) <= most:
			return true
		case len(r.Headers) < 2:
			return false
		}
	}
}

func (t *Table) receiveRequest(m *sip.Message, k key, from *flow.Flow) {
	if tx := t.server(k, from); tx != nil {
		tx.again()
		return
	}
	tx := newServer(t, m, k, from)
	tx.mu.Lock()
	if why, ok := t.admit(tx, m); !ok {
		tx.mu.Unlock()
		t.counters.drop(why)
		t.answer(m, overload(why), k, from)
		return
	}
	if first := t.enterServer(tx); first != nil {
		t.unlistServer(tx)
		tx.mu.Unlock()
		first.again()
		return
	}
	tx.startLocked()
	tx.mu.Unlock()
	t.hand(tx)
}

// hand gives tx to the user. Should that panic, the client is told, and nothing stays that nobody would end.
func (t *Table) hand(tx *Server) {
	defer func() {
		if v := recover(); v != nil {
			tx.Refuse(errPanicked)
			panic(v) // its reader counts it and closes the connection
		}
	}()
	t.user.Request(tx)
}

var errPanicked = sip.Refuse(500, "Server Internal Error")

// admit lists tx with its flow, unless there is no room for it.
func (t *Table) admit(tx *Server, m *sip.Message) (Drop, bool) {
	if t.shutdown.Load() && m.ToTag() == "" {
		return ShuttingDown, false
	}
	limit := t.maxPending
	if tx.flow.Upstream() != "" {
		limit = 0
	}
	return OverPending, t.listServer(tx, tx.flow.ID, limit)
}

// overload asks the peer to come back at a time of its own (RFC 3261 §21.5.4), so that not all do at once.
func overload(why Drop) sip.Reply {
	r := sip.Reply{Status: 503, Headers: []string{"Retry-After: " + strconv.Itoa(5+rand.IntN(26))}}
	if why == OverPending {
		r.Reason = "Too Many Pending Requests"
	}
	return r
}

func (t *Table) receiveCancel(m *sip.Message, k key, from *flow.Flow) {
	tx := t.server(k, from)
	if tx == nil && t.holdCancel(m, k, from) {
		return
	}
	if tx == nil || !mayCancel(tx.Flow(), from) {
		t.answer(m, sip.Reply{Status: 481}, k, from)
		t.waste(StrayCancel, from)
		return
	}
	t.answer(m, sip.Reply{Status: 200}, tx.key, from)
	tx.cancelReceived(m)
}

func (t *Table) receiveAck(m *sip.Message, k key, from *flow.Flow) {
	tx := t.server(k, from)
	switch {
	case tx != nil && samePeer(tx.Flow(), from) && tx.ack():
	case tx == nil && m.ToTag() == k.tag(): // to a refusal of ours that left no state
		t.counters.absorbed.Add(1)
	default:
		t.user.Ack(m, from)
	}
}

// server finds a server transaction: the flow's own, or on WebSocket that of the flow the
// same user agent had before it reconnected.
func (t *Table) server(k key, from *flow.Flow) *Server {
	s := t.serverShard(k)
	s.RLock()
	tx := s.byKey[k]
	s.RUnlock()
	if tx != nil || k.flow == 0 {
		return tx
	}
	for _, id := range from.Predecessors() {
		s.RLock()
		tx = s.byKey[key{k.a, k.b, id}]
		s.RUnlock()
		if tx != nil {
			return tx
		}
	}
	return nil
}

// Invites lists the users of all INVITE server transactions without a final response.
func (t *Table) Invites() (users []ServerUser) {
	for i := range t.servers {
		s := &t.servers[i]
		s.RLock()
		pending := make([]*Server, 0, len(s.byKey))
		for _, tx := range s.byKey {
			if tx.invite {
				pending = append(pending, tx)
			}
		}
		s.RUnlock()
		for _, tx := range pending {
			tx.mu.Lock()
			if tx.state <= proceeding && tx.user != nil {
				users = append(users, tx.user)
			}
			tx.mu.Unlock()
		}
	}
	return users
}

// serverShard leaves the flow out: a key and its predecessors' are in one shard.
func (t *Table) serverShard(k key) *serverShard { return &t.servers[k.a%shardCount] }

// enterServer enters tx, unless another reader was first: then it returns that one.
func (t *Table) enterServer(tx *Server) (first *Server) {
	s := t.serverShard(tx.key)
	s.Lock()
	defer s.Unlock()
	if first = s.byKey[tx.key]; first == nil {
		s.byKey[tx.key] = tx
		t.counters.created[tx.kind()].Add(1)
	}
	return first
}

func (t *Table) removeServer(tx *Server) {
	s := t.serverShard(tx.key)
	s.Lock()
	delete(s.byKey, tx.key)
	s.Unlock()
	t.counters.ended[tx.kind()].Add(1)
}

func (t *Table) receiveResponse(m *sip.Message, via *sip.ViaValue, from *flow.Flow) {
	id, _, ok := ParseBranch(via.Branch)
	if !ok {
		t.waste(StrayResponse, from)
		return
	}
	s := t.clientShard(id)
	s.RLock()
	tx := s.byID[id]
	s.RUnlock()
	if tx == nil || !tx.asked(m) {
		t.waste(StrayResponse, from)
		return
	}
	if !samePeer(tx.Flow(), from) {
		t.waste(ForeignResponse, from)
		return
	}
	if !tx.receive(m) {
		t.wasted(from)
	}
}

// samePeer reports whether from may go on with what was exchanged with the flow to: answer
// a request sent there, or acknowledge the answer to one that came from there. The branch says
// that the sender has seen the request; this says that it is the peer that was
// meant: the same agent or upstream, or over UDP and TCP the same host (it may answer from
// another port, or over a new connection: RFC 3261 §18.2.2).
func samePeer(to, from *flow.Flow) bool {
	if to == from || to.SameAgent(from) {
		return true
	}
	a, b := to.Info(), from.Info()
	if a.Transport.WebSocket() || b.Transport.WebSocket() {
		return false
	}
	if up := to.Upstream(); up != "" && up == from.Upstream() {
		return true
	}
	return a.Transport.Reliable() == b.Transport.Reliable() && a.Remote.Addr().Unmap() == b.Remote.Addr().Unmap()
}

// mayCancel reports whether from may cancel what came from the flow of. A CANCEL takes the way of
// its request (RFC 3261 §9.1) and cannot be challenged, so that its host alone does not say
// who sends it: many users share one. It comes over the same flow, from the same
// address and port over UDP, by another connection of a peer that has proved to be the same user, or from the same upstream.
func mayCancel(of, from *flow.Flow) bool {
	if of == from || of.SameAgent(from) {
		return true
	}
	if up := of.Upstream(); up != "" {
		return up == from.Upstream()
	}
	return from.Info().Transport.Reliable() && slices.ContainsFunc(of.AORs(), from.Is)
}

// Client makes a client transaction to be started with Client.Start. id is the number
// in the branch (see AppendBranch); method is the request's.
func (t *Table) Client(id uint64, method string, to *flow.Flow, u ClientUser) *Client {
	return &Client{
		table: t, id: id, method: sip.OwnMethod(method), invite: method == "INVITE",
		reliable: to.Info().Transport.Reliable(), flow: to, user: u,
	}
}

func (t *Table) clientShard(id uint64) *clientShard { return &t.clients[id%shardCount] }

func (t *Table) enterClient(tx *Client) {
	s := t.clientShard(tx.id)
	s.Lock()
	s.byID[tx.id] = tx
	s.Unlock()
	t.counters.created[tx.kind()].Add(1)
	t.listClient(tx, tx.flow.ID)
}

func (t *Table) removeClient(tx *Client) {
	s := t.clientShard(tx.id)
	s.Lock()
	if s.byID[tx.id] == tx {
		delete(s.byID, tx.id)
	}
	s.Unlock()
	t.counters.ended[tx.kind()].Add(1)
}

// deliver sends b to the peer of f, by the connection that took over from f if f is gone.
func deliver(f *flow.Flow, b []byte) error {
	if !f.Live() {
		f = f.Current()
	}
	return f.Send(b)
}

// refusal is the response that tells err.
func refusal(err *sip.StatusError) sip.Reply {
	return sip.Reply{Status: err.Code, Reason: err.Reason, Headers: err.Headers}
}

// appendReply appends the response to m that r says.
func appendReply(dst []byte, m *sip.Message, r sip.Reply, k key, to *flow.Flow) []byte {
	if r.ToTag == "" {
		r.ToTag = k.tag()
	}
	r.Source = to.Info().Remote
	return m.AppendReply(dst, &r)
}
