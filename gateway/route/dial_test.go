package route

import (
	"regexp"
	"testing"
)

func TestRulesInOrder(t *testing.T) {
	r, found := Compile([]Rule{
		{Match: Match{Domain: "Example.org", User: "^[0-9]+$"}, To: "org"},
		{Match: Match{User: "^00"}, To: "world"},
		{Match: Match{User: "^[0-9]+$"}, To: "pbx"},
		{Match: Match{User: "^(sales|help)-[a-z]+$"}, To: "desk"},
		{Match: Match{Domain: "example.net"}, To: "net"},
	})
	if len(found) > 0 {
		t.Fatal(found)
	}
	for _, c := range []struct{ domain, user, want string }{
		{"example.com", "alice", ""}, {"example.com", "", ""}, {"example.com", "12a", ""},
		{"example.com", "123", "pbx"}, {"example.com", "00491", "world"}, {"example.org", "0049", "org"},
		{"example.com", "sales-de", "desk"}, {"example.net", "alice", "net"}, {"example.net", "5", "pbx"},
	} {
		got := ""
		if rule := r.Decide(&Facts{Domain: c.domain, User: c.user}); rule != nil {
			got = rule.To
		}
		if got != c.want {
			t.Errorf("%q in %q goes to %q, want %q", c.user, c.domain, got, c.want)
		}
	}
}

// TestDialPatterns says which patterns need no regular expression at run time.
func TestDialPatterns(t *testing.T) {
	for pattern, simple := range map[string]bool{
		"^[0-9]+$": true, "^00": true, "^1[0-9]{3}$": true, "^(00)[1-9][0-9]*$": true, `^\+[0-9]+$`: true, `^\d+$`: true, "^alice$": true, "^$": true, "^[0-9]+": true,
		"00": false, "^(0|00)": false, "(?i)^alice$": false, "^a?b$": false, "^[^0-9]+$": false, "^é$": false, "^[0-9]*1$": false, "(?m)^1$": false, ".*": false, "^1$2": false,
	} {
		p, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.dial != nil; got != simple {
			t.Errorf("%q is simple: %v, want %v", pattern, got, simple)
		}
	}
}

// FuzzDial compares with the regular expression that a dial stands for.
func FuzzDial(f *testing.F) {
	for _, p := range []string{"^[0-9]+$", "^00", "^1[0-9]{3}$", "^(00)[1-9]*", "^[a-z0-9.-]+$", "^", "^$", "^(?:(?:a))b*$", "^a{2,}$"} {
		for _, s := range []string{"", "00", "1234", "12345", "00491", "a", "aab", "é", "1\n"} {
			f.Add(p, s)
		}
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return
		}
		p, err := compilePattern(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if p.run.MatchString(s) != re.MatchString(s) {
			t.Errorf("%q on %q: dial %v, regexp %v", pattern, s, p.run.MatchString(s), re.MatchString(s))
		}
	})
}
