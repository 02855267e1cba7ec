package route

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// naive is the meaning of a rule, from its text alone and as slow as it likes.
func naive(r *Rule, f *Facts) bool {
	m := &r.Match
	re := func(pattern, s string) bool { return pattern == "" || regexp.MustCompile(pattern).MatchString(s) }
	named := slices.Contains(r.From, f.Source.Upstream)
	if len(r.From) == 0 {
		named = slices.ContainsFunc(m.Source, func(p Peer) bool { return p.Upstream == f.Source.Upstream })
	}
	if f.Source.Upstream == "" {
		named = len(r.From) == 0 || slices.Contains(r.From, Users)
	}
	if !named || m.Domain != "" && !strings.EqualFold(m.Domain, f.Domain) || !strings.HasPrefix(f.User, m.Prefix) ||
		!re(m.User, f.User) || !re(m.Caller, f.Caller) || len(m.Method) > 0 && !slices.Contains(m.Method, f.Method) {
		return false
	}
	if len(m.Source) > 0 && !slices.ContainsFunc(m.Source, func(p Peer) bool {
		ws := p.Transport == sip.WS && f.Source.Transport == sip.WSS
		return p.Upstream != "" && p.Upstream == f.Source.Upstream || p.Transport != 0 && p.Transport == f.Source.Transport || ws ||
			p.Net.IsValid() && p.Net.Contains(f.Source.Addr)
	}) {
		return false
	}
	for _, h := range m.Header {
		if !slices.ContainsFunc(f.Header(h.Name), func(v string) bool { return re(h.Pattern, v) }) {
			return false
		}
	}
	return true
}

func naiveDecide(rules []Rule, f *Facts) int {
	return slices.IndexFunc(rules, func(r Rule) bool { return naive(&r, f) })
}

var (
	somePatterns = []string{
		"", "", "^00", "^0[1-9]", "^0[1-9]", "^[0-9]{3}$", `^\+49`, "^(00|\\+)49", "^(?i)ali", "^1|^2", "^1|2", "(^0)3", "30$", "^0*3", "^a?1",
		"^[^0]", "^(0|00)(1|2)", "^é", "^[[:alpha:]]+$", ".*", "^.+$", "^$", "0", "^(?:0|)1", "^(12345678901234567890)+", "(?m)^1", `^\b1`, "^0{2,3}1", "[^\\x00-\\x{10FFFF}]", "^(a|b|c|d|e|f|g)(a|b|c|d|e|f|g)(a|b|c)",
	}
	somePrefixes  = []string{"", "", "", "0", "00", "+49", "1", "12", "a", "12345678901234567890", "é"}
	someDomains   = []string{"", "", "example.com", "Example.org", "example.net"}
	someUsers     = []string{"0", "00", "001", "0049301234", "+4930", "123", "1", "12", "2", "alice", "ALIce", "a1", "é", "ée", "030", "03", "12345678901234567890", "1234567890123456", "bb", "abc", "\xff1", "200", "911", "0001", ""}
	someCallers   = []string{"", "", "", "^alice@", "example.com$", ".*", "^bob@|o", `\bbob`, "^$"}
	someUpstreams = []string{"pbx", "carrier"}
)

func pick[T any](r *rand.Rand, of []T) T { return of[r.IntN(len(of))] }

func randomRule(r *rand.Rand) Rule {
	rule := Rule{To: "pbx", Match: Match{
		Domain: pick(r, someDomains), Prefix: pick(r, somePrefixes), User: pick(r, somePatterns), Caller: pick(r, someCallers),
	}}
	for range r.IntN(3) / 2 * (1 + r.IntN(2)) {
		rule.Match.Source = append(rule.Match.Source, pick(r, []Peer{
			{Transport: sip.WS}, {Transport: sip.WSS}, {Transport: sip.UDP}, {Upstream: "pbx"}, {Upstream: "carrier"},
			{Net: netip.MustParsePrefix("10.0.0.0/8")}, {Net: netip.MustParsePrefix("10.1.0.0/16")}, {Net: netip.MustParsePrefix("2001:db8::/32")},
		}))
	}
	for range r.IntN(3) / 2 * (1 + r.IntN(2)) {
		rule.Match.Method = append(rule.Match.Method, pick(r, []string{"INVITE", "MESSAGE", "OPTIONS", "PING"}))
	}
	if r.IntN(6) == 0 {
		rule.Match.Header = []HeaderMatch{{"X-Class", pick(r, []string{"", "gold", "^g"})}}
	}
	for range r.IntN(4) / 2 {
		rule.From = append(rule.From, pick(r, []string{"pbx", "carrier", Users}))
	}
	return rule
}

func randomFacts(r *rand.Rand) *Facts {
	f := &Facts{
		Method: pick(r, []string{"INVITE", "MESSAGE", "PONG"}), Domain: strings.ToLower(pick(r, someDomains[2:])), User: pick(r, someUsers),
		Caller: pick(r, []string{"alice@example.com", "bob@example.org", "", "b\xf6b@example.com", "+4930\t"}),
		Source: Source{
			Transport: pick(r, []sip.Transport{sip.WS, sip.WSS, sip.UDP, sip.TCP}),
			Addr:      netip.MustParseAddr(pick(r, []string{"10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::1"})),
		},
	}
	if r.IntN(3) == 0 {
		f.Source.Upstream = pick(r, someUpstreams)
	}
	class := pick(r, [][]string{nil, {"gold"}, {"silver", "gold"}, {"silver"}})
	f.Header = func(name string) []string {
		if name == "X-Class" {
			return class
		}
		return nil
	}
	return f
}

// TestIndexKeepsTheOrder: the indexed table decides as one that asks rule by rule does, on random rules and requests.
func TestIndexKeepsTheOrder(t *testing.T) {
	hits := 0
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 3))
		rules := make([]Rule, 1+r.IntN(60))
		for i := range rules {
			rules[i] = randomRule(r)
		}
		table, _ := Compile(rules)
		for range 100 {
			f := randomFacts(r)
			got := -1
			if d := table.Decide(f); d != nil {
				got = d.Index
			}
			want := naiveDecide(rules, f)
			if got != want {
				t.Fatalf("seed %d: %+v\ngoes by rule %d, want %d: %s", seed, f, got, want, describe(rules, want))
			}
			if want > 0 {
				hits++
			}
		}
	}
	if hits < 1000 {
		t.Errorf("only %d requests got past the first rule; the rules are too dull", hits)
	}
}

func describe(rules []Rule, i int) string {
	if i < 0 {
		return "none"
	}
	return fmt.Sprintf("%+v", rules[i])
}

// TestHiddenRulesNeverWin: a rule of which Compile says that it can never match does not,
// whatever comes.
func TestHiddenRulesNeverWin(t *testing.T) {
	said := 0
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 4))
		rules := make([]Rule, 2+r.IntN(30))
		for i := range rules {
			rules[i] = randomRule(r)
		}
		table, found := Compile(rules)
		hidden := map[int]string{}
		for _, f := range found {
			if f.Severity == Error {
				hidden[f.Rule] = f.Text
			}
		}
		said += len(hidden)
		for range 300 {
			f := randomFacts(r)
			if f.User == "" {
				continue // no request without a user gets here
			}
			if d := table.Decide(f); d != nil && hidden[d.Index] != "" {
				t.Fatalf("seed %d: %+v\n%+v\nrule %d wins, of which was said: %s", seed, f, d.Rule, d.Index, hidden[d.Index])
			}
		}
	}
	if said < 200 {
		t.Errorf("only %d findings; the rules are too dull", said)
	}
}

// FuzzPattern: keys and universality of a pattern are what its regular expression says.
func FuzzPattern(f *testing.F) {
	for _, p := range somePatterns {
		for _, s := range []string{"", "0049", "+49", "alice", "é", "\xff"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		re, err := regexp.Compile(pattern)
		if err != nil || !plain(s) {
			return
		}
		p, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		fits := re.MatchString(s)
		if begins := slices.ContainsFunc(p.keys(), func(k string) bool { return strings.HasPrefix(s, k) }); fits && !begins {
			t.Errorf("%q fits %q, whose keys are %q", s, pattern, p.keys())
		}
		if !fits && (p.all || p.some && s != "") {
			t.Errorf("%q does not fit %q, which is said to take everything", s, pattern)
		}
	})
}

// FuzzCovers: what a pattern covers, it fits.
func FuzzCovers(f *testing.F) {
	for _, p := range somePatterns {
		for _, q := range somePatterns {
			f.Add(p, q, "00491")
		}
	}
	f.Fuzz(func(t *testing.T, p, q, s string) {
		if s == "" || p == "" || q == "" || !plain(s) {
			return
		}
		c := compiler{table: &Table{}}
		a, b := c.condition(&Rule{Match: Match{User: p}}), c.condition(&Rule{Match: Match{User: q}})
		if len(a.keys) == 0 || len(b.keys) == 0 || !a.covers(b) {
			return
		}
		if b.user.MatchString(s) && !a.user.MatchString(s) {
			t.Errorf("%q is said to cover %q, but %q fits the second only", p, q, s)
		}
	})
}
