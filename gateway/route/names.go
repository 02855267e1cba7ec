package route

import "github.com/ringway/ringway/sip"

// compact are the one-letter names of header fields that package sip has no number for.
var compact = map[byte]string{
	'a': "Accept-Contact", 'd': "Request-Disposition", 'j': "Reject-Contact", 'n': "Identity-Info", 's': "Subject",
	'u': "Allow-Events", 'x': "Session-Expires", 'y': "Identity",
}

// sameName reports whether two names are of one header field (RFC 3261 §7.3.1 and §7.3.3).
func sameName(a, b string) bool {
	if h := sip.HeaderNamed(a); h != sip.Other {
		return h == sip.HeaderNamed(b)
	}
	return sip.EqualFold(long(a), long(b))
}

func long(name string) string {
	if len(name) == 1 {
		if l := compact[name[0]|0x20]; l != "" {
			return l
		}
	}
	return name
}

// HeaderOf is the values of all lines of that name, for Facts.Header.
func HeaderOf(m *sip.Message, name string) (values []string) {
	for _, f := range m.Fields() {
		if sameName(m.Name(f), name) {
			values = append(values, m.FieldValue(f))
		}
	}
	return values
}
