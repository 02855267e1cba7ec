package digest

import (
	"crypto/subtle"
	"errors"

	"github.com/ringway/ringway/sip"
)

// Outcome is what came of checking credentials.
type Outcome uint8

// The outcomes.
const (
	OK             Outcome = iota
	Stale                  // challenge again with stale=true; no failed login
	BadCredentials         // unknown user or wrong password, which look alike
	Malformed              // 400; the error says what is wrong with the line
)

// Why credentials are not OK. Those of Malformed are for the peer to read.
var (
	ErrForeign  = errors.New("nonce is not ours, or of another flow") // Stale
	ErrExpired  = errors.New("nonce has expired")                     // Stale
	ErrReplayed = errors.New("nc was used before")                    // Stale
	ErrPassword = errors.New("unknown user or wrong password")        // BadCredentials

	errRealm     = errors.New("another realm")
	errAlgorithm = errors.New("digest algorithm was not offered")
	errUser      = errors.New("no digest username")
	errURI       = errors.New("digest uri is not the Request-URI")
	errQOP       = errors.New("qop=auth is required")
	errNC        = errors.New("nc is not 8 hexadecimal digits above 0")
	errCNonce    = errors.New("no cnonce")
	errResponse  = errors.New("bad digest response")
)

// Users is a source of passwords' hashes.
type Users interface {
	// HA1 is the lower-case hexadecimal hash for a user, false when there is none.
	HA1(user, realm string, alg Algorithm) (string, bool)
	// Algorithms are those to offer, in order. SHA-256 is among them only when
	// every user has one: a client takes what it is offered, and cannot know.
	Algorithms() []Algorithm
}

// Request is what credentials have to fit.
type Request struct {
	Realm  string
	Method string
	URI    string // Request-URI as it stands
	Flow   uint64 // as in Challenge
}

// Verify checks credentials; the error is nil for OK alone. Unknown users take
// the same work and get the same answer as wrong passwords. The count of a nonce is
// kept only for right passwords, so that nobody without one can push it out.
func (a *Authority) Verify(c *Credentials, r *Request, users Users) (Outcome, error) {
	alg, nc, err := wellFormed(c, r, users.Algorithms())
	if err != nil {
		return Malformed, err
	}
	sc := a.pool.Get().(*scratch)
	defer a.pool.Put(sc)
	now := a.stamp()
	made, id, err := a.openNonce(c.Nonce, r.Flow, r.Realm, now)
	if err != nil {
		return Stale, err
	}
	ha1, found := users.HA1(c.User, r.Realm, alg)
	if !found || len(ha1) != alg.hexLen() {
		ha1, found = a.dummy[alg-MD5], false
	}
	sc.buf = appendResponse(sc.buf[:0], alg, ha1, r.Method, c)
	at := len(sc.buf)
	sc.buf = append(sc.buf, c.Response...)
	if subtle.ConstantTimeCompare(sc.buf[:at], sc.buf[at:]) != 1 || !found {
		return BadCredentials, ErrPassword
	}
	if !a.counts.use(id, made, now, nc) {
		return Stale, ErrReplayed
	}
	return OK, nil
}

// wellFormed checks everything about credentials that needs no key.
func wellFormed(c *Credentials, r *Request, offered []Algorithm) (alg Algorithm, nc uint32, err error) {
	alg = ParseAlgorithm(c.Algorithm)
	switch {
	case c.Realm != r.Realm:
		return 0, 0, errRealm
	case !offers(offered, alg):
		return 0, 0, errAlgorithm
	case c.User == "":
		return 0, 0, errUser
	case !sip.EqualFold(c.QOP, "auth"):
		return 0, 0, errQOP
	case c.CNonce == "":
		return 0, 0, errCNonce
	case len(c.Response) != alg.hexLen():
		return 0, 0, errResponse
	case !sameURI(c.URI, r.URI):
		return 0, 0, errURI
	}
	if nc = parseNC(c.NC); nc == 0 {
		return 0, 0, errNC
	}
	return alg, nc, nil
}

func offers(offered []Algorithm, alg Algorithm) bool {
	for _, o := range offered {
		if o == alg {
			return true
		}
	}
	return false
}

// sameURI reports whether digest-uri and Request-URI are one resource (RFC 3261
// §22.4 item 1, RFC 7616 §3.4.6).
func sameURI(a, b string) bool {
	if a == b {
		return true
	}
	u, err := sip.ParseURI(a)
	if err != nil {
		return false
	}
	v, err := sip.ParseURI(b)
	return err == nil && u.Equal(&v)
}

// parseNC reads 8 hexadecimal digits, 0 when they are not.
func parseNC(s string) uint32 {
	if len(s) != 8 {
		return 0
	}
	var n uint32
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0
		}
		n = n<<4 | uint32(c)
	}
	return n
}
