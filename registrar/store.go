package registrar

import (
	"context"
	"errors"
)

// Store keeps bindings by AOR. Every store passes storetest.Run.
//
// All methods are safe for concurrent use. A context that has ended stops them
// with its error before anything is changed. ErrUnavailable (wrapped) says that
// trying again later may help.
type Store interface {
	// Update replaces the bindings of aor by what fn makes of them, all or nothing:
	// an error of fn is returned as it is and changes nothing. Between the call of
	// fn and the commit nobody else changes aor. fn may be called again after a
	// conflict and must not call the store. Its argument is its own copy, which may
	// hold bindings that have expired; what it returns is given away, and no
	// bindings at all delete the AOR.
	Update(ctx context.Context, aor string, fn func([]Binding) ([]Binding, error)) error
	// Get returns a copy of the bindings of aor that have not expired, in the
	// order they were stored, none for an unknown AOR.
	Get(ctx context.Context, aor string) ([]Binding, error)
	// Each calls fn for each AOR with bindings that have not expired, in any
	// order, until fn returns false. fn may call the store. AORs that change
	// meanwhile may be seen in either state.
	Each(ctx context.Context, fn func(aor string, b []Binding) bool) error
}

// ErrUnavailable says that a store can't be reached at the moment.
var ErrUnavailable = errors.New("binding store unavailable")
