package route

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// site is example.com with the upstreams pbx, which is trusted, and carrier.
func site() *Site {
	return &Site{
		Domain: "example.com",
		Ours: func(host string, _ uint16) (string, bool) {
			return "example.com", strings.EqualFold(host, "example.com") || strings.EqualFold(host, "sip.example.com")
		},
		Upstream: func(name string) (Upstream, bool) {
			up, ok := map[string]Upstream{"pbx": {Host: "10.0.0.5:5080", Trusted: true}, "carrier": {}}[name]
			return up, ok
		},
		UpstreamOf: func(a netip.Addr) string {
			if netip.MustParsePrefix("10.0.0.0/24").Contains(a) {
				return "pbx"
			}
			return ""
		},
		Scrubbed: func(name string, _ bool) bool { return sameName(name, "P-Asserted-Identity") },
	}
}

var someRules = []Rule{
	{Name: "premium", Match: Match{Prefix: "0900"}, Reject: Reject{Status: 403, Reason: "Premium numbers are barred"}},
	{Name: "gold", Match: Match{User: "^0[1-9]", Header: []HeaderMatch{{"X-Class", "^gold$"}}}, To: "carrier", Rewrite: Rewrite{
		E164: Dialling("49"), From: Party{User: "+4930555", Domain: "carrier.example.net"}, Remove: []string{"X-Class"}}},
	{Name: "national", Match: Match{User: "^0[1-9]"}, To: "pbx", Rewrite: Rewrite{E164: Dialling("49"), Asserted: Party{Display: "Desk"}}},
	{Name: "anonymous", Match: Match{Prefix: "*31*"}, To: "carrier", Rewrite: Rewrite{Strip: 4, Privacy: PrivacyID}},
	{Name: "incoming", From: []string{"carrier"}, Match: Match{Prefix: "+4930"}, To: "pbx", Always: true},
	{Match: Match{Prefix: "7"}, To: Location, Rewrite: Rewrite{Strip: 1}},
	{Name: "short", Match: Match{User: "^[1-9][0-9]{2}$", Source: []Peer{{Net: netip.MustParsePrefix("192.0.2.0/24")}}}, To: "pbx"},
}

func TestExplain(t *testing.T) {
	table, found := Compile(someRules)
	if len(found) > 0 {
		t.Fatal(found)
	}
	for _, c := range []struct {
		name string
		call Call
		want Expect
		note string
	}{
		{"a rule rejects", Call{From: "alice", To: "0900123"}, Expect{Rule: "premium", Status: 403, Reason: "Premium numbers are barred"}, ""},
		{"rejected although registered", Call{From: "alice", To: "0900123", Registered: true}, Expect{Rule: "premium", Status: 403}, ""},
		{"national", Call{From: "alice", To: "sip:030-123@SIP.example.com;transport=ws"}, Expect{Rule: "national", To: "pbx", RURI: "+4930123@10.0.0.5:5080", From: "alice@example.com",
			Headers: []HeaderLine{{"P-Asserted-Identity", `"Desk" <sip:alice@example.com>`}}}, ""},
		{"a browser's own identity", Call{From: "alice", To: "030123", Headers: []HeaderLine{{"p-asserted-identity", "<sip:boss@example.com>"}, {"X-A", "1"}}}, Expect{Rule: "national",
			Headers: []HeaderLine{{"P-Asserted-Identity", `"Desk" <sip:alice@example.com>`}, {"x-a", "1"}}}, ""},
		{"the callee is registered", Call{From: "alice", To: "030123", Registered: true}, Expect{Rule: "national", To: Location, RURI: "030123@example.com"}, "registered"},
		{"by header", Call{From: `alice@example.com`, To: "030123", Headers: []HeaderLine{{"x-class", "gold"}}}, Expect{Rule: "1", To: "carrier", RURI: "sip:+4930123@example.com",
			From: "<sip:+4930555@carrier.example.net>", Headers: []HeaderLine{{"X-Class", ""}, {"P-Asserted-Identity", ""}}}, ""},
		{"anonymous", Call{From: "alice", To: "*31*030"}, Expect{Rule: "anonymous", RURI: "030@example.com", From: `"Anonymous" <sip:anonymous@anonymous.invalid>`, Headers: []HeaderLine{{"Privacy", "id"}}}, ""},
		{"from an upstream to another", Call{From: "sip:1@carrier.example.net", To: "+4930123", Source: "carrier", Registered: true}, Expect{Rule: "incoming", To: "pbx", RURI: "+4930123@10.0.0.5:5080"}, ""},
		{"from an upstream that no rule names", Call{From: "1", To: "030123", Source: "udp 10.0.0.7"}, Expect{Rule: None, Status: 480}, "no rule fits"},
		{"from an upstream to a user", Call{From: "1", To: "bob", Source: "pbx", Registered: true}, Expect{Rule: None, To: Location}, ""},
		{"location with another user", Call{From: "alice", To: "7100", Registered: true}, Expect{Rule: "5", To: Location, RURI: "100@example.com"}, ""},
		{"nobody there", Call{From: "alice", To: "7100"}, Expect{Rule: "5", Status: 480}, ""},
		{"by address", Call{From: "alice", To: "200", Source: "tls, 192.0.2.9"}, Expect{Rule: "short", To: "pbx"}, ""},
		{"not by that address", Call{From: "alice", To: "200", Source: "198.51.100.1"}, Expect{Rule: None}, "no rule fits"},
		{"a foreign domain", Call{From: "alice", To: "0301@example.org"}, Expect{Rule: None, Status: 403}, "none of our domains"},
		{"a tel URI", Call{From: "alice", To: "tel:+49301"}, Expect{Rule: None, Status: 416}, "write the number"}, // RFC 3261 §8.2.2.1
		{"an escaped user", Call{From: "alice", To: "sip:%30900123@example.com"}, Expect{Rule: "premium"}, ""},
	} {
		results := table.Run(site(), []Case{{Name: c.name, Call: c.call, Expect: c.want}})
		r := &results[0]
		if !r.Passed() {
			t.Errorf("%s: %v %q\n%+v", c.name, r.Err, r.Diff, r.Got)
			continue
		}
		if !strings.Contains(r.Got.Note, c.note) || c.note == "" && r.Got.Note != "" {
			t.Errorf("%s: note %q, want %q", c.name, r.Got.Note, c.note)
		}
	}
}

// TestSteps: each rule before the winner says its first condition that does not hold.
func TestSteps(t *testing.T) {
	table, _ := Compile(append([]Rule{
		{Match: Match{Domain: "example.org"}, To: "pbx", Line: 7}, {Match: Match{Method: []string{"MESSAGE"}}, To: "pbx"}, {Match: Match{Caller: "^bob@"}, To: "pbx"},
		{Match: Match{Header: []HeaderMatch{{"X-Class", "tin"}}}, To: "pbx"}, {Match: Match{Source: []Peer{{Upstream: "pbx"}, net("10.0.0.0/8")}}, To: "pbx"}, {Match: Match{User: "["}, To: "pbx"},
	}, someRules...))
	e, err := table.Explain(site(), &Call{From: "alice", To: "030123"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range e.Steps {
		got = append(got, s.Why)
	}
	want := []string{
		"domain is example.com, not example.org", "method is INVITE, not MESSAGE", "caller alice@example.com does not fit ^bob@", "there is no X-Class",
		"source is wss, not pbx, 10.0.0.0/8", "can never match", "user 030123 does not begin with 0900", "there is no X-Class", "",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("steps\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if s := e.Steps[8]; s.Rule != 8 || s.Name != "national" || e.Steps[0].Line != 7 || e.Route.Index != 8 {
		t.Errorf("the winner is %+v", s)
	}
}

// TestMissesTellsTheTruth: a rule has a reason not to fit exactly when it does not, on random rules and requests.
func TestMissesTellsTheTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 9))
	fit := 0
	var rule Rule
	var table *Table
	for i := range 20000 {
		if i%40 == 0 {
			rule = randomRule(r)
			table, _ = Compile([]Rule{rule})
		}
		f := randomFacts(r)
		why := table.routes[0].Misses(f)
		if d := table.Decide(f); (d != nil) != (why == "") {
			t.Fatalf("%+v\n%+v\nfits: %v, but misses because %q", rule, f, d != nil, why)
		} else if d != nil {
			fit++
		}
	}
	if fit < 100 {
		t.Errorf("only %d fit", fit)
	}
}

// TestCasesThatFail: every expectation has its line, and a case without sense is an error.
func TestCasesThatFail(t *testing.T) {
	table, _ := Compile(someRules)
	results := table.Run(site(), []Case{
		{Call: Call{From: "alice", To: "030123"}, Expect: Expect{Rule: "gold", To: "carrier", RURI: "1@h", From: "bob@h", Status: 403, Reason: "No", Headers: []HeaderLine{
			{"P-Asserted-Identity", ""}, {"X-A", "1"}, {"p-asserted-identity", "<sip:a@b>"}}}},
		{Call: Call{From: "alice", To: "0900"}, Expect: Expect{To: "pbx", RURI: "0900@h"}},
		{Call: Call{From: "alice", To: "bob"}, Expect: Expect{Rule: "national"}},
		{Call: Call{From: "alice", To: ""}}, {Call: Call{From: "", To: "1"}}, {Call: Call{From: "alice", To: "sip:example.com"}}, {Call: Call{From: "alice", To: "1", Source: "somewhere"}}, {Call: Call{From: "alice", To: "sip:1@exa mple"}},
	})
	const identity = `"Desk" <sip:alice@example.com>`
	for i, want := range [][]string{
		{"rule: national, want gold", "to: pbx, want carrier", "ruri: sip:+4930123@10.0.0.5:5080, want 1@h", "from: sip:alice@example.com, want bob@h", "status: nothing, want 403", "reason: nothing, want No",
			"P-Asserted-Identity: " + identity + ", want nothing", "X-A: nothing, want 1", "p-asserted-identity: " + identity + ", want <sip:a@b>"},
		{"to: nothing, want pbx", "ruri: nothing, want 0900@h"}, {"rule: none, want national"},
	} {
		if got := results[i].Diff; strings.Join(got, "\n") != strings.Join(want, "\n") || results[i].Passed() {
			t.Errorf("case %d:\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	for i, want := range []string{"to: names no user", "from: names no user", `to: "sip:example.com" names no user`, `source: "somewhere" is neither`, `to: "sip:1@exa mple" is no address`} {
		if err := results[3+i].Err; err == nil || !strings.HasPrefix(err.Error(), want) || results[3+i].Passed() {
			t.Errorf("case %d: %v, want %s", 3+i, err, want)
		}
	}
}
