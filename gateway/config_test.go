package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

const testConfigs = "../testdata/config"

var plain = cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty()}

// configDir is a copy of testdata/config with what cannot be in a repository:
// a certificate for example.com, its key, and another key.
func configDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(testConfigs)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"users.txt", "users-foreign.txt"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	writeCert(t, dir, "cert.pem", "key.pem", "example.com")
	writeCert(t, dir, "other-cert.pem", "other-key.pem", "example.com")
	return dir
}

func writeCert(t *testing.T, dir, cert, key, name string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pk}} {
		if err := os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBadConfigs loads every NAME.bad.yaml and compares what is said with NAME.bad.txt.
func TestBadConfigs(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	dir := configDir(t)
	files, _ := filepath.Glob(filepath.Join(dir, "*.bad.yaml"))
	if len(files) < 25 {
		t.Fatalf("%d bad configurations, want at least 25", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			c, err := Load(file)
			var ps Problems
			if !errors.As(err, &ps) {
				t.Fatalf("Load = %v, %v, want Problems", c, err)
			}
			for _, p := range ps {
				if p.Line == 0 {
					t.Errorf("no position: %s", p)
				}
			}
			compareText(t, name, strings.ReplaceAll(err.Error(), dir+"/", "")+"\n")
		})
	}
}

// TestGoodConfigs loads every NAME.good.yaml and compares its warnings with NAME.good.txt.
func TestGoodConfigs(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("RINGWAY_TEST_SHA256", strings.Repeat("0f", 32))
	dir := configDir(t)
	files, _ := filepath.Glob(filepath.Join(dir, "*.good.yaml"))
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			c, err := Load(file)
			if err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for _, p := range c.Warnings() {
				said.WriteString(strings.ReplaceAll(p.String(), dir+"/", "") + "\n")
			}
			compareText(t, name, said.String())
		})
	}
	if len(files) == 0 {
		t.Fatal("no good configurations")
	}
}

func compareText(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join(testConfigs, name+".txt")
	if *siptest.Update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; it should say:\n%s", err, got)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("what is said differs (-want +got):\n%s", diff)
	}
}

// TestIncludedFiles joins what several files say, in the order of their names.
func TestIncludedFiles(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	c, err := Load(filepath.Join(configDir(t), "included.good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var to, upstreams []string
	for _, r := range c.Routes {
		to = append(to, r.To)
	}
	for _, g := range c.Upstreams {
		upstreams = append(upstreams, g.Name)
	}
	want := []string{"main", "north", "south"}
	if !slices.Equal(to, want) || !slices.Equal(upstreams, want) {
		t.Errorf("routes %v, upstreams %v, want %v of both", to, upstreams, want)
	}
	if len(c.Listen) != 2 || c.Limits.MessageSize != 32<<10 || c.Limits.MaxBreadth != 30 {
		t.Errorf("listen %v, limits %+v: want those of both files", c.Listen, c.Limits)
	}
	if !slices.ContainsFunc(c.Users, func(u User) bool { return u.Name == "carol" && u.MD5 != "" }) {
		t.Error("the password file of an included file was not found beside it")
	}
}

// TestWholeConfig reads back what whole.good.yaml says in every form.
func TestWholeConfig(t *testing.T) {
	t.Setenv("RINGWAY_TEST_SHA256", strings.Repeat("0f", 32))
	dir := configDir(t)
	got, err := Load(filepath.Join(dir, "whole.good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default
	want.Domains = []Domain{
		{Name: "example.com", Aliases: []string{"sip.example.com", "192.0.2.1"}, Registrar: "local"},
		{Name: "example.org", Registrar: "local"},
	}
	want.Listen = []Listener{
		{URL: "wss://127.0.0.1", Transport: sip.WSS, Addr: netip.MustParseAddr("127.0.0.1"), Port: 443, Path: "/"},
		{URL: "udp://127.0.0.1:5060", Transport: sip.UDP, Addr: netip.MustParseAddr("127.0.0.1"), Port: 5060, Advertise: "sip.example.com:5060"},
		{URL: "tls://[::1]:5061", Transport: sip.TLS, Addr: netip.MustParseAddr("::1"), Port: 5061, Advertise: "[2001:db8::1]:5071"},
	}
	want.TLS = TLS{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	want.Origins, want.RequireOrigin = []string{"https://*.example.com", "http://localhost:8080"}, true
	want.UsersFile, want.StateDir, want.Admin = filepath.Join(dir, "users.txt"), dir, ""
	md5, sha256 := HashUser("carol", "example.com", "secret")
	want.Users = []User{
		{Name: "bob", Realm: "example.org", MD5: "0123456789abcdef0123456789abcdef", SHA256: strings.Repeat("0f", 32)},
		{Name: "carol", Realm: "example.com", MD5: md5, SHA256: sha256},
		{Name: "alice", Realm: "example.com", MD5: "0123456789abcdef0123456789abcdef", SHA256: strings.Repeat("0123456789abcdef", 4)},
	}
	health := trunk.Defaults().Health
	want.Upstreams = []trunk.Group{
		{Name: "pbx", TryTimeout: 500 * time.Millisecond, Health: health, Trusted: true,
			Hops: []trunk.Hop{
				{URI: "sip:pbx.example.com", Host: "pbx.example.com", Weight: 1},
				{URI: "sips:[2001:db8::5]", Host: "2001:db8::5", Port: 5061, Transport: sip.TLS, Addr: netip.MustParseAddr("2001:db8::5"), Weight: 1},
			},
			From: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("192.0.2.7/32")}},
		{Name: "carrier", TryTimeout: 3 * time.Second, Health: health, Trusted: true,
			Hops: []trunk.Hop{{URI: "sip:192.0.2.9;transport=tcp", Host: "192.0.2.9", Port: 5060, Transport: sip.TCP, Addr: netip.MustParseAddr("192.0.2.9"), Weight: 1}}},
	}
	want.Routes = []route.Rule{
		{Match: route.Match{Domain: "example.com", User: "^[0-9]{3}$"}, To: "pbx", Line: 26},
		{Match: route.Match{User: "^00"}, To: "carrier", Line: 27},
		{Match: route.Match{Domain: "example.org"}, To: "pbx", Line: 28},
	}
	want.Log = Log{Level: "debug", Format: "json"}
	want.Limits.MessageSize, want.Limits.SendQueue = 32<<10, 2<<20
	want.TryTimeout, want.RingTimeout = 3*time.Second, 2*time.Minute
	if diff := cmp.Diff(&want, got, plain); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := got.Domain("SIP.Example.com"); d == nil || d.Name != "example.com" {
		t.Errorf("Domain by alias = %v", d)
	}
}

// TestUpstreamsAndRoutes reads back every key of upstreams and routes.
func TestUpstreamsAndRoutes(t *testing.T) {
	dir := configDir(t)
	got, err := Load(filepath.Join(dir, "routing.good.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	md5, sha256 := HashUser("carrier", "example.com", "secret")
	wantUpstreams := []trunk.Group{
		{Name: "pbx", Select: trunk.Weighted, TryTimeout: 2 * time.Second, RURIHost: trunk.HostKept, Trusted: true,
			Health: trunk.HealthConfig{Interval: 20 * time.Second, DownInterval: 3 * time.Second, Timeout: time.Second, DownAfter: 2, UpAfter: 1},
			Hops: []trunk.Hop{
				{URI: "sip:192.0.2.1", Host: "192.0.2.1", Port: 5060, Addr: netip.MustParseAddr("192.0.2.1"), Weight: 1},
				{URI: "sips:pbx.example.net", Host: "pbx.example.net", Transport: sip.TLS, Priority: 1, Weight: 0,
					TLS: &trunk.HopTLS{CA: file("cert.pem"), Cert: file("cert.pem"), Key: file("key.pem"), ServerName: "sip.example.net"}},
			}},
		{Name: "carrier", TryTimeout: 2 * time.Second, Health: trunk.HealthConfig{Off: true, Interval: 10 * time.Second, DownInterval: 5 * time.Second, Timeout: 2 * time.Second, DownAfter: 3, UpAfter: 2},
			From: []netip.Prefix{netip.MustParsePrefix("192.0.2.64/26")},
			Auth: &User{Name: "carrier", Realm: "example.com", MD5: md5, SHA256: sha256}},
		{Name: "gate", TryTimeout: 2 * time.Second, Health: trunk.Defaults().Health, Trusted: true, Certificate: "gate.example.net"},
		{Name: "provider", TryTimeout: 2 * time.Second, Health: trunk.Defaults().Health, Trusted: true,
			Hops:    []trunk.Hop{{URI: "sip:192.0.2.9", Host: "192.0.2.9", Port: 5060, Addr: netip.MustParseAddr("192.0.2.9"), Weight: 1}},
			Contact: trunk.ContactAlias, Unregister: true, EarlyMedia: trunk.EarlyMediaRing, Recurse: true,
			Login:    &trunk.Login{User: "4930123", Password: "secret", Realm: "provider.example"},
			Register: &trunk.Register{AOR: "sip:4930123@provider.example", Expires: 5 * time.Minute, Contact: "4930123"}},
	}
	if diff := cmp.Diff(wantUpstreams, got.Upstreams, plain); diff != "" {
		t.Errorf("upstreams (-want +got):\n%s", diff)
	}
	ten := netip.MustParsePrefix("10.0.0.0/8")
	wantRoutes := []route.Rule{
		{Name: "premium", Match: route.Match{Prefix: "0900"}, Reject: route.Reject{Status: 403, Reason: "Premium numbers are barred"}},
		{Match: route.Match{Domain: "example.com", User: "^0([1-9][0-9]*)$", Caller: "^alice@", Method: []string{"INVITE", "MESSAGE"},
			Source: []route.Peer{{Transport: sip.WS}, {Net: ten}, {Upstream: "carrier"}}, Header: []route.HeaderMatch{{Name: "X-Class", Pattern: "^gold$"}, {Name: "X-Any"}}},
			To: "pbx", Always: true, Rewrite: route.Rewrite{
				Replace: "$1", Strip: 1, Prefix: "+", E164: route.E164{Country: "1", International: "011", National: "1"},
				From: route.Party{Display: "Example", User: "0", Domain: "example.net"}, Asserted: route.Party{Domain: "example.net"},
				Privacy: route.PrivacyNone, Remove: []string{"X-Class"}, Set: []route.HeaderLine{{Name: "X-Set", Value: "1"}}, Add: []route.HeaderLine{{Name: "X-Add", Value: "a b"}}}},
		{Match: route.Match{User: "^1"}, From: []string{"carrier", "gate"}, To: route.Location, Rewrite: route.Rewrite{E164: route.Dialling("49")}},
		{Match: route.Match{User: "^2"}, To: "pbx", Rewrite: route.Rewrite{Privacy: route.PrivacyID}},
	}
	if diff := cmp.Diff(wantRoutes, got.Routes, plain, cmpopts.IgnoreFields(route.Rule{}, "Line")); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if want := (Resolver{Servers: []string{"192.0.2.53:53", "[2001:db8::53]:5353"}, Timeout: time.Second}); !cmp.Equal(want, got.Resolver) {
		t.Errorf("resolver %+v, want %+v", got.Resolver, want)
	}
	if got.TLS.ClientCA != file("cert.pem") {
		t.Errorf("tls.client_ca %q", got.TLS.ClientCA)
	}
}

// TestShippedDefaults keeps configs/ringway.yaml equal to Default and complete.
func TestShippedDefaults(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	data, err := os.ReadFile("../configs/ringway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, got := newDecoder("ringway.yaml"), Default
	got.Limits, got.Log = Limits{}, Log{} // so that a key that the file lacks shows
	got.Admin, got.ReconnectGrace, got.RelayExpires, got.RingTimeout, got.DeadPeerBye, got.TryTimeout, got.Ping, got.Pong, got.Resolver = "", 0, 0, 0, 0, 0, 0, 0, Resolver{}
	d.read(&got, "ringway.yaml", data)
	table := got.keys(d)
	if len(d.problems) > 0 {
		t.Fatal(d.problems)
	}
	if diff := cmp.Diff(&Default, &got, plain); diff != "" {
		t.Errorf("configs/ringway.yaml differs from Default (-want +got):\n%s", diff)
	}
	for key := range table {
		if d.at[key] == nil {
			t.Errorf("configs/ringway.yaml lacks %s", key)
		}
	}
	for key := range got.Limits.keys(d) {
		if d.at["limits."+key] == nil {
			t.Errorf("configs/ringway.yaml lacks limits.%s", key)
		}
	}
}

// TestDocumentedConfigs loads every YAML that README and docs show.
func TestDocumentedConfigs(t *testing.T) {
	dir := configDir(t)
	files, _ := filepath.Glob("../docs/*.md")
	fence := regexp.MustCompile("(?s)```yaml( cases)?\n(.*?)```")
	found := 0
	for _, file := range append(files, "../README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var c *Config
		for _, m := range fence.FindAllSubmatch(text, -1) {
			found++
			if len(m[1]) > 0 {
				checkDocumentedCases(t, file, c, m[2])
				continue
			}
			yaml := strings.NewReplacer("/etc/ringway/users", dir+"/users.txt", "/etc/ringway", dir, "/var/lib/ringway", dir).Replace(string(m[2]))
			if c, err = Parse(file, []byte(yaml)); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
	if found == 0 {
		t.Error("README.md shows no configuration")
	}
}

// checkDocumentedCases runs expectations on the configuration that stands above them.
func checkDocumentedCases(t *testing.T, file string, c *Config, text []byte) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := LoadRouteCases(name)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	results, err := c.RunRouteCases(cases)
	if err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if !results[i].Passed() {
			t.Errorf("%s: %s: %v %v", file, results[i].Case.Name, results[i].Err, results[i].Diff)
		}
	}
}

func TestStateDirectoryOfSystemd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("STATE_DIRECTORY", dir)
	c, err := Parse("x", []byte("domain: example.com\nlisten: [ \"udp://127.0.0.1:5060\" ]\n"))
	if err != nil || c.StateDir != dir {
		t.Errorf("StateDir = %v, %v, want %s", c, err, dir)
	}
}

// TestDefaultIsNotShared: what one file says must not reach the next Load.
func TestDefaultIsNotShared(t *testing.T) {
	before := Default
	if _, err := Parse("x", []byte("domain: example.com\nlisten: [ \"udp://127.0.0.1:5060\" ]\norigins: [ \"*\" ]\nlimits: { half_open: 1 }\n")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, Default, plain); diff != "" || Default.Domains != nil {
		t.Errorf("Default changed:\n%s", diff)
	}
}

func TestExpand(t *testing.T) {
	t.Setenv("RINGWAY_A", "${RINGWAY_A}x")
	for in, want := range map[string]string{
		"": "", "plain $1 ^[0-9]+$": "plain $1 ^[0-9]+$", "a${RINGWAY_A}b": "a${RINGWAY_A}xb", "$${A}": "${A}", "a$$${RINGWAY_A}": "a$${RINGWAY_A}",
	} {
		if got, err := expand(in); err != nil || got != want {
			t.Errorf("expand(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"${", "${}", "${RINGWAY_TEST_UNSET}"} {
		if got, err := expand(in); err == nil {
			t.Errorf("expand(%q) = %q, want an error", in, got)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := map[string]bool{"listen": true, "limits": true, "ping": true, "pong": true, "upstreams": true}
	for name, want := range map[string]string{
		"lisetn": ` (did you mean "listen"?)`, "listne": ` (did you mean "listen"?)`, "Upstreams": ` (did you mean "upstreams"?)`, "upstream": ` (did you mean "upstreams"?)`,
		"pign": ` (did you mean "ping"?)`, // one swap is nearer than two changes: not pong
		"zzz":  "; there are: limits, listen, ping, pong, upstreams",
	} {
		if got := suggest(name, known); got != want {
			t.Errorf("suggest(%q) = %q, want %q", name, got, want)
		}
	}
	if got := distance("pign", "ping"); got != 1 {
		t.Errorf("a swap counts %d, want 1", got)
	}
}

func TestHashUser(t *testing.T) { // RFC 7616 §3.9.1
	m, s := HashUser("Mufasa", "http-auth@example.org", "Circle of Life")
	if m != "3d78807defe7de2157e2b0b6573a855f" || s != "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232" {
		t.Errorf("HashUser = %s, %s", m, s)
	}
}

func FuzzConfig(f *testing.F) {
	files, _ := filepath.Glob(testConfigs + "/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "_file") {
			return // it would read files of the fuzzer's choice
		}
		d, c := newDecoder("x"), Default
		d.read(&c, "x", []byte(s))
		for _, p := range d.sorted() {
			if strings.Contains(p.String(), "\n") {
				t.Errorf("a problem of more than one line: %q", p)
			}
		}
	})
}

// TestListenersAreUnderstoodAlike: what the configuration lets pass, the transports take.
func TestListenersAreUnderstoodAlike(t *testing.T) {
	for given, want := range map[string]string{
		"ws://localhost:8080/ws": "ws://127.0.0.1:8080/ws", "WS://:80": "ws://:80/", "ws://127.0.0.1/a%20b": "ws://127.0.0.1:80/a%20b",
		"udp://127.0.0.1/": "udp://127.0.0.1:5060", "tcp://[::1]:5062": "tcp://[::1]:5062", "udp://0.0.0.0:5060": "udp://0.0.0.0:5060",
		"tcp://[fe80::1%25lo]:5060": "tcp://[fe80::1%25lo]:5060",
	} {
		cfg, err := Parse("c.yaml", []byte("domain: example.com\nadmin: off\nlisten: [ \""+given+"\" ]\n"))
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Listen[0].bind(); got != want {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
		if _, err := New(cfg, zerolog.Nop()); err != nil {
			t.Errorf("%s: %v", given, err)
		}
	}
}
