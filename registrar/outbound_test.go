package registrar_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	outbound = "Supported: path, outbound"
	urn1     = `;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000000000001>"`
	urn2     = `;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000000000002>"`
)

// RFC 5626 §6: instance and reg-id decide, not the URI.
func TestOutboundReplacesSameInstanceAndRegID(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, outbound, "Contact: <sip:old@a.invalid>;reg-id=1"+urn1)
	w.ok(w.ws(), outbound, "Contact: <sip:old@a.invalid>;reg-id=2"+urn1)
	w.ok(w.ws(), outbound, "Contact: <sip:old@a.invalid>;reg-id=1"+urn2)
	g := w.ws()
	w.ok(g, outbound, "Contact: <sip:new@b.invalid>;reg-id=1"+urn1)
	w.wantContacts(alice, "sip:new@b.invalid", "sip:old@a.invalid", "sip:old@a.invalid")
	w.wantChanges(registrar.Registered, registrar.Registered, registrar.Registered, registrar.Refreshed)
	if f.Current() != g {
		t.Error("the new flow did not take over from the old one")
	}
	w.ok(g, outbound, "Contact: <sip:other@b.invalid>;expires=0;reg-id=2"+urn1)
	w.wantContacts(alice, "sip:new@b.invalid", "sip:old@a.invalid")
}

func TestRequireOutboundOnlyWhenUsed(t *testing.T) {
	const contact = "Contact: <sip:a@a.invalid>;reg-id=1" + urn1
	for _, c := range []struct {
		name  string
		lines []string
		used  bool
	}{
		{"used", []string{outbound, contact}, true},
		{"required", []string{"Require: outbound", contact}, true},
		{"not listed", []string{"Supported: path", contact}, false},
		{"no reg-id", []string{outbound, "Contact: <sip:a@a.invalid>" + urn1}, false},
		{"no instance", []string{outbound, "Contact: <sip:a@a.invalid>;reg-id=1"}, false},
		{"removed", []string{outbound, contact + ";expires=0"}, false},
		{"fetched", []string{outbound}, false},
	} {
		w := newWorld(t, func(c *registrar.Config) { c.FlowTimer = 25e9 })
		r := w.ok(w.ws(), c.lines...)
		var require, timer []string
		if c.used {
			require, timer = []string{"outbound"}, []string{"25"}
		}
		t.Run(c.name, func(t *testing.T) {
			wantValues(t, r, "Require", require...)
			wantValues(t, r, "Flow-Timer", timer...)
			for _, b := range w.lookup(alice) {
				if b.Outbound() != c.used {
					t.Errorf("reg-id %d", b.RegID)
				}
			}
		})
	}
}

// RFC 5626 §6: behind another hop its Path must say "ob", else 439.
func TestFirstHopLacksOutbound(t *testing.T) {
	const (
		contact = "Contact: <sip:a@a.invalid>;reg-id=1" + urn1
		vias    = "Via: SIP/2.0/TCP p.example.org;branch=z9hG4bK1, SIP/2.0/WSS a.invalid;branch=z9hG4bK2"
	)
	w := newWorld(t)
	f := w.open(sip.TCP, "203.0.113.5:5060")
	w.refused(439, "First Hop Lacks Outbound Support", f, outbound, contact, vias)
	w.refused(439, "First Hop", f, outbound, contact, vias, "Path: <sip:p.example.org;lr>")
	w.refused(439, "First Hop", f, outbound, contact, vias, "Path: <sip:p.example.org;lr>;ob")
	w.refused(439, "First Hop", f, outbound, contact, vias, "Path: <sip:p2.example.org;lr;ob>", "Path: <sip:p.example.org;lr>")
	r := w.ok(f, outbound, contact, vias, "Path: <sip:p2.example.org;lr>", "Path: <sip:p.example.org;lr;ob>")
	wantValues(t, r, "Require", "outbound")
	w.ok(f, "Supported: path", contact, vias) // without the option tag the reg-id is ignored
}

// RFC 5626 §6: one flow, one Contact.
func TestRegIDAmongSeveralContacts(t *testing.T) {
	w := newWorld(t)
	w.refused(400, "reg-id", w.ws(), outbound, "Contact: <sip:a@a.invalid>;reg-id=1"+urn1+", <sip:b@a.invalid>")
	w.ok(w.ws(), outbound, "Contact: <sip:a@a.invalid>;reg-id=1"+urn1+", <sip:b@a.invalid>;expires=0")
	r := w.ok(w.ws(), outbound, "Contact: <sip:a@a.invalid>;expires=0;reg-id=1"+urn1+", <sip:b@a.invalid>, <sip:c@a.invalid>")
	wantValues(t, r, "Require")
}

// RFC 3327 §5.3: Path is kept in order behind our own value, and told back to
// those that list "path".
func TestPath(t *testing.T) {
	w := newWorld(t)
	f := w.open(sip.TCP, "203.0.113.5:5060")
	const p1, p2, p3 = `<sip:p1.example.org;lr>;x="a,b"`, "<sip:p2.example.org;lr>", "<sips:p3.example.org;lr>"
	r := w.ok(f, "Contact: <sip:a@a.invalid>", "Path: "+p1+", "+p2, "Path: "+p3, "Supported: path")
	wantValues(t, r, "Path", p1+", "+p2+", "+p3)
	b := w.lookup(alice)[0]
	if len(b.Path) != 4 || !slices.Equal(b.Path[1:], []string{p1, p2, p3}) {
		t.Fatalf("Path %q", b.Path)
	}
	token := strings.TrimPrefix(b.Path[0], "<sip:")[:flow.TokenLen]
	if tok, ok := w.keys.Verify(token); !ok || tok.Flow != f.ID || tok.Name != b.Name || tok.Side != flow.Registered {
		t.Errorf("own Path %q: token %+v, %v", b.Path[0], tok, ok)
	}
	r = w.ok(f, "Contact: <sip:a@a.invalid>", "Path: "+p2)
	wantValues(t, r, "Path")
	if b := w.lookup(alice)[0]; len(b.Path) != 2 || b.Path[1] != p2 {
		t.Errorf("Path %q", b.Path)
	}
	w.refused(400, "Bad Path", f, "Contact: <sip:a@a.invalid>", "Path: <p1.example.org;lr>")
	w.refused(400, "Bad Path", f, "Contact: <sip:a@a.invalid>", "Path: <tel:12>")
	w.refused(400, "16 Path", f, "Contact: <sip:a@a.invalid>", "Path: "+strings.Repeat(p2+", ", 16)+p2)
}

// race is a flow table in whose Bind something else happens first.
type race struct {
	*flow.Table
	before func()
}

func (r *race) Bind(f *flow.Flow, name flow.Name) {
	if before := r.before; before != nil {
		r.before = nil
		before()
	}
	r.Table.Bind(f, name)
}

// Of two REGISTERs of one user agent the one committed last has the name, also
// when it was the first to say so.
func TestNameGoesToLastCommitted(t *testing.T) {
	flows := &race{}
	w := newWorld(t, func(c *registrar.Config) {
		flows.Table = c.Flows.(*flow.Table)
		c.Flows = flows
	})
	f, g := w.ws(), w.ws()
	lines := []string{outbound, "Contact: <sip:a@a.invalid>;reg-id=1" + urn1}
	flows.before = func() { w.ok(g, lines...) }
	w.ok(f, lines...)
	b := w.lookup(alice)[0]
	if b.Flow != g.ID || w.table.ByName(b.Name) != g {
		t.Errorf("binding on flow %d, name on %v; want %d", b.Flow, w.table.ByName(b.Name), g.ID)
	}
}

// full is a flow table without room for UDP peers.
type full struct{ *flow.Table }

func (full) Adopt(*flow.Flow) *flow.Flow { return nil }

func TestNoRoomForUDPPeer(t *testing.T) {
	w := newWorld(t, func(c *registrar.Config) { c.Flows = full{c.Flows.(*flow.Table)} })
	w.refused(503, "Service Unavailable", w.udp("203.0.113.5:5060"), "Contact: <sip:a@10.0.0.1>")
}

// A UDP peer gets a flow that can be looked up; a refused or removing one doesn't.
func TestUDPFlowIsAdopted(t *testing.T) {
	w := newWorld(t)
	w.refused(400, "Bad Contact", w.udp("203.0.113.5:5060"), "Contact: <sip:>")
	w.ok(w.udp("203.0.113.5:5060"), "Contact: <sip:a@10.0.0.1>;expires=0")
	w.ok(w.udp("203.0.113.5:5060"))
	if n := w.table.Len(); n != 0 {
		t.Errorf("%d flows for nothing", n)
	}
	w.ok(w.udp("203.0.113.5:5060"), "Contact: <sip:a@10.0.0.1>")
	b := w.lookup(alice)[0]
	if f := w.table.ByID(b.Flow); f == nil || w.table.ByName(b.Name) != f {
		t.Errorf("flow %v is not found by id and name", f)
	}
	if got := b.Received.String(); got != "203.0.113.5:5060" {
		t.Errorf("received from %s", got)
	}
}
