package sip

import "iter"

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
	head int // offset of the body
}

// Field is one header line of a Message, possibly folded.
type Field struct {
	Header                                Header
	folded                                bool
	start, nameEnd, valStart, valEnd, end uint32 // end is past the line's CRLF
}

// Parse indexes text, which is one whole message, and keeps it. An error is a
// *StatusError (400, 416, 420, 483, 505, 513) naming what is wrong. m is non-nil
// together with an error when m.Reply can still make an answer of it.
func Parse(text string, f Framing) (m *Message, err error) { panic("stub") }

// FrameLength returns the length of the first message in a stream's buffer, 0
// while more octets are needed. Leading CRLFs (RFC 5626 §4.4.1) are the caller's.
func FrameLength(b []byte) (n int, err error) { panic("stub") }

// IsRequest reports whether m is a request.
func (m *Message) IsRequest() bool { panic("stub") }

// Method is the request's method, or the CSeq method of a response; case is kept.
func (m *Message) Method() string { panic("stub") }

// RequestURI is the Request-URI as it stands.
func (m *Message) RequestURI() string { panic("stub") }

// Status is the response's status code, 0 for a request.
func (m *Message) Status() int { panic("stub") }

// ReasonPhrase is the response's reason phrase.
func (m *Message) ReasonPhrase() string { panic("stub") }

// String is the whole message as it came (surplus octets cut).
func (m *Message) String() string { return m.text }

// Body is what follows the header.
func (m *Message) Body() string { return m.text[m.head:] }

// CallID is the Call-ID's value.
func (m *Message) CallID() string { panic("stub") }

// CSeq is the sequence number and method of CSeq.
func (m *Message) CSeq() (n uint32, method string) { panic("stub") }

// FromTag is the tag of From, "" without one.
func (m *Message) FromTag() string { panic("stub") }

// ToTag is the tag of To, "" without one.
func (m *Message) ToTag() string { panic("stub") }

// MaxForwards is Max-Forwards, 70 when absent (RFC 3261 §16.6 step 3).
func (m *Message) MaxForwards() int { panic("stub") }

// TopVia is the first Via value, as it was sent.
func (m *Message) TopVia() *ViaValue { panic("stub") }

// Has reports whether a field h is present.
func (m *Message) Has(h Header) bool { panic("stub") }

// Value is the first h field's whole value, trimmed and unfolded, "" when absent.
func (m *Message) Value(h Header) string { panic("stub") }

// Fields are the header lines in order. The slice is not to be changed.
func (m *Message) Fields() []Field { panic("stub") }

// Name is the field name of f as it stands.
func (m *Message) Name(f Field) string { panic("stub") }

// FieldValue is the value of f, trimmed and unfolded.
func (m *Message) FieldValue(f Field) string { panic("stub") }

// Values yields each value of the h fields, in order: comma-separated values
// (quotes and angle brackets respected) across all lines.
func (m *Message) Values(h Header) iter.Seq[string] { panic("stub") }

// Named is the first value of a field of that name (any case), for Other headers.
func (m *Message) Named(name string) string { panic("stub") }

// HasOption reports whether option tag is listed in h (Supported, Require, Proxy-Require).
func (m *Message) HasOption(h Header, tag string) bool { panic("stub") }
