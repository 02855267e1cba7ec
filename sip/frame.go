package sip

import (
	"bytes"
	"strconv"
)

// Framer finds where messages end in a stream, which comes in pieces of any
// size; it looks at each octet of a header once. The zero Framer is ready.
type Framer struct {
	Max int // octets of a message; 0: MaxMessage, and never more

	line   int // where the line (with its foldings) begins that is being looked at
	seen   int // where to look on for its end
	fields int
	head   int // length of the header once it is known
	body   int // Content-Length, once hasLen
	hasLen bool
}

// Next returns the length of the message that b begins with, 0 while more octets
// are needed: b is then given again with more behind it. After n > 0 the Framer
// expects the next message, so the caller drops b[:n]. Leading CRLFs are the caller's.
//
// An error is a *StatusError (400, 513) and the end of the stream: where the next
// message begins is not known. Parse of b with framing Stream may still make a
// message of it that can be answered.
func (f *Framer) Next(b []byte) (n int, err error) {
	for f.head == 0 {
		more, e := f.step(b)
		if e != nil {
			return 0, e
		}
		if !more {
			return 0, nil
		}
	}
	n = f.head + f.body
	if len(b) < n {
		return 0, nil
	}
	*f = Framer{Max: f.Max}
	return n, nil
}

// step looks for the next CRLF; it reports whether to look on.
func (f *Framer) step(b []byte) (more bool, err *StatusError) {
	i := bytes.IndexByte(b[f.seen:], '\n')
	if i < 0 {
		f.seen = len(b)
		return false, f.limits(b, len(b))
	}
	end := f.seen + i + 1
	if err := f.limits(b, end); err != nil {
		return false, err
	}
	switch {
	case end-f.line < 2 || b[end-2] != '\r':
		return false, Refuse(400, "Bad Request: LF without CR")
	case end-f.line == 2:
		return true, f.ended(end)
	case end == len(b): // folded or not: the next octet tells
		f.seen = end - 1
		return false, nil
	}
	if f.seen = end; IsBlank(b[end]) && f.line > 0 {
		return true, nil
	}
	if f.line > 0 {
		err = f.field(b[f.line:end])
	}
	f.line = end
	return true, err
}

// limits holds what is there of a line, b[f.line:end], against the limits.
func (f *Framer) limits(b []byte, end int) *StatusError {
	switch n := end - f.line; {
	case f.line == 0 && end > 0 && b[0] != '\r' && charClasses[b[0]]&tokenChar == 0:
		return Refuse(400, "Bad Request: "+badStartLine)
	case f.line == 0 && n > maxStartLine:
		return Refuse(513, "Message Too Large: start line over 4 KiB")
	case n > maxLine:
		return Refuse(513, "Message Too Large: header line over 8 KiB")
	case end > f.max():
		return Refuse(513, "Message Too Large: header over "+size(f.max()))
	}
	return nil
}

// field takes in a whole header line: of interest is Content-Length alone.
func (f *Framer) field(line []byte) *StatusError {
	if f.fields++; f.fields > maxFields {
		return Refuse(513, "Message Too Large: more than 256 header fields")
	}
	if c := Lower(line[0]); c != 'l' && c != 'c' {
		return nil
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	name = bytes.TrimRight(name, " \t")
	if len(name) != 1 && len(name) != len("Content-Length") || HeaderNamed(string(name)) != ContentLength {
		return nil
	}
	value = bytes.Trim(value, " \t\r\n")
	switch {
	case f.hasLen:
		return Refuse(400, "Bad Request: two Content-Length")
	case !isDigits(value):
		return Refuse(400, "Bad Request: malformed Content-Length")
	}
	f.hasLen, f.body = true, int(decimal(value))
	return nil
}

// ended takes in the empty line.
func (f *Framer) ended(end int) *StatusError {
	switch {
	case f.line == 0:
		return Refuse(400, "Bad Request: no start line")
	case !f.hasLen:
		return Refuse(400, "Bad Request: no Content-Length")
	case f.body > f.max()-end:
		return TooLarge(f.max())
	}
	f.head = end
	return nil
}

func (f *Framer) max() int {
	if f.Max > 0 {
		return min(f.Max, MaxMessage)
	}
	return MaxMessage
}

// TooLarge refuses a message of more than limit octets (RFC 3261 §21.5.7).
func TooLarge(limit int) *StatusError {
	return Refuse(513, "Message Too Large: over "+size(limit))
}

// size is a number of octets for people.
func size(n int) string {
	if n%1024 != 0 {
		return strconv.Itoa(n) + " octets"
	}
	return strconv.Itoa(n/1024) + " KiB"
}
