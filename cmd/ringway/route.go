package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/ringway/ringway/gateway"
)

// routeTest are the arguments of the verb "route test".
type routeTest struct {
	Config     string   `arg:"" name:"CONFIG" help:"The YAML file."`
	From       string   `help:"Who calls: a user, user@domain or a URI." xor:"what"`
	To         string   `help:"Who is called: a user, a number, user@domain or a URI."`
	Source     string   `help:"Who sends it: an upstream, a transport, an address; a user over WebSocket by default."`
	Method     string   `help:"Method." default:"INVITE"`
	Header     []string `help:"A header, \"Name: value\"; may be repeated." sep:"none"`
	Registered bool     `help:"The callee is registered."`
	File       string   `help:"Run the expectations of this YAML file." xor:"what"`
	JSON       bool     `name:"json" help:"Print JSON."`
}

func (a *app) routeTest(v *routeTest) error {
	cfg, err := gateway.Load(v.Config)
	if err != nil {
		return err
	}
	if v.File != "" {
		return a.routeCases(cfg, v)
	}
	if v.From == "" || v.To == "" {
		return usageError{fmt.Errorf("route test needs --from and --to, or --file")}
	}
	call := gateway.RouteCall{From: v.From, To: v.To, Source: v.Source, Method: v.Method, Registered: v.Registered}
	for _, line := range v.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return usageError{fmt.Errorf("--header %q has no colon; write \"Name: value\"", line)}
		}
		call.Headers = append(call.Headers, gateway.RouteHeader{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	e, err := cfg.ExplainRoute(&call)
	if err != nil {
		return usageError{err}
	}
	if v.JSON {
		return a.printJSON(viewOf(e))
	}
	a.explain(e, v.Method)
	return nil
}

// explain prints the rules that were asked and what leaves.
func (a *app) explain(e *gateway.RouteExplanation, method string) {
	for _, s := range e.Steps {
		fits := "fits"
		if s.Why != "" {
			fits = "no: " + s.Why
		}
		fmt.Fprintf(a.stdout, "%s  %s\n", ruleName(s.Rule, s.Name, s.Line), fits)
	}
	if e.Note != "" {
		fmt.Fprintln(a.stdout, e.Note)
	}
	if e.To == "" {
		fmt.Fprintf(a.stdout, "answered  %d %s\n", e.Status, e.Reason)
		return
	}
	fmt.Fprintf(a.stdout, "goes to   %s\n  %s %s\n  From: %s\n", e.To, method, e.URI, e.From)
	for _, h := range e.Headers {
		fmt.Fprintf(a.stdout, "  %s: %s\n", h.Name, h.Value)
	}
}

func ruleName(index int, name string, line int) string {
	s := fmt.Sprintf("routes[%d]", index)
	if name != "" {
		s += " " + name
	}
	if line > 0 {
		s += fmt.Sprintf(", line %d:", line)
	}
	return s
}

// routeCases runs a file of expectations; one that is not met is a failure.
func (a *app) routeCases(cfg *gateway.Config, v *routeTest) error {
	cases, err := gateway.LoadRouteCases(v.File)
	if err != nil {
		return err
	}
	results, err := cfg.RunRouteCases(cases)
	if err != nil {
		return err
	}
	failed := 0
	views := make([]caseView, len(results))
	for i := range results {
		r := &results[i]
		views[i] = caseView{Name: r.Case.Name, Line: r.Case.Line, Passed: r.Passed(), Differences: r.Diff}
		if r.Err != nil {
			views[i].Differences = []string{r.Err.Error()}
		} else {
			views[i].Got = viewOf(r.Got)
		}
		if !views[i].Passed {
			failed++
		}
	}
	if v.JSON {
		err = a.printJSON(views)
	} else {
		a.printCases(v.File, views)
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d cases failed", failed, len(views))
	}
	return err
}

func (a *app) printCases(file string, views []caseView) {
	for i := range views {
		c := &views[i]
		if c.Passed {
			fmt.Fprintf(a.stdout, "ok    %s\n", c.Name)
			continue
		}
		fmt.Fprintf(a.stdout, "FAIL  %s (%s:%d)\n", c.Name, file, c.Line)
		for _, d := range c.Differences {
			fmt.Fprintf(a.stdout, "      %s\n", d)
		}
	}
}

// routeView is an explanation as JSON has it.
type routeView struct {
	Rule    *int         `json:"rule"` // null: none fits
	Name    string       `json:"name,omitempty"`
	To      string       `json:"to,omitempty"`
	Status  int          `json:"status,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Note    string       `json:"note,omitempty"`
	URI     string       `json:"ruri,omitempty"`
	From    string       `json:"from,omitempty"`
	Headers []headerView `json:"headers,omitempty"`
	Steps   []stepView   `json:"steps"`
}

type headerView struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type stepView struct {
	Rule int    `json:"rule"`
	Name string `json:"name,omitempty"`
	Line int    `json:"line,omitempty"`
	Why  string `json:"why,omitempty"` // why it does not fit
}

type caseView struct {
	Name        string     `json:"name"`
	Line        int        `json:"line"`
	Passed      bool       `json:"passed"`
	Differences []string   `json:"differences,omitempty"`
	Got         *routeView `json:"got,omitempty"`
}

func viewOf(e *gateway.RouteExplanation) *routeView {
	v := &routeView{To: e.To, Status: e.Status, Reason: e.Reason, Note: e.Note, URI: e.URI, From: e.From, Steps: []stepView{}}
	if e.Route != nil {
		v.Rule, v.Name = &e.Route.Index, e.Route.Name
	}
	for _, h := range e.Headers {
		v.Headers = append(v.Headers, headerView(h))
	}
	for _, s := range e.Steps {
		v.Steps = append(v.Steps, stepView(s))
	}
	return v
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
