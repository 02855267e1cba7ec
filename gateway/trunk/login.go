package trunk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// Account answers the challenges of an upstream with its Login (RFC 3261 §22, RFC 7616), and remembers the
// nonces, so that most requests need not be challenged at all. It is safe for concurrent use.
//
// A challenge may be of anybody behind the upstream, whom any caller can call: proxies pass it on (RFC 3261 §16.7 step 7). What
// we answer is enough to try passwords against, so one realm alone is answered (§22.3): that of the configuration, else the one
// of the upstream's registrar, which nobody else answers for; else the first that took its answer for two callees.
type Account struct {
	login Login

	mu     sync.Mutex // a leaf
	nonces map[place]*nonce
	realm  string // the only one that is answered, "" while that is not known
	sure   bool   // by the configuration or the registrar
	asked  string // realm of the registrar's challenge that was answered last
	first  realmAt
	strays int    // challenges of other realms for different Request-URIs since the last answer of ours was taken
	stray  string // Request-URI of the last
}

// maxStrays is how many callees ask for another realm, with nobody that asks for ours, until we know as little as at the start: the
// upstream has a new one.
const maxStrays = 4

// realmAt is the realm whose answer was taken for a Request-URI.
type realmAt struct{ realm, uri string }

// place is where a nonce is from: a server has others as a registrar.
type place struct {
	at       netip.AddrPort
	register bool
}

func placeOf(at netip.AddrPort, method string) place { return place{at, method == "REGISTER"} }

// nonce is the newest challenge of an address.
type nonce struct {
	ch     digest.Challenge // its strings are clones
	field  string           // the name of the header line that answers it
	count  uint32           // nc of the last use
	used   int              // how often it was used unasked, or one before it
	missed int              // how often that was challenged all the same
}

// Bounds of what is remembered. An address that challenges most requests however they come (its nonces
// are for one use) is not sent credentials unasked for a while.
const (
	maxNonces  = 64
	fewUses    = 4
	quietUses  = 1000
	maxNonceNC = 1 << 31
)

// NewAccount is nil for no login.
func NewAccount(l *Login) *Account {
	if l == nil {
		return nil
	}
	return &Account{login: *l, nonces: map[place]*nonce{}, realm: l.Realm, sure: l.Realm != ""}
}

// Share has r use the account a that requests of callers use: one realm for both.
func (r *Registration) Share(a *Account) { r.account = a }

// Tried says which credentials of ours a challenged request had.
type Tried = uint8

// What has been tried.
const (
	Nothing   Tried = iota
	Unasked         // from Known
	Answered        // from Answer
	AnsweredX       // from Answer, after stale=true
)

// What can be wrong with a challenge, for the log.
var (
	ErrRefused     = errors.New("user or password is wrong")
	ErrUnreadable  = errors.New("challenge cannot be read")
	ErrOtherRealm  = errors.New("challenge is for another realm than login's")
	ErrNoQOP       = errors.New("challenge has no qop; that is answered for a realm in login.realm, or of the registrar's")
	errNoChallenge = errors.New("401 or 407 without a challenge")
)

// Known is the header line for a request that has not been challenged, "" where no nonce of the address is
// known or it does not honour them. uri is the Request-URI as it is sent.
func (a *Account) Known(at netip.AddrPort, method, uri string) string {
	a.mu.Lock()
	n := a.nonces[placeOf(at, method)]
	if n == nil || n.ch.QOP == "" || n.ch.Realm != a.realm || n.count >= maxNonceNC {
		a.mu.Unlock()
		return "" // without qop a nonce is for one request, or the answer could be replayed
	}
	n.used++
	if n.used > fewUses && 2*n.missed >= n.used && n.used < quietUses {
		n.missed++ // as it would be
		a.mu.Unlock()
		return ""
	}
	if n.used >= quietUses {
		n.used, n.missed = 1, 0
	}
	n.count++
	ch, field, count := n.ch, n.field, n.count
	a.mu.Unlock()
	line, err := a.line(&ch, field, count, method, uri)
	if err != nil {
		return ""
	}
	return line
}

// Answer is the header line for the same request once more, after the 401 or 407 resp to it; next is what is
// to be given when that is challenged too. ErrRefused: the credentials are wrong.
func (a *Account) Answer(at netip.AddrPort, resp *sip.Message, tried Tried, method, uri string) (line string, next Tried, err error) {
	ch, field, err := a.choose(resp, method == "REGISTER")
	if errors.Is(err, ErrOtherRealm) {
		a.strayed(uri)
	}
	if err != nil {
		return "", 0, err
	}
	next = Answered
	switch {
	case tried == Answered && ch.Stale:
		next = AnsweredX
	case tried >= Answered:
		return "", 0, a.refused(placeOf(at, method), &ch)
	}
	line, err = a.line(&ch, field, a.count(placeOf(at, method), &ch, field, tried), method, uri)
	return line, next, err
}

// refused is what a challenge to an answer means that does not say stale. The nonce is not used again: a server may forget, or refuse, one
// without saying so (RFC 7616 §3.3 only asks it to).
func (a *Account) refused(at place, ch *digest.Challenge) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.nonces[at]
	delete(a.nonces, at)
	if n != nil && n.ch.Nonce == ch.Nonce {
		return fmt.Errorf("%w, or the server does not take the nonce that it gives", ErrRefused)
	}
	return ErrRefused
}

// count remembers the challenge and is the nc of its next use.
func (a *Account) count(at place, ch *digest.Challenge, field string, tried Tried) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at.register {
		a.asked = strings.Clone(ch.Realm)
	}
	n := a.nonces[at]
	if n == nil {
		if len(a.nonces) >= maxNonces {
			clear(a.nonces) // a server that calls from ever new ports
		}
		n = &nonce{}
		a.nonces[at] = n
	}
	if tried == Unasked {
		n.missed++
	}
	if n.ch.Nonce != ch.Nonce || n.ch.Realm != ch.Realm || n.ch.Algorithm != ch.Algorithm {
		n.ch, n.count = cloned(ch), 0
	}
	n.field = field
	n.count++
	return n.count
}

// Registered is told that the registrar has taken our credentials: its realm is the account's.
func (a *Account) Registered() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked != "" && a.login.Realm == "" {
		a.realm, a.sure = a.asked, true
	}
}

// Accepted is told that a request outside a dialog got further with the credentials in line, which Answer or Known gave. It is
// the realm that is the only one from now on, "" where that was known, or is not yet: it takes two callees in a row, or
// one of them, called first, could have his own realm answered for good, and the upstream's no more.
func (a *Account) Accepted(line string) (realm string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.strays = 0; a.realm != "" {
		return ""
	}
	_, value, _ := strings.Cut(line, ": ")
	c, err := digest.ParseCredentials(value)
	if err != nil {
		return ""
	}
	if one := a.first; one.realm != c.Realm || one.uri == c.URI {
		a.first = realmAt{strings.Clone(c.Realm), strings.Clone(c.URI)}
		return ""
	}
	a.realm = a.first.realm
	return a.realm
}

// strayed is a challenge of another realm than what two callees have taught.
func (a *Account) strayed(uri string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.sure || uri == a.stray {
		return
	}
	a.stray = strings.Clone(uri)
	if a.strays++; a.strays >= maxStrays {
		a.realm, a.first, a.strays, a.stray = "", realmAt{}, 0, ""
	}
}

// choose is the first challenge of resp that we can answer (RFC 8760 §2.3: the server lists them in its order of
// preference), and what it is answered in.
func (a *Account) choose(resp *sip.Message, register bool) (ch digest.Challenge, field string, err error) {
	err = errNoChallenge
	for _, f := range resp.Fields() {
		switch f.Header {
		case sip.WWWAuthenticate:
			field = sip.Authorization.String()
		case sip.ProxyAuthenticate:
			field = sip.ProxyAuthorization.String()
		default:
			continue
		}
		if ch, err = digest.ParseChallenge(resp.FieldValue(f)); err != nil || ch.Nonce == "" {
			err = ErrUnreadable
			continue
		}
		if err = a.may(&ch, register); err == nil {
			return ch, field, nil
		}
	}
	return ch, "", err
}

// may is why a challenge is not answered. Without qop nothing of ours is in the answer (RFC 2069): whoever chooses
// the nonce has it computed beforehand for many passwords.
func (a *Account) may(ch *digest.Challenge, register bool) error {
	a.mu.Lock()
	realm, sure := a.realm, a.sure
	a.mu.Unlock()
	if register {
		realm, sure = a.login.Realm, true
	}
	switch {
	case realm != "" && ch.Realm != realm:
		return fmt.Errorf("%w: %.64q", ErrOtherRealm, ch.Realm)
	case !ch.Answerable():
		return fmt.Errorf("%w: algorithm %.20q, qop %.20q; MD5 and SHA-256 are spoken, with qop auth", digest.ErrUnanswerable, ch.Algorithm, ch.QOP)
	case ch.QOP == "" && !sure:
		return ErrNoQOP
	}
	return nil
}

func (a *Account) line(ch *digest.Challenge, field string, count uint32, method, uri string) (string, error) {
	nc := strconv.FormatUint(1<<32|uint64(count), 16)[1:]
	cnonce := strconv.FormatUint(rand.Uint64(), 36)
	value, err := digest.Answer(ch, a.login.User, a.login.Password, method, uri, nc, cnonce)
	return field + ": " + value, err
}

// cloned keeps no part of the message that ch was read from.
func cloned(ch *digest.Challenge) digest.Challenge {
	all := ch.Realm + ch.Nonce + ch.Algorithm + ch.Opaque + ch.QOP
	out := digest.Challenge{Stale: ch.Stale}
	for _, s := range []struct {
		to *string
		n  int
	}{
		{&out.Realm, len(ch.Realm)}, {&out.Nonce, len(ch.Nonce)}, {&out.Algorithm, len(ch.Algorithm)},
		{&out.Opaque, len(ch.Opaque)}, {&out.QOP, len(ch.QOP)},
	} {
		*s.to, all = all[:s.n], all[s.n:]
	}
	return out
}
