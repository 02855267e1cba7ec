package digest

import (
	"errors"
	"strings"

	"github.com/ringway/ringway/sip"
)

// Credentials are the value of an Authorization or Proxy-Authorization line
// (RFC 3261 §25.1), quotes removed. Quoted pairs stay as they are: the hashes are
// over the text between the quotes (RFC 7616 §3.4).
type Credentials struct {
	User, Realm, Nonce, URI, Response string
	Algorithm, CNonce, NC, QOP        string
	Opaque                            string
}

// Challenge is the value of a WWW-Authenticate or Proxy-Authenticate line.
type Challenge struct {
	Realm, Nonce, Algorithm, Opaque string
	QOP                             string // a comma-separated list
	Stale                           bool
}

// What can be wrong with the text.
var (
	errScheme  = errors.New("not Digest")
	errSyntax  = errors.New("bad digest parameter")
	errQuote   = errors.New("unbalanced quote")
	errTwice   = errors.New("digest parameter given twice")
	errTooMany = errors.New("too many digest parameters")
)

// maxParams bounds the work that one line makes.
const maxParams = 32

// IsDigest reports whether a value is of the Digest scheme.
func IsDigest(value string) bool { return scheme(value, "Digest") }

// IsBearer reports whether a value is of the Bearer scheme (RFC 8898).
func IsBearer(value string) bool { return scheme(value, "Bearer") }

func scheme(value, name string) bool {
	n := len(name)
	return len(value) > n && sip.IsBlank(value[n]) && sip.EqualFold(value[:n], name)
}

// ParseCredentials reads an Authorization value. The strings of the result are
// parts of value; parameters that nobody knows are passed over.
func ParseCredentials(value string) (c Credentials, err error) {
	w := walk{s: value}
	for w.next() {
		w.put(c.field(w.name))
	}
	return c, w.err
}

// field is where a parameter's value goes, nil for nowhere.
func (c *Credentials) field(name string) *string {
	switch len(name) { // most names have a length of their own
	case 2:
		return named(name, "nc", &c.NC, nil)
	case 3:
		return named(name, "uri", &c.URI, named(name, "qop", &c.QOP, nil))
	case 5:
		return named(name, "realm", &c.Realm, named(name, "nonce", &c.Nonce, nil))
	case 6:
		return named(name, "cnonce", &c.CNonce, named(name, "opaque", &c.Opaque, nil))
	case 8:
		return named(name, "username", &c.User, named(name, "response", &c.Response, nil))
	case 9:
		return named(name, "algorithm", &c.Algorithm, nil)
	}
	return nil
}

// named is to when name is want, else what.
func named(name, want string, to, what *string) *string {
	if sip.EqualFold(name, want) {
		return to
	}
	return what
}

// ParseChallenge reads a WWW-Authenticate value.
func ParseChallenge(value string) (c Challenge, err error) {
	var stale string
	w := walk{s: value}
	for w.next() {
		w.put(c.field(w.name, &stale))
	}
	c.Stale = sip.EqualFold(stale, "true")
	return c, w.err
}

func (c *Challenge) field(name string, stale *string) *string {
	for _, k := range [...]struct {
		name string
		to   *string
	}{
		{"realm", &c.Realm}, {"nonce", &c.Nonce}, {"algorithm", &c.Algorithm},
		{"opaque", &c.Opaque}, {"qop", &c.QOP}, {"stale", stale},
	} {
		if sip.EqualFold(name, k.name) {
			return k.to
		}
	}
	return nil
}

// walk goes through "Digest name=value, name="value"". Blanks may stand around
// '=' and ',', and empty list elements are let through, as many clients write them.
type walk struct {
	s           string
	i, n        int
	name, value string // of the parameter that next has read
	err         error
}

// next reads one parameter; false at the end and on an error.
func (w *walk) next() bool {
	if w.i == 0 {
		if !IsDigest(w.s) {
			w.err = errScheme
		}
		w.i = len("Digest ")
	}
	if w.err != nil {
		return false
	}
	for w.i < len(w.s) && (sip.IsBlank(w.s[w.i]) || w.s[w.i] == ',') {
		w.i++
	}
	if w.i == len(w.s) {
		return false
	}
	if w.n++; w.n > maxParams {
		w.err = errTooMany
		return false
	}
	w.name, w.value, w.i, w.err = param(w.s, w.i)
	return w.err == nil
}

// put gives the value to a field, which must not have one yet.
func (w *walk) put(to *string) {
	if to == nil {
		return
	}
	if *to != "" {
		w.err = errTwice
	}
	*to = w.value
}

// param reads the parameter that begins at s[i]; next is behind it, at a comma or the end.
func param(s string, i int) (name, value string, next int, err error) {
	start := i
	for i < len(s) && octets[s[i]]&bare != 0 && s[i] != '=' {
		i++
	}
	name = s[start:i]
	i = sip.SkipBlanks(s, i)
	if name == "" || i == len(s) || s[i] != '=' {
		return "", "", 0, errSyntax
	}
	i = sip.SkipBlanks(s, i+1)
	if i < len(s) && s[i] == '"' {
		start = i + 1
		if i, err = quoteEnd(s, start); err != nil {
			return "", "", 0, err
		}
		value = s[start:i]
		i++
	} else {
		start = i
		for i < len(s) && octets[s[i]]&bare != 0 {
			i++
		}
		value = s[start:i]
	}
	if i = sip.SkipBlanks(s, i); i < len(s) && s[i] != ',' {
		return "", "", 0, errSyntax
	}
	return name, value, i, nil
}

// quoteEnd is the index of the quote that ends a quoted string whose inside begins at s[i].
func quoteEnd(s string, i int) (int, error) {
	for ; i < len(s); i++ {
		if octets[s[i]]&quotable != 0 {
			continue
		}
		switch s[i] {
		case '"':
			return i, nil
		case '\\':
			if i++; i < len(s) && octets[s[i]] == 0 {
				return 0, errSyntax
			}
		default:
			return 0, errSyntax
		}
	}
	return 0, errQuote
}

// octets says where an octet may stand; control characters may nowhere.
var octets = makeOctets()

const (
	bare     = 1 << iota // value without quotes, and name but for '='
	quotable             // in quotes as it is
	escapable
)

func makeOctets() (t [256]byte) {
	for c := range t {
		switch {
		case c == '"', c == '\\':
			t[c] = escapable
		case c == ' ', c == '\t', c == ',', c >= 0x80:
			t[c] = quotable | escapable
		case c > ' ' && c < 0x7f:
			t[c] = bare | quotable | escapable
		}
	}
	return t
}

// offersAuth reports whether a qop list has "auth" in it.
func offersAuth(list string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if sip.EqualFold(strings.Trim(one, " \t"), "auth") {
			return true
		}
	}
	return false
}
