package sip

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Reply is a response made by us.
type Reply struct {
	Status int
	Reason string // "" = the standard phrase
	ToTag  string // put into To when it has none and Status > 100
	// Source is where the request came from: received/rport of the top Via (RFC 3581 §4); zero value: leave it.
	Source  netip.AddrPort
	Headers []string // whole lines without CRLF
	Body    string
}

// AppendReply writes r as the answer to request m: its Via lines, From, To,
// Call-ID, CSeq, for 100 its Timestamp, then r's headers and an exact Content-Length (RFC 3261 §8.2.6).
// m may be what Parse returned with an error. One allocation is made where dst has too little room.
func (m *Message) AppendReply(dst []byte, r *Reply) []byte {
	reason := r.Reason
	if reason == "" {
		reason = StatusText(r.Status)
	}
	dst = slices.Grow(dst, m.replySize(r)+len(reason))
	dst = append(dst, "SIP/2.0 "...)
	dst = strconv.AppendInt(dst, int64(r.Status), 10)
	dst = append(append(append(dst, ' '), reason...), "\r\n"...)
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

// replySize is the length of a reply without its reason phrase, or a little more.
func (m *Message) replySize(r *Reply) int {
	size := len("SIP/2.0 999 \r\n;received=;rport=65535;tag=Content-Length: 65535\r\n\r\n") + len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") + len(r.ToTag) + len(r.Body)
	for i := range m.fields {
		if f := &m.fields[i]; copied.has(f.Header) {
			size += int(f.end - f.start)
		}
	}
	for _, line := range r.Headers {
		size += len(line) + len("\r\n")
	}
	return size
}

// copied are the fields that a reply takes from its request.
var copied = setOf(Via, From, To, CallID, CSeq, Timestamp)

// appendVias writes m's Via lines, the first stamped with the source if r has one.
func (m *Message) appendVias(dst []byte, r *Reply) []byte {
	stamp := r.Source.IsValid() && m.topVia.Host != ""
	for i := range m.fields {
		f := &m.fields[i]
		if f.Header != Via {
			continue
		}
		if stamp {
			stamp = false
			dst = m.appendStamped(dst, f, r.Source)
			continue
		}
		dst = append(dst, m.text[f.start:f.end]...)
	}
	return dst
}

// appendStamped writes the first Via line as Splice.StampVia changes it.
func (m *Message) appendStamped(dst []byte, f *Field, source netip.AddrPort) []byte {
	v := firstVia(m.text[f.valStart:f.valEnd])
	from, base, rport := f.start, f.valStart, false
	for i := strings.IndexByte(v, ';'); i >= 0 && i < len(v); {
		end, what := stampAt(v, i)
		if end < 0 {
			break
		}
		if what != noStamp {
			dst = append(dst, m.text[from:base+uint16(i)]...)
			from = base + uint16(end)
		}
		rport = rport || what == rportStamp
		i = end
	}
	at := base + uint16(len(v))
	dst = append(dst, m.text[from:at]...)
	if rport || !isAddr(m.topVia.Host, source.Addr()) {
		dst = source.Addr().Unmap().WithZone("").AppendTo(append(dst, ";received="...)) // a zone means nothing elsewhere
	}
	if rport {
		dst = strconv.AppendUint(append(dst, ";rport="...), uint64(source.Port()), 10)
	}
	return append(dst, m.text[at:f.end]...)
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
