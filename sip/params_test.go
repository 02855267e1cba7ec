package sip

import (
	"slices"
	"testing"
)

func TestParamsValue(t *testing.T) { // RFC 3261 §7.3.1: names in any case, quoted strings
	p := Params(`; a ; B = "x;c=\"1\" \\ ";c="" ;d =1;e=;+sip.instance="<urn:x>"`)
	for _, c := range []struct {
		name, want string
		ok         bool
	}{
		{"A", "", true}, {"b", `x;c="1" \ `, true}, {"C", "", true}, {"d", "1", true}, {"e", "", true},
		{"+SIP.instance", "<urn:x>", true}, {"f", "", false}, {"", "", false}, {"x", "", false},
	} {
		if v, ok := p.Value(c.name); v != c.want || ok != c.ok {
			t.Errorf("Value(%q) = %q, %v, want %q, %v", c.name, v, ok, c.want, c.ok)
		}
	}
	var all []string
	for n, raw := range p.All() {
		all = append(all, n, raw)
	}
	if want := []string{"a", "", "B", `"x;c=\"1\" \\ "`, "c", `""`, "d", "1", "e", "", "+sip.instance", `"<urn:x>"`}; !slices.Equal(all, want) {
		t.Errorf("All: %q, want %q", all, want)
	}
}

func TestSplitList(t *testing.T) { // RFC 3261 §7.3.1
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"", nil}, {" \t ", nil}, {"a", []string{"a"}}, {" a ,b,\tc ", []string{"a", "b", "c"}},
		{"a,,b", []string{"a", "", "b"}}, {",a", []string{"", "a"}},
		{`"a,\",b" <sip:a,b@c>;x="1,2", <sip:d>`, []string{`"a,\",b" <sip:a,b@c>;x="1,2"`, "<sip:d>"}},
		{`<sip:"a,b@c>,d`, []string{`<sip:"a,b@c>`, "d"}},
		{`"a,b`, []string{`"a,b`}}, {`"a,b\"`, []string{`"a,b\"`}}, {"<a,b", []string{"<a,b"}}, {`a\,b`, []string{`a\`, "b"}},
	} {
		if got := slices.Collect(SplitList(c.in)); !slices.Equal(got, c.want) {
			t.Errorf("SplitList(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func TestQValue(t *testing.T) { // RFC 3261 §25.1 qvalue
	for in, want := range map[string]int{
		"": 1000, ";q=0": 0, ";q=1": 1000, ";q=1.000": 1000, ";q=0.5": 500, ";Q=0.33": 330, ";q=0.007": 7, ";q=0.": 0,
		";q": -1, ";q=": -1, ";q=2": -1, ";q=1.1": -1, ";q=1.001": -1, ";q=0.1234": -1, ";q=.5": -1, ";q=-1": -1, ";q=0,5": -1, ";q=00": -1, ";q=0.a": -1,
	} {
		if got, err := QValue(Params(in)); err != nil != (want < 0) || want >= 0 && got != want {
			t.Errorf("QValue(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestParseExpires(t *testing.T) { // RFC 3261 §20.19
	for in, want := range map[string]int64{
		"0": 0, "3600": 3600, "0060": 60, "4294967295": 1<<32 - 1, "4294967296": 1<<32 - 1, "280297596632815": 1<<32 - 1, "1000000000000000000000000000": 1<<32 - 1,
		"": -1, "-1": -1, "+1": -1, "1 ": -1, "1.0": -1, "x": -1,
	} {
		if got, err := ParseExpires(in); err != nil != (want < 0) || want >= 0 && int64(got) != want {
			t.Errorf("ParseExpires(%q) = %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestEqualFoldIsASCII(t *testing.T) {
	if !EqualFold("Via", "vIA") || EqualFold("k", "\u212a") || EqualFold("@", "`") || EqualFold("a", "ab") {
		t.Error("EqualFold folds other than ASCII letters")
	}
}

func TestRepeatedParameter(t *testing.T) { // RFC 3261 §7.3.1; SIP.js repeats its +sip.instance
	for _, p := range []struct {
		value string
		ok    bool
	}{
		{`<sip:a@x>;+sip.instance="<urn:uuid:1>";reg-id=1;+sip.instance="<urn:uuid:1>"`, true},
		{`<sip:a@x>;ob;ob`, true},
		{`<sip:a@x>;ob ; ob;q=1`, true},
		{`<sip:a@x>;+sip.instance="<urn:uuid:1>";+sip.instance="<urn:uuid:2>"`, false},
		{`<sip:a@x>;tag=1;tag=12`, false},
		{`<sip:a@x>;tag=12;tag=1`, false},
		{`<sip:a@x>;ob;ob=1`, false},
		{`<sip:a@x>;tag=a;TAG=b`, false},
	} {
		if _, err := ParseNameAddr(p.value); (err == nil) != p.ok {
			t.Errorf("%s: %v, want accepted = %v", p.value, err, p.ok)
		}
	}
}
