package registrar_test

import (
	"fmt"
	"testing"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// attack: a Contact that is equal by RFC 3261 §19.1.4 and written anew each time, or with another instance or reg-id each
// time, leaves one binding, one name and one entry in the table of flows.
func TestRefreshesInOtherWordsLeaveOneName(t *testing.T) {
	for name, contact := range map[string]string{
		"another parameter": "Contact: <sip:a@h.invalid;x%d=1>",
		"another instance":  `Contact: <sip:a@h.invalid>;+sip.instance="<urn:uuid:%d>"`,
		"another reg-id":    `Contact: <sip:a@h.invalid>;+sip.instance="<urn:uuid:1>";reg-id=%d`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			f := w.ws()
			var names []flow.Name
			for i := range 200 {
				n := i + 1
				if i%2 == 1 && name == "another reg-id" {
					w.ok(f, "Contact: <sip:a@h.invalid>") // between two reg-ids the URI would not count
				} else {
					w.ok(f, "Supported: path, outbound", fmt.Sprintf(contact, n))
				}
				list := w.lookup(alice)
				if len(list) != 1 {
					t.Fatalf("%d bindings", len(list))
				}
				names = append(names, list[0].Name)
			}
			if n := len(f.Names()); n != 1 {
				t.Errorf("the flow speaks for %d names, want 1", n)
			}
			for i, n := range names {
				if got, last := w.table.ByName(n), i == len(names)-1; (got == f) != last && n != names[len(names)-1] {
					t.Fatalf("name %d of %d leads to %v", i+1, len(names), got)
				}
			}
			w.changes()
			w.ok(f, "Contact: *", "Expires: 0")
			w.wantChanges(registrar.Unregistered)
			if n := len(f.Names()); n != 0 {
				t.Errorf("unregistered, the flow speaks for %d names", n)
			}
		})
	}
}

// RFC 3261 §10.3 step 7: two Contacts of one instance in one REGISTER are two bindings; neither takes the other's
// place, although nobody has seen their flow before.
func TestTwoContactsOfOneInstanceInOneRegister(t *testing.T) {
	w := newWorld(t)
	w.ok(w.ws(), `Contact: <sip:a@h.invalid>;+sip.instance="<urn:uuid:1>"`, `Contact: <sip:b@h.invalid>;+sip.instance="<urn:uuid:1>"`)
	w.wantContacts(alice, "sip:a@h.invalid", "sip:b@h.invalid")
	w.wantChanges(registrar.Registered, registrar.Registered)
}

// namings counts how often a flow got a name: each time what waits for the user agent is sent.
type namings struct{ n int }

func (c *namings) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) { c.n++ }
func (*namings) FlowClosed(*flow.Flow, sip.CloseReason)        {}

// RFC 3261 §10.2.2: when one of two Contacts of an instance ends, the other keeps the name, and nobody hears of it; over
// another flow it gets the name.
func TestNameStaysWithTheOtherContact(t *testing.T) {
	const one, other = `Contact: <sip:a@h.invalid>;+sip.instance="<urn:uuid:1>"`, `Contact: <sip:b@h.invalid>;+sip.instance="<urn:uuid:1>"`
	w, count := newWorld(t), &namings{}
	w.table.Watch(count)
	f := w.ws()
	w.ok(f, one, other)
	name := w.lookup(alice)[0].Name
	before := count.n
	w.ok(f, other+";expires=0")
	if w.table.ByName(name) != f || count.n != before {
		t.Errorf("the name leads to %v and was given %d times more", w.table.ByName(name), count.n-before)
	}
	g := w.ws()
	w.ok(g, other)
	if w.table.ByName(name) != g {
		t.Error("the name is not the newest flow's")
	}
	w.ok(g, other+";expires=0")
	if w.table.ByName(name) != f || g.SpeaksFor(name) {
		t.Error("the name did not go back to the flow of the Contact that is left")
	}
}
