package sip

import "strings"

// charClass says which productions of RFC 3261 §25.1 an octet may stand in.
type charClass uint16

const (
	tokenChar   charClass = 1 << iota // token
	userChar                          // user, '%' apart
	passChar                          // password, '%' apart
	paramChar                         // paramchar, '%' apart
	headerChar                        // hname and hvalue with their '&' and '=', '%' apart
	uriChar                           // any part of an absoluteURI, '%' apart
	hostChar                          // hostname and IPv4address
	schemeChar                        // scheme after its first letter
	hexChar                           // HEXDIG
	valueChar                         // unquoted gen-value, as peers send it
	displayChar                       // display-name without quotes, LWS apart
	plainChar                         // unreserved: its escape means the same (RFC 3261 §19.1.4)
)

var charClasses = makeCharClasses()

func makeCharClasses() (t [256]charClass) {
	const (
		alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		plain = alnum + "-_.!~*'()"
	)
	for class, chars := range map[charClass]string{
		tokenChar: alnum + "-.!%*_+`'~",
		// '#' is not in the grammar, but phones dial feature codes with it.
		userChar:   plain + "&=+$,;?/#",
		passChar:   plain + "&=+$,",
		paramChar:  plain + "[]/:&+$",
		headerChar: plain + "[]/?:+$&=",
		uriChar:    plain + ";/?:@&=+$,[]#",
		// '_' is not in the grammar, but container networks name hosts with it.
		hostChar:    alnum + "-._",
		schemeChar:  alnum + "+-.",
		hexChar:     "0123456789abcdefABCDEF",
		displayChar: alnum + "-.!%*_+`'~",
		plainChar:   plain,
	} {
		for i := range len(chars) {
			t[chars[i]] |= class
		}
	}
	for c := 0x21; c < 0x7f; c++ {
		if strings.IndexByte("\",;<>\\", byte(c)) < 0 {
			t[c] |= valueChar
		}
	}
	for c := 0x80; c < 0x100; c++ { // UTF-8 without the quotes it should have
		t[c] |= displayChar
	}
	return t
}

// span is the length of the longest prefix of s whose octets are all in class.
func span(s string, class charClass) int { return spanFrom(s, 0, class) }

// spanFrom is the first index from i on whose octet is not in class.
func spanFrom(s string, i int, class charClass) int {
	for i < len(s) && charClasses[s[i]]&class != 0 {
		i++
	}
	return i
}

// spanEscaped is span with escapes ("%41") among the octets.
func spanEscaped(s string, class charClass) int {
	for i := 0; i < len(s); i++ {
		if charClasses[s[i]]&class != 0 {
			continue
		}
		if !escapeAt(s, i) {
			return i
		}
		i += 2
	}
	return len(s)
}

// escapeAt reports whether s[i:] begins with an escape.
func escapeAt(s string, i int) bool {
	return s[i] == '%' && i+2 < len(s) &&
		charClasses[s[i+1]]&charClasses[s[i+2]]&hexChar != 0
}

// IsBlank reports whether c is SP or HTAB.
func IsBlank(c byte) bool { return c == ' ' || c == '\t' }

// SkipBlanks is the first index from i on that holds no blank. Values are unfolded
// before they get here, so CR and LF are errors like any other control character.
func SkipBlanks(s string, i int) int {
	for i < len(s) && IsBlank(s[i]) {
		i++
	}
	return i
}

// trimBlanks cuts SP and HTAB from both ends.
func trimBlanks(s string) string {
	for len(s) > 0 && IsBlank(s[0]) {
		s = s[1:]
	}
	for len(s) > 0 && IsBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// Lower is c in lower case, ASCII only.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c |= 0x20
	}
	return c
}

// EqualFold compares two tokens in any case, ASCII only: unlike
// strings.EqualFold it has no letters outside ASCII that match ones in it.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		if a[i] != b[i] && Lower(a[i]) != Lower(b[i]) {
			return false
		}
	}
	return true
}

// unhex is the value of an escape's two digits.
func unhex(hi, lo byte) byte { return hexDigit(hi)<<4 | hexDigit(lo) }

func hexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return Lower(c) - 'a' + 10
}

// Unescape undoes all escapes of s, which is s itself when there are none.
func Unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if escapeAt(s, i) {
			b = append(b, unhex(s[i+1], s[i+2]))
			i += 2
		} else {
			b = append(b, s[i])
		}
	}
	return string(b)
}
