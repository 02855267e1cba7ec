package sip

import (
	"cmp"
	"strings"
	"unicode"
)

const badStartLine = "start line is not METHOD SP Request-URI SP SIP/2.0"

// startLine reads the request line or status line and returns where the header begins, 0 for no message at all.
func (s *scan) startLine() int {
	end, _ := s.lineEnd(0, false)
	if end == 0 {
		if len(s.text) > maxStartLine {
			s.refuse(513, "Message Too Large: start line over 4 KiB")
		}
		s.bad("no start line")
		return 0
	}
	if end > maxStartLine {
		s.refuse(513, "Message Too Large: start line over 4 KiB")
	}
	s.m.startEnd = uint16(min(end, MaxMessage-1))
	line := s.text[:end-2]
	if len(line) >= 4 && EqualFold(line[:4], "SIP/") {
		s.statusLine(line)
	} else {
		s.requestLine(line)
	}
	if end < len(s.text) && IsBlank(s.text[end]) {
		s.bad("blank before the first header name")
	}
	return end
}

// requestLine reads METHOD SP Request-URI SP SIP-Version, single blanks only (RFC 3261 §7.1).
func (s *scan) requestLine(line string) {
	n := span(line, tokenChar)
	if n == 0 || n == len(line) || line[n] != ' ' {
		s.bad(badStartLine)
		return
	}
	s.m.method = internMethod(line[:n])
	last := strings.LastIndexByte(line, ' ')
	if last <= n+1 {
		s.bad(badStartLine)
		return
	}
	if v := line[last+1:]; !EqualFold(v, "SIP/2.0") {
		if !isVersion(v) {
			s.bad(badStartLine)
			return
		}
		s.refuse(505, "Version Not Supported")
	}
	s.m.target, s.m.targetTo = uint16(n+1), uint16(last)
	s.requestURI(line[n+1 : last])
}

// isVersion reports whether v is "SIP/" 1*DIGIT "." 1*DIGIT.
func isVersion(v string) bool {
	if len(v) < 7 || !EqualFold(v[:4], "SIP/") {
		return false
	}
	major, minor, dot := strings.Cut(v[4:], ".")
	return dot && isDigits(major) && isDigits(minor)
}

func isDigits[T ~string | ~[]byte](s T) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) > 0
}

// requestURI checks the Request-URI: no blanks, no brackets (RFC 3261 §7.1), no
// headers (§19.1.1 table 1); another scheme than sip and sips is 416 (§8.2.2.1).
func (s *scan) requestURI(uri string) {
	u, err := ParseURI(uri)
	if err == nil && u.IsSIP() && u.Headers == "" {
		return
	}
	switch {
	case strings.ContainsAny(uri, " \t"):
		s.bad("blank in Request-URI")
	case strings.ContainsFunc(uri, unicode.IsControl):
		s.bad("control character in Request-URI")
	case uri[0] == '<':
		s.bad("Request-URI in angle brackets")
	case otherScheme(uri):
		s.scheme = Refuse(416, "Unsupported URI Scheme")
	case err != nil:
		s.malformed("Request-URI", err)
	default:
		s.bad("headers in Request-URI")
	}
}

// otherScheme reports whether uri has a scheme that is neither sip nor sips.
func otherScheme(uri string) bool {
	colon := strings.IndexByte(uri, ':')
	if colon <= 0 || Lower(uri[0]) < 'a' || Lower(uri[0]) > 'z' || span(uri[:colon], schemeChar) != colon {
		return false
	}
	return !EqualFold(uri[:colon], "sip") && !EqualFold(uri[:colon], "sips")
}

// statusLine reads SIP-Version SP 3DIGIT SP Reason-Phrase (RFC 3261 §7.2); the
// blank before an empty phrase may be missing.
func (s *scan) statusLine(line string) {
	s.m.status = 1 // a response, whatever else is wrong
	version, rest, _ := strings.Cut(line, " ")
	if !EqualFold(version, "SIP/2.0") {
		if isVersion(version) {
			s.refuse(505, "Version Not Supported")
		}
		s.bad("malformed status line")
		return
	}
	code, _, _ := strings.Cut(rest, " ")
	if len(code) != 3 || !isDigits(code) || code[0] < '1' || code[0] > '6' {
		s.bad("status code is not 100 to 699")
		return
	}
	s.m.status = uint16(code[0]-'0')*100 + uint16(code[1]-'0')*10 + uint16(code[2]-'0')
	at := min(len(version)+5, len(line))
	s.m.target, s.m.targetTo = uint16(at), uint16(len(line))
}

// via counts the values of a Via line and reads the topmost.
func (s *scan) via(v string) {
	for more := true; more; {
		var one string
		if one, v, more = cutValue(v); one == "" {
			s.bad("empty Via value")
			return
		}
		if s.m.vias == maxVias {
			s.refuse(513, "Message Too Large: more than 70 Via")
			return
		}
		if s.m.vias++; s.m.vias > 1 {
			continue
		}
		top, err := ParseVia(one)
		if err != nil {
			s.malformed("Via", err)
		}
		s.m.topVia = top
	}
}

// route counts the values of a Route line.
func (s *scan) route(v string) {
	for more := true; more; {
		var one string
		if one, v, more = cutValue(v); one == "" {
			s.bad("empty Route value")
			return
		}
		if s.m.routes == maxRoutes {
			s.refuse(513, "Message Too Large: more than 16 Route")
			return
		}
		s.m.routes++
	}
}

// malformed notes a part that its own parser refused.
func (s *scan) malformed(part string, cause error) {
	if s.err == nil {
		s.err = Refuse(400, "Bad Request: malformed "+part+": "+cause.Error())
	}
}

// party reads the tag of From or To. A missing tag is left to those who need it (RFC 2543 peers).
func (s *scan) party(h Header, v string) (tag string, ok bool) {
	if listComma(v) >= 0 {
		s.bad("more than one value in " + headerNames[h])
		return "", false
	}
	a, err := ParseNameAddr(v)
	if err != nil {
		s.malformed(headerNames[h], err)
		return "", false
	}
	return a.Tag(), true
}

func (s *scan) callID(v string) {
	for i := 0; i < len(v); i++ {
		if v[i] <= ' ' || v[i] == 0x7f {
			s.bad("malformed Call-ID")
			return
		}
	}
	if v == "" {
		s.bad("empty Call-ID")
	}
	s.m.callID = v
}

// cseq reads 1*DIGIT LWS Method; the number is below 2^31 (RFC 3261 §8.1.1.5).
func (s *scan) cseq(v string) {
	digits, method := v, ""
	if i := strings.IndexAny(v, " \t"); i >= 0 {
		digits, method = v[:i], v[SkipBlanks(v, i):]
	}
	if !isDigits(digits) || method == "" || span(method, tokenChar) != len(method) {
		s.bad("malformed CSeq")
		return
	}
	n := decimal(digits)
	if n > 1<<31-1 {
		s.bad("CSeq number over 2^31-1")
		return
	}
	s.m.cseq, s.cseqMethod = uint32(n), internMethod(method)
}

func (s *scan) maxForwards(v string) {
	n := decimal(v)
	if !isDigits(v) || n > 255 {
		s.bad("Max-Forwards is not 0 to 255")
		return
	}
	s.m.maxForwards = uint8(n)
}

func (s *scan) contentLength(v string) {
	if !isDigits(v) {
		s.bodyLen = -1
		s.bad("malformed Content-Length")
		return
	}
	s.bodyLen = int(decimal(v))
}

// decimal is the value of digits, at most 2^32: what is larger stays large.
func decimal[T ~string | ~[]byte](digits T) (n uint64) {
	for i := 0; i < len(digits); i++ {
		n = min(n*10+uint64(digits[i]-'0'), 1<<32)
	}
	return n
}

// internMethod returns the constant of a known method, which compares fast and keeps no message alive, or m.
func internMethod(m string) string { return cmp.Or(knownMethod(m), m) }

// OwnMethod is m without the message that it is part of.
func OwnMethod(m string) string {
	if known := knownMethod(m); known != "" {
		return known
	}
	return strings.Clone(m)
}

// knownMethod is "" for one that is not known.
func knownMethod(m string) string {
	switch m {
	case "INVITE":
		return "INVITE"
	case "ACK":
		return "ACK"
	case "BYE":
		return "BYE"
	case "CANCEL":
		return "CANCEL"
	case "REGISTER":
		return "REGISTER"
	case "OPTIONS":
		return "OPTIONS"
	case "INFO":
		return "INFO"
	case "PRACK":
		return "PRACK"
	case "UPDATE":
		return "UPDATE"
	case "MESSAGE":
		return "MESSAGE"
	case "SUBSCRIBE":
		return "SUBSCRIBE"
	case "NOTIFY":
		return "NOTIFY"
	case "REFER":
		return "REFER"
	case "PUBLISH":
		return "PUBLISH"
	}
	return ""
}
