package registrar

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/ringway/ringway/sip"
)

// sealer makes and opens temporary GRUUs (RFC 5627 §3.1.2, appendix A): the user
// part is the AOR and a hash of (instance, Call-ID), sealed with AES-GCM under a
// random nonce. So each 200 can carry a new one, all of them work until the
// instance is gone or registers with another Call-ID, nobody can link them, and
// nothing has to be stored: a table of them would grow with each refresh.
type sealer struct{ aead cipher.AEAD }

const (
	lifeLen   = 16
	gruuBlock = 16 // AORs are padded: their length is not told
	maxGRUU   = 1024
	gruuRoom  = 256 // is enough to seal an AOR of 200 octets without allocating
)

var gruuText = base64.RawURLEncoding

func newSealer(key []byte) (*sealer, error) {
	k, err := hkdf.Key(sha256.New, key, nil, "ringway temporary GRUU", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(k)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &sealer{aead}, err
}

// life identifies a registration's span: a new Call-ID of the same instance ends
// its temporary GRUUs (RFC 5627 §5.4).
func life(instance, callID string) (out [lifeLen]byte) {
	var room [512]byte
	b := append(append(append(room[:0], instance...), 0), callID...)
	sum := sha256.Sum256(b)
	copy(out[:], sum[:])
	return out
}

// appendParams writes ;pub-gruu="…";temp-gruu="…" of a binding with an instance.
func (s *sealer) appendParams(dst []byte, b *Binding, secure bool, room []byte) []byte {
	scheme := "sip:"
	if secure {
		scheme = "sips:"
	}
	dst = append(append(dst, `;pub-gruu="`...), scheme...)
	dst = append(append(dst, b.AOR...), ";gr="...)
	dst = appendEscaped(dst, b.Instance)
	dst = append(append(dst, `";temp-gruu="`...), scheme...)
	dst = s.seal(dst, b, room)
	dst = append(append(dst, '@'), b.AOR[strings.IndexByte(b.AOR, '@')+1:]...)
	return append(dst, `;gr"`...)
}

// seal writes a temporary GRUU's user part; room is scratch.
func (s *sealer) seal(dst []byte, b *Binding, room []byte) []byte {
	n := s.aead.NonceSize()
	text := room[:n]
	rand.Read(text)
	span := life(b.Instance, b.CallID)
	plain := append(append(text[n:], span[:]...), b.AOR...)
	for plain = append(plain, 0); len(plain)%gruuBlock != 0; {
		plain = append(plain, 0)
	}
	if n+len(plain)+s.aead.Overhead() > len(room) { // an AOR of such a length lives elsewhere by now
		text = append(make([]byte, 0, n+len(plain)+s.aead.Overhead()), text...)
	}
	text = s.aead.Seal(text, text[:n], plain, nil)
	return gruuText.AppendEncode(dst, text)
}

// open is the AOR and the registration's span that a temporary GRUU's user part names.
func (s *sealer) open(user string) (aor string, span [lifeLen]byte, ok bool) {
	if len(user) > maxGRUU {
		return "", span, false
	}
	text, err := gruuText.DecodeString(user)
	n := s.aead.NonceSize()
	if err != nil || len(text) < n {
		return "", span, false
	}
	plain, err := s.aead.Open(nil, text[:n], text[n:], nil)
	if err != nil || len(plain) < lifeLen {
		return "", span, false
	}
	copy(span[:], plain)
	return strings.TrimRight(string(plain[lifeLen:]), "\x00"), span, true
}

const upperHex = "0123456789ABCDEF"

// appendEscaped writes s as the value of a URI parameter (RFC 3261 §25.1, pvalue).
func appendEscaped(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			strings.IndexByte("-_.!~*'()[]/:&+$", c) >= 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return dst
}

// grOf is the gr parameter, escapes undone; ok tells whether there is one.
func grOf(u *sip.URI) (value string, ok bool) {
	if !u.IsSIP() {
		return "", false
	}
	return u.Param("gr")
}
