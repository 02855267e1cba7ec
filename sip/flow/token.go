package flow

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"strconv"
	"sync"
	"sync/atomic"
)

// Side says which use a token is for.
type Side uint8

// The sides. A request leaves with two Record-Routes: Caller's names whom it
// came from, Callee's whom it went to.
const (
	Caller Side = iota + 1
	Callee
	Registered // in a Path
)

// TokenLen is the length of a token in text: 48 base64url characters of 36 bytes.
const TokenLen = 48

// The 36 bytes: version, key id, node, side, flow id (8), name (12), MAC (12). The
// version says how the MAC is made: 2 is AES-CMAC.
const (
	version = 2
	keyAt   = 1
	nodeAt  = 2
	sideAt  = 3
	flowAt  = 4
	nameAt  = 12
	macAt   = 24
	rawLen  = 36
)

// Token is what a verified token says.
type Token struct {
	Node byte
	Side Side
	Flow ID
	Name Name
}

// Keys signs and verifies tokens and hashes names; safe for concurrent use.
type Keys struct {
	ring  atomic.Pointer[ring]
	store keyFile
}

// macer is a keyed HMAC-SHA-256 that can be used again without allocating.
type macer struct{ pool sync.Pool }

func newMacer(key []byte) *macer {
	return &macer{sync.Pool{New: func() any { return &macState{h: hmac.New(sha256.New, key)} }}}
}

type macState struct {
	h   hash.Hash
	in  []byte // what is hashed goes through here, or the interface call would make it escape
	out [sha256.Size]byte
}

// sum fills out with the leading bytes of the MAC over a and b.
func (m *macer) sum(out, a []byte, b string) {
	s := m.pool.Get().(*macState)
	s.h.Reset()
	s.in = append(append(s.in[:0], a...), b...)
	s.h.Write(s.in)
	copy(out, s.h.Sum(s.out[:0]))
	m.pool.Put(s)
}

// Append writes the 48 characters of t, a Caller's or a Registered, to dst. with is
// what the MAC covers beside t: the Call-ID for a Caller, "" for a Registered. So the token
// serves in no other call.
func (k *Keys) Append(dst []byte, t Token, with string) []byte {
	raw, key := k.raw(t)
	key.mac.Sum(raw[macAt:], raw[:macAt], nil, with)
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// AppendCallee writes the 48 characters of t, the partner of caller, a Caller's token
// made for callID. The MAC covers all three: it alone proves the pair.
func (k *Keys) AppendCallee(dst []byte, t Token, caller, callID string) []byte {
	var partner rawToken
	partner.decode(caller)
	t.Side = Callee
	raw, key := k.raw(t)
	key.mac.Sum(raw[macAt:], raw[:macAt], partner[:], callID)
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// raw is t as the newest key is to sign it.
func (k *Keys) raw(t Token) (raw rawToken, key *tokenKey) {
	key = k.ring.Load().newest()
	raw[0], raw[keyAt], raw[nodeAt], raw[sideAt] = version, key.id, t.Node, byte(t.Side)
	binary.BigEndian.PutUint64(raw[flowAt:nameAt], uint64(t.Flow))
	copy(raw[nameAt:macAt], t.Name[:])
	return raw, key
}

// Verify checks a token that stands alone (Registered).
func (k *Keys) Verify(text string) (Token, bool) {
	var raw rawToken
	if !raw.decode(text) || !k.made(&raw, nil, "") {
		return Token{}, false
	}
	t := raw.token()
	return t, t.Side == Registered
}

// VerifyPair checks the two tokens of a route set, in either order, and returns
// them in the order given: the Caller's of that call and the Callee's that was made with
// it. The Callee's MAC is the only one to look at, as it covers the Caller's token whole.
func (k *Keys) VerifyPair(first, second, callID string) (a, b Token, ok bool) {
	var one, two rawToken
	if !one.decode(first) || !two.decode(second) {
		return Token{}, Token{}, false
	}
	caller, callee := &one, &two
	if Side(one[sideAt]) == Callee {
		caller, callee = &two, &one
	}
	if Side(caller[sideAt]) != Caller || Side(callee[sideAt]) != Callee || !k.made(callee, caller[:], callID) {
		return Token{}, Token{}, false
	}
	return one.token(), two.token(), true
}

// rawToken is a token's bytes.
type rawToken [rawLen]byte

func (r *rawToken) token() Token {
	t := Token{Node: r[nodeAt], Side: Side(r[sideAt]), Flow: ID(binary.BigEndian.Uint64(r[flowAt:nameAt]))}
	copy(t.Name[:], r[nameAt:macAt])
	return t
}

// decode takes apart 48 characters of base64url, which leave no bits over: each
// token has one text. It is the standard one's result in a third of its time.
func (r *rawToken) decode(text string) bool {
	if len(text) != TokenLen {
		return false
	}
	var bad byte
	for i, o := 0, 0; i < TokenLen; i, o = i+4, o+3 {
		c := text[i : i+4]
		v0, v1, v2, v3 := sextets[c[0]], sextets[c[1]], sextets[c[2]], sextets[c[3]]
		bad |= v0 | v1 | v2 | v3
		three := r[o : o+3]
		three[0], three[1], three[2] = v0<<2|v1>>4, v1<<4|v2>>2, v2<<6|v3
	}
	return bad < noSextet
}

const noSextet = 0x40

// sextets are the values of base64url's characters, with noSextet set for all others.
var sextets = func() (table [256]byte) {
	for i := range table {
		table[i] = noSextet
	}
	for v, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		table[c] = byte(v)
	}
	return table
}()

// made reports whether one of our keys signed r together with partner and with.
func (k *Keys) made(r *rawToken, partner []byte, with string) bool {
	if r[0] != version {
		return false
	}
	key := k.ring.Load().find(r[keyAt])
	if key == nil {
		return false
	}
	var want [rawLen - macAt]byte
	key.mac.Sum(want[:], r[:macAt], partner, with)
	return subtle.ConstantTimeCompare(want[:], r[macAt:]) == 1
}

// NameOf hashes what a binding is known by: with Outbound (RFC 5626) its
// instance and reg-id, without an instance ("") its Contact URI.
func (k *Keys) NameOf(aor, instance string, regID int, contact string) Name {
	if instance != "" {
		contact = ""
	}
	return k.name("ua", aor, instance, strconv.Itoa(regID), contact)
}

// Derive is a key of 32 bytes for another purpose, the same as long as the keys are kept.
func (k *Keys) Derive(purpose string) []byte {
	out := make([]byte, sha256.Size)
	k.ring.Load().names.sum(out, []byte("derive "+purpose), "")
	return out
}

// UpstreamName hashes an upstream's name.
func (k *Keys) UpstreamName(upstream string) Name { return k.name("upstream", upstream) }

func (k *Keys) name(kind string, parts ...string) Name {
	b := make([]byte, 0, 256)
	b = append(b, kind...)
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p))) // no two lists of parts make the same bytes
		b = append(b, p...)
	}
	var n Name
	k.ring.Load().names.sum(n[:], b, "")
	return n
}
