package trunk

import (
	"regexp"
	"testing"
)

func TestRulesInOrder(t *testing.T) {
	r, err := CompileRules([]Rule{
		{Domain: "Example.org", User: "^[0-9]+$", To: "org"},
		{User: "^00", To: "world"},
		{User: "^[0-9]+$", To: "pbx"},
		{User: "^(sales|help)-[a-z]+$", To: "desk"},
		{Domain: "example.net", To: "net"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ domain, user, want string }{
		{"example.com", "alice", ""}, {"example.com", "", ""}, {"example.com", "12a", ""},
		{"example.com", "123", "pbx"}, {"example.com", "00491", "world"}, {"example.org", "0049", "org"}, {"EXAMPLE.ORG", "1", "org"},
		{"example.com", "sales-de", "desk"}, {"example.net", "alice", "net"}, {"example.net", "5", "pbx"},
	} {
		if got, ok := r.Match(c.domain, c.user); got != c.want || ok != (c.want != "") {
			t.Errorf("Match(%q, %q) = %q, %v, want %q", c.domain, c.user, got, ok, c.want)
		}
	}
	if _, err := CompileRules([]Rule{{User: "^1", To: "a"}, {User: "[", To: "b"}}); err == nil || err.Error()[:9] != "routes[1]" {
		t.Errorf("a bad expression gives %v, want routes[1]: …", err)
	}
}

// TestDialPatterns says which patterns need no regular expression at run time.
func TestDialPatterns(t *testing.T) {
	for pattern, simple := range map[string]bool{
		"^[0-9]+$": true, "^00": true, "^1[0-9]{3}$": true, "^(00)[1-9][0-9]*$": true, `^\+[0-9]+$`: true, `^\d+$`: true, "^alice$": true, "^$": true, "^[0-9]+": true,
		"00": false, "^(0|00)": false, "(?i)^alice$": false, "^a?b$": false, "^[^0-9]+$": false, "^é$": false, "^[0-9]*1$": false, "(?m)^1$": false, ".*": false, "^1$2": false,
	} {
		if got := dialPattern(pattern) != nil; got != simple {
			t.Errorf("dialPattern(%q) is simple: %v, want %v", pattern, got, simple)
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
		if d := dialPattern(pattern); d != nil && d.MatchString(s) != re.MatchString(s) {
			t.Errorf("%q on %q: dial %v, regexp %v", pattern, s, d.MatchString(s), re.MatchString(s))
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	r, err := CompileRules([]Rule{{User: "^00", To: "a"}, {User: "^[1-9][0-9]+$", To: "b"}, {Domain: "example.com", User: "^0[0-9]+$", To: "c"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Match("example.com", "0301234567")
	}
}
