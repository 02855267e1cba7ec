package relay

import (
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// Contact values are changed in place: what is not ours to change stays byte for byte.

// withURI is a name-addr or addr-spec with another URI, display name and parameters as they were.
func withURI(value string, addr *sip.NameAddr, uri string) string {
	params := value[len(value)-len(addr.Params):]
	if lt := strings.LastIndexByte(value[:len(value)-len(params)], '<'); lt >= 0 {
		return value[:lt+1] + uri + ">" + params
	}
	return "<" + uri + ">" + params
}

// withExpires is a Contact value, which ends in params, with these seconds in its expires parameter.
func withExpires(value string, params sip.Params, seconds uint32) string {
	n := strconv.FormatUint(uint64(seconds), 10)
	start, end := expiresAt(string(params))
	if start < 0 {
		return value + ";expires=" + n
	}
	base := len(value) - len(params)
	return value[:base+start] + n + value[base+end:]
}

// expiresAt is where the value of the expires parameter stands in p, or -1.
func expiresAt(p string) (start, end int) {
	for i := 0; i < len(p); {
		stop := paramEnd(p, i)
		name, _, valued := strings.Cut(p[i+1:stop], "=")
		if valued && sip.EqualFold(strings.Trim(name, " \t"), "expires") {
			start = i + 1 + len(name) + 1
			for start < stop && (p[start] == ' ' || p[start] == '\t') {
				start++
			}
			for end = stop; end > start && (p[end-1] == ' ' || p[end-1] == '\t'); end-- {
			}
			return start, end
		}
		i = stop
	}
	return -1, -1
}

// paramEnd is the index past the parameter whose ';' is p[i].
func paramEnd(p string, i int) int {
	quoted := false
	for i++; i < len(p); i++ {
		switch {
		case quoted && p[i] == '\\':
			i++
		case p[i] == '"':
			quoted = !quoted
		case p[i] == ';' && !quoted:
			return i
		}
	}
	return len(p)
}

// listed is one Contact value of a response.
type listed struct {
	field int    // index among the message's fields
	at    int    // where it begins in the field's value
	value string // as it stands
	addr  sip.NameAddr
	uri   sip.URI
	bad   bool   // no SIP URI
	now   string // what it is to be, "" for what it is
}

// contactsOf lists the Contact values of m into room.
func contactsOf(m *sip.Message, room []listed) []listed {
	if !m.Has(sip.Contact) {
		return room
	}
	for i, f := range m.Fields() {
		if f.Header != sip.Contact {
			continue
		}
		text, from := m.FieldValue(f), 0
		for v := range sip.SplitList(text) {
			if v == "" {
				continue
			}
			from += strings.Index(text[from:], v)
			l := listed{field: i, at: from, value: v}
			from += len(v)
			var err error
			if l.addr, err = sip.ParseNameAddr(v); err == nil {
				l.uri, err = sip.ParseURI(l.addr.URI)
			}
			l.bad = err != nil || !l.uri.IsSIP()
			room = append(room, l)
		}
	}
	return room
}

// find is the index of the value that stands for the Contact that the registrar was given, -1 for
// none. Registrars lose parameters of the URI, and some put where it came from in place of its host
// ("rewrite_contact", of which rewritten knows), never its user part: that has to be the only such one, or of
// the same instance.
func find(list []listed, sent *sip.URI, text, instance string, rewritten func(host string, port uint16) bool) int {
	for i := range list {
		if list[i].addr.URI == text {
			return i
		}
	}
	for i := range list {
		if !list[i].bad && list[i].uri.Equal(sent) {
			return i
		}
	}
	found, n := -1, 0
	for i := range list {
		l := &list[i]
		if l.bad || !sameUser(l.uri.User, sent.User) || !sip.SameHost(l.uri.Host, sent.Host) && !rewritten(l.uri.Host, l.uri.Port) {
			continue
		}
		if v, ok := l.addr.Params.Value("+sip.instance"); ok && instance != "" {
			if bare(v) == instance {
				return i
			}
			continue
		}
		found, n = i, n+1
	}
	if n != 1 {
		return -1
	}
	return found
}

// bare is the value of +sip.instance without its angle brackets.
func bare(instance string) string {
	return strings.TrimSuffix(strings.TrimPrefix(instance, "<"), ">")
}

// splice puts the changed values of list into the copy.
func spliceContacts(m *sip.Message, out *sip.Splice, list []listed) {
	fields := m.Fields()
	for i := 0; i < len(list); {
		field, changed, n := list[i].field, false, i
		for n < len(list) && list[n].field == field {
			changed = changed || list[n].now != ""
			n++
		}
		if changed {
			out.Replace(fields[field], rebuilt(m.FieldValue(fields[field]), list[i:n]))
		}
		i = n
	}
}

// rebuilt is a field's text with the changed values.
func rebuilt(text string, list []listed) string {
	var b strings.Builder
	from := 0
	for i := range list {
		l := &list[i]
		if l.now == "" {
			continue
		}
		b.WriteString(text[from:l.at])
		b.WriteString(l.now)
		from = l.at + len(l.value)
	}
	b.WriteString(text[from:])
	return b.String()
}
