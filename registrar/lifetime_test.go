package registrar_test

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
)

// bubble runs test with a running registrar, in fake time.
func bubble(t *testing.T, test func(t *testing.T, w *world), change ...func(*registrar.Config)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change...)
		w.run()
		synctest.Wait()
		test(t, w)
	})
}

// after lets time pass and all that is due happen.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestBindingExpires(t *testing.T) { // RFC 3261 §10.2.1.1
	bubble(t, func(t *testing.T, w *world) {
		f := w.udp("203.0.113.5:5060")
		w.ok(f, "Contact: <sip:a@10.0.0.1>;expires=100, <sip:b@10.0.0.1>;expires=200")
		name := w.lookup(alice)[1].Name
		w.changes()
		after(99 * time.Second)
		w.wantContacts(alice, "sip:a@10.0.0.1", "sip:b@10.0.0.1")
		w.ok(w.udp("203.0.113.5:5060"), "Contact: <sip:b@10.0.0.1>;expires=100") // a refresh may end sooner
		w.wantChanges(registrar.Refreshed)
		after(time.Second)
		w.wantContacts(alice, "sip:b@10.0.0.1")
		w.wantChanges(registrar.Expired)
		after(99*time.Second - time.Millisecond)
		w.wantContacts(alice, "sip:b@10.0.0.1")
		after(time.Millisecond)
		w.wantContacts(alice)
		w.wantChanges(registrar.Expired)
		if w.table.ByName(name) != nil {
			t.Error("the flow still speaks for an expired binding")
		}
		if aors, n := w.reg.Len(); aors != 0 || n != 0 {
			t.Errorf("Len = %d, %d", aors, n)
		}
	})
}

// An expiry that a refresh has brought forward is kept, and one put off as well.
func TestExpiryMoves(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		f := w.udp("203.0.113.5:5060")
		const contact = "Contact: <sip:a@10.0.0.1>;expires="
		w.ok(f, contact+"3600")
		w.ok(f, contact+"60")
		after(59 * time.Second)
		w.ok(f, contact+"1000")
		after(999 * time.Second)
		w.wantContacts(alice, "sip:a@10.0.0.1")
		w.changes()
		after(time.Second)
		w.wantChanges(registrar.Expired)
		w.ok(f, contact+"60")
		after(time.Minute)
		w.wantChanges(registrar.Registered, registrar.Expired)
	})
}

// The page is gone (WebSocket 1001), or reads nothing any more: so is its binding.
func TestGoneEndsAtOnce(t *testing.T) {
	for why, change := range map[sip.CloseReason]registrar.Change{
		sip.CloseGoingAway: registrar.GoneAway, sip.CloseSlow: registrar.FlowLost,
	} {
		bubble(t, func(t *testing.T, w *world) {
			f, other := w.ws(), w.ws()
			w.ok(f, jssip(jssipContact)...)
			w.ok(other, "Contact: <sip:b@h.invalid>")
			w.changes()
			w.table.Closed(f, why)
			w.wantContacts(alice, "sip:b@h.invalid") // no time has passed
			w.wantChanges(change)
		})
	}
}

// Any other end of the connection leaves reconnect_grace, 5 s.
func TestLostFlowEndsAfterGrace(t *testing.T) {
	for _, why := range []sip.CloseReason{sip.CloseNormal, sip.CloseLost, sip.CloseDead, sip.CloseShutdown} {
		bubble(t, func(t *testing.T, w *world) {
			f := w.ws()
			w.ok(f, jssip(jssipContact)...)
			w.changes()
			after(time.Minute)
			w.table.Closed(f, why)
			after(5*time.Second - time.Millisecond)
			w.wantContacts(alice, jssipURI) // an INVITE can wait for it
			after(time.Millisecond)
			w.wantContacts(alice)
			w.wantChanges(registrar.FlowLost)
		})
	}
}

// Back within the grace: the binding names the new flow, with reg-id (JsSIP) and without (SIP.js).
func TestReconnectWithinGrace(t *testing.T) {
	for name, lines := range map[string][]string{
		"JsSIP": jssip(jssipContact), "SIP.js": sipjs(sipjsContact), "no instance": {"Contact: <sip:a@h.invalid>"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				f := w.ws()
				w.ok(f, lines...)
				w.table.Closed(f, sip.CloseNormal)
				after(4 * time.Second)
				g := w.ws()
				w.ok(g, lines...)
				after(time.Minute)
				list := w.lookup(alice)
				if len(list) != 1 || list[0].Flow != g.ID || w.table.ByName(list[0].Name) != g {
					t.Errorf("bindings %+v", list)
				}
				if f.Current() != g {
					t.Error("the new flow did not take over")
				}
				w.wantChanges(registrar.Registered, registrar.Refreshed)
			})
		})
	}
}

// The new REGISTER may come before the old socket is known to be dead; its end
// must not take the binding along.
func TestReconnectBeforeOldFlowEnds(t *testing.T) {
	for _, why := range []sip.CloseReason{sip.CloseLost, sip.CloseGoingAway} {
		bubble(t, func(t *testing.T, w *world) {
			f, g := w.ws(), w.ws()
			w.ok(f, jssip(jssipContact)...)
			w.ok(g, jssip(jssipContact)...)
			w.table.Closed(f, why)
			after(time.Minute)
			w.wantContacts(alice, jssipURI)
			if b := w.lookup(alice)[0]; b.Flow != g.ID {
				t.Errorf("binding on flow %d, want %d", b.Flow, g.ID)
			}
		})
	}
}

// A page that kept its +sip.instance but not its Contact, and has no reg-id:
// what it left on the dead flow is replaced; what lives is another Contact.
func TestSameInstanceOnDeadFlowIsReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		f := w.ws()
		w.ok(f, "Contact: <sip:one@h.invalid>"+urn1)
		w.table.Closed(f, sip.CloseLost)
		w.ok(w.ws(), "Contact: <sip:two@h.invalid>"+urn1)
		w.wantContacts(alice, "sip:two@h.invalid")
		w.wantChanges(registrar.Registered, registrar.Replaced, registrar.Registered)
		w.ok(w.ws(), "Contact: <sip:three@h.invalid>"+urn1)
		w.wantContacts(alice, "sip:two@h.invalid", "sip:three@h.invalid")
	})
}

// RFC 5626 §6: another reg-id of the instance is another flow, also while it is down.
func TestOtherRegIDStaysDuringGrace(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		f := w.ws()
		w.ok(f, outbound, "Contact: <sip:a@h.invalid>;reg-id=1"+urn1)
		w.table.Closed(f, sip.CloseLost)
		w.ok(w.ws(), outbound, "Contact: <sip:a@h.invalid>;reg-id=2"+urn1)
		if n := len(w.lookup(alice)); n != 2 {
			t.Errorf("%d bindings, want 2", n)
		}
		after(5 * time.Second)
		if b := w.lookup(alice); len(b) != 1 || b[0].RegID != 2 {
			t.Errorf("bindings %+v", b)
		}
	})
}

// The dead flow keeps its name for a while, so that calls survive a later return; then it is let go.
func TestNameLingers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		f := w.ws()
		w.ok(f, jssip(jssipContact)...)
		w.table.Closed(f, sip.CloseLost)
		after(30 * time.Second)
		g := w.ws()
		w.ok(g, jssip(jssipContact)...)
		if f.Current() != g {
			t.Error("back after 30 s: the new flow did not take over")
		}
		name := w.lookup(alice)[0].Name
		after(2 * time.Minute)
		if w.table.ByName(name) != g {
			t.Error("the living flow lost its name")
		}
		w.table.Closed(g, sip.CloseGoingAway)
		after(time.Minute)
		if !g.SpeaksFor(name) {
			t.Error("the name was let go before its time")
		}
		after(10 * time.Second)
		if g.SpeaksFor(name) {
			t.Error("the dead flow is kept for ever")
		}
	})
}

// The connection ended while its REGISTER was being processed.
func TestFlowEndedMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		f := w.ws()
		w.table.Closed(f, sip.CloseGoingAway)
		w.ok(f, "Contact: <sip:a@h.invalid>")
		after(5 * time.Second)
		w.wantContacts(alice)
	})
}

// One flow may carry many users' bindings; all end with it.
func TestFlowOfSeveralAORs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		f := w.open(sip.TCP, "203.0.113.5:5060")
		for i := range 20 {
			w.okAs("u"+strconv.Itoa(i)+"@example.com", f, "Contact: <sip:u"+strconv.Itoa(i)+"@10.0.0.1>")
		}
		w.ok(w.ws(), "Contact: <sip:a@h.invalid>")
		w.table.Closed(f, sip.CloseNormal)
		after(5 * time.Second)
		if aors, n := w.reg.Len(); aors != 1 || n != 1 {
			t.Errorf("Len = %d, %d; want 1, 1", aors, n)
		}
	})
}

// What the store refuses to forget is tried again.
func TestCleanUpIsRetried(t *testing.T) {
	store := &failing{Memory: registrar.NewMemory()}
	bubble(t, func(t *testing.T, w *world) {
		f := w.ws()
		w.ok(f, "Contact: <sip:a@h.invalid>")
		w.ok(w.udp("203.0.113.5:5060"), "Contact: <sip:b@10.0.0.1>;expires=100")
		w.changes()
		store.fail(errors.New("away"))
		w.table.Closed(f, sip.CloseGoingAway)
		after(101 * time.Second)
		w.wantChanges()
		store.fail(nil)
		after(5 * time.Second)
		got := w.changes()
		slices.Sort(got)
		if want := []registrar.Change{registrar.Expired, registrar.FlowLost}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	}, func(c *registrar.Config) { c.Store = store })
}

// What the store holds at the start is indexed and ends in its time.
func TestRunLoadsStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newWorld(t)
		old.ok(old.ws(), "Contact: <sip:a@h.invalid>;expires=100")
		w := newWorld(t, func(c *registrar.Config) { c.Store = old.store })
		w.cseq = old.cseq
		w.run()
		synctest.Wait()
		if list, _ := w.reg.LookupContact(t.Context(), "sip:a@h.invalid"); len(list) != 1 {
			t.Errorf("the Contact is not in the index")
		}
		w.ok(w.ws(), "Contact: <sip:a@h.invalid>;expires=200") // back on a flow of this process
		after(199 * time.Second)
		w.wantContacts(alice, "sip:a@h.invalid")
		after(time.Second)
		w.wantChanges(registrar.Refreshed, registrar.Expired)
	})
}

func TestKick(t *testing.T) {
	w := newWorld(t)
	w.ok(w.ws(), "Contact: <sip:a@h.invalid>, <sip:b@h.invalid>, <sip:c@h.invalid>")
	w.changes()
	for _, c := range []struct {
		contact string
		want    int
	}{{"sip:none@h.invalid", 0}, {"sip:b@h.invalid", 1}, {"", 2}, {"", 0}} {
		if n, err := w.reg.Kick(t.Context(), alice, c.contact); n != c.want || err != nil {
			t.Errorf("Kick(%q) = %d, %v; want %d", c.contact, n, err, c.want)
		}
	}
	w.wantChanges(registrar.Kicked, registrar.Kicked, registrar.Kicked)
}

// Many users and flows at once leave store, index and table in agreement.
func TestConcurrentRegisters(t *testing.T) {
	w := newWorld(t)
	w.run()
	const users, rounds = 8, 40
	reqs := make([][]*sip.Message, users)
	for u := range users {
		for i := range rounds {
			contact := "<sip:c" + strconv.Itoa(u) + "." + strconv.Itoa(i%3) + "@h.invalid>"
			if i%5 == 4 {
				contact += ";expires=0"
			}
			reqs[u] = append(reqs[u], w.request("Contact: "+contact, "Contact: <sip:shared@h.invalid>"))
		}
	}
	var wg sync.WaitGroup
	for u := range users {
		aor := "u" + strconv.Itoa(u%4) + "@example.com"
		wg.Go(func() {
			for i, req := range reqs[u] {
				f := w.ws()
				_, err := w.reg.Register(t.Context(), req, f, aor)
				if s := (*sip.StatusError)(nil); err != nil && (!errors.As(err, &s) || s.Code != 403 && s.Code != 500) {
					t.Errorf("REGISTER: %v", err)
				}
				if i%4 == 3 {
					w.table.Closed(f, sip.CloseGoingAway)
				}
			}
		})
	}
	wg.Wait()
	w.checkAgreement()
	for _, f := range w.table.All() {
		w.table.Closed(f, sip.CloseGoingAway)
	}
	if aors, n := w.reg.Len(); aors != 0 || n != 0 {
		t.Errorf("after all flows ended: %d AORs, %d bindings", aors, n)
	}
}

// checkAgreement: each binding is found by Contact, none twice, and Len counts them.
func (w *world) checkAgreement() {
	w.t.Helper()
	aors, n := 0, 0
	_ = w.store.Each(w.t.Context(), func(aor string, list []registrar.Binding) bool {
		aors++
		n += len(list)
		for i, b := range list {
			if b.AOR != aor || b.Head == "" || len(b.Path) == 0 {
				w.t.Errorf("binding %+v of %s", b, aor)
			}
			for _, c := range list[:i] {
				if c.Contact == b.Contact && c.RegID == b.RegID {
					w.t.Errorf("%s has %s twice", aor, b.Contact)
				}
			}
			found, err := w.reg.LookupContact(w.t.Context(), b.Contact)
			if err != nil || len(found) == 0 {
				w.t.Errorf("%s of %s is not found by Contact", b.Contact, aor)
			}
		}
		return true
	})
	if a, m := w.reg.Len(); a != aors || m != n {
		w.t.Errorf("Len = %d, %d; the store has %d, %d", a, m, aors, n)
	}
}
