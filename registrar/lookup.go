package registrar

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/ringway/ringway/sip"
)

// ErrNoGRUU says that a URI is not a GRUU that was made here, or a temporary one
// that is no longer valid: 404 (RFC 5627 §5.4).
var ErrNoGRUU = errors.New("no such GRUU")

// maxAccounts is how many AORs at one Contact still are one person's accounts; a
// PBX may register thousands.
const maxAccounts = 16

// Lookup returns the bindings of aor by q, then the newest first; none when it
// is not registered.
func (r *Registrar) Lookup(ctx context.Context, aor string) ([]Binding, error) {
	list, err := r.store.Get(ctx, aor)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(list, func(a, b Binding) int {
		if c := cmp.Compare(b.Q, a.Q); c != 0 {
			return c
		}
		return b.Updated.Compare(a.Updated)
	})
	return list, nil
}

// IsGRUU reports whether u has the form of a GRUU: a SIP URI with a gr parameter.
func IsGRUU(u *sip.URI) bool {
	_, ok := grOf(u)
	return ok
}

// LookupGRUU returns the AOR that the GRUU u belongs to and the flows to its
// instance in reg-id order: all of them with Outbound, else the newest binding
// (RFC 5627 §5.4). No bindings mean that the instance is not registered now: 480. u's domain
// must be in the form of the AORs, aliases resolved.
func (r *Registrar) LookupGRUU(ctx context.Context, u *sip.URI) (aor string, list []Binding, err error) {
	instance, ok := grOf(u)
	if !ok {
		return "", nil, ErrNoGRUU
	}
	if instance != "" {
		aor = u.AOR()
		list, err = r.instance(ctx, aor, func(b *Binding) bool { return b.Instance == instance })
		return aor, list, err
	}
	aor, span, ok := r.gruu.open(u.User)
	if !ok {
		return "", nil, ErrNoGRUU
	}
	list, err = r.instance(ctx, aor, func(b *Binding) bool { return life(b.Instance, b.CallID) == span })
	if err == nil && len(list) == 0 {
		return "", nil, ErrNoGRUU
	}
	return aor, list, err
}

// instance are the bindings of one instance of aor.
func (r *Registrar) instance(ctx context.Context, aor string, is func(*Binding) bool) ([]Binding, error) {
	list, err := r.store.Get(ctx, aor)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(b Binding) bool { return b.Instance == "" || !is(&b) })
	slices.SortStableFunc(list, func(a, b Binding) int { return b.Updated.Compare(a.Updated) })
	if len(list) > 1 && !list[0].Outbound() {
		return list[:1], nil
	}
	list = slices.DeleteFunc(list, func(b Binding) bool { return !b.Outbound() && len(list) > 1 })
	slices.SortStableFunc(list, func(a, b Binding) int { return cmp.Compare(a.RegID, b.RegID) })
	return list, nil
}

// LookupContact returns the bindings of the registered Contact uri, such as
// "sip:x@abc.invalid", when they are of one user agent: an attended transfer
// names a browser so (Refer-To). None when it is unknown or not unique.
func (r *Registrar) LookupContact(ctx context.Context, uri string) ([]Binding, error) {
	u, err := sip.ParseURI(uri)
	if err != nil || !u.IsSIP() {
		return nil, nil
	}
	owners := r.index.owners(&u, uri)
	if len(owners) > maxAccounts {
		return nil, nil
	}
	var found []Binding
	for _, o := range owners {
		list, err := r.store.Get(ctx, o.aor)
		if err != nil {
			return nil, err
		}
		for _, b := range list {
			if sameURI(b.Contact, uri, &u) {
				found = append(found, b)
			}
		}
	}
	for i := range found {
		if !r.sameAgent(&found[0], &found[i]) {
			return nil, nil
		}
	}
	slices.SortStableFunc(found, func(a, b Binding) int { return cmp.Compare(a.RegID, b.RegID) })
	return found, nil
}

// sameAgent reports whether two bindings of one Contact are of one user agent:
// flows of one instance, or two accounts on one flow.
func (r *Registrar) sameAgent(a, b *Binding) bool {
	if a.Flow == b.Flow || a.AOR == b.AOR && a.Instance == b.Instance {
		return true
	}
	f, g := r.index.flow(a.Flow), r.index.flow(b.Flow)
	return f != nil && g != nil && f.SameAgent(g)
}
