package sip

import (
	"errors"
	"strconv"
)

// What can be wrong with a Via value.
var (
	errProtocol  = errors.New("not SIP/2.0/transport")
	errTransport = errors.New("bad transport")
	errNoSentBy  = errors.New("no sent-by")
)

// ViaValue is one Via value (RFC 3261 §20.42).
type ViaValue struct {
	Transport string // as written
	Host      string // IPv6 with its brackets
	Port      uint16 // 0: none
	Branch    string
	Params    Params
}

// ParseVia reads one Via value, LWS anywhere the grammar allows it. The strings
// of the result are parts of s.
func ParseVia(s string) (ViaValue, error) {
	s = trimBlanks(s)
	transport, i, err := sentProtocol(s)
	if err != nil {
		return ViaValue{}, err
	}
	v := ViaValue{Transport: transport}
	if i == len(s) {
		return ViaValue{}, errNoSentBy
	}
	n, err := hostLen(s[i:])
	if err != nil {
		return ViaValue{}, err
	}
	v.Host = s[i : i+n]
	i = SkipBlanks(s, i+n)
	if i < len(s) && s[i] == ':' {
		i = SkipBlanks(s, i+1)
		if v.Port, n, err = portAt(s[i:]); err != nil {
			return ViaValue{}, err
		}
		i += n
	}
	if v.Params, err = checkParams(s[i:]); err != nil {
		return ViaValue{}, err
	}
	v.Branch, _ = v.Params.Value("branch")
	return v, nil
}

// sentProtocol reads "SIP / 2.0 / transport" and the blanks behind it, which
// must be there; i is where sent-by begins.
func sentProtocol(s string) (transport string, i int, err error) {
	if len(s) > 8 && s[:8] == "SIP/2.0/" { // as nearly everybody writes it
		i = 8
	} else if i = slowProtocol(s); i < 0 {
		return "", 0, errProtocol
	}
	n := span(s[i:], tokenChar)
	if n == 0 {
		return "", 0, errTransport
	}
	transport = s[i : i+n]
	i += n
	if i == len(s) {
		return "", 0, errNoSentBy
	}
	if !IsBlank(s[i]) {
		return "", 0, errTransport
	}
	return transport, SkipBlanks(s, i), nil
}

// slowProtocol is the index behind "SIP / 2.0 /" and the blanks after it, or -1.
func slowProtocol(s string) int {
	if len(s) < 3 || !EqualFold(s[:3], "SIP") {
		return -1
	}
	i := SkipBlanks(s, 3)
	if i == len(s) || s[i] != '/' {
		return -1
	}
	i = SkipBlanks(s, i+1)
	if len(s)-i < 3 || s[i:i+3] != "2.0" {
		return -1
	}
	i = SkipBlanks(s, i+3)
	if i == len(s) || s[i] != '/' {
		return -1
	}
	return SkipBlanks(s, i+1)
}

// String writes the value without the blanks between its components.
func (v *ViaValue) String() string {
	s := "SIP/2.0/" + v.Transport + " " + v.Host
	if v.Port != 0 {
		s += ":" + strconv.Itoa(int(v.Port))
	}
	return s + string(v.Params)
}
