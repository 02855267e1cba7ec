package sip

import "strconv"

// AppendAck writes the ACK to a non-2xx final response (RFC 3261 §17.1.1.3):
// Request-URI, our one Via, Route, From, Call-ID, CSeq number of the spliced request, To of resp.
func (s *Splice) AppendAck(dst []byte, resp *Message) []byte {
	dst = s.appendHead(dst, "ACK")
	if to := resp.first(To); to != nil {
		dst = append(dst, resp.text[to.start:to.end]...)
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// AppendCancel writes the CANCEL of the spliced request (RFC 3261 §9.1); extra are
// whole header lines without CRLF, such as Reason (RFC 3326).
func (s *Splice) AppendCancel(dst []byte, extra ...string) []byte {
	dst = s.appendHead(dst, "CANCEL")
	dst = s.appendFirst(dst, To)
	for _, line := range extra {
		dst = append(append(dst, line...), "\r\n"...)
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

// appendHead writes what ACK and CANCEL have in common with the request as it is sent.
func (s *Splice) appendHead(dst []byte, method string) []byte {
	dst = append(append(dst, method...), ' ')
	dst = s.ed.appendRange(dst, s.msg.text, s.msg.target, s.msg.targetTo, false)
	dst = append(dst, " SIP/2.0\r\nVia: "...)
	dst = append(dst, s.topVia()...)
	dst = append(dst, "\r\nMax-Forwards: 70\r\n"...)
	dst = s.appendRoutes(dst)
	dst = s.appendFirst(dst, From)
	dst = s.appendFirst(dst, CallID)
	dst = append(dst, "CSeq: "...)
	dst = strconv.AppendUint(dst, uint64(s.CSeq()), 10)
	dst = append(append(dst, ' '), method...)
	return append(dst, "\r\n"...)
}

// topVia is the Via value that the request is sent with: ours, or the message's first.
func (s *Splice) topVia() string {
	for _, e := range s.ed.all() {
		if e.kind == viaLine {
			return e.text
		}
	}
	f := s.msg.first(Via)
	v := s.msg.FieldValue(*f)
	if c := listComma(v); c >= 0 {
		v = v[:c]
	}
	return v
}

// appendRoutes writes the Route lines that the request is sent with.
func (s *Splice) appendRoutes(dst []byte) []byte {
	dst = s.appendLines(dst, routeFirstLine)
	for i := range s.msg.fields {
		if f := &s.msg.fields[i]; f.Header == Route {
			dst = s.ed.appendRange(dst, s.msg.text, f.start, f.end, false)
		}
	}
	return s.appendLines(dst, routeLastLine)
}

func (s *Splice) appendLines(dst []byte, kind editKind) []byte {
	all := s.ed.all()
	for i := range all {
		if all[i].kind == kind {
			dst = all[i].append(dst)
		}
	}
	return dst
}

// appendFirst writes the first h line as the request is sent with it.
func (s *Splice) appendFirst(dst []byte, h Header) []byte {
	f := s.msg.first(h)
	if f == nil {
		return dst
	}
	return s.ed.appendRange(dst, s.msg.text, f.start, f.end, false)
}
