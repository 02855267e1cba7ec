package registrar

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Binding says that a user is reachable at a Contact (RFC 3261 §10), over a
// flow. It is plain data for stores to keep; what its strings and slices hold is
// never changed, so copies may share them.
type Binding struct {
	AOR     string // "user@domain", canonical
	Contact string // the Contact URI exactly as given; see Target
	// Head and Tail are the whole Contact value as given, cut where the seconds of
	// its expires parameter go; pub-gruu and temp-gruu are not in it.
	Head, Tail string
	Q          uint16    // preference in thousandths, 1000 without a q parameter
	Expires    time.Time // when it ends
	Created    time.Time // when it was first made
	Updated    time.Time // when it was last refreshed
	CallID     string
	CSeq       uint32
	Instance   string // +sip.instance without quotes and angle brackets, "" without
	RegID      int    // 0 when Outbound was not used
	// Path is the route set to it (RFC 3327), name-addrs, topmost first: our own
	// value with the flow token, then those that the REGISTER carried.
	Path      []string
	Flow      flow.ID
	Name      flow.Name // the user agent, as tokens name it
	Received  netip.AddrPort
	Transport sip.Transport
	UserAgent string
}

// Target is the Contact URI as a Request-URI may hold it: without URI headers
// (RFC 3261 §19.1.1). For nearly all it is the Contact itself.
func (b *Binding) Target() string {
	at := strings.IndexByte(b.Contact, '@') + 1 // '?' is allowed in the user part
	if q := strings.IndexByte(b.Contact[at:], '?'); q >= 0 {
		return b.Contact[:at+q]
	}
	return b.Contact
}

// Outbound reports whether the binding is one of RFC 5626.
func (b *Binding) Outbound() bool { return b.RegID > 0 }

// Live reports whether the binding has not ended at now.
func (b *Binding) Live(now time.Time) bool { return b.Expires.After(now) }

// remaining is the binding's rest of life in whole seconds, 1 at least: 0 would
// tell the client that it is gone.
func (b *Binding) remaining(now time.Time) int64 {
	return max(1, int64(b.Expires.Sub(now)/time.Second))
}

// keep returns old when it equals s, and a copy of s that does not hold on to
// the message otherwise.
func keep(old, s string) string {
	if old == s {
		return old
	}
	return strings.Clone(s)
}
