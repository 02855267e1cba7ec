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

// The 36 bytes: version, key id, node, side, flow id (8), name (12), MAC (12).
const (
	rawLen   = 36
	macAt    = 24
	version1 = 1
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

// Append writes the 48 characters of t to dst. with is what the MAC covers beside
// t: the Call-ID for a Caller, the Caller's token for a Callee, "" for a Registered. So
// tokens serve in no other call and with no other partner.
func (k *Keys) Append(dst []byte, t Token, with string) []byte {
	r := k.ring.Load()
	key := r.newest()
	var raw [rawLen]byte
	raw[0], raw[1], raw[2], raw[3] = version1, key.id, t.Node, byte(t.Side)
	binary.BigEndian.PutUint64(raw[4:], uint64(t.Flow))
	copy(raw[12:macAt], t.Name[:])
	key.mac.sum(raw[macAt:], raw[:macAt], with)
	return base64.RawURLEncoding.AppendEncode(dst, raw[:])
}

// Verify checks a token that stands alone (Registered).
func (k *Keys) Verify(text string) (Token, bool) {
	t, ok := k.verify(text, "")
	return t, ok && t.Side == Registered
}

// VerifyPair checks the two tokens of a route set, in either order, and returns
// them in the order given: the Caller's of that call and the Callee's that was made with it.
func (k *Keys) VerifyPair(first, second, callID string) (a, b Token, ok bool) {
	var okA, okB bool
	if sideOf(first) == Callee {
		a, okA = k.verify(first, second)
		b, okB = k.verify(second, callID)
		return a, b, okA && okB && b.Side == Caller
	}
	a, okA = k.verify(first, callID)
	b, okB = k.verify(second, first)
	return a, b, okA && okB && a.Side == Caller && b.Side == Callee
}

// sideOf reads the side that a text claims; the first four bytes are characters 0–5.
func sideOf(text string) Side {
	var head [6]byte
	if len(text) != TokenLen {
		return 0
	}
	if _, err := base64.RawURLEncoding.Decode(head[:], []byte(text[:8])); err != nil {
		return 0
	}
	return Side(head[3])
}

func (k *Keys) verify(text, with string) (Token, bool) {
	if len(text) != TokenLen {
		return Token{}, false
	}
	var chars [TokenLen]byte
	copy(chars[:], text)
	var raw [rawLen]byte
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], chars[:]); err != nil || n != rawLen || raw[0] != version1 {
		return Token{}, false
	}
	key := k.ring.Load().find(raw[1])
	if key == nil {
		return Token{}, false
	}
	var want [rawLen - macAt]byte
	key.mac.sum(want[:], raw[:macAt], with)
	if subtle.ConstantTimeCompare(want[:], raw[macAt:]) != 1 {
		return Token{}, false
	}
	t := Token{Node: raw[2], Side: Side(raw[3]), Flow: ID(binary.BigEndian.Uint64(raw[4:12]))}
	copy(t.Name[:], raw[12:macAt])
	return t, true
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
