// Package cmac is AES-CMAC (RFC 4493): a MAC that costs one AES block for 16 octets.
package cmac

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// MAC is AES-CMAC (RFC 4493, NIST SP 800-38B) under one key. Safe for concurrent use.
type MAC struct {
	block cipher.Block
	// The subkeys K1 and K2, as two words each: K1 ends a message of whole blocks, K2 a padded one.
	whole, padded [2]uint64
}

// state is where the octets go on their way through cipher.Block, an interface,
// so that they do not escape each time.
type state struct {
	in   []byte // the message
	link [aes.BlockSize]byte
}

var states = sync.Pool{New: func() any { return &state{in: make([]byte, 0, 256)} }}

// padding fills the last block, RFC 4493 §2.4: a one and zeros.
var padding = [aes.BlockSize]byte{0x80}

// maxPooled keeps a rare long Call-ID from staying in the pool.
const maxPooled = 1 << 10

// New takes an AES key of 16, 24 or 32 octets.
func New(key []byte) *MAC {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the length is a constant
	}
	var zero [aes.BlockSize]byte
	block.Encrypt(zero[:], zero[:])
	l := [2]uint64{binary.BigEndian.Uint64(zero[:8]), binary.BigEndian.Uint64(zero[8:])}
	c := &MAC{block: block, whole: double(l)}
	c.padded = double(c.whole)
	return c
}

// Derive makes a MAC for one purpose of a key that serves HMAC: its AES key is derived from that.
func Derive(key []byte, purpose string) *MAC {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(purpose))
	return New(h.Sum(nil)[:16])
}

// double multiplies by x in GF(2^128), RFC 4493 §2.3.
func double(v [2]uint64) [2]uint64 {
	const reduction = 0x87
	carry := v[0] >> 63
	return [2]uint64{v[0]<<1 | v[1]>>63, v[1]<<1 ^ carry*reduction}
}

// Sum fills out (16 octets at most) with the leading octets of the MAC over a, b and c in a row.
func (m *MAC) Sum(out, a, b []byte, c string) {
	s := states.Get().(*state)
	s.in = append(append(append(s.in[:0], a...), b...), c...)
	last := m.whole
	if n := len(s.in) % aes.BlockSize; n > 0 || len(s.in) == 0 {
		s.in = append(s.in, padding[:aes.BlockSize-n]...)
		last = m.padded
	}
	link, in := s.link[:], s.in
	clear(link)
	for ; len(in) > aes.BlockSize; in = in[aes.BlockSize:] {
		m.chain(link, in, 0, 0)
	}
	m.chain(link, in, last[0], last[1])
	copy(out, link)
	if cap(s.in) <= maxPooled {
		states.Put(s)
	}
}

// chain encrypts the next block of in, xored with link and with a subkey, into link.
func (m *MAC) chain(link, in []byte, hi, lo uint64) {
	order := binary.BigEndian
	order.PutUint64(link[:8], order.Uint64(link[:8])^order.Uint64(in[:8])^hi)
	order.PutUint64(link[8:16], order.Uint64(link[8:16])^order.Uint64(in[8:16])^lo)
	m.block.Encrypt(link, link)
}
