package cmac

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The examples of RFC 4493 §4: messages of 0, 16, 40 and 64 octets.
func TestCMACKnownAnswers(t *testing.T) {
	c := New(unhex(t, "2b7e151628aed2a6abf7158809cf4f3c"))
	message := unhex(t, "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"+
		"30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
	for _, tt := range []struct {
		octets int
		want   string
	}{
		{0, "bb1d6929e95937287fa37d129b756746"},
		{16, "070a16b46b4d4144f79bdd9dd04a287c"},
		{40, "dfa66747de9ae63030ca32611497c827"},
		{64, "51f0bebf7e3b9d92fc49741779363cfe"},
	} {
		for cut := 0; cut <= tt.octets; cut++ { // however it is cut in three
			var got [aes.BlockSize]byte
			c.Sum(got[:], message[:cut/2], message[cut/2:cut], string(message[cut:tt.octets]))
			if hex.EncodeToString(got[:]) != tt.want {
				t.Fatalf("%d octets cut at %d: %x, want %s", tt.octets, cut, got, tt.want)
			}
		}
	}
}

// slowCMAC is RFC 4493 §2.4 word for word, bit by bit.
func slowCMAC(key, message []byte) []byte {
	block, _ := aes.NewCipher(key)
	shift := func(in []byte) []byte {
		out := make([]byte, 16)
		for i := range 16 {
			out[i] = in[i] << 1
			if i < 15 {
				out[i] |= in[i+1] >> 7
			}
		}
		if in[0]&0x80 != 0 {
			out[15] ^= 0x87
		}
		return out
	}
	l := make([]byte, 16)
	block.Encrypt(l, l)
	k1 := shift(l)
	k2 := shift(k1)
	n, sub, m := (len(message)+15)/16, k1, bytes.Clone(message)
	if len(m) == 0 || len(m)%16 != 0 {
		n, sub = max(n, 1), k2
		m = append(m, 0x80)
		m = append(m, make([]byte, n*16-len(m))...)
	}
	x := make([]byte, 16)
	for i := range n {
		for j := range 16 {
			x[j] ^= m[i*16+j]
			if i == n-1 {
				x[j] ^= sub[j]
			}
		}
		block.Encrypt(x, x)
	}
	return x
}

// All lengths and many keys: the subkeys of half of the keys carry.
func TestCMACIsTheOneOfRFC4493(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	octets := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	for n := range 300 {
		for range 4 {
			key, m := octets(16), octets(n)
			var got [aes.BlockSize]byte
			New(key).Sum(got[:], m[:n/3], m[n/3:n/2], string(m[n/2:]))
			if want := slowCMAC(key, m); !bytes.Equal(got[:], want) {
				t.Fatalf("%d octets under %x: %x, want %x", n, key, got, want)
			}
		}
	}
}
