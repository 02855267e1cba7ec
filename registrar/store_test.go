package registrar_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
)

// failing is a store that is out of order.
type failing struct {
	*registrar.Memory
	mu  sync.Mutex
	err error
}

func (s *failing) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *failing) Update(ctx context.Context, aor string, fn func([]registrar.Binding) ([]registrar.Binding, error)) error {
	s.mu.Lock()
	err := s.err
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.Memory.Update(ctx, aor, fn)
}

func TestStoreOutOfOrder(t *testing.T) {
	store := &failing{Memory: registrar.NewMemory()}
	w := newWorld(t, func(c *registrar.Config) { c.Store = store })
	f := w.ws()
	store.fail(errors.New("disk on fire"))
	s := w.refused(500, "Server Internal Error", f, "Contact: <sip:a@h.invalid>")
	if strings.Contains(s.Reason, "fire") || !errors.Is(s, store.err) {
		t.Errorf("told the peer %q, the log %v", s.Reason, s.Err)
	}
	for _, err := range []error{registrar.ErrUnavailable, context.DeadlineExceeded} {
		store.fail(err)
		s := w.refused(503, "Service Unavailable", f, "Contact: <sip:a@h.invalid>")
		if len(s.Headers) != 1 || !strings.HasPrefix(s.Headers[0], "Retry-After: ") {
			t.Errorf("headers %q", s.Headers)
		}
	}
	store.fail(nil)
	w.okAs("bob@example.com", w.open(sip.WSS, "203.0.113.9:40000"), "Contact: <sip:a@h.invalid>") // no claim was left
}

// again is a store that has a conflict each time, and so calls fn twice.
type again struct{ *registrar.Memory }

func (s again) Update(ctx context.Context, aor string, fn func([]registrar.Binding) ([]registrar.Binding, error)) error {
	list, err := s.Get(ctx, aor)
	if err != nil {
		return err
	}
	if _, err := fn(list); err != nil {
		return err
	}
	return s.Memory.Update(ctx, aor, fn)
}

func TestUpdateIsRepeated(t *testing.T) {
	w := newWorld(t, func(c *registrar.Config) { c.Store = again{c.Store.(*registrar.Memory)} })
	f := w.ws()
	w.ok(f, jssip(jssipContact)...)
	w.ok(f, "Contact: <sip:a@h.invalid>, <sip:b@h.invalid>", "Path: <sip:p@h;lr>")
	w.ok(f, "Contact: <sip:a@h.invalid>;expires=0, <sip:b@h.invalid>", "Path: <sip:p@h;lr>")
	w.wantContacts(alice, jssipURI, "sip:b@h.invalid")
	w.checkAgreement()
	w.wantChanges(registrar.Registered, registrar.Registered, registrar.Registered, registrar.Unregistered, registrar.Refreshed)
	w.table.Closed(f, sip.CloseGoingAway)
	w.wantChanges(registrar.GoneAway, registrar.GoneAway)
}
