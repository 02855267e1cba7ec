package route

import (
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// Case is one expectation of an operator: an entry of a cases file.
type Case struct {
	Name string
	Call
	Expect Expect
	Line   int // where it stands, 0 when that is not known
}

// Expect is what should become of a Case; zero values expect nothing.
type Expect struct {
	Rule   string // name or index of the rule that wins, or None
	To     string // an upstream, or Location
	RURI   string // Request-URI; "sip:" may be left out
	From   string // From's URI, "sip:" may be left out; with '<' or a quote the whole value without tag
	Status int
	Reason string
	// Headers must leave with these values; one with the value "" must not leave at all.
	Headers []HeaderLine
}

// None as Expect.Rule says that no rule fits.
const None = "none"

// Result is what came of a Case.
type Result struct {
	Case *Case
	Got  *Explanation // nil: Err
	Err  error        // the case makes no sense
	Diff []string     // "to: pbx, want carrier", one for each expectation that failed
}

// Passed reports whether all was as expected.
func (r *Result) Passed() bool { return r.Err == nil && len(r.Diff) == 0 }

// Run asks the table about each case.
func (t *Table) Run(site *Site, cases []Case) []Result {
	results := make([]Result, len(cases))
	for i := range cases {
		r := &results[i]
		r.Case = &cases[i]
		if r.Got, r.Err = t.Explain(site, &cases[i].Call); r.Err == nil {
			r.Diff = cases[i].Expect.diff(r.Got)
		}
	}
	return results
}

func (x *Expect) diff(e *Explanation) (lines []string) {
	want := func(key, want, got string, same bool) {
		if want == "" || same {
			return
		}
		if got == "" {
			got = "nothing"
		}
		lines = append(lines, key+": "+got+", want "+want)
	}
	rule, same := e.rule(x.Rule)
	want("rule", x.Rule, rule, same)
	want("to", x.To, e.To, x.To == e.To)
	want("ruri", x.RURI, e.URI, sameURI(x.RURI, e.URI))
	from := e.From
	if !strings.ContainsAny(x.From, "<\"") {
		a, _ := sip.ParseNameAddr(e.From)
		from = a.URI
	}
	want("from", x.From, from, sameURI(x.From, from))
	if x.Status != 0 {
		want("status", strconv.Itoa(x.Status), status(e.Status), x.Status == e.Status)
	}
	want("reason", x.Reason, e.Reason, x.Reason == e.Reason)
	for _, h := range x.Headers {
		lines = append(lines, e.missing(h)...)
	}
	return lines
}

func status(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// rule is how the winner is called in a message; same: want is its name or its index.
func (e *Explanation) rule(want string) (name string, same bool) {
	if e.Route == nil {
		return None, want == None
	}
	index := strconv.Itoa(e.Route.Index)
	if name = e.Route.Name; name == "" {
		name = index
	}
	return name, want == name || want == index
}

// sameURI compares as text: an expectation says what is on the wire.
func sameURI(want, got string) bool { return want == got || "sip:"+want == got }

// missing is the line of a header that is not as expected.
func (e *Explanation) missing(want HeaderLine) []string {
	var values []string
	for _, h := range e.Headers {
		if sameName(h.Name, want.Name) {
			if h.Value == want.Value && want.Value != "" {
				return nil
			}
			values = append(values, h.Value)
		}
	}
	switch {
	case len(values) == 0 && want.Value == "":
		return nil
	case len(values) == 0:
		return []string{want.Name + ": nothing, want " + want.Value}
	case want.Value == "":
		return []string{want.Name + ": " + strings.Join(values, ", ") + ", want nothing"}
	}
	return []string{want.Name + ": " + strings.Join(values, ", ") + ", want " + want.Value}
}
