package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const routesConfig = `domain: example.com
listen: [ "udp://127.0.0.1:0" ]
users: { alice: { ha1: 0123456789abcdef0123456789abcdef } }
upstreams:
  pbx: { hops: [ "sip:192.0.2.5;transport=tcp" ] }
  carrier: { hops: [ "sip:192.0.2.6" ], from: 198.51.100.0/24, trusted: false }
routes:
  - { name: premium, match: { prefix: "0900" }, reject: 403 Premium numbers are barred }
  - { name: national, match: { user: "^0[1-9]", header: { X-Class: "^gold$" } }, to: carrier, rewrite: { e164: 49, set: { X-Site: north } } }
  - { match: "^[0-9]{3}$", from: carrier, to: pbx }
  - { match: "^[0-9]{3}$", to: pbx }
`

const routeCases = `- { from: alice, to: "09001234", expect: { rule: premium, status: 403 } }
- { name: national, from: alice, to: "0301234", headers: { X-Class: gold }, expect: { to: carrier, ruri: "+49301234@192.0.2.6", headers: { X-Site: north } } }
- { from: "+4911@carrier.example", to: "100", source: 198.51.100.7, expect: { rule: 2, to: pbx } }
- { from: alice, to: "100", registered: true, expect: { to: location } }
`

func routeFiles(t *testing.T, cases string) (config, file string) {
	t.Helper()
	dir := t.TempDir()
	config, file = filepath.Join(dir, "ringway.yaml"), filepath.Join(dir, "cases.yaml")
	for name, text := range map[string]string{config: routesConfig, file: cases} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config, file
}

// TestRouteTest shows what is printed about single calls.
func TestRouteTest(t *testing.T) {
	config, _ := routeFiles(t, "")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", "alice", "--to", "0301234", "--header", "X-Class: gold", "--header", "P-Asserted-Identity: <sip:boss@example.com>"},
			`routes[0] premium, line 8:  no: user 0301234 does not begin with 0900
routes[1] national, line 9:  fits
goes to   carrier
  INVITE sip:+49301234@192.0.2.6
  From: <sip:alice@example.com>
  X-Class: gold
  X-Site: north
`},
		{[]string{"--from", "alice", "--to", "100"},
			`routes[0] premium, line 8:  no: user 100 does not begin with 0900
routes[1] national, line 9:  no: user 100 does not fit ^0[1-9]
routes[2], line 10:  no: is for requests of carrier, not of users
routes[3], line 11:  fits
goes to   pbx
  INVITE sip:100@192.0.2.5
  From: <sip:alice@example.com>
  P-Asserted-Identity: <sip:alice@example.com>
`},
		{[]string{"--from", "alice", "--to", "100", "--registered"}, "goes to   location\n"},
		{[]string{"--from", "alice", "--to", "0900123"}, "answered  403 Premium numbers are barred\n"},
		{[]string{"--from", "alice", "--to", "sip:x@example.net"}, "answered  403 Forbidden: not a domain of this server\n"},
		{[]string{"--from", "x@example.net", "--to", "100", "--source", "carrier"}, "routes[2], line 10:  fits\n"},
	} {
		r := command(t, "", nil, append([]string{"route", "test", config}, c.args...)...)
		if r.code != exitOK || !strings.Contains(r.stdout, c.want) {
			t.Errorf("%v: exit %d, said:\n%s%s\nwant:\n%s", c.args, r.code, r.stdout, r.stderr, c.want)
		}
	}
}

func TestRouteTestJSON(t *testing.T) {
	config, _ := routeFiles(t, "")
	r := command(t, "", nil, "route", "test", config, "--from", "alice", "--to", "100", "--json")
	var v routeView
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil || r.code != exitOK {
		t.Fatalf("exit %d, %v: %s", r.code, err, r.stdout)
	}
	if v.Rule == nil || *v.Rule != 3 || v.To != "pbx" || v.URI != "sip:100@192.0.2.5" || len(v.Steps) != 4 {
		t.Errorf("got %+v", v)
	}
}

// TestRouteCases: expectations are unit tests: one that is not met makes the verb fail.
func TestRouteCases(t *testing.T) {
	config, file := routeFiles(t, routeCases)
	if r := command(t, "", nil, "route", "test", config, "--file", file); r.code != exitOK || strings.Count(r.stdout, "ok    ") != 4 {
		t.Errorf("exit %d, said:\n%s%s", r.code, r.stdout, r.stderr)
	}
	config, file = routeFiles(t, strings.Replace(routeCases, "+49301234", "+43301234", 1))
	r := command(t, "", nil, "route", "test", config, "--file", file)
	if want := "FAIL  national (" + file + ":2)\n      ruri: sip:+49301234@192.0.2.6, want +43301234@192.0.2.6\n"; r.code != exitFailed || !strings.Contains(r.stdout, want) {
		t.Errorf("exit %d, said:\n%s%s\nwant:\n%s", r.code, r.stdout, r.stderr, want)
	}
	r = command(t, "", nil, "route", "test", config, "--file", file, "--json")
	var views []caseView
	if err := json.Unmarshal([]byte(r.stdout), &views); err != nil || r.code != exitFailed || len(views) != 4 || views[1].Passed {
		t.Errorf("exit %d, %v: %s", r.code, err, r.stdout)
	}
}

// TestRouteTestBadInput: what makes no sense is a usage error, a bad cases file names line and column.
func TestRouteTestBadInput(t *testing.T) {
	config, _ := routeFiles(t, "")
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{}, exitUsage, "--from and --to, or --file"},
		{[]string{"--from", "alice"}, exitUsage, "--from and --to, or --file"},
		{[]string{"--from", "alice", "--to", "100", "--source", "nobody"}, exitUsage, `"nobody" is neither an upstream nor a transport nor an address`},
		{[]string{"--from", "alice", "--to", "sip:@@"}, exitUsage, "is no address"},
		{[]string{"--from", "alice", "--to", "100", "--header", "X"}, exitUsage, "has no colon"},
		{[]string{"--file", "missing.yaml"}, exitFailed, "no such file"},
	} {
		r := command(t, "", nil, append([]string{"route", "test", config}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.stderr, c.want) {
			t.Errorf("%v: exit %d, said %q, want %d and %q", c.args, r.code, r.stderr, c.code, c.want)
		}
	}
	for text, want := range map[string]string{
		"":                                     "cases.yaml:1:1: holds no case",
		"- { from: alice, to: bob }":           "cases.yaml:1:3: cases[0]: missing expect",
		"- { fron: alice, to: b, expect: {} }": `unknown key "fron" (did you mean "from"?)`,
		"from: alice":                          "want a list, have a mapping",
		"- { from: a, to: b, expect: { status: 99999 } }": "no number from 0 to 699",
	} {
		config, file := routeFiles(t, text)
		r := command(t, "", nil, "route", "test", config, "--file", file)
		if r.code != exitFailed || !strings.Contains(r.stderr, want) {
			t.Errorf("%q: exit %d, said %q, want %q", text, r.code, r.stderr, want)
		}
	}
}
