package sip

import "strings"

// MaxMessage is the most octets that a message can have.
const MaxMessage = 64 << 10

// The limits within a message. More is answered 513.
const (
	maxStartLine = 4 << 10
	maxLine      = 8 << 10 // a header line with its foldings
	maxFields    = 256
	maxVias      = 70
	maxRoutes    = 16
)

// Parse indexes text, which is one whole message, and keeps it; CRLFs before the
// start line are cut (RFC 3261 §7.5). An error is a *StatusError (400, 416, 505,
// 513) naming what is wrong.
//
// m is non-nil together with an error when m is a request and m.AppendReply can
// make an answer of it: Via, From, To, Call-ID and CSeq are there to be copied.
// It is good for nothing else then: they may be the very thing that is wrong, so
// the answer goes to where the request came from, not to where its Via says. (An
// ACK is never answered; that is the caller's to know.)
// Limits by number (70 Via values, 16 Route values, 64 parameters to a value,
// 256 header fields) and by size count alike as 513.
func Parse(text string, f Framing) (m *Message, err error) {
	for len(text) >= 2 && text[0] == '\r' && text[1] == '\n' {
		text = text[2:]
	}
	m = &Message{text: text, maxForwards: 70}
	m.fields = m.inline[:0]
	s := scan{m: m, text: text[:min(len(text), MaxMessage)]}
	if len(text) > MaxMessage && f != Datagram {
		s.tooLarge()
	}
	if pos := s.startLine(); pos > 0 && s.header(pos) {
		s.complete()
		s.frame(f)
	}
	return s.result()
}

// scan is the state of one Parse.
type scan struct {
	m    *Message
	text string // m.text, not more of it than MaxMessage
	crs  int    // CRLFs seen
	// cseqMethod is the method in CSeq, to be compared with the start line's.
	cseqMethod string
	bodyLen    int // Content-Length, -1 when it is no number
	scheme     *StatusError
	err        *StatusError
}

// refuse notes what is wrong first; the scan goes on, to learn what an answer needs.
func (s *scan) refuse(code int, reason string) {
	if s.err == nil {
		s.err = Refuse(code, reason)
	}
}

func (s *scan) tooLarge() {
	if s.err == nil {
		s.err = TooLarge(MaxMessage)
	}
}

func (s *scan) bad(what string) {
	if s.err == nil {
		s.err = Refuse(400, "Bad Request: "+what)
	}
}

// result is what Parse returns. RFC 3261 §16.3: syntax comes before the scheme.
func (s *scan) result() (*Message, error) {
	if s.err == nil {
		s.err = s.scheme
	}
	if s.err == nil {
		return s.m, nil
	}
	if s.m.answerable() {
		return s.m, s.err
	}
	return nil, s.err
}

// answerable reports whether what a reply copies of m is there, not empty, and clean.
func (m *Message) answerable() bool {
	if m.status != 0 || m.method == "" || m.present&mandatory != mandatory {
		return false
	}
	for i := range m.fields {
		switch f := &m.fields[i]; f.Header {
		case Via, From, To, CallID, CSeq, Timestamp:
			if f.valStart == f.valEnd || !cleanLine(m.text[f.start:f.end]) {
				return false
			}
		}
	}
	return true
}

// cleanLine reports whether line has CR and LF only in foldings and at its end, and no NUL.
func cleanLine(line string) bool {
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case 0, '\n':
			return false
		case '\r':
			if i++; i == len(line) || line[i] != '\n' {
				return false
			}
		}
	}
	return true
}

// lineEnd returns the index past the CRLF of the line that begins at pos and its
// foldings, 0 when there is none. An LF without CR before it ends nothing.
func (s *scan) lineEnd(pos int, foldable bool) (end int, folded bool) {
	for i := pos; ; {
		n := strings.IndexByte(s.text[i:], '\n')
		if n < 0 {
			return 0, false
		}
		i += n + 1
		if i-pos < 2 || s.text[i-2] != '\r' {
			s.bad("LF without CR")
			continue
		}
		s.crs++
		if foldable && i < len(s.text) && IsBlank(s.text[i]) {
			folded = true
			continue
		}
		return i, folded
	}
}

// header scans the header lines from pos to the empty line; it reports whether it got there.
func (s *scan) header(pos int) bool {
	for {
		rest := s.text[pos:]
		if len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n' {
			s.m.head = uint32(pos + 2)
			s.crs++
			s.controls()
			return true
		}
		end, folded := s.lineEnd(pos, true)
		switch {
		case end == 0 && len(s.text) == MaxMessage:
			s.refuse(513, "Message Too Large: header over 64 KiB")
			return false
		case end == 0:
			s.bad("header without an empty line at its end")
			return false
		case len(s.m.fields) == maxFields:
			s.refuse(513, "Message Too Large: more than 256 header fields")
			return false
		case end-pos > maxLine:
			s.refuse(513, "Message Too Large: header line over 8 KiB")
		}
		s.field(pos, end, folded)
		pos = end
	}
}

// controls looks for what must be nowhere in a header: NUL, and CR other than before LF.
func (s *scan) controls() {
	head := s.text[:s.m.head]
	if strings.Count(head, "\r") != s.crs {
		s.bad("CR without LF")
	}
	if strings.IndexByte(head, 0) >= 0 {
		s.bad("NUL in header")
	}
}

// field indexes the header line text[pos:end].
func (s *scan) field(pos, end int, folded bool) {
	line := s.text[pos:end]
	colon := strings.IndexByte(line, ':')
	if colon < 0 {
		s.bad("header line without colon")
		return
	}
	nameLen := colon
	for nameLen > 0 && IsBlank(line[nameLen-1]) {
		nameLen--
	}
	name := line[:nameLen]
	h := HeaderNamed(name)
	if h == Other && (name == "" || span(name, tokenChar) != nameLen) {
		s.bad("malformed header name")
		return
	}
	from := skipSpace(line, colon+1)
	to := endSpace(line, from, len(line))
	if from == len(line) { // an empty value begins and ends behind its colon
		from, to = colon+1, colon+1
	}
	s.m.fields = append(s.m.fields, Field{Header: h, folded: folded, start: uint16(pos), nameEnd: uint16(pos + nameLen),
		valStart: uint16(pos + from), valEnd: uint16(pos + to), end: uint16(end)})
	if h == Other {
		return
	}
	v := line[from:to]
	if folded {
		v = unfold(v)
	}
	s.known(h, v)
}

// known checks the value of a field that we know and keeps what is asked of every message.
func (s *scan) known(h Header, v string) {
	if s.m.present.has(h) && single.has(h) {
		s.bad("two " + headerNames[h])
		return
	}
	s.m.present |= 1 << h
	if len(v) > maxParams && structured.has(h) && tooManyParams(v) {
		s.refuse(513, "Message Too Large: more than 64 parameters in "+headerNames[h])
	}
	switch h {
	case Via:
		s.via(v)
	case Route:
		s.route(v)
	case From:
		s.m.fromTag, _ = s.party(h, v)
	case To:
		s.m.toTag, s.m.toReadable = s.party(h, v)
	case CallID:
		s.callID(v)
	case CSeq:
		s.cseq(v)
	case MaxForwards:
		s.maxForwards(v)
	case ContentLength:
		s.contentLength(v)
	}
}

// tooManyParams reports whether one value of a list has more than 64 parameters.
func tooManyParams(v string) bool {
	if strings.Count(v, ";") <= maxParams {
		return false
	}
	n := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case ',':
			n = 0
		case ';':
			if n++; n > maxParams {
				return true
			}
		case '"':
			if i = quotedEnd(v, i) - 1; i < 0 {
				return false // its typed value is refused
			}
		}
	}
	return false
}

// complete checks what only the whole header tells.
func (s *scan) complete() {
	m := s.m
	for missing, h := mandatory&^m.present, Header(0); missing != 0 && h < headerCount; h++ {
		if missing.has(h) {
			s.bad("no " + headerNames[h])
			return
		}
	}
	switch {
	case m.status != 0:
		m.method = s.cseqMethod
	case m.method != s.cseqMethod && s.cseqMethod != "":
		s.bad("CSeq method is not the request's")
	}
}

// frame holds the body against Content-Length (RFC 3261 §18.3, §20.14, RFC 7118 §5.3).
func (s *scan) frame(f Framing) {
	body := len(s.m.text) - int(s.m.head)
	switch {
	case !s.m.present.has(ContentLength):
		if f == Stream {
			s.bad("no Content-Length")
		}
	case s.bodyLen < 0: // refused already
	case f == Stream && s.bodyLen > MaxMessage-int(s.m.head):
		s.tooLarge()
	case s.bodyLen > body:
		s.bad("body shorter than Content-Length")
	case s.bodyLen < body && f == Frame:
		s.bad("body longer than Content-Length")
	case s.bodyLen < body:
		s.m.text = s.m.text[:int(s.m.head)+s.bodyLen]
	}
	if len(s.m.text) > MaxMessage {
		s.tooLarge()
	}
}
