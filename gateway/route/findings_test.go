package route

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

func net(s string) Peer { return Peer{Net: netip.MustParsePrefix(s)} }

// TestFindings: what is wrong with one rule. want is "key: text" with the severity before it, in order.
func TestFindings(t *testing.T) {
	to := func(m Match) Rule { return Rule{Match: m, To: "pbx"} }
	with := func(w Rewrite) Rule { return Rule{Match: Match{User: "^(0)(?P<n>.*)"}, To: "pbx", Rewrite: w} }
	for _, c := range []struct {
		name string
		rule Rule
		want []string
	}{
		{"nothing", to(Match{User: "^0", Prefix: "0"}), nil},
		{"bad user", to(Match{User: "["}), []string{"error match.user: error parsing regexp"}},
		{"bad caller", to(Match{Caller: "(?!x)"}), []string{"error match.caller: error parsing regexp"}},
		{"bad header", to(Match{Header: []HeaderMatch{{"X-A", "*"}}}), []string{"error match.header.X-A: error parsing regexp"}},
		{"header is no name", to(Match{Header: []HeaderMatch{{"X A", ""}}}), []string{`error match.header: "X A" is no name`}},
		{"empty lists", Rule{To: "pbx", From: []string{}, Match: Match{Source: []Peer{}, Method: []string{}, Header: []HeaderMatch{}}},
			[]string{"error match.source: an empty list", "error match.method: an empty list", "error match.header: an empty list", "error from: an empty list"}},
		{"empty peer", to(Match{Source: []Peer{{}}}), []string{"error match.source: an entry that names nothing"}},
		{"prefix and user exclude each other", to(Match{Prefix: "00", User: "^0[1-9]"}), []string{`error match.prefix: can never match: no user begins with "00" and fits ^0[1-9]`}},
		{"prefix and user of which one is longer", to(Match{Prefix: "0", User: "^0[1-9]"}), nil},
		{"prefix and user that meet in one alternative", to(Match{Prefix: "49", User: "^(00|4)"}), nil},
		{"a pattern that fits nothing", to(Match{User: "^[^\\x00-\\x{10FFFF}]"}), []string{"error match.user: fits nothing"}},
		{"from and source exclude each other", Rule{To: "pbx", From: []string{"a"}, Match: Match{Source: []Peer{{Upstream: "b"}}}}, []string{"error match.source: can never match: from and source"}},
		{"from and source by address", Rule{To: "pbx", From: []string{"a"}, Match: Match{Source: []Peer{net("10.0.0.0/8")}}}, nil},
		{"numbers without ^", to(Match{User: "00"}), []string{"warning match.user: fits numbers that have 00 anywhere; write ^00"}},
		{"digits without ^", to(Match{User: `\+49[0-9]+`}), []string{"warning match.user: fits numbers"}},
		{"an end", to(Match{User: "00$"}), nil}, {"names without ^", to(Match{User: "sales"}), nil}, {"a prefix beside", to(Match{User: "00", Prefix: "1"}), nil},
		{"escapes in a prefix", to(Match{Prefix: "%2B49"}), []string{"warning match.prefix: escapes are undone"}},
		{"control characters", to(Match{Prefix: "1\n"}), []string{"error match.prefix: has control"}},
		{"separators in a prefix", to(Match{Prefix: "+49 (0)900-1"}), []string{"warning match.prefix: separators are cut from numbers before they are looked at; write +4909001"}},
		{"names with separators", to(Match{Prefix: "conf-room."}), nil}, {"a plain prefix", to(Match{Prefix: "*31#"}), nil},
		{"a scheme before a user", to(Match{User: "^sip:1"}), []string{"warning match.user: a user has no scheme before it; write 1"}}, {"a scheme before a prefix", to(Match{Prefix: "TEL:1"}), []string{"warning match.prefix: a user has no scheme before it; write 1"}},
		{"a domain behind a user", to(Match{Prefix: "0900@example.com"}), []string{"warning match.prefix: a user ends before '@', and its domain is a condition of its own; write 0900 here"}}, {"a user that begins as a scheme", to(Match{User: "^sipsales"}), nil},
		{"a scheme before a caller", to(Match{Caller: "^sip:alice@"}), []string{"warning match.caller: a caller is user@host without a scheme; write ^alice@"}},
		{"capitals of a caller's host", to(Match{Caller: `^alice@Example\.com$`}), []string{"warning match.caller: hosts are compared in lower case; write ^alice@example"}},
		{"capitals of a caller's user", to(Match{Caller: `^Alice@\S+$`}), nil}, {"capitals that are any", to(Match{Caller: "(?i)^alice@Example"}), nil},
		{"a caller without host", to(Match{Caller: "^alice$"}), []string{"warning match.caller: a caller is user@host, so only tel: numbers can fit; write ^alice@"}},
		{"callers of any kind", to(Match{Caller: "^alice"}), nil}, {"a caller's domain", to(Match{Caller: `example\.com$`}), nil}, {"a caller's class", to(Match{Caller: "^[^x]+$"}), nil},
		{"methods", to(Match{Method: []string{"INVITE", "invite", "ACK", "REGISTER", "PING", "A B"}}), []string{
			"warning match.method: methods are told apart by case (RFC 3261 §7.1); write INVITE", "warning match.method: ACK goes the way of its INVITE",
			"warning match.method: REGISTER goes to the registrar", "warning match.method: unknown method PING", `error match.method: "A B" is no method`}},
		{"no action", Rule{}, []string{"error : does nothing"}},
		{"two actions", Rule{To: "pbx", Reject: Reject{Status: 403}}, []string{"error reject: stands beside to"}},
		{"redirects", Rule{Reject: Reject{Status: 302}}, []string{"error reject: a status from 400 to 699"}},
		{"reason alone", Rule{Reject: Reject{Reason: "No"}}, []string{"error reject: a reason without a status; write such as 403 No"}},
		{"reason of two lines", Rule{Reject: Reject{Status: 403, Reason: "No\r\nX: 1"}}, []string{"error reject: the reason has control"}},
		{"always location", Rule{To: Location, Always: true}, []string{"warning always: means something only"}},
		{"rewrite and reject", Rule{Reject: Reject{Status: 403}, Rewrite: Rewrite{Strip: 1}}, []string{"error rewrite: nothing leaves"}},
		{"headers to location", Rule{To: Location, Rewrite: Rewrite{Privacy: PrivacyID}}, []string{"error rewrite: towards the location service"}},
		{"user to location", Rule{To: Location, Rewrite: Rewrite{Strip: 1}}, nil},
		{"replace without user", Rule{To: "pbx", Rewrite: Rewrite{Replace: "x"}}, []string{"error rewrite.replace: replaces what match.user fits, and there is none"}},
		{"groups", with(Rewrite{Replace: "$1-${2}-$n-$$"}), nil},
		{"no such group", with(Rewrite{Replace: "$3"}), []string{"error rewrite.replace: match.user has no group $3"}},
		{"a group with letters behind", with(Rewrite{Replace: "$1x"}), []string{"error rewrite.replace: match.user has no group $1x"}},
		{"an open brace", with(Rewrite{Replace: "${1"}), []string{"error rewrite.replace: match.user has no group ${1"}},
		{"strip", with(Rewrite{Strip: -1}), []string{"error rewrite.strip: cannot be negative"}},
		{"e164", with(Rewrite{E164: E164{Country: "+49", International: "0a", National: "x"}}), []string{"error rewrite.e164.country", "error rewrite.e164.international", "error rewrite.e164.national"}},
		{"e164 without country", with(Rewrite{E164: E164{National: "0"}}), []string{"error rewrite.e164.country"}},
		{"e164 twice the same", with(Rewrite{E164: E164{Country: "49", International: "0", National: "0"}}), []string{"error rewrite.e164.national: is the same"}},
		{"party", with(Rewrite{From: Party{Display: "a\n", User: "b\r", Domain: "c d"}, Asserted: Party{Domain: "a@b"}}), []string{
			"error rewrite.from.display", "error rewrite.from.user", `error rewrite.from.domain: "c d" is no host`, `error rewrite.asserted.domain: "a@b" is no host`}},
		{"hosts", with(Rewrite{From: Party{Domain: "[2001:db8::1]:5070"}, Asserted: Party{Domain: "pbx"}}), nil},
		{"privacy beside from", with(Rewrite{Privacy: PrivacyID, From: Party{Display: "x"}}), []string{"error rewrite.from: privacy: id makes From anonymous"}},
		{"headers", with(Rewrite{Remove: []string{"v", "X-A"}, Set: []HeaderLine{{"from", "x"}, {"X-B", "1\r\nVia: x"}}, Add: []HeaderLine{{"X C", ""}, {"p-asserted-identity", ""}, {"Privacy", ""}}}), []string{
			"error rewrite.remove: v is not a rule's to change", "error rewrite.set: from has a key of its own: rewrite.from", "error rewrite.set: X-B: the value has control",
			`error rewrite.add: "X C" is no name`, "error rewrite.add: p-asserted-identity has a key of its own: rewrite.asserted", "error rewrite.add: Privacy has a key of its own: rewrite.privacy"}},
	} {
		_, found := Compile([]Rule{c.rule})
		compareFindings(t, c.name, found, c.want)
	}
}

func compareFindings(t *testing.T, name string, found []Finding, want []string) {
	t.Helper()
	for i, f := range found {
		got := fmt.Sprintf("%s %s: %s", [...]string{"error", "warning"}[f.Severity], f.Key, f.Text)
		if i >= len(want) || !strings.HasPrefix(got, want[i]) {
			t.Errorf("%s: found %q", name, got)
		}
	}
	if len(found) < len(want) {
		t.Errorf("%s: found only %v, want %q", name, found, want)
	}
}

// TestEveryUntouchableIsRefused: each header that routes, authenticates or frames, in any spelling.
func TestEveryUntouchableIsRefused(t *testing.T) {
	for _, name := range append([]string{"v", "f", "t", "i", "m", "l", "c", "e", "k", "o", "r", "x", "VIA", "call-id"}, untouchable...) {
		_, found := Compile([]Rule{{To: "pbx", Rewrite: Rewrite{Set: []HeaderLine{{name, "x"}}}}})
		if len(found) != 1 || found[0].Severity != Error || found[0].Key != "rewrite.set" {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// TestHidden: whether the second rule has anything left after the first.
func TestHidden(t *testing.T) {
	const same, hidden, free = "the conditions are those of", "can never match", ""
	m := func(set func(*Match)) (m Match) { set(&m); return m }
	prefix := func(s string) Match { return Match{Prefix: s} }
	user := func(s string) Match { return Match{User: s} }
	source := func(p ...Peer) Match { return Match{Source: p} }
	for _, c := range []struct {
		a, b Match
		want string
	}{
		{Match{}, Match{}, same}, {Match{}, prefix("1"), hidden}, {prefix("1"), Match{}, free},
		{prefix("0"), prefix("00"), hidden}, {prefix("00"), prefix("0"), free}, {prefix("0"), prefix("0"), same}, {prefix("0"), prefix("1"), free},
		{prefix("0"), user("^00"), hidden}, {prefix("0"), user("00"), free}, {prefix("00"), user("^(00|001)[1-9]"), hidden}, {prefix("00"), user("^(00|01)"), free},
		{user("^0"), prefix("00"), hidden}, {user("^0"), prefix("0"), same}, {user("^00"), prefix("0"), free}, {user("^[0-9]"), prefix("5"), hidden}, {user("^[0-9]+$"), prefix("5"), free},
		{user("^[0-9]+$"), user("^[0-9]{3}$"), hidden}, {user("^[0-9]{3}$"), user("^[0-9]+$"), free}, {user("^[0-9]+$"), user("^[1-9][0-9]*$"), hidden},
		{user("^[0-9]*$"), user("^[0-9]+"), free}, {user("^[0-9]{3}$"), user("^11[0-9]$"), hidden}, {user("^1[0-9]$"), user("^1$"), free}, {user("^a|b"), user("^a|b"), same}, {user("^a|b"), user("^b|a"), free},
		{user(".*"), prefix("x"), hidden}, {user(".+"), user("^x"), hidden}, {user("^.*$"), user("x"), hidden}, {user("^.+$"), Match{}, same}, {user("x*"), user("^5"), hidden}, {user("."), user("5"), hidden},
		{user("^..$"), user("^5"), free}, {user("(?i)^ali"), user("^ali"), free}, {user("^.*5$"), user("^5$"), free},
		{Match{Domain: "example.com"}, Match{Domain: "EXAMPLE.com", Prefix: "1"}, hidden}, {Match{Domain: "example.com"}, prefix("1"), free}, {Match{Domain: "example.com"}, Match{Domain: "example.org"}, free}, {Match{}, Match{Domain: "example.org"}, hidden},
		{source(net("10.0.0.0/8")), source(net("10.1.0.0/16")), hidden}, {source(net("10.1.0.0/16")), source(net("10.0.0.0/8")), free}, {source(net("10.0.0.0/16")), source(net("10.0.0.0/8")), free}, {source(net("10.0.0.0/8")), source(net("10.1.0.0/16"), net("192.0.2.0/24")), free},
		{source(net("10.0.0.0/8"), net("192.0.0.0/8")), source(net("10.1.0.0/16"), net("192.0.2.0/24")), hidden}, {source(net("0.0.0.0/0")), source(net("2001:db8::/32")), free}, {source(net("10.0.0.0/8")), Match{}, free},
		{source(Peer{Transport: sip.WS}), source(Peer{Transport: sip.WSS}), hidden}, {source(Peer{Transport: sip.WSS}), source(Peer{Transport: sip.WS}), free}, {source(Peer{Transport: sip.UDP}), source(net("10.0.0.0/8")), free},
		{source(Peer{Upstream: "a"}, Peer{Upstream: "b"}), source(Peer{Upstream: "a"}), hidden}, {source(Peer{Upstream: "a"}), source(Peer{Upstream: "b"}), free}, {Match{}, source(Peer{Upstream: "a"}), free},
		{Match{Method: []string{"INVITE", "MESSAGE"}}, Match{Method: []string{"INVITE"}, Prefix: "1"}, hidden}, {Match{Method: []string{"INVITE"}}, prefix("1"), free},
		{Match{Caller: "^a"}, Match{Caller: "^a", Prefix: "1"}, hidden}, {Match{Caller: "^a"}, Match{Caller: "^ab"}, free}, {Match{Caller: ".*"}, Match{Caller: "x"}, hidden}, {Match{Caller: ".+"}, prefix("1"), free},
		{m(func(m *Match) { m.Header = []HeaderMatch{{"s", ""}} }), m(func(m *Match) { m.Header = []HeaderMatch{{"Subject", "x"}} }), hidden},
		{m(func(m *Match) { m.Header = []HeaderMatch{{"Subject", "x"}} }), m(func(m *Match) { m.Header = []HeaderMatch{{"Subject", ""}} }), free},
		{m(func(m *Match) { m.Header = []HeaderMatch{{"Subject", ""}} }), prefix("1"), free},
	} {
		_, found := Compile([]Rule{{Match: c.a, To: "a"}, {Match: c.b, To: "b"}})
		got := free
		for _, f := range found {
			if f.Rule == 1 && f.Key == "match" {
				got = f.Text
			}
		}
		if !strings.HasPrefix(got, c.want) || got != "" && c.want == "" {
			t.Errorf("%+v\nbefore %+v: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// TestFindingsNameTheOther: where the earlier rule stands, and names only once.
func TestFindingsNameTheOther(t *testing.T) {
	_, found := Compile([]Rule{
		{Name: "all", To: "a", Line: 7}, {Name: "all", To: "b", Match: Match{Domain: "x"}}, {To: "c", From: []string{"b"}}, {To: "c", From: []string{"b", Users}, Match: Match{Prefix: "1"}},
	})
	compareFindings(t, "order", found, []string{
		`error name: "all" is the name of routes[0] (all) in line 7 already`,
		"error match: can never match: routes[0] (all) in line 7 takes all of it before",
	})
	for _, f := range found {
		if f.Rule != 1 {
			t.Errorf("rule %d: %s", f.Rule, f.Text)
		}
	}
}
