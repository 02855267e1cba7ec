package route

import (
	"strings"

	"github.com/ringway/ringway/sip"
)

// UserOf is the user of a Request-URI as rules see it: escapes undone once, and of a
// telephone number neither its parameters nor its visual separators (RFC 3966 §5.1.1), whether it says user=phone
// (RFC 3261 §19.1.6) or only looks like one: who is barred from 0900 may not dial 0-900. "" for none.
func UserOf(u *sip.URI) string {
	switch {
	case sip.EqualFold(u.Scheme, "tel"):
		number, _, _ := strings.Cut(u.Opaque, ";")
		return bare(unescape(number))
	case !u.IsSIP():
		return ""
	case phone(u):
		number, _, _ := strings.Cut(u.User, ";")
		return bare(unescape(number))
	}
	return unescape(u.User)
}

// CallerOf is Facts.Caller of a From value: user@host as an address-of-record, the
// number of a tel URI, "" for anything else.
func CallerOf(from string) string {
	a, err := sip.ParseNameAddr(from)
	if err != nil {
		return ""
	}
	u, err := sip.ParseURI(a.URI)
	if err != nil {
		return ""
	}
	if u.IsSIP() {
		return u.AOR()
	}
	return UserOf(&u)
}

// phone reports whether the user part of a SIP URI is a telephone-subscriber, or may be.
func phone(u *sip.URI) bool {
	digits, _, _ := strings.Cut(u.User, ";")
	if number(unescape(digits)) {
		return true
	}
	v, _ := u.Param("user")
	return sip.EqualFold(v, "phone")
}

const separators = "-.()"

// bare is a number without visual separators; what is no number stays as it is.
func bare(s string) string {
	if !strings.ContainsAny(s, separators) || !number(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(separators, s[i]) < 0 {
			b = append(b, s[i])
		}
	}
	return string(b)
}

// number is global-number-digits or local-number-digits of RFC 3966 §3, without "a" to "f".
func number(s string) bool {
	digits := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			digits++
		case c == '+' && i == 0, strings.IndexByte(separators+"*#", c) >= 0:
		default:
			return false
		}
	}
	return digits > 0
}

// apply is user as an international number, or user when it is none that can be dialled so.
func (e *E164) apply(user string) string {
	if !number(user) {
		return user
	}
	n := bare(user)
	digits := ""
	international := e.International != "" && strings.HasPrefix(n, e.International)
	switch {
	case n[0] == '+':
		digits = n[1:]
	case international && (len(e.International) >= len(e.National) || !strings.HasPrefix(n, e.National)):
		digits = n[len(e.International):]
	case strings.HasPrefix(n, e.National):
		if digits = e.Country + n[len(e.National):]; len(digits) == len(e.Country) {
			return user
		}
	default:
		return user
	}
	// ITU-T E.164 §6.2: at most 15 digits, and country codes do not begin with 0.
	if len(digits) < 2 || len(digits) > 15 || digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return user
	}
	return "+" + digits
}

// unescape undoes the escapes of s, once.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, ok1 := hexDigit(s[i+1])
			lo, ok2 := hexDigit(s[i+2])
			if ok1 && ok2 {
				b = append(b, hi<<4|lo)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func hexDigit(c byte) (v byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// escape makes a user part of any text (RFC 3261 §25.1: unreserved and user-unreserved stay).
func escape(s string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		if c := s[i]; plainUser(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

func plainUser(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || strings.IndexByte("-_.!~*'()&=+$,;?/", c) >= 0
}
