package transaction

import (
	"math/rand/v2"

	"github.com/ringway/ringway/sip"
)

// cookie begins the branches of RFC 3261 (§8.1.1.7).
const cookie = "z9hG4bK"

// branchLen is the length of a branch of ours: the cookie and two numbers of 16 hex digits.
const branchLen = len(cookie) + 32

// NewID draws the number of a new branch: 64 bits that no peer can guess, never 0.
func NewID() uint64 {
	for {
		if id := rand.Uint64(); id != 0 {
			return id
		}
	}
}

// AppendBranch writes a branch parameter's value: magic cookie, id, loop hash (RFC 5393 §4.2); fixed length.
func AppendBranch(dst []byte, id uint64, loop uint64) []byte {
	dst = append(dst, cookie...)
	return appendHex(appendHex(dst, id), loop)
}

// ParseBranch reads a branch of ours.
func ParseBranch(branch string) (id, loop uint64, ok bool) {
	if len(branch) != branchLen || !hasCookie(branch) {
		return 0, 0, false
	}
	id, ok = parseHex(branch[len(cookie) : len(cookie)+16])
	if !ok {
		return 0, 0, false
	}
	loop, ok = parseHex(branch[len(cookie)+16:])
	return id, loop, ok
}

// hasCookie tells an RFC 3261 branch from an older one; the cookie alone is no branch.
func hasCookie(branch string) bool {
	return len(branch) > len(cookie) && sip.EqualFold(branch[:len(cookie)], cookie)
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, n uint64) []byte {
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}

func parseHex(s string) (n uint64, ok bool) {
	for i := range len(s) {
		c := sip.Lower(s[i])
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, true
}
