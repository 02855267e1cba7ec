package relay

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
)

// Change is what happened to a relayed binding, or was refused; each is a metric label.
type Change uint8

// What happens to bindings, then what is refused.
const (
	Registered   Change = iota
	Refreshed           // also when its user agent is back on another flow
	Unregistered        // expires=0 or *
	Expired
	GoingAway // its page was closed or reloaded
	FlowLost  // its connection ended and it did not come back in time
	NotListed // the registrar no longer lists it
	Evicted   // the AOR had too many
	bindingChanges
)

const (
	LoginFailed   Change = bindingChanges + iota // the registrar refused credentials
	LoginBlocked                                 // after too many of these
	ForgedPath                                   // a user agent's REGISTER with a Path, or another upstream's use of one
	ForgedContact                                // a Contact at an address of ours
	ForgedAlias                                  // an alias used by somebody else than its registrar
	ForeignFrom                                  // a request of a user whom no registrar has accepted on that flow
	Elsewhere                                    // a request of a relayed user that leads past his registrar
	StaleContact                                 // a request to a Contact that another has replaced
	ForeignRoute                                 // a Service-Route that leads away from the registrar
	Outdated                                     // a 2xx to a REGISTER older than one that was answered
	changes
)

var changeNames = [changes]string{
	"registered", "refreshed", "unregistered", "expired", "going_away", "flow_lost", "not_listed", "evicted",
	"login_failed", "login_blocked", "forged_path", "forged_contact", "forged_alias", "foreign_from", "elsewhere",
	"stale_contact", "foreign_route", "outdated",
}

// String is the label.
func (c Change) String() string { return changeNames[c] }

// Changes lists them all.
func Changes() []Change {
	all := make([]Change, changes)
	for i := range all {
		all[i] = Change(i)
	}
	return all
}

// Gone reports whether the binding is no more.
func (c Change) Gone() bool { return c > Refreshed && c < bindingChanges }

// Counters only grow.
type Counters [changes]atomic.Uint64

func (c *Counters) add(what Change) { c[what].Add(1) }

// Event tells of a change to one binding: the new state, or the last.
type Event struct {
	Change  Change
	Binding Binding
}

// Notice is what an operator should know of an upstream.
type Notice struct {
	Upstream string
	AOR      string // of whom it was noticed, "" for nobody
	Status   int    // of the response that it is about, 0 for none
	Text     string
	// Warn: the registrar does not do what it should; else it only says no.
	Warn bool
}

// explain is how often one thing is said of one upstream; a warning about its ways is said once.
const explain = time.Minute

type noticeKey struct {
	upstream string
	text     string
}

// notices remembers what was said of late. Its texts are constants, so it stays small.
type notices struct {
	mu   sync.Mutex
	said map[noticeKey]time.Time
}

func (n *notices) init() { n.said = map[noticeKey]time.Time{} }

// notice passes n on unless that was said before.
func (r *Relay) notice(n Notice) {
	if r.Notice == nil {
		return
	}
	k, now := noticeKey{n.Upstream, n.Text}, time.Now()
	r.notices.mu.Lock()
	last, said := r.notices.said[k]
	again := !said || !n.Warn && now.Sub(last) >= explain
	if again {
		r.notices.said[k] = now
	}
	r.notices.mu.Unlock()
	if again {
		r.Notice(n)
	}
}

// Hop is an address of a registrar.
type Hop struct {
	Addr      netip.AddrPort
	Transport sip.Transport
}

// sticky remembers which hop of its registrar answered an AOR last: a nonce is good there and maybe
// nowhere else. Its memory is fixed, for whoever asks has proved nothing yet.
type sticky struct {
	seed maphash.Seed
	mu   sync.Mutex
	hops []stickyHop
}

type stickyHop struct {
	key uint64
	hop Hop
}

const stickyHops = 4096

func (s *sticky) init() { s.seed, s.hops = maphash.MakeSeed(), make([]stickyHop, stickyHops) }

func (s *sticky) took(aor string, h Hop) {
	k := maphash.String(s.seed, aor)
	s.mu.Lock()
	s.hops[k%stickyHops] = stickyHop{k, h}
	s.mu.Unlock()
}

func (s *sticky) of(aor string) Hop {
	k := maphash.String(s.seed, aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.hops[k%stickyHops]; h.key == k {
		return h.hop
	}
	return Hop{}
}
