// Package digest is SIP digest authentication (RFC 3261 §22, RFC 7616, RFC 8760):
// the server's challenges and checks with stateless nonces, the users they are
// checked against, and the client's answer.
package digest

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"

	"github.com/ringway/ringway/sip"
)

// Algorithm is a digest algorithm of RFC 8760 §2.2.
type Algorithm uint8

// The algorithms that are spoken here; their session variants are not.
const (
	MD5 Algorithm = iota + 1
	SHA256
)

// String is the algorithm parameter's token.
func (a Algorithm) String() string { return [...]string{"", "MD5", "SHA-256"}[a] }

// hexLen is the length of a hash in hexadecimal digits.
func (a Algorithm) hexLen() int { return [...]int{0, 2 * md5.Size, 2 * sha256.Size}[a] }

// ParseAlgorithm reads an algorithm parameter; "", its absence, is MD5 (RFC 7616
// §3.3), an unknown one 0.
func ParseAlgorithm(s string) Algorithm {
	switch {
	case s == "" || sip.EqualFold(s, "MD5"):
		return MD5
	case sip.EqualFold(s, "SHA-256"):
		return SHA256
	}
	return 0
}

// HA1 is the hash of "user:realm:password" in lower-case hexadecimal, which is
// what a users file holds.
func HA1(alg Algorithm, user, realm, password string) string {
	return string(appendHash(nil, alg, []byte(user+":"+realm+":"+password)))
}

// appendHash appends the hash of data in lower-case hexadecimal.
func appendHash(dst []byte, alg Algorithm, data []byte) []byte {
	if alg == SHA256 {
		sum := sha256.Sum256(data)
		return hex.AppendEncode(dst, sum[:])
	}
	sum := md5.Sum(data)
	return hex.AppendEncode(dst, sum[:])
}

// appendResponse appends what the response parameter has to be for c with qop
// auth (RFC 7616 §3.4.1), without qop when c has none. dst needs room for the
// pieces in between, or it is allocated.
func appendResponse(dst []byte, alg Algorithm, ha1, method string, c *Credentials) []byte {
	at := len(dst)
	dst = join(dst, method, c.URI)
	var room [2 * sha256.Size]byte
	ha2 := appendHash(room[:0], alg, dst[at:])
	if c.QOP == "" {
		dst = append(join(dst[:at], ha1, c.Nonce), ':')
	} else {
		dst = append(join(dst[:at], ha1, c.Nonce, c.NC, c.CNonce, c.QOP), ':')
	}
	dst = append(dst, ha2...)
	sum := appendHash(room[:0], alg, dst[at:])
	return append(dst[:at], sum...)
}

// join appends the parts with colons between them.
func join(dst []byte, parts ...string) []byte {
	for i, p := range parts {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, p...)
	}
	return dst
}
