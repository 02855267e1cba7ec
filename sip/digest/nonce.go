package digest

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"
	"time"

	"github.com/ringway/ringway/sip/cmac"
)

// A nonce is 24 octets in 32 characters: milliseconds, random, and the first
// octets of the AES-CMAC over both, the flow and the realm.
const (
	stampLen  = 6
	randomLen = 6
	saltLen   = stampLen + randomLen
	macLen    = 12
	nonceLen  = (saltLen + macLen) * 4 / 3
)

// Authority makes challenges and checks their answers. It keeps nothing for a
// nonce until somebody has proved a password with it. Safe for concurrent use.
type Authority struct {
	// Static after construction.
	now    func() time.Time
	start  time.Time
	ttl    uint64 // milliseconds
	counts counts
	mac    *cmac.MAC // of nonces
	dummy  [2]string // HA1 of nobody, per algorithm
	pool   sync.Pool // of *scratch
}

// scratch is what one computation needs off the stack.
type scratch struct {
	buf []byte
}

// Config is what an Authority needs.
type Config struct {
	TTL time.Duration // how long a nonce can be used
	// Now is nil for time.Now, of which only the monotonic part counts: setting the clock
	// harms no nonce.
	Now func() time.Time

	// key signs the nonces; nil: a random one. They are of no use after a restart, even
	// under the same key: which were used is forgotten.
	key []byte
}

// New returns an authority.
func New(cfg Config) *Authority {
	now, key := cfg.Now, cfg.key
	if now == nil {
		now = time.Now
	}
	if key == nil {
		key = make([]byte, sha256.Size)
		rand.Read(key)
	}
	a := &Authority{now: now, start: now(), ttl: uint64(cfg.TTL.Milliseconds())}
	a.counts = counts{floor: a.stamp(), ttl: a.ttl, sets: make([]countSet, countSets)}
	a.mac = cmac.Derive(key, "nonce AES-128-CMAC")
	a.pool.New = func() any {
		return &scratch{make([]byte, 0, 512)}
	}
	nobody := rand.Text()
	a.dummy = [2]string{HA1(MD5, "", "", nobody), HA1(SHA256, "", "", nobody)}
	return a
}

// stamp is now in milliseconds.
func (a *Authority) stamp() uint64 {
	now := a.now()
	return uint64(a.start.UnixMilli() + now.Sub(a.start).Milliseconds())
}

// rawNonce is a nonce's octets.
type rawNonce [saltLen + macLen]byte

// sign is the MAC over the salt in raw, the flow and the realm.
func (a *Authority) sign(raw *rawNonce, flow uint64, realm string) (mac [macLen]byte) {
	var of [8]byte
	binary.BigEndian.PutUint64(of[:], flow)
	a.mac.Sum(mac[:], raw[:saltLen], of[:], realm)
	return mac
}

// Challenge returns the lines of a challenge, one per algorithm in the order
// given: field ("WWW-Authenticate: ", "" for the value alone) and value. flow is what
// the nonce is good for. The strongest goes first (RFC 8760 §2.4) and MD5 last: browsers' libraries
// keep the last line only and know MD5 only (docs/adr/0004-md5-challenge-last.md).
func (a *Authority) Challenge(field, realm string, flow uint64, stale bool, algs []Algorithm) []string {
	sc := a.pool.Get().(*scratch)
	defer a.pool.Put(sc)
	var nonce [nonceLen]byte
	a.nonce(nonce[:], flow, realm)
	lines := make([]string, len(algs))
	for i, alg := range algs {
		b := append(append(sc.buf[:0], field...), `Digest realm="`...)
		b = append(append(b, realm...), `", nonce="`...)
		b = append(append(b, nonce[:]...), `", algorithm=`...)
		b = append(append(b, alg.String()...), `, qop="auth"`...)
		if stale {
			b = append(b, ", stale=true"...)
		}
		lines[i], sc.buf = string(b), b
	}
	return lines
}

// nonce writes a new nonce to dst. The random part keeps nonces of one
// millisecond apart; that nobody can guess one is the MAC's doing.
func (a *Authority) nonce(dst []byte, flow uint64, realm string) {
	var raw rawNonce
	binary.BigEndian.PutUint64(raw[:], a.stamp()<<16)
	r := mathrand.Uint64()
	binary.BigEndian.PutUint32(raw[stampLen:], uint32(r))
	binary.BigEndian.PutUint16(raw[stampLen+4:], uint16(r>>32))
	mac := a.sign(&raw, flow, realm)
	copy(raw[saltLen:], mac[:])
	base64.RawURLEncoding.Encode(dst, raw[:])
}

// openNonce checks a nonce and returns when it was made and a number that no
// other has; now is in milliseconds.
func (a *Authority) openNonce(nonce string, flow uint64, realm string, now uint64) (made, id uint64, err error) {
	if len(nonce) != nonceLen {
		return 0, 0, ErrForeign
	}
	var raw rawNonce
	var text [nonceLen]byte
	copy(text[:], nonce)
	if n, err := base64.RawURLEncoding.Decode(raw[:], text[:]); err != nil || n != len(raw) {
		return 0, 0, ErrForeign
	}
	if mac := a.sign(&raw, flow, realm); subtle.ConstantTimeCompare(mac[:], raw[saltLen:]) != 1 {
		return 0, 0, ErrForeign
	}
	made = binary.BigEndian.Uint64(raw[:]) >> 16
	if made > now || now-made > a.ttl {
		return 0, 0, ErrExpired
	}
	return made, binary.BigEndian.Uint64(raw[saltLen:]), nil
}
