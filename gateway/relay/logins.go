package relay

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// To a registrar all users of this gateway have one address, and it bans addresses from which logins fail. So the gateway
// counts them for it, by address and by each thing that the next guess would have in common with this one: the user it is for,
// every name in its credentials (a registrar picks the line of its realm, RFC 3261 §22.3, and we don't know that), and nothing
// but the address, with Totals' higher limit.

const maxLogins = 4 // user names in the credentials of one request

var (
	errBlocked    = sip.Refuse(403, "Forbidden: too many failed logins, try again later")
	errManyLogins = sip.Refuse(403, "Forbidden: credentials of too many users")
	everywhere    = netip.IPv6Unspecified() // all addresses in one
)

// evidence is how much a failed login says of the address that it came from. Each kind is counted apart and blocks only its
// like: what anybody can send in another's name must not lock that one out.
type evidence uint8

const (
	unknownNonce evidence = 1 << iota // the registrar never gave it to that address: before a restart of ours, or made up
	datagram                          // the address may be forged
	kinds        = 4
	forgeable    = unknownNonce | datagram
)

// ledger is what the failures at one upstream are kept as, by evidence.
type ledger [kinds]struct{ user, name, total string }

func newLedger(upstream string) (l ledger) {
	for i := range l {
		kind := string(rune('0'+i)) + " " + upstream
		l[i].user, l[i].name, l[i].total = "user "+kind, "name "+kind, "total "+kind
	}
	return l
}

// login is whose credentials a request carries.
type login struct {
	tried   bool              // it carries some
	names   [maxLogins]string // of each one once
	n       int
	more    bool // than that
	unnamed bool // some name nobody: tokens (RFC 8898), nonsense. They count by the user: an office's expire at once
	kind    evidence
}

// loginOf reads the credentials of a request, of whatever realm but ours.
func (r *Relay) loginOf(req *sip.Message, from *flow.Flow) (l login) {
	if !req.Has(sip.Authorization) && !req.Has(sip.ProxyAuthorization) {
		return l
	}
	known := false
	for _, f := range req.Fields() {
		if f.Header != sip.Authorization && f.Header != sip.ProxyAuthorization {
			continue
		}
		v := req.FieldValue(f)
		c, err := digest.ParseCredentials(v)
		switch {
		case !digest.IsDigest(v) || err != nil:
			l.tried, l.unnamed = true, true
		case r.Hosts.Realm(c.Realm):
		default:
			l.add(c.User)
			known = known || r.nonces.has(c.Nonce, remote(from))
		}
	}
	if !known {
		l.kind |= unknownNonce
	}
	if from.Info().Transport == sip.UDP {
		l.kind |= datagram
	}
	return l
}

func (l *login) add(name string) {
	l.tried = true
	for _, had := range l.names[:l.n] {
		if had == name {
			return
		}
	}
	if l.n == maxLogins {
		l.more = true
		return
	}
	l.names[l.n] = name
	l.n++
}

// only is the one name in the credentials, "" for none and where there is more.
func (l *login) only() string {
	if l.n != 1 || l.unnamed {
		return ""
	}
	return l.names[0]
}

// mayTry refuses credentials while logins like it are blocked, so that the registrar is not asked and bans nobody. A user who
// has proved his own identity on that connection does not answer for others' failures at his address.
func (r *Relay) mayTry(up *Upstream, l *login, aor, method string, from *flow.Flow) error {
	if !l.tried {
		return nil
	}
	if l.more {
		return errManyLogins
	}
	k, addr := &up.ledger[l.kind], remote(from)
	blocked := r.Logins.Blocked(aor, k.user, addr) || method != "REGISTER" && r.Totals.Blocked(aor, k.user, addr)
	for _, name := range l.names[:l.n] {
		blocked = blocked || r.Logins.Blocked(name, k.name, addr)
	}
	if l.kind == forgeable {
		blocked = blocked || r.Totals.Blocked("", k.total, everywhere) || r.Totals.Blocked("", k.total, addr)
	} else if !from.Is(aor) {
		blocked = blocked || r.Totals.Blocked("", k.total, addr)
	}
	if !blocked {
		return nil
	}
	r.Counters.add(LoginBlocked)
	return errBlocked
}

// judge looks at a registrar's final response: it counts what failed, and remembers the nonces that were given.
func (r *Relay) judge(up *Upstream, req, m *sip.Message, aor string, from *flow.Flow) {
	status := m.Status()
	if status != 401 && status != 407 && status != 403 {
		return
	}
	l := r.loginOf(req, from) // before the next nonce is known
	if r.challenged(m, remote(from)) || !l.tried {
		return
	}
	k, addr := &up.ledger[l.kind], remote(from)
	if status == 403 && req.Method() != "REGISTER" && r.accepted(from, aor, l.only()) {
		r.Totals.Failed(aor, k.user, addr) // the right user: what he wants is forbidden. Or his password is wrong, and 403 hides it
		return
	}
	r.Counters.add(LoginFailed)
	r.Logins.Failed(aor, k.user, addr)
	for _, name := range l.names[:l.n] {
		r.Logins.Failed(name, k.name, addr)
	}
	if l.kind == forgeable {
		r.Totals.Failed("", k.total, everywhere)
	}
	if l.kind == forgeable || !from.Is(aor) {
		r.Totals.Failed("", k.total, addr)
	}
}

// accepted reports whether the registrar has taken that login for aor over that flow.
func (r *Relay) accepted(from *flow.Flow, aor, name string) bool {
	b, ok := r.On(from, aor)
	return ok && name != "" && b.Login == name
}

// challenged notes the nonces of a challenge. stale: it says that only the nonce was too old (RFC 7616 §3.3).
func (r *Relay) challenged(m *sip.Message, to netip.Addr) (stale bool) {
	for _, f := range m.Fields() {
		if f.Header != sip.WWWAuthenticate && f.Header != sip.ProxyAuthenticate {
			continue
		}
		if c, err := digest.ParseChallenge(m.FieldValue(f)); err == nil {
			r.nonces.gave(c.Nonce, to)
			stale = stale || c.Stale
		}
	}
	return stale
}

// MayRegister refuses a REGISTER for aor while its login is blocked here.
func (r *Relay) MayRegister(req *sip.Message, from *flow.Flow, aor string) error {
	l := r.loginOf(req, from)
	return r.mayTry(r.groups[r.Registrar(domainOf(aor))], &l, aor, "REGISTER", from)
}

// MayAsk is the same for any other request, which aor sends to an upstream: nil, or 403. Where it is nil, but bare, the
// request may go without its credentials: a call has to end whoever has guessed.
func (r *Relay) MayAsk(upstream string, req *sip.Message, from *flow.Flow, aor string) (bare bool, err error) {
	up, method := r.groups[upstream], req.Method()
	if up == nil || method == "REGISTER" || method == "ACK" || method == "CANCEL" {
		return false, nil // RFC 3261 §22.1: nobody answers the credentials of these two
	}
	l := r.loginOf(req, from)
	if err = r.mayTry(up, &l, aor, method, from); err != nil && method == "BYE" {
		return true, nil
	}
	return false, err
}

// Asked is told of each response to a request that MayAsk has let pass.
func (r *Relay) Asked(upstream string, req, m *sip.Message, from *flow.Flow, aor string) {
	if up := r.groups[upstream]; up != nil && req.Method() != "REGISTER" {
		r.judge(up, req, m, aor, from)
	}
}

// nonces remembers which nonces registrars gave to which addresses: only hashes, in a memory that is fixed, for whoever asks
// for one has proved nothing yet.
type nonces struct {
	seed  maphash.Seed
	slots []atomic.Uint64
}

const nonceSlots = 1 << 15

func (n *nonces) init() { n.seed, n.slots = maphash.MakeSeed(), make([]atomic.Uint64, nonceSlots) }

func (n *nonces) gave(nonce string, to netip.Addr) {
	k := n.key(nonce, to)
	n.slots[k%nonceSlots].Store(k)
}

func (n *nonces) has(nonce string, at netip.Addr) bool {
	k := n.key(nonce, at)
	return n.slots[k%nonceSlots].Load() == k
}

// key: the addresses of one IPv6 /64 are one.
func (n *nonces) key(nonce string, a netip.Addr) uint64 {
	var h maphash.Hash
	h.SetSeed(n.seed)
	ip, size := a.As16(), 8
	if a.Unmap().Is4() {
		size = 16
	}
	h.Write(ip[:size])
	h.WriteString(nonce)
	return h.Sum64()
}
