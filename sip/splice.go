package sip

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Splice is a copy of a Message in the making: the message's own text with
// pieces cut, replaced and put in. What no method names stays byte for byte.
// It is kept with a branch to make the request again (retransmission, another
// transport), its ACK and its CANCEL. One goroutine changes it; after that it may
// be read by many. Values given to it are kept and written as they are.
type Splice struct {
	msg *Message
	ed  edits
	// popped values of the message's own, from the front and from the back.
	vias, routes, lastRoutes uint8
	bodiless                 bool
	cseq                     uint32 // another than the message's, 0: none
}

// Splice returns a splice of m without changes.
func (m *Message) Splice() Splice {
	s := Splice{msg: m}
	if !m.present.has(ContentLength) {
		at := uint16(m.head - 2)
		s.ed.insert(edit{at: at, end: at, kind: lengthLine, name: "Content-Length",
			numbered: true, num: uint16(len(m.text) - int(m.head))}, false)
	}
	return s
}

// Message is what the splice is made of.
func (s *Splice) Message() *Message { return s.msg }

// SetURI replaces the Request-URI.
func (s *Splice) SetURI(uri string) {
	s.ed.set(edit{at: s.msg.target, end: s.msg.targetTo, kind: uriPiece, text: uri})
}

// URI is the Request-URI that the copy has, "" for a response.
func (s *Splice) URI() string {
	if e := s.ed.find(uriPiece, s.msg.target); e != nil {
		return e.text
	}
	return s.msg.RequestURI()
}

// SetCSeq gives the copy another sequence number, and its ACK and CANCEL with it.
func (s *Splice) SetCSeq(n uint32) {
	if f := s.msg.first(CSeq); f != nil {
		s.cseq = n
		s.Replace(*f, strconv.FormatUint(uint64(n), 10)+" "+s.msg.method)
	}
}

// CSeq is the sequence number that the copy has.
func (s *Splice) CSeq() uint32 { return cmp.Or(s.cseq, s.msg.cseq) }

// SetStatus gives a response another status; without effect on a request.
func (s *Splice) SetStatus(code int, reason string) {
	if s.msg.status != 0 {
		at := uint16(len("SIP/2.0 "))
		s.ed.set(edit{at: at, end: s.msg.targetTo, kind: uriPiece, text: strconv.Itoa(code) + " " + reason})
	}
}

// DropBody leaves the body out, and the header lines that describe it.
func (s *Splice) DropBody() {
	s.bodiless = true
	for i := range s.msg.fields {
		f := &s.msg.fields[i]
		name := s.msg.Name(*f)
		switch {
		case f.Header == ContentLength:
			s.ed.set(edit{at: f.valStart, end: f.valEnd, kind: valuePiece, text: "0"})
		case f.Header == ContentType || len(name) > len("Content-") && EqualFold(name[:len("Content-")], "Content-") || EqualFold(name, "e"):
			s.Remove(*f)
		}
	}
	if !s.msg.present.has(ContentLength) {
		at := uint16(s.msg.head - 2)
		s.ed.set(edit{at: at, end: at, kind: lengthLine, name: "Content-Length", numbered: true})
	}
}

// PushVia puts a Via line of ours before the first (RFC 3261 §16.6 step 8); calling
// it again replaces the value, as a change of transport needs. value is all after "Via: ".
func (s *Splice) PushVia(value string) {
	at := s.msg.startEnd
	if f := s.msg.first(Via); f != nil {
		at = f.start
	}
	s.ed.set(edit{at: at, end: at, kind: viaLine, name: "Via", text: value})
}

// PopVia removes the first Via value, and its line only when nothing else is on it (RFC 3261 §16.7 step 3).
func (s *Splice) PopVia() {
	s.vias = min(s.vias+1, s.msg.vias)
	s.keep(Via, viaCut, int(s.vias), int(s.msg.vias))
}

// SetMaxForwards replaces or adds Max-Forwards.
func (s *Splice) SetMaxForwards(n int) {
	e := edit{num: uint16(n), numbered: true}
	if f := s.msg.first(MaxForwards); f != nil {
		e.at, e.end, e.kind = f.valStart, f.valEnd, valuePiece
	} else {
		e.at = s.behindVias()
		e.end, e.kind, e.name = e.at, maxForwardsLine, "Max-Forwards"
	}
	s.ed.set(e)
}

// PopRoutes removes the first n Route values.
func (s *Splice) PopRoutes(n int) {
	s.routes = uint8(min(int(s.routes)+max(n, 0), int(s.msg.routes-s.lastRoutes)))
	s.keep(Route, routeCut, int(s.routes), int(s.msg.routes-s.lastRoutes))
}

// PopLastRoute removes the last Route value (RFC 3261 §16.4: strict router before us).
func (s *Splice) PopLastRoute() {
	s.lastRoutes = min(s.lastRoutes+1, s.msg.routes-s.routes)
	s.keep(Route, routeCut, int(s.routes), int(s.msg.routes-s.lastRoutes))
}

// keep leaves of the values of h only those numbered from <= i < to.
func (s *Splice) keep(h Header, kind editKind, from, to int) {
	s.ed.drop(kind)
	total := int(s.msg.vias)
	if h == Route {
		total = int(s.msg.routes)
	}
	i := 0
	for k := range s.msg.fields {
		if i >= from && to == total {
			return
		}
		if f := &s.msg.fields[k]; f.Header == h {
			i = s.keepOfLine(f, kind, i, from, to)
		}
	}
}

// keepOfLine is keep for one line, whose first value is number i; it returns the number of the next line's first.
func (s *Splice) keepOfLine(f *Field, kind editKind, i, from, to int) int {
	v := s.msg.text[f.valStart:f.valEnd]
	first, begin, end := i, -1, -1 // v[begin:end] is what stays
	for pos, more := 0, true; more; i++ {
		stop := listComma(v[pos:])
		if more = stop >= 0; more {
			stop += pos
		} else {
			stop = len(v)
		}
		if i >= from && i < to {
			if begin < 0 {
				begin = skipSpace(v, pos)
			}
			end = endSpace(v, begin, stop)
		}
		pos = stop + 1
	}
	switch {
	case first >= from && i <= to:
	case begin < 0:
		s.ed.insert(edit{at: f.start, end: f.end, kind: kind}, false)
	default:
		if begin > 0 {
			s.ed.insert(edit{at: f.valStart, end: f.valStart + uint16(begin), kind: kind}, false)
		}
		if end < len(v) {
			s.ed.insert(edit{at: f.valStart + uint16(end), end: f.valEnd, kind: kind}, false)
		}
	}
	return i
}

// PushRoutes puts Route lines before what remains of the route set (RFC 3261 §16.6 step 6).
func (s *Splice) PushRoutes(values ...string) {
	s.pushLines(Route, routeFirstLine, values)
}

// PushRecordRoutes puts Record-Route lines before the first, in the order given (RFC 3261 §16.6 step 4).
func (s *Splice) PushRecordRoutes(values ...string) {
	s.pushLines(RecordRoute, recordRouteLine, values)
}

// pushLines puts lines before the first of h, or behind the Via lines when there is none.
func (s *Splice) pushLines(h Header, kind editKind, values []string) {
	at := s.behindVias()
	if f := s.msg.first(h); f != nil {
		at = f.start
	}
	for i := len(values) - 1; i >= 0; i-- {
		s.ed.insert(edit{at: at, end: at, kind: kind, name: headerNames[h], text: values[i]}, true)
	}
}

// AppendRoute puts a Route value behind the last.
func (s *Splice) AppendRoute(value string) {
	at := s.behindVias()
	for i := range s.msg.fields {
		if s.msg.fields[i].Header == Route {
			at = s.msg.fields[i].end
		}
	}
	s.ed.insert(edit{at: at, end: at, kind: routeLastLine, name: "Route", text: value}, false)
}

// behindVias is where the first Via line and those right behind it end.
func (s *Splice) behindVias() uint16 {
	at, seen := s.msg.startEnd, false
	for i := range s.msg.fields {
		if s.msg.fields[i].Header == Via {
			at, seen = s.msg.fields[i].end, true
		} else if seen {
			break
		}
	}
	return at
}

// Remove cuts one header line. Content-Length stays, whatever is asked.
func (s *Splice) Remove(f Field) {
	if f.Header != ContentLength {
		s.ed.set(edit{at: f.start, end: f.end, kind: lineCut})
	}
}

// RemoveAll cuts all h lines.
func (s *Splice) RemoveAll(h Header) {
	for i := range s.msg.fields {
		if s.msg.fields[i].Header == h {
			s.Remove(s.msg.fields[i])
		}
	}
}

// Replace gives one header line another value; the name stays as written.
// Content-Length stays, whatever is asked.
func (s *Splice) Replace(f Field, value string) {
	if f.Header != ContentLength {
		s.ed.set(edit{at: f.valStart, end: f.valEnd, kind: valuePiece, text: value})
	}
}

// Add puts a header line at the end of the header.
func (s *Splice) Add(name, value string) {
	if HeaderNamed(name) == ContentLength {
		return
	}
	at := uint16(s.msg.head - 2)
	s.ed.insert(edit{at: at, end: at, kind: addedLine, name: name, text: value}, false)
}

// StampVia adds received and rport (RFC 3261 §18.2.1, RFC 3581 §4) to the
// received request's topmost Via value: received always when the Via host is not addr's
// address or rport was asked for; rport filled in only when asked for. What the
// client wrote there itself goes. addr is an IP address without brackets.
func (s *Splice) StampVia(addr string, port uint16) {
	s.ed.drop(stampPiece)
	f := s.msg.first(Via)
	if f == nil || s.msg.topVia.Host == "" {
		return
	}
	v := firstVia(s.msg.text[f.valStart:f.valEnd])
	rport := s.cutStamps(v, f.valStart)
	at := f.valStart + uint16(len(v))
	if rport || !sameAddr(s.msg.topVia.Host, addr) {
		addr, _, _ = strings.Cut(addr, "%") // a zone means nothing elsewhere
		s.ed.insert(edit{at: at, end: at, kind: stampPiece, name: ";received=", text: addr}, false)
	}
	if rport {
		s.ed.insert(edit{at: at, end: at, kind: stampPiece, name: ";rport=", numbered: true, num: port}, false)
	}
}

// cutStamps cuts received and rport from the Via value v, which begins at base; it reports whether there was an rport.
func (s *Splice) cutStamps(v string, base uint16) (rport bool) {
	for i := strings.IndexByte(v, ';'); i >= 0 && i < len(v); {
		end, what := stampAt(v, i)
		if end < 0 {
			break
		}
		if what != noStamp {
			s.ed.insert(edit{at: base + uint16(i), end: base + uint16(end), kind: stampPiece}, false)
		}
		rport = rport || what == rportStamp
		i = end
	}
	return rport
}

// firstVia is the first of the values of a Via line.
func firstVia(v string) string {
	if c := listComma(v); c >= 0 {
		return v[:endSpace(v, 0, c)]
	}
	return v
}

type stamp uint8

const (
	noStamp stamp = iota
	receivedStamp
	rportStamp
)

// stampAt is what the parameter whose ';' is v[i] says, and where it ends: -1 in an open quote.
func stampAt(v string, i int) (end int, what stamp) {
	end = i + 1
	for end < len(v) && v[end] != ';' {
		if v[end] == '"' {
			if end = quotedEnd(v, end); end < 0 {
				return -1, noStamp
			}
			continue
		}
		end++
	}
	name, _, _ := strings.Cut(v[i+1:end], "=")
	name = name[skipSpace(name, 0):]
	switch name = name[:endSpace(name, 0, len(name))]; {
	case EqualFold(name, "rport"):
		return end, rportStamp
	case EqualFold(name, "received"):
		return end, receivedStamp
	}
	return end, noStamp
}

// sameAddr reports whether a Via host is the address addr.
func sameAddr(host, addr string) bool {
	if host == addr {
		return true
	}
	a, ok := hostAddr(host)
	if !ok {
		return false
	}
	b, err := netip.ParseAddr(addr)
	return err == nil && a == b.WithZone("").Unmap()
}

// isAddr is sameAddr of an address that is none in text.
func isAddr(host string, addr netip.Addr) bool {
	a, ok := hostAddr(host)
	return ok && a == addr.WithZone("").Unmap()
}

// hostAddr is the address that a host is, if it is one.
func hostAddr(host string) (netip.Addr, bool) {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.IndexByte(host, ':') < 0 && span(host, charClass(hexChar)) == 0 {
		return netip.Addr{}, false
	}
	if c := host[len(host)-1]; strings.IndexByte(host, ':') < 0 && (c < '0' || c > '9') {
		return netip.Addr{}, false // a name: no need for an error value to say so
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// Append writes the copy with an exact Content-Length to dst. It may be called
// many times; it does not allocate when dst has room.
func (s *Splice) Append(dst []byte) []byte {
	m := s.msg
	dst = slices.Grow(dst, len(m.text)+s.ed.growth())
	dst = s.ed.appendRange(dst, m.text, 0, uint16(m.head-1), true)
	if s.bodiless {
		return append(dst, '\n')
	}
	return append(dst, m.text[m.head-1:]...)
}
