package sip

import "strconv"

// Reply is a response made by us.
type Reply struct {
	Status int
	Reason string // "" = the standard phrase
	ToTag  string // put into To when it has none and Status > 100
	// Source is where the request came from: received/rport of the top Via (RFC 3581 §4); zero value: leave it.
	SourceAddr string
	SourcePort uint16
	Headers    []string // whole lines without CRLF
	Body       string
}

// AppendReply writes r as the answer to request m: its Via lines, From, To,
// Call-ID, CSeq, for 100 its Timestamp, then r's headers and an exact Content-Length (RFC 3261 §8.2.6).
// m may be what Parse returned with an error.
func (m *Message) AppendReply(dst []byte, r *Reply) []byte {
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(dst, ' ')
	if r.Reason != "" {
		dst = append(dst, r.Reason...)
	} else {
		dst = append(dst, StatusText(r.Status)...)
	}
	dst = append(dst, "\r\n"...)
	dst = m.appendVias(dst, r)
	dst = m.appendRaw(dst, From)
	dst = m.appendTo(dst, r)
	dst = m.appendRaw(dst, CallID)
	dst = m.appendRaw(dst, CSeq)
	if r.Status == 100 {
		dst = m.appendRaw(dst, Timestamp)
	}
	for _, line := range r.Headers {
		dst = append(append(dst, line...), "\r\n"...)
	}
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, r.Body...)
}

// appendVias writes m's Via lines, the first stamped with the source if r has one.
func (m *Message) appendVias(dst []byte, r *Reply) []byte {
	s := Splice{msg: m}
	if r.SourceAddr != "" {
		s.StampVia(r.SourceAddr, r.SourcePort)
	}
	for i := range m.fields {
		if f := &m.fields[i]; f.Header == Via {
			dst = s.ed.appendRange(dst, m.text, f.start, f.end, false)
		}
	}
	return dst
}

// appendRaw writes the first h line as it came.
func (m *Message) appendRaw(dst []byte, h Header) []byte {
	if f := m.first(h); f != nil {
		dst = append(dst, m.text[f.start:f.end]...)
	}
	return dst
}

func (m *Message) appendTo(dst []byte, r *Reply) []byte {
	f := m.first(To)
	if f == nil {
		return dst
	}
	dst = append(dst, m.text[f.start:f.valEnd]...)
	if r.ToTag != "" && r.Status > 100 && m.toTag == "" && m.toReadable {
		dst = append(append(dst, ";tag="...), r.ToTag...)
	}
	return append(dst, "\r\n"...)
}
