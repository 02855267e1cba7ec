package trunk

import (
	"fmt"
	"regexp"
	"strings"
)

// Rule sends requests for a user of a domain to an upstream.
type Rule struct {
	Domain string // in lower case; "": any of ours
	User   string // regular expression (RE2) on the user of the Request-URI; "": any
	To     string // name of the upstream
}

// Rules are dial rules in the order in which they are asked.
type Rules struct{ rules []compiled }

type compiled struct {
	domain string
	user   matcher // nil: any
	to     string
}

type matcher interface{ MatchString(string) bool }

// CompileRules prepares rules; the error names the first one that is no regular expression.
func CompileRules(rules []Rule) (*Rules, error) {
	r := &Rules{}
	for i, rule := range rules {
		c := compiled{domain: hostKey(rule.Domain), to: rule.To}
		if rule.User != "" {
			m, err := CompileUser(rule.User)
			if err != nil {
				return nil, fmt.Errorf("routes[%d]: %w", i, err)
			}
			c.user = m
		}
		r.rules = append(r.rules, c)
	}
	return r, nil
}

// CompileUser prepares one user pattern. Dial patterns of the usual kind, such as
// ^[0-9]+$ or ^00, become a comparison byte by byte; the rest stay regular expressions.
func CompileUser(pattern string) (interface{ MatchString(string) bool }, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	if d := dialPattern(pattern); d != nil {
		return d, nil
	}
	return re, nil
}

// Match is the upstream of the first rule that fits; domain in any case.
func (r *Rules) Match(domain, user string) (upstream string, ok bool) {
	for i := range r.rules {
		c := &r.rules[i]
		if c.domain != "" && !strings.EqualFold(c.domain, domain) {
			continue
		}
		if c.user == nil || c.user.MatchString(user) {
			return c.to, true
		}
	}
	return "", false
}
