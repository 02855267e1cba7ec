package flow

import "github.com/ringway/ringway/sip"

// Watcher is told of what happens to flows, outside all locks of the table.
type Watcher interface {
	// FlowNamed: f now speaks for name; old is the flow it took over from, or nil.
	FlowNamed(f *Flow, name Name, old *Flow)
	// FlowClosed: f's connection ended.
	FlowClosed(f *Flow, why sip.CloseReason)
}

// Table holds the flows that can be looked up: all connections, and UDP peers
// that registered.
type Table struct{}

// NewTable returns an empty table.
func NewTable() *Table { panic("stub") }

// Watch adds w; all watchers are added before the first flow.
func (t *Table) Watch(w Watcher) { panic("stub") }

// Open gives a new connection its flow and enters it.
func (t *Table) Open(c sip.Conn) *Flow { panic("stub") }

// Datagram makes the flow of a UDP peer for one received datagram: the adopted
// one for that peer, or an unlisted one with ID 0.
func (t *Table) Datagram(c sip.Conn) *Flow { panic("stub") }

// Adopt enters a UDP peer's flow so that it can be looked up.
func (t *Table) Adopt(f *Flow) *Flow { panic("stub") }

// Bind says that f speaks for name from now on; a flow that did before is taken
// over (Flow.Current, Predecessors).
func (t *Table) Bind(f *Flow, name Name) { panic("stub") }

// Closed is called once by the transport when a connection has ended.
func (t *Table) Closed(f *Flow, why sip.CloseReason) { panic("stub") }

// ByID is the live flow of that id, or nil.
func (t *Table) ByID(id ID) *Flow { panic("stub") }

// ByName is the live flow that speaks for name, or nil.
func (t *Table) ByName(n Name) *Flow { panic("stub") }

// Len is the number of flows entered.
func (t *Table) Len() int { panic("stub") }

// All yields a snapshot of the flows entered.
func (t *Table) All() []*Flow { panic("stub") }
