package transaction

import (
	"slices"
	"sync"

	"github.com/ringway/ringway/sip/flow"
)

// peerShard lists the transactions that need their flow: server ones that have
// not delivered their answer, client ones that wait for theirs. So the end of a flow
// is found out by those whom it concerns, not by a search.
type peerShard struct {
	mu     sync.Mutex
	byFlow map[flow.ID]peer
}

type peer struct {
	servers *Server
	clients *Client
	pending int // length of servers
}

func (t *Table) peerShard(id flow.ID) *peerShard { return &t.peers[id%shardCount] }

// put stores p, or forgets the flow when nothing is left.
func (s *peerShard) put(id flow.ID, p peer) {
	if p.servers == nil && p.clients == nil {
		delete(s.byFlow, id)
		return
	}
	s.byFlow[id] = p
}

// listServer lists tx under the flow id (0: an unlisted datagram, which has no end) unless limit, if not 0, is reached.
func (t *Table) listServer(tx *Server, id flow.ID, limit int) bool {
	if id == 0 {
		return true
	}
	s := t.peerShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byFlow[id]
	if limit != 0 && p.pending >= limit {
		return false
	}
	tx.listed, tx.next, tx.prev = id, p.servers, nil
	if p.servers != nil {
		p.servers.prev = tx
	}
	p.servers = tx
	p.pending++
	s.byFlow[id] = p
	return true
}

func (t *Table) unlistServer(tx *Server) {
	id := tx.listed
	if id == 0 {
		return
	}
	s := t.peerShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byFlow[id]
	if tx.prev != nil {
		tx.prev.next = tx.next
	} else {
		p.servers = tx.next
	}
	if tx.next != nil {
		tx.next.prev = tx.prev
	}
	tx.listed, tx.next, tx.prev = 0, nil, nil
	p.pending--
	s.put(id, p)
}

func (t *Table) listClient(tx *Client, id flow.ID) {
	if id == 0 {
		return
	}
	s := t.peerShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byFlow[id]
	tx.listed, tx.next, tx.prev = id, p.clients, nil
	if p.clients != nil {
		p.clients.prev = tx
	}
	p.clients = tx
	s.byFlow[id] = p
}

func (t *Table) unlistClient(tx *Client) {
	id := tx.listed
	if id == 0 {
		return
	}
	s := t.peerShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byFlow[id]
	if tx.prev != nil {
		tx.prev.next = tx.next
	} else {
		p.clients = tx.next
	}
	if tx.next != nil {
		tx.next.prev = tx.prev
	}
	tx.listed, tx.next, tx.prev = 0, nil, nil
	s.put(id, p)
}

// of collects what is listed under id, oldest first.
func (t *Table) of(id flow.ID) (servers []*Server, clients []*Client) {
	s := t.peerShard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byFlow[id]
	for tx := p.servers; tx != nil; tx = tx.next {
		servers = append(servers, tx)
	}
	for tx := p.clients; tx != nil; tx = tx.next {
		clients = append(clients, tx)
	}
	slices.Reverse(servers)
	slices.Reverse(clients)
	return servers, clients
}

// FailFlow: f's connection ended and its user agent is not waited for (the proxy
// decides when: reconnect_grace). Client transactions that wait for a final response from f fail with
// ErrTransport, server transactions whose answer f has not got end with it.
// Both are told before FailFlow returns; the caller holds no lock that they take.
func (t *Table) FailFlow(f *flow.Flow) {
	if f.ID == 0 {
		return
	}
	servers, clients := t.of(f.ID)
	for _, tx := range clients {
		tx.flowFailed(f)
	}
	for _, tx := range servers {
		tx.flowFailed(f)
	}
}

// FlowMoved: the user agent of old is back on f. Transactions of old are f's from now on: final responses
// that could not be sent, or that have no ACK yet, go to f; so do requests that
// got no response at all and INVITEs that ring (as a retransmission, so the agent takes them once) and a CANCEL
// without an answer.
// A CANCEL that came over f before is looked at again.
// As with FailFlow, users may be told before it returns.
func (t *Table) FlowMoved(old, f *flow.Flow) {
	if old.ID == 0 || old == f || old.Current() != f.Current() { // the last: old lives on for another of its names
		return
	}
	servers, clients := t.of(old.ID)
	for _, tx := range servers {
		tx.flowMoved(old, f)
	}
	for _, tx := range clients {
		tx.flowMoved(old, f)
	}
	t.releaseCancel(f)
}
