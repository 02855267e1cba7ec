package sip

import (
	"errors"
	"strings"
)

// What can be wrong with a name-addr.
var (
	errEmptyValue  = errors.New("empty value")
	errBracket     = errors.New("unbalanced angle bracket")
	errDisplay     = errors.New("display name needs quotes")
	errNoBracket   = errors.New("display name without address")
	errAddrSpec    = errors.New("bad character in address")
	errNeedBracket = errors.New("address with ',' or '?' needs angle brackets")
)

// NameAddr is the value of From, To, Contact, Route, Record-Route, Path, Refer-To …
type NameAddr struct {
	Display string // as it stands, quotes kept
	URI     string // as it stands; ParseURI says whether it is one
	Params  Params // header parameters
}

// ParseNameAddr reads a name-addr or addr-spec with its header parameters. In
// the addr-spec form parameters belong to the header (RFC 3261 §20.10), and
// neither comma nor question mark may stand in it. The strings of the result are
// parts of s. "*" is not for it.
func ParseNameAddr(s string) (NameAddr, error) {
	s = trimBlanks(s)
	if s == "" {
		return NameAddr{}, errEmptyValue
	}
	if s[0] == '"' {
		e := quotedEnd(s, 0)
		if e < 0 {
			return NameAddr{}, errQuote
		}
		if !cleanQuoted(s[:e]) {
			return NameAddr{}, errQuoted
		}
		i := SkipBlanks(s, e)
		if i == len(s) || s[i] != '<' {
			return NameAddr{}, errNoBracket
		}
		return bracketed(s[:e], s[i+1:])
	}
	lt := strings.IndexByte(s, '<')
	if q := strings.IndexByte(s, '"'); lt < 0 || q >= 0 && q < lt {
		return addrSpec(s)
	}
	display := trimBlanks(s[:lt])
	for i := 0; i < len(display); i++ {
		if charClasses[display[i]]&displayChar == 0 && !IsBlank(display[i]) {
			return NameAddr{}, errDisplay
		}
	}
	return bracketed(display, s[lt+1:])
}

// bracketed reads on behind '<'.
func bracketed(display, s string) (NameAddr, error) {
	gt := strings.IndexByte(s, '>')
	if gt < 0 {
		return NameAddr{}, errBracket
	}
	if err := checkAddr(s[:gt]); err != nil {
		return NameAddr{}, err
	}
	p, err := checkParams(s[gt+1:])
	if err != nil {
		return NameAddr{}, err
	}
	return NameAddr{display, s[:gt], p}, nil
}

func addrSpec(s string) (NameAddr, error) {
	end := 0
	for end < len(s) && s[end] != ';' && !IsBlank(s[end]) {
		if s[end] == ',' || s[end] == '?' {
			return NameAddr{}, errNeedBracket
		}
		end++
	}
	if err := checkAddr(s[:end]); err != nil {
		return NameAddr{}, err
	}
	p, err := checkParams(s[end:])
	if err != nil {
		return NameAddr{}, err
	}
	return NameAddr{"", s[:end], p}, nil
}

// checkAddr says whether uri has a scheme and only characters that a URI can have.
func checkAddr(uri string) error {
	if span(uri, schemeChar) == 0 || strings.IndexByte(uri, ':') < 0 {
		return errNoScheme
	}
	for i := 0; i < len(uri); i++ {
		if charClasses[uri[i]]&uriChar == 0 && uri[i] != '%' {
			return errAddrSpec
		}
	}
	return nil
}

// Tag is the tag parameter.
func (a *NameAddr) Tag() string { v, _ := a.Params.Value("tag"); return v }

// String writes the value in the name-addr form.
func (a *NameAddr) String() string {
	if a.Display == "" {
		return "<" + a.URI + ">" + string(a.Params)
	}
	return a.Display + " <" + a.URI + ">" + string(a.Params)
}
