package sip

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// What can be wrong with a URI.
var (
	errNoScheme   = errors.New("URI without scheme")
	errOpaque     = errors.New("bad character in URI")
	errUser       = errors.New("bad user in URI")
	errPassword   = errors.New("bad password in URI")
	errNoHost     = errors.New("empty host")
	errHost       = errors.New("bad host")
	errIPv6       = errors.New("bad IPv6 address")
	errPort       = errors.New("bad port")
	errURIParam   = errors.New("bad URI parameter")
	errURIHeaders = errors.New("bad URI headers")
)

// URI is a SIP or SIPS URI; other schemes have Scheme and Opaque only.
type URI struct {
	Scheme  string // as written: sip, sips, tel, …
	User    string // with escapes, without password
	Pass    string
	Host    string // IPv6 with its brackets
	Port    uint16 // 0: none
	Params  Params
	Headers string // after '?'
	Opaque  string // what follows "scheme:" in a URI that is not SIP
}

// ParseURI reads a URI (RFC 3261 §25.1); the strings of the result are parts of s.
func ParseURI(s string) (URI, error) {
	i := strings.IndexByte(s, ':')
	if i <= 0 || Lower(s[0]) < 'a' || Lower(s[0]) > 'z' || span(s[:i], schemeChar) != i {
		return URI{}, errNoScheme
	}
	u := URI{Scheme: s[:i]}
	rest := s[i+1:]
	if !u.IsSIP() {
		if rest == "" || spanEscaped(rest, uriChar) != len(rest) {
			return URI{}, errOpaque
		}
		u.Opaque = rest
		return u, nil
	}
	if at := strings.IndexByte(rest, '@'); at >= 0 {
		if err := u.setUser(rest[:at]); err != nil {
			return URI{}, err
		}
		rest = rest[at+1:]
	}
	rest, err := u.setHost(rest)
	if err != nil {
		return URI{}, err
	}
	if q := strings.IndexByte(rest, '?'); q >= 0 {
		u.Headers = rest[q+1:]
		if u.Headers == "" || spanEscaped(u.Headers, headerChar) != len(u.Headers) {
			return URI{}, errURIHeaders
		}
		rest = rest[:q]
	}
	if rest != "" {
		if err := checkURIParams(rest); err != nil {
			return URI{}, err
		}
	}
	u.Params = Params(rest)
	return u, nil
}

func (u *URI) setUser(s string) error {
	u.User = s
	if c := strings.IndexByte(s, ':'); c >= 0 {
		u.User, u.Pass = s[:c], s[c+1:]
		if spanEscaped(u.Pass, passChar) != len(u.Pass) {
			return errPassword
		}
	}
	if u.User == "" || spanEscaped(u.User, userChar) != len(u.User) {
		return errUser
	}
	return nil
}

// setHost reads hostport and returns what follows it.
func (u *URI) setHost(s string) (rest string, err error) {
	n, err := hostLen(s)
	if err != nil {
		return "", err
	}
	u.Host = s[:n]
	s = s[n:]
	if s != "" && s[0] == ':' {
		if u.Port, n, err = portAt(s[1:]); err != nil {
			return "", err
		}
		s = s[1+n:]
	}
	if s != "" && s[0] != ';' && s[0] != '?' {
		return "", errHost
	}
	return s, nil
}

// hostLen is the length of the host that s begins with.
func hostLen(s string) (int, error) {
	if s != "" && s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return 0, errIPv6
		}
		if a, err := netip.ParseAddr(s[1:end]); err != nil || !a.Is6() || a.Zone() != "" {
			return 0, errIPv6
		}
		return end + 1, nil
	}
	n := span(s, hostChar)
	if n == 0 {
		return 0, errNoHost
	}
	if !validHost(s[:n]) {
		return 0, errHost
	}
	return n, nil
}

// validHost checks a name's labels, and that a name which ends in a number is an
// IPv4 address. A last label that only begins with a digit passes: container
// ids, which are host names too, do.
func validHost(h string) bool {
	h = strings.TrimSuffix(h, ".")
	start, number := 0, true
	for i := 0; i <= len(h); i++ {
		if i < len(h) && h[i] != '.' {
			number = number && '0' <= h[i] && h[i] <= '9'
			continue
		}
		if i == start || h[start] == '-' || h[i-1] == '-' {
			return false
		}
		if i < len(h) {
			start, number = i+1, true
		}
	}
	if !number {
		return true
	}
	a, err := netip.ParseAddr(h)
	return err == nil && a.Is4()
}

// portAt reads the digits that s begins with, n of them.
func portAt(s string) (port uint16, n int, err error) {
	v := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		if v = v*10 + int(s[n]-'0'); v > 65535 {
			return 0, 0, errPort
		}
		n++
	}
	if v == 0 {
		return 0, 0, errPort
	}
	return uint16(v), n, nil
}

// checkURIParams says whether s is *(";" uri-parameter), no name used twice
// (RFC 3261 §19.1.1).
func checkURIParams(s string) error {
	var seen nameSet
	for i := 0; i < len(s); {
		if s[i] != ';' {
			return errURIParam
		}
		start := i + 1
		end := start + spanEscaped(s[start:], paramChar)
		if start == end {
			return errURIParam
		}
		if _, err := seen.add(s, start, end); err != nil {
			return err
		}
		if i = end; i < len(s) && s[i] == '=' {
			i += 1 + spanEscaped(s[i+1:], paramChar)
		}
	}
	return nil
}

// IsSIP reports whether the scheme is sip or sips.
func (u *URI) IsSIP() bool { return EqualFold(u.Scheme, "sip") || u.Secure() }

// Secure reports whether the scheme is sips.
func (u *URI) Secure() bool { return EqualFold(u.Scheme, "sips") }

// Param is the value of a URI parameter, name in any case and with escapes in
// either undone: "%6C%72" is "lr".
func (u *URI) Param(name string) (value string, ok bool) {
	for s := string(u.Params); s != ""; {
		var n, raw string
		if n, raw, s = cutParam(s); equalEscaped(n, name, true) {
			return Unescape(raw), true
		}
	}
	return "", false
}

// Transport is the transport parameter's, or that of a sips URI; 0 for none and
// for one that is not spoken here. named tells whether the parameter is there.
func (u *URI) Transport() (t Transport, named bool) {
	v, named := u.Param("transport")
	t = ParseTransport(v)
	if u.Secure() {
		switch {
		case !named || t == TCP:
			t = TLS
		case t == WS:
			t = WSS
		}
	}
	return t, named
}

// ParseTransport is the transport that a token in any case names, or 0.
func ParseTransport(s string) Transport {
	for t := UDP; t <= WSS; t++ {
		if EqualFold(s, t.String()) {
			return t
		}
	}
	return 0
}

// HostPort is where the URI points: the host without IPv6 brackets and the port,
// by default 5060, or 5061 for sips and transport=tls (RFC 3261 §19.1.2).
func (u *URI) HostPort() (host string, port uint16) {
	host, port = strings.TrimSuffix(strings.TrimPrefix(u.Host, "["), "]"), u.Port
	if port == 0 {
		port = 5060
		if t, _ := u.Transport(); t == TLS || u.Secure() {
			port = 5061
		}
	}
	return host, port
}

// AOR is the canonical address-of-record: "user@host", escapes of unreserved
// characters undone, host in lower case, port and parameters dropped (RFC 3261
// §10.3 step 5); the host alone without a user. "" for a URI that is neither SIP
// nor SIPS.
func (u *URI) AOR() string {
	if !u.IsSIP() {
		return ""
	}
	var room [128]byte
	return string(u.AppendAOR(room[:0]))
}

// AppendAOR appends what AOR returns to dst.
func (u *URI) AppendAOR(dst []byte) []byte {
	if !u.IsSIP() {
		return dst
	}
	for i := 0; i < len(u.User); i++ {
		c := u.User[i]
		if !escapeAt(u.User, i) {
			dst = append(dst, c)
			continue
		}
		if c = unhex(u.User[i+1], u.User[i+2]); charClasses[c]&plainChar != 0 {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', upper(u.User[i+1]), upper(u.User[i+2]))
		}
		i += 2
	}
	if u.User != "" {
		dst = append(dst, '@')
	}
	host := strings.TrimSuffix(u.Host, ".")
	for i := 0; i < len(host); i++ {
		dst = append(dst, Lower(host[i]))
	}
	return dst
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c &^= 0x20
	}
	return c
}

// String writes the URI back.
func (u *URI) String() string {
	var room [256]byte
	return string(u.Append(room[:0]))
}

// Append appends the URI's text to dst.
func (u *URI) Append(dst []byte) []byte {
	dst = append(append(dst, u.Scheme...), ':')
	if !u.IsSIP() {
		return append(dst, u.Opaque...)
	}
	if u.User != "" {
		dst = append(dst, u.User...)
		if u.Pass != "" {
			dst = append(append(dst, ':'), u.Pass...)
		}
		dst = append(dst, '@')
	}
	dst = append(dst, u.Host...)
	if u.Port != 0 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(u.Port), 10)
	}
	dst = append(dst, u.Params...)
	if u.Headers != "" {
		dst = append(append(dst, '?'), u.Headers...)
	}
	return dst
}
