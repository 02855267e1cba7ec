package sip

import (
	"errors"
	"iter"
	"strings"
)

// maxParams is how many parameters one value may have.
const maxParams = 64

// What can be wrong with parameters.
var (
	errParamsStart = errors.New("junk after value")
	errParamName   = errors.New("bad parameter name")
	errParamValue  = errors.New("bad parameter value")
	errParamTwice  = errors.New("parameter given twice")
	errParamCount  = errors.New("more than 64 parameters")
	errQuote       = errors.New("unbalanced quote")
	errQuoted      = errors.New("control character in quoted string")
	errQValue      = errors.New("bad q value")
	errSeconds     = errors.New("bad number of seconds")
)

// Params are ;name=value pairs as they stand, from the first ';' on, or empty.
type Params string

// Value is the value of a parameter (name in any case), quotes and quoted pairs
// removed; ok tells "absent" from "without value". It allocates only for quoted pairs.
func (p Params) Value(name string) (value string, ok bool) {
	for s := string(p); s != ""; {
		var n, raw string
		if n, raw, s = cutParam(s); EqualFold(n, name) {
			return unquote(raw), true
		}
	}
	return "", false
}

// Has reports whether a parameter is present, with or without value.
func (p Params) Has(name string) bool {
	_, ok := p.Value(name)
	return ok
}

// All yields name and raw value (quotes kept) of each parameter.
func (p Params) All() iter.Seq2[string, string] {
	return func(yield func(name, raw string) bool) {
		for s := string(p); s != ""; {
			var n, raw string
			if n, raw, s = cutParam(s); n != "" && !yield(n, raw) {
				return
			}
		}
	}
}

// cutParam cuts the first ";name=value" off s, blanks aside. It is lenient:
// checkParams has said before whether s is right.
func cutParam(s string) (name, raw, rest string) {
	i := SkipBlanks(s, 0)
	if i < len(s) && s[i] == ';' {
		i = SkipBlanks(s, i+1)
	}
	start := i
	for i < len(s) && s[i] != ';' && s[i] != '=' && !IsBlank(s[i]) {
		i++
	}
	name = s[start:i]
	i = SkipBlanks(s, i)
	if i < len(s) && s[i] == '=' {
		i = SkipBlanks(s, i+1)
		start = i
		i = valueEnd(s, i)
		raw = s[start:i]
		i = SkipBlanks(s, i)
	}
	if i < len(s) && s[i] != ';' { // junk: go on with the next parameter
		if n := strings.IndexByte(s[i:], ';'); n >= 0 {
			return name, raw, s[i+n:]
		}
		i = len(s)
	}
	return name, raw, s[i:]
}

// valueEnd is the index past the parameter value that begins at s[i].
func valueEnd(s string, i int) int {
	if i < len(s) && s[i] == '"' {
		if e := quotedEnd(s, i); e > 0 {
			return e
		}
		return len(s)
	}
	for i < len(s) && s[i] != ';' && !IsBlank(s[i]) {
		i++
	}
	return i
}

// unquote removes quotes and quoted pairs; what is not quoted it returns as it is.
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// checkParams says whether s, the part of a header value behind its first
// component, is *(SEMI generic-param) (RFC 3261 §25.1), no name used twice
// (§7.3.1) but in a plain repetition, and returns it from the first ';' on. SIP.js
// says its +sip.instance twice when it is to have a reg-id too. An unquoted value may hold more
// than the grammar has: branches and tags in base64 are common.
func checkParams(s string) (Params, error) {
	i := SkipBlanks(s, 0)
	if i == len(s) {
		return "", nil
	}
	if s[i] != ';' {
		return "", errParamsStart
	}
	p := s[i:]
	var seen nameSet
	for i = 0; i < len(p); {
		start, nameEnd, next, err := paramAt(p, i)
		if err != nil {
			return "", err
		}
		if j, err := seen.add(p, start, nameEnd); err == errParamTwice {
			if !repeats(p[j:], p[start:next]) {
				return "", err
			}
		} else if err != nil {
			return "", err
		}
		i = next
	}
	return Params(p), nil
}

// nameSet remembers where the names of one value's parameters stand.
type nameSet struct {
	n  int
	at [maxParams]struct{ start, end uint16 }
}

var errParamLong = errors.New("parameters too long")

// add refuses s[start:end] when it is one too many, or there already, at first.
func (ns *nameSet) add(s string, start, end int) (first int, err error) {
	if ns.n == maxParams {
		return 0, errParamCount
	}
	if end > 1<<16-1 {
		return 0, errParamLong
	}
	for _, a := range ns.at[:ns.n] {
		if int(a.end-a.start) == end-start && EqualFold(s[a.start:a.end], s[start:end]) {
			return int(a.start), errParamTwice
		}
	}
	ns.at[ns.n].start, ns.at[ns.n].end = uint16(start), uint16(end)
	ns.n++
	return 0, nil
}

// repeats reports whether s begins with the same parameter, and nothing else belongs to it.
func repeats(s, param string) bool {
	param = strings.TrimRight(param, " \t")
	return strings.HasPrefix(s, param) && (len(s) == len(param) || strings.IndexByte("; \t", s[len(param)]) >= 0)
}

// paramAt checks the one parameter whose ';' is s[i]: its name is
// s[start:end], next is the following ';' or the end.
func paramAt(s string, i int) (start, end, next int, err error) {
	start = SkipBlanks(s, i+1)
	i = spanFrom(s, start, tokenChar)
	if end = i; start == end {
		return 0, 0, 0, errParamName
	}
	if i = SkipBlanks(s, i); i < len(s) && s[i] == '=' {
		i = SkipBlanks(s, i+1)
		if i < len(s) && s[i] == '"' {
			q := i
			if i = quotedEnd(s, q); i < 0 {
				return 0, 0, 0, errQuote
			}
			if !cleanQuoted(s[q:i]) {
				return 0, 0, 0, errQuoted
			}
		} else {
			i = spanFrom(s, i, valueChar)
		}
		i = SkipBlanks(s, i)
	}
	if i < len(s) && s[i] != ';' {
		return 0, 0, 0, errParamValue
	}
	return start, end, i, nil
}

// cleanQuoted reports whether a quoted string holds no CR or LF at all, and
// other control characters only as quoted pairs (RFC 3261 §25.1).
func cleanQuoted(q string) bool {
	for i := 0; i < len(q); i++ {
		c := q[i]
		if c == '\\' && i+1 < len(q) {
			i++
			if c = q[i]; c == '\r' || c == '\n' {
				return false
			}
			continue
		}
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// QValue is the q parameter in thousandths, 1000 when absent (RFC 3261 §16.6,
// §20.10). A value that is no qvalue is an error.
func QValue(p Params) (int, error) {
	s, ok := p.Value("q")
	if !ok {
		return 1000, nil
	}
	if s == "" || s[0] != '0' && s[0] != '1' || len(s) > 5 || len(s) > 1 && s[1] != '.' {
		return 0, errQValue
	}
	q, unit := int(s[0]-'0')*1000, 100
	for i := 2; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, errQValue
		}
		q += int(s[i]-'0') * unit
		unit /= 10
	}
	if q > 1000 {
		return 0, errQValue
	}
	return q, nil
}

// ParseExpires reads delta-seconds (RFC 3261 §20.19); what is beyond 2^32-1 is
// taken for 2^32-1.
func ParseExpires(s string) (uint32, error) {
	if s == "" {
		return 0, errSeconds
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, errSeconds
		}
		if n = n*10 + uint64(s[i]-'0'); n > 1<<32-1 {
			n = 1<<32 - 1
		}
	}
	return uint32(n), nil
}
