package sip

import (
	"net/netip"
	"strings"
)

// Equal compares by RFC 3261 §19.1.4, IPv6 hosts as addresses (RFC 5954 §4.1).
// URIs of other schemes are equal when their text is, but for the scheme's case.
func (u *URI) Equal(v *URI) bool {
	if !EqualFold(u.Scheme, v.Scheme) {
		return false
	}
	if !u.IsSIP() {
		return u.Opaque == v.Opaque
	}
	return equalEscaped(u.User, v.User, false) && equalEscaped(u.Pass, v.Pass, false) &&
		SameHost(u.Host, v.Host) && u.Port == v.Port &&
		u.paramsAgree(v) && v.paramsAgree(u) &&
		headersWithin(u.Headers, v.Headers) && headersWithin(v.Headers, u.Headers)
}

// SameHost compares two hosts: names in any case, IPv6 references as addresses.
func SameHost(a, b string) bool {
	if EqualFold(a, b) {
		return true
	}
	if a == "" || b == "" || a[0] != '[' || b[0] != '[' {
		return false
	}
	x, err := netip.ParseAddr(strings.Trim(a, "[]"))
	y, err2 := netip.ParseAddr(strings.Trim(b, "[]"))
	return err == nil && err2 == nil && x == y
}

// paramsAgree reports whether every parameter of u is the same in v, or may be
// left out there.
func (u *URI) paramsAgree(v *URI) bool {
	for s := string(u.Params); s != ""; {
		var name, raw string
		name, raw, s = cutParam(s)
		other, ok := rawParam(v.Params, name)
		if ok && !equalEscaped(raw, other, true) {
			return false
		}
		if !ok && neverOmitted(name) {
			return false
		}
	}
	return true
}

func rawParam(p Params, name string) (raw string, ok bool) {
	for s := string(p); s != ""; {
		var n string
		if n, raw, s = cutParam(s); equalEscaped(n, name, true) {
			return raw, true
		}
	}
	return "", false
}

// neverOmitted are the parameters that make a URI another one by being absent.
func neverOmitted(name string) bool {
	for _, n := range [...]string{"user", "ttl", "method", "maddr", "transport"} {
		if equalEscaped(name, n, true) {
			return true
		}
	}
	return false
}

// headersWithin reports whether each header of a is, with its value, in b.
func headersWithin(a, b string) bool {
	for a != "" {
		var h string
		h, a, _ = strings.Cut(a, "&")
		if !headerIn(h, b) {
			return false
		}
	}
	return true
}

func headerIn(h, in string) bool {
	name, value, _ := strings.Cut(h, "=")
	for in != "" {
		var g string
		g, in, _ = strings.Cut(in, "&")
		n, v, _ := strings.Cut(g, "=")
		if equalEscaped(n, name, true) && equalEscaped(v, value, false) {
			return true
		}
	}
	return false
}

// equalEscaped compares with escapes undone, except those of reserved
// characters, which are not the characters themselves (RFC 3261 §19.1.4).
func equalEscaped(a, b string, fold bool) bool {
	for a != "" && b != "" {
		var x, y uint16
		x, a = nextOctet(a)
		y, b = nextOctet(b)
		if x != y && !(fold && x < 256 && y < 256 && Lower(byte(x)) == Lower(byte(y))) {
			return false
		}
	}
	return a == "" && b == ""
}

// nextOctet cuts an octet off s; an escaped reserved one has bit 8 set.
func nextOctet(s string) (c uint16, rest string) {
	if !escapeAt(s, 0) {
		return uint16(s[0]), s[1:]
	}
	b := unhex(s[1], s[2])
	if strings.IndexByte(";/?:@&=+$,", b) >= 0 {
		return 0x100 | uint16(b), s[3:]
	}
	return uint16(b), s[3:]
}
