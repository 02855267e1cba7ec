// Package route says where a request goes that begins something new: an ordered list
// of declarative rules, of which the first that fits wins. It compiles rules and tells what is
// wrong with them, decides, and says how a request leaves. It sends nothing and
// knows neither users nor upstreams but by name. All of it is pure.
package route

import (
	"net/netip"

	"github.com/ringway/ringway/sip"
)

// Location is the Rule.To that means the location service: our registered users.
const Location = "location"

// Users stands in Rule.From for everybody who is no upstream.
const Users = "users"

// Rule is one routing rule as an operator writes it. It does exactly one thing: To or Reject.
type Rule struct {
	Name  string // for messages; may be ""
	Match Match
	// From names the upstreams whose requests it applies to, and perhaps Users. Empty: requests of users and
	// of upstreams that Match.Source names.
	From    []string
	To      string // name of an upstream, or Location
	Reject  Reject
	Always  bool // go to the upstream even when the callee is registered with us
	Rewrite Rewrite

	// Line is where it stands in its file, 0 when that is not known.
	Line int
}

// Match is conditions that must all hold; zero values hold for everything.
type Match struct {
	Domain string // of the Request-URI, any case
	Prefix string // the user begins with it, case counts (RFC 3261 §19.1.4)
	User   string // regular expression (RE2) on the user, escapes undone
	Caller string // regular expression on From's user@host, host in lower case
	Source []Peer // one of them sent it
	Method []string
	Header []HeaderMatch
}

// Peer is one condition on the sender; one of its fields is set.
type Peer struct {
	Transport sip.Transport // WS stands for WSS too
	Upstream  string
	Net       netip.Prefix
}

// HeaderMatch holds when some line of that name (any case, long or compact) matches.
type HeaderMatch struct {
	Name    string
	Pattern string // regular expression on the value; "": the header is there
}

// Reject is an answer in place of a target; Status 0: none.
type Reject struct {
	Status int    // 400–699
	Reason string // "": the standard phrase of the status
}

// Rewrite is what changes in a request that leaves by a rule; zero values change nothing. Of the
// user, first Replace, then Strip, E164 and Prefix.
type Rewrite struct {
	// Replace takes the place of what Match.User matched; $1 or ${name} are its groups.
	Replace string
	Strip   int // characters off the front; a shorter user stays as it is
	E164    E164
	Prefix  string

	From     Party
	Asserted Party // P-Asserted-Identity; User stays the authenticated one when ""

	Privacy Privacy
	Remove  []string     // header names
	Set     []HeaderLine // in place of all lines of the name
	Add     []HeaderLine
}

// E164 makes international numbers of dialled ones (ITU-T E.164, RFC 3966 §5.1.4). The zero value
// does nothing; see Dialling for the usual prefixes.
type E164 struct {
	Country       string // country code without +: "49"
	International string // what one dials before a country code: "00"
	National      string // what one dials before an area code: "0"; "": every other number is a national one
}

// Dialling is the E164 of a country with the prefixes 00 and 0.
func Dialling(country string) E164 {
	return E164{Country: country, International: "00", National: "0"}
}

// Party replaces parts of an address; "" keeps.
type Party struct {
	Display string // without quotes
	User    string // escapes undone
	Domain  string // host[:port]
}

// HeaderLine is one header field.
type HeaderLine struct{ Name, Value string }

// Privacy is what a rule asks of those who are behind the upstream (RFC 3323).
type Privacy uint8

// The kinds of privacy.
const (
	PrivacyKeep Privacy = iota // as the caller asks
	PrivacyID                  // From without identity, "Privacy: id" (RFC 3325 §9.3)
	PrivacyNone                // "Privacy: none", unless the caller asks for some
)

// Finding is something wrong or doubtful about a rule.
type Finding struct {
	Rule     int    // index
	Key      string // within the rule as YAML names it: match.user, rewrite.from; "" for the rule
	Severity Severity
	Text     string // what is wrong and, after a ';', the cure
}

// Severity tells what must not be used from what may be meant.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)
