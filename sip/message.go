package sip

import (
	"iter"
	"strings"
)

// Framing is how a transport delimits messages, which decides what
// Content-Length means.
type Framing uint8

// The framings.
const (
	// Datagram is UDP: absent Content-Length means the rest of the datagram, and
	// octets beyond it are cut (RFC 3261 §18.3).
	Datagram Framing = iota
	// Stream is TCP and TLS: Content-Length is required (RFC 3261 §20.14).
	Stream
	// Frame is WebSocket: Content-Length may be absent (RFC 7118 §5.3) and must
	// equal the body when present.
	Frame
)

// Message is one SIP message, immutable once parsed: the text and an index of it.
type Message struct {
	text string
	head uint32 // offset of the body

	cseq             uint32
	status           uint16 // 0: request
	maxForwards      uint8
	vias, routes     uint8  // values, not lines
	startEnd         uint16 // past the start line's CRLF
	target, targetTo uint16 // Request-URI, or reason phrase
	toReadable       bool   // To parsed: a tag can be put behind it
	present          headerSet

	method  string
	callID  string
	fromTag string
	toTag   string
	topVia  ViaValue

	fields []Field
	inline [24]Field // what fields starts in: one allocation for ordinary messages
}

// Field is one header line of a Message, possibly folded. Its offsets fit 16
// bits because a header ends within MaxMessage.
type Field struct {
	Header                                Header
	folded                                bool
	start, nameEnd, valStart, valEnd, end uint16 // end is past the line's CRLF
}

// IsRequest reports whether m is a request.
func (m *Message) IsRequest() bool { return m.status == 0 }

// Method is the request's method, or the CSeq method of a response; case is kept.
func (m *Message) Method() string { return m.method }

// RequestURI is the Request-URI as it stands, "" for a response.
func (m *Message) RequestURI() string {
	if m.status != 0 {
		return ""
	}
	return m.text[m.target:m.targetTo]
}

// Status is the response's status code, 0 for a request.
func (m *Message) Status() int { return int(m.status) }

// ReasonPhrase is the response's reason phrase, "" for a request.
func (m *Message) ReasonPhrase() string {
	if m.status == 0 {
		return ""
	}
	return m.text[m.target:m.targetTo]
}

// String is the whole message as it came (surplus octets cut).
func (m *Message) String() string { return m.text }

// Body is what follows the header.
func (m *Message) Body() string { return m.text[m.head:] }

// CallID is the Call-ID's value.
func (m *Message) CallID() string { return m.callID }

// CSeq is the sequence number and method of CSeq.
func (m *Message) CSeq() (n uint32, method string) { return m.cseq, m.method }

// FromTag is the tag of From, "" without one.
func (m *Message) FromTag() string { return m.fromTag }

// ToTag is the tag of To, "" without one.
func (m *Message) ToTag() string { return m.toTag }

// MaxForwards is Max-Forwards, 70 when absent (RFC 3261 §16.6 step 3).
func (m *Message) MaxForwards() int { return int(m.maxForwards) }

// TopVia is the first Via value, as it was sent.
func (m *Message) TopVia() *ViaValue { return &m.topVia }

// ViaCount is the number of Via values.
func (m *Message) ViaCount() int { return int(m.vias) }

// Has reports whether a field h is present.
func (m *Message) Has(h Header) bool { return m.present.has(h) }

// Value is the first h field's whole value, trimmed and unfolded, "" when absent.
func (m *Message) Value(h Header) string {
	if f := m.first(h); f != nil {
		return m.FieldValue(*f)
	}
	return ""
}

// first is the first h field, or nil.
func (m *Message) first(h Header) *Field {
	if !m.present.has(h) {
		return nil
	}
	for i := range m.fields {
		if m.fields[i].Header == h {
			return &m.fields[i]
		}
	}
	return nil
}

// Fields are the header lines in order. The slice is not to be changed.
func (m *Message) Fields() []Field { return m.fields }

// Name is the field name of f as it stands.
func (m *Message) Name(f Field) string { return m.text[f.start:f.nameEnd] }

// FieldValue is the value of f, trimmed and unfolded.
func (m *Message) FieldValue(f Field) string {
	v := m.text[f.valStart:f.valEnd]
	if f.folded {
		return unfold(v)
	}
	return v
}

// unfold turns each line folding and the whitespace around it into one SP (RFC 3261 §7.3.1).
func unfold(v string) string {
	if strings.IndexByte(v, '\n') < 0 {
		return v
	}
	b := make([]byte, 0, len(v))
	for i := 0; i < len(v); i++ {
		if v[i] != '\r' {
			b = append(b, v[i])
			continue
		}
		for len(b) > 0 && isSpace(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		for i+1 < len(v) && isSpace(v[i+1]) {
			i++
		}
		b = append(b, ' ')
	}
	return string(b)
}

// Values yields each value of the h fields, in order: comma-separated values
// (quotes and angle brackets respected) across all lines. Empty ones are left out.
func (m *Message) Values(h Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !m.present.has(h) {
			return
		}
		for i := range m.fields {
			if m.fields[i].Header != h {
				continue
			}
			for v := range SplitList(m.FieldValue(m.fields[i])) {
				if v != "" && !yield(v) {
					return
				}
			}
		}
	}
}

// Named is the first value of a field of that name (any case, long or compact).
func (m *Message) Named(name string) string {
	if h := HeaderNamed(name); h != Other {
		return m.Value(h)
	}
	name = longForm(name)
	for i := range m.fields {
		f := &m.fields[i]
		if f.Header == Other && EqualFold(longForm(m.text[f.start:f.nameEnd]), name) {
			return m.FieldValue(*f)
		}
	}
	return ""
}

// HasOption reports whether option tag is listed in h (Supported, Require, Proxy-Require).
func (m *Message) HasOption(h Header, tag string) bool {
	for v := range m.Values(h) {
		if EqualFold(v, tag) {
			return true
		}
	}
	return false
}

// isSpace is isBlank for text that may still be folded.
func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipSpace is the first index from i on that holds no blank nor folding.
func skipSpace(s string, i int) int {
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	return i
}

// endSpace is the index behind the last octet of s[from:to] that is no blank nor folding.
func endSpace(s string, from, to int) int {
	for to > from && isSpace(s[to-1]) {
		to--
	}
	return to
}
