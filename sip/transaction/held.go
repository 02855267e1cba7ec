package transaction

import (
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// A client that reconnects may cancel a call before it has registered: until then
// nobody knows that its INVITE came over another flow. So a CANCEL that fits nothing,
// from a WebSocket whose peer has proved nothing, waits for FlowMoved, one for each flow.
const (
	cancelPatience = 5 * time.Second
	maxHeldCancels = 10_000
)

type heldCancels struct {
	sync.Mutex // before the wheel's
	byFlow     map[flow.ID]*heldCancel
}

type heldCancel struct {
	table *Table
	m     *sip.Message
	key   key
	from  *flow.Flow
	timer Timer
}

// holdCancel reports whether m waits now, or did already.
func (t *Table) holdCancel(m *sip.Message, k key, from *flow.Flow) bool {
	if k.flow == 0 || from.Proven() {
		return false
	}
	h := &t.held
	h.Lock()
	defer h.Unlock()
	if first := h.byFlow[from.ID]; first != nil {
		return first.key == k
	}
	if len(h.byFlow) >= maxHeldCancels {
		return false
	}
	if h.byFlow == nil {
		h.byFlow = make(map[flow.ID]*heldCancel)
	}
	c := &heldCancel{table: t, m: m, key: k, from: from}
	h.byFlow[from.ID] = c
	t.wheel.After(&c.timer, cancelPatience, c)
	return true
}

// takeCancel ends the wait of what waits on a flow, if it is c or c is nil.
func (t *Table) takeCancel(id flow.ID, c *heldCancel) *heldCancel {
	h := &t.held
	h.Lock()
	defer h.Unlock()
	is := h.byFlow[id]
	if is == nil || c != nil && is != c {
		return nil
	}
	delete(h.byFlow, id)
	t.wheel.Stop(&is.timer)
	return is
}

// releaseCancel: the peer of f is known now, and with it the flow it had before.
func (t *Table) releaseCancel(f *flow.Flow) {
	if c := t.takeCancel(f.ID, nil); c != nil {
		t.receiveCancel(c.m, c.key, f)
	}
}

// Expired implements Alarm: it is nobody's.
func (c *heldCancel) Expired(*Timer) {
	t := c.table
	if t.takeCancel(c.from.ID, c) == nil {
		return
	}
	t.counters.drop(StrayCancel)
	t.answer(c.m, sip.Reply{Status: 481}, c.key, c.from)
}
