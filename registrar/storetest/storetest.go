// Package storetest says what every registrar.Store does. A new store is
// finished when Run passes, also with the race detector.
package storetest

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const aor = "alice@example.com"

// Run tests the stores that open makes: each an empty one, closed by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) registrar.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s registrar.Store)
	}{
		{"UnknownAOR", unknownAOR},
		{"RoundTrip", roundTrip},
		{"Replace", replace},
		{"Delete", deletes},
		{"ErrorChangesNothing", errorChangesNothing},
		{"PanicChangesNothing", panicChangesNothing},
		{"AORsAreApart", aorsAreApart},
		{"CopiesAreNotShared", copiesAreNotShared},
		{"ExpiredAreNotShown", expiredAreNotShown},
		{"ContextEnded", contextEnded},
		{"Each", each},
		{"EachStops", eachStops},
		{"EachMayUpdate", eachMayUpdate},
		{"ConcurrentUpdatesOfOneAOR", concurrentOne},
		{"ConcurrentUpdatesOfMany", concurrentMany},
		{"ReadersSeeWholeUpdates", readersSeeWhole},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// binding is one with every field set.
func binding(aor, user string) registrar.Binding {
	now := time.Now()
	return registrar.Binding{
		AOR:     aor,
		Contact: "sip:" + user + "@abc.invalid;transport=ws",
		Head:    `"A, \"q\" <é>" <sip:` + user + `@abc.invalid;transport=ws>;expires=`, Tail: `;+sip.ice;x="a;b"`,
		Q: 700, Expires: now.Add(time.Hour), Created: now.Add(-time.Minute), Updated: now,
		CallID: "call-1", CSeq: 4294967295, Instance: "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6", RegID: 2147483647,
		Path: []string{"<sip:token@192.0.2.1;lr;ob>", "<sip:edge.example.com;lr>"},
		Flow: flow.ID(1<<64 - 1), Name: flow.Name{1, 2, 3, 255}, Received: netip.MustParseAddrPort("[2001:db8::1]:5060"),
		Transport: sip.WSS, UserAgent: "JsSIP 3.13.8",
	}
}

func put(t *testing.T, s registrar.Store, aor string, list ...registrar.Binding) {
	t.Helper()
	err := s.Update(t.Context(), aor, func([]registrar.Binding) ([]registrar.Binding, error) { return list, nil })
	if err != nil {
		t.Fatalf("Update(%s): %v", aor, err)
	}
}

func get(t *testing.T, s registrar.Store, aor string) []registrar.Binding {
	t.Helper()
	list, err := s.Get(t.Context(), aor)
	if err != nil {
		t.Fatalf("Get(%s): %v", aor, err)
	}
	return list
}

func contacts(list []registrar.Binding) []string {
	out := []string{}
	for _, b := range list {
		out = append(out, b.Contact)
	}
	return out
}

func wantContacts(t *testing.T, list []registrar.Binding, want ...registrar.Binding) {
	t.Helper()
	if got, want := contacts(list), contacts(want); !slices.Equal(got, want) {
		t.Fatalf("got bindings %q, want %q", got, want)
	}
}

func unknownAOR(t *testing.T, s registrar.Store) {
	wantContacts(t, get(t, s, "nobody@example.com"))
	err := s.Update(t.Context(), aor, func(have []registrar.Binding) ([]registrar.Binding, error) {
		if len(have) != 0 {
			t.Errorf("fn of an unknown AOR was given %d bindings", len(have))
		}
		return nil, nil
	})
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	wantContacts(t, get(t, s, aor))
}

// roundTrip: every field comes back, times to the second at least.
func roundTrip(t *testing.T, s registrar.Store) {
	want := binding(aor, "one")
	bare := registrar.Binding{AOR: aor, Contact: "sip:two@[::1]", Head: "<sip:two@[::1]>;expires=", Expires: want.Expires}
	put(t, s, aor, want, bare)
	list := get(t, s, aor)
	wantContacts(t, list, want, bare)
	for i, w := range []registrar.Binding{want, bare} {
		got := list[i]
		for _, d := range []struct{ got, want time.Time }{
			{got.Expires, w.Expires}, {got.Created, w.Created}, {got.Updated, w.Updated},
		} {
			if diff := d.got.Sub(d.want).Abs(); diff > time.Second {
				t.Errorf("time %v came back as %v", d.want, d.got)
			}
		}
		got.Expires, got.Created, got.Updated = w.Expires, w.Created, w.Updated
		if len(got.Path) == 0 {
			got.Path = w.Path // nil and empty are the same
		}
		if !reflect.DeepEqual(got, w) {
			t.Errorf("got  %+v\nwant %+v", got, w)
		}
	}
}

func replace(t *testing.T, s registrar.Store) {
	a, b, c := binding(aor, "a"), binding(aor, "b"), binding(aor, "c")
	put(t, s, aor, a, b)
	err := s.Update(t.Context(), aor, func(have []registrar.Binding) ([]registrar.Binding, error) {
		wantContacts(t, have, a, b)
		return append(have[1:], c), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContacts(t, get(t, s, aor), b, c)
}

func deletes(t *testing.T, s registrar.Store) {
	put(t, s, aor, binding(aor, "a"))
	put(t, s, aor)
	wantContacts(t, get(t, s, aor))
	if err := s.Each(t.Context(), func(aor string, _ []registrar.Binding) bool {
		t.Errorf("Each shows %s, which has no bindings", aor)
		return true
	}); err != nil {
		t.Fatal(err)
	}
}

func errorChangesNothing(t *testing.T, s registrar.Store) {
	a := binding(aor, "a")
	put(t, s, aor, a)
	refused := sip.Refuse(500, "CSeq Out of Order")
	err := s.Update(t.Context(), aor, func(have []registrar.Binding) ([]registrar.Binding, error) {
		have[0].Contact = "sip:changed@example.com"
		return append(have, binding(aor, "b")), refused
	})
	var status *sip.StatusError
	if !errors.As(err, &status) || status != refused {
		t.Errorf("Update returned %v, want fn's error", err)
	}
	wantContacts(t, get(t, s, aor), a)
}

// panicChangesNothing: the lock is let go of, too.
func panicChangesNothing(t *testing.T, s registrar.Store) {
	a, b := binding(aor, "a"), binding(aor, "b")
	put(t, s, aor, a)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("fn's panic was swallowed")
			}
		}()
		_ = s.Update(t.Context(), aor, func([]registrar.Binding) ([]registrar.Binding, error) { panic("fn") })
	}()
	wantContacts(t, get(t, s, aor), a)
	put(t, s, aor, b)
	wantContacts(t, get(t, s, aor), b)
}

func aorsAreApart(t *testing.T, s registrar.Store) {
	names := []string{"a@example.com", "A@example.com", "a@example.org", "a%40b@example.com", "example.com"}
	for _, n := range names {
		put(t, s, n, binding(n, "x"))
	}
	put(t, s, names[0])
	for i, n := range names {
		if got, want := len(get(t, s, n)), min(i, 1); got != want {
			t.Errorf("%s has %d bindings, want %d", n, got, want)
		}
	}
}

func copiesAreNotShared(t *testing.T, s registrar.Store) {
	a := binding(aor, "a")
	put(t, s, aor, a)
	get(t, s, aor)[0].Contact = "sip:changed@example.com"
	wantContacts(t, get(t, s, aor), a)

	var kept []registrar.Binding
	err := s.Update(t.Context(), aor, func(have []registrar.Binding) ([]registrar.Binding, error) {
		kept = have
		return slices.Clone(have), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	kept[0].Contact = "sip:changed@example.com"
	wantContacts(t, get(t, s, aor), a)

	before := get(t, s, aor)
	put(t, s, aor, binding(aor, "b"))
	wantContacts(t, before, a)

	_ = s.Each(t.Context(), func(_ string, list []registrar.Binding) bool {
		list[0].Contact = "sip:changed@example.com"
		return true
	})
	wantContacts(t, get(t, s, aor), binding(aor, "b"))
}

func expiredAreNotShown(t *testing.T, s registrar.Store) {
	old, live := binding(aor, "old"), binding(aor, "live")
	old.Expires = time.Now().Add(-2 * time.Second)
	put(t, s, aor, old, live)
	other := old
	other.AOR = "gone@example.com"
	put(t, s, other.AOR, other)

	wantContacts(t, get(t, s, aor), live)
	wantContacts(t, get(t, s, other.AOR))
	seen := 0
	err := s.Each(t.Context(), func(a string, list []registrar.Binding) bool {
		seen++
		if a != aor {
			t.Errorf("Each shows %s, which has expired", a)
			return true
		}
		wantContacts(t, list, live)
		return true
	})
	if err != nil || seen != 1 {
		t.Errorf("Each: %d AORs, error %v; want 1", seen, err)
	}
}

func contextEnded(t *testing.T, s registrar.Store) {
	a := binding(aor, "a")
	put(t, s, aor, a)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Update(ctx, aor, func([]registrar.Binding) ([]registrar.Binding, error) { return nil, nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v, want context.Canceled", err)
	}
	if _, err := s.Get(ctx, aor); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v, want context.Canceled", err)
	}
	if err := s.Each(ctx, func(string, []registrar.Binding) bool { return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("Each: %v, want context.Canceled", err)
	}
	wantContacts(t, get(t, s, aor), a)
}

func each(t *testing.T, s registrar.Store) {
	want := map[string]bool{}
	for i := range 100 {
		a := "user" + strconv.Itoa(i) + "@example.com"
		put(t, s, a, binding(a, "x"), binding(a, "y"))
		want[a] = true
	}
	err := s.Each(t.Context(), func(a string, list []registrar.Binding) bool {
		if !want[a] {
			t.Errorf("Each shows %s, unknown or a second time", a)
		}
		delete(want, a)
		wantContacts(t, list, binding(a, "x"), binding(a, "y"))
		return true
	})
	if err != nil || len(want) > 0 {
		t.Errorf("Each: error %v, %d AORs left out", err, len(want))
	}
}

func eachStops(t *testing.T, s registrar.Store) {
	for _, a := range []string{"a@example.com", "b@example.com", "c@example.com"} {
		put(t, s, a, binding(a, "x"))
	}
	seen := 0
	err := s.Each(t.Context(), func(string, []registrar.Binding) bool { seen++; return false })
	if err != nil || seen != 1 {
		t.Errorf("Each went on for %d AORs with error %v; want 1", seen, err)
	}
}

func eachMayUpdate(t *testing.T, s registrar.Store) {
	for _, a := range []string{"a@example.com", "b@example.com"} {
		put(t, s, a, binding(a, "x"))
	}
	err := s.Each(t.Context(), func(a string, _ []registrar.Binding) bool {
		put(t, s, a)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	wantContacts(t, get(t, s, "a@example.com"))
	wantContacts(t, get(t, s, "b@example.com"))
}

// concurrentOne: no update is lost (each raises CSeq by one).
func concurrentOne(t *testing.T, s registrar.Store) {
	first := binding(aor, "a")
	first.CSeq = 0
	put(t, s, aor, first)
	const workers, rounds = 8, 50
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				err := s.Update(t.Context(), aor, func(have []registrar.Binding) ([]registrar.Binding, error) {
					have[0].CSeq++
					return have, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got := get(t, s, aor)[0].CSeq; got != workers*rounds {
		t.Errorf("%d updates left their mark, want %d", got, workers*rounds)
	}
}

func concurrentMany(t *testing.T, s registrar.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				a := "user" + strconv.Itoa(w*50+i) + "@example.com"
				put(t, s, a, binding(a, "x"))
				_ = s.Each(t.Context(), func(string, []registrar.Binding) bool { return false })
				if i%2 == 0 {
					put(t, s, a)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	_ = s.Each(t.Context(), func(string, []registrar.Binding) bool { n++; return true })
	if n != 200 {
		t.Errorf("%d AORs, want 200", n)
	}
}

// readersSeeWhole: each update writes two bindings of one kind; no reader sees a mixture.
func readersSeeWhole(t *testing.T, s registrar.Store) {
	put(t, s, aor, binding(aor, "0"), binding(aor, "0"))
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				list, err := s.Get(t.Context(), aor)
				if err != nil || len(list) != 2 || list[0].Contact != list[1].Contact {
					t.Errorf("half an update: %q, error %v", contacts(list), err)
					return
				}
			}
		})
	}
	for i := range 200 {
		b := binding(aor, strconv.Itoa(i))
		put(t, s, aor, b, b)
	}
	close(done)
	wg.Wait()
}
