package gateway

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
)

// randomRoutes is routes of all kinds that overlap.
func randomRoutes(r *rand.Rand) string {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	var b strings.Builder
	for i := range 3 + r.IntN(10) {
		match := []string{}
		add := func(chance int, key string, of ...string) {
			if r.IntN(chance) == 0 {
				match = append(match, key+": "+one(of...))
			}
		}
		add(2, "prefix", `"0"`, `"07"`, `"*"`, `"6"`, `"77"`, `"+49"`, `"bo"`)
		add(3, "user", `"^0[1-9]"`, `"^[a-z]+$"`, `"^(bob|carol)$"`, `"[0-9]$"`)
		add(5, "domain", "example.com", "kept.example")
		add(5, "caller", `"^alice@"`, `"@kept[.]example$"`, `"^[+]44"`, `"^nobody"`)
		add(5, "source", "[ ws ]", "[ udp ]", "[ c ]", "[ 203.0.113.8/29 ]", "[ 198.51.100.0/24, pbx ]")
		add(6, "method", "[ INVITE ]", "[ MESSAGE ]", "[ MESSAGE, INVITE ]")
		add(6, "header", `{ X-A: "^1" }`, `{ X-A: "2" }`)
		fmt.Fprintf(&b, "  - { name: r%d, match: { %s }", i, strings.Join(match, ", "))
		if r.IntN(5) == 0 {
			b.WriteString(", from: " + one("[ c ]", "[ pbx, c ]", "[ c, users ]"))
		}
		switch r.IntN(6) {
		case 0:
			fmt.Fprintf(&b, ", reject: %d No %d }\n", 400+r.IntN(4)*3, i)
			continue
		case 1:
			b.WriteString(", to: location" + one("", ", rewrite: { strip: 2 }", ", rewrite: { prefix: b }") + " }\n")
			continue
		}
		b.WriteString(", to: " + one("pbx", "c"))
		if r.IntN(4) == 0 {
			b.WriteString(", always: true")
		}
		b.WriteString(one("", "", `, rewrite: { e164: "49", from: { user: "4930", display: Desk } }`, ", rewrite: { strip: 1, privacy: id }", `, rewrite: { prefix: "9", asserted: { display: Desk, domain: b.example } }`,
			`, rewrite: { set: { X-A: "7", Diversion: "<sip:desk@example.com>" }, add: { X-A: "8" } }`, ", rewrite: { remove: [ X-A ], privacy: none, from: { domain: b.example } }") + " }\n")
	}
	return b.String()
}

// randomCall is a call that the routes above have something to say about.
func randomCall(r *rand.Rand) *RouteCall {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	c := &RouteCall{
		From: one("alice", "alice", "alice", "dave@kept.example", "nobody"), // who is behind an anonymous From, the configuration does not know
		To: one("bob", "carol", "0301234", "07123", "*31*030", "600", "77bob", "+49301", "nobody", "ob", "dave@kept.example", "0301234@kept.example", "sip:600@203.0.113.1", "sip:0301@203.0.113.11",
			"bob@sip.example.com", "sip:bob@203.0.113.1:5080", "sip:%30-7123@192.0.2.1;user=phone", "x@evil.example"),
	}
	if c.Source = "ws 198.51.100.1"; r.IntN(4) == 0 {
		c.Source = one("c 203.0.113.11", "pbx 203.0.113.1")
		c.From = one("+4411@c.example", "100@203.0.113.1", "alice")
	}
	c.Registered = r.IntN(3) == 0 && (c.To == "bob" || c.To == "carol")
	for _, l := range []string{"X-A: 1", "X-A: 2", "Diversion: <sip:1@b.example>", "Privacy: id", "Privacy: none", "P-Asserted-Identity: <sip:boss@example.com>", "History-Info: <sip:1@b.example>;index=1"} {
		if r.IntN(5) == 0 && !(strings.HasPrefix(l, "Privacy") && len(c.Headers) > 0 && strings.HasPrefix(c.Headers[len(c.Headers)-1].Name, "Privacy")) {
			c.Headers = append(c.Headers, lines(l)...)
		}
	}
	return c
}

// TestRouteTestTellsTheTruthOfAnyRoutes: whatever the routes and the call, `route test` says what the gateway does.
func TestRouteTestTellsTheTruthOfAnyRoutes(t *testing.T) {
	tables := 0
	for seed := uint64(0); tables < 20; seed++ {
		r := rand.New(rand.NewPCG(seed, 11))
		config := explained[:strings.Index(explained, "routes:")] + "routes:\n" + randomRoutes(r)
		if _, err := Parse("c.yaml", []byte(config)); err != nil {
			continue // a rule that never matches, or is there twice
		}
		tables++
		for n := range 8 {
			c := randomCall(r)
			t.Run(fmt.Sprintf("%d.%d", seed, n), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { compareWithGateway(t, config, c) })
			})
		}
		if seed > 3000 {
			t.Fatalf("only %d tables can be used", tables)
		}
	}
}
