package flow

import (
	"net/netip"
	"testing"

	"github.com/ringway/ringway/sip"
)

type conn struct{ info sip.ConnInfo }

func (c *conn) Send([]byte) error     { return nil }
func (c *conn) Info() *sip.ConnInfo   { return &c.info }
func (c *conn) Close(sip.CloseReason) {}

func ws() sip.Conn { return &conn{sip.ConnInfo{Transport: sip.WS}} }

func udp(remote string) sip.Conn {
	return &conn{sip.ConnInfo{Transport: sip.UDP, Remote: netip.MustParseAddrPort(remote)}}
}

type recorder struct{ took []*Flow }

func (r *recorder) FlowNamed(_ *Flow, _ Name, old *Flow)    { r.took = append(r.took, old) }
func (r *recorder) FlowClosed(f *Flow, why sip.CloseReason) {}

var n1, n2 = Name{1}, Name{2}

func TestReconnectTakesOver(t *testing.T) { // RFC 5626 §6: a new flow replaces the one of the same instance and reg-id
	tab, rec := NewTable(), &recorder{}
	tab.Watch(rec)
	a, b, c := tab.Open(ws()), tab.Open(ws()), tab.Open(ws())
	tab.Bind(a, n1)
	tab.Bind(b, n1) // before the old socket is known to be dead
	tab.Closed(a, sip.CloseLost)
	tab.Closed(b, sip.CloseLost)
	if tab.ByName(n1) != nil {
		t.Error("a dead flow is found by name")
	}
	tab.Bind(c, n1)
	if got := tab.ByName(n1); got != c {
		t.Errorf("ByName = %v, want c", got)
	}
	if a.Current() != c || b.Current() != c {
		t.Error("old flows do not lead to the newest")
	}
	if !a.SameAgent(c) || !c.SameAgent(b) {
		t.Error("flows of one agent are not the same agent")
	}
	if got := c.Predecessors(); len(got) != 2 || got[0] != b.ID || got[1] != a.ID {
		t.Errorf("Predecessors = %v, want [%d %d]", got, b.ID, a.ID)
	}
	if len(rec.took) != 3 || rec.took[0] != nil || rec.took[1] != a || rec.took[2] != b {
		t.Errorf("watcher saw takeovers from %v", rec.took)
	}
	if tab.Len() != 1 || tab.ByID(a.ID) != nil || tab.ByID(c.ID) != c {
		t.Error("closed flows are still listed")
	}
}

func TestFlowWithTwoNamesIsTakenOverOnlyWhole(t *testing.T) {
	tab := NewTable()
	a, b := tab.Open(ws()), tab.Open(ws())
	tab.Bind(a, n1)
	tab.Bind(a, n2)
	tab.Bind(b, n1)
	if a.Current() != a || tab.ByName(n2) != a {
		t.Error("a flow that still speaks for somebody was taken over")
	}
	tab.Bind(b, n2)
	if a.Current() != b {
		t.Error("a flow with nobody left was not taken over")
	}
}

func TestFlipFlopMakesNoCircle(t *testing.T) {
	tab := NewTable()
	a, b := tab.Open(ws()), tab.Open(ws())
	for range 3 {
		tab.Bind(a, n1)
		tab.Bind(b, n1)
	}
	tab.Bind(a, n1)
	if a.Current() != a || b.Current() != a {
		t.Error("the flow bound last is not the current one")
	}
}

func TestUnbindForgets(t *testing.T) {
	tab := NewTable()
	a, b := tab.Open(ws()), tab.Open(ws())
	tab.Bind(a, n1)
	tab.Unbind(a, n1)
	tab.Bind(b, n1)
	if a.Current() != a {
		t.Error("an unbound flow was taken over")
	}
	tab.Unbind(a, n1) // late, must not hurt b
	if tab.ByName(n1) != b {
		t.Error("unbinding an old flow took the name from the new one")
	}
}

func TestDatagramPeersAreListedWhenAdopted(t *testing.T) {
	tab := NewTable()
	f := tab.Datagram(udp("192.0.2.1:5060"))
	if f.ID != 0 || tab.Len() != 0 {
		t.Fatal("a datagram made state")
	}
	f.AuthenticatedAs("alice@example.com")
	g := tab.Adopt(f)
	if g.ID == 0 || tab.ByID(g.ID) != g || !g.Is("alice@example.com") {
		t.Error("the adopted flow is not listed with its identity")
	}
	if tab.Datagram(udp("192.0.2.1:5060")) != g || tab.Adopt(f) != g {
		t.Error("the next datagram of the peer is another flow")
	}
	if other := tab.Datagram(udp("192.0.2.1:5061")); other == g || other.SameAgent(g) {
		t.Error("another port is the same peer")
	}
	if !f.SameAgent(g) {
		t.Error("two flows of one UDP peer are not the same agent")
	}
}

func TestIdentityIsPerFlow(t *testing.T) {
	tab := NewTable()
	a, b := tab.Open(ws()), tab.Open(ws())
	if a.Proven() {
		t.Error("a new flow is proven")
	}
	a.AuthenticatedAs("alice@example.com")
	a.AuthenticatedAs("alice@example.com")
	b.SetUpstream("pbx")
	if !a.Is("alice@example.com") || b.Is("alice@example.com") || len(a.AORs()) != 1 || !b.Proven() || b.Upstream() != "pbx" {
		t.Error("identities are mixed up")
	}
}

func TestForget(t *testing.T) {
	f := &Flow{}
	f.AuthenticatedAs("a@example.com")
	f.AuthenticatedAs("b@example.com")
	held := f.AORs()
	f.Forget("a@example.com")
	f.Forget("nobody@example.com")
	if f.Is("a@example.com") || !f.Is("b@example.com") || !f.Proven() || held[0] != "a@example.com" {
		t.Errorf("left %v, held %v", f.AORs(), held)
	}
	if f.Forget("b@example.com"); f.Proven() {
		t.Error("proven by nobody")
	}
}
