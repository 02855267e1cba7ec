package digest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

const (
	hex32 = "0123456789abcdef0123456789abcdef"
	hex64 = hex32 + hex32
)

func TestParseUsersRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"alice", "u:1: not name:realm:HA1"},
		{"# c\n\nalice:" + hex32, "u:3: not name:realm:HA1"},
		{":r:" + hex32, "u:1: no name"},
		{"alice::" + hex32, "u:1: no realm"},
		{"alice:r:x:" + hex32, "u:1: more than name:realm:HA1"},
		{"alice:r:", "u:1: HA1 has 0 characters, not 32 (MD5) or 64 (SHA-256)"},
		{"alice:r:secret", "u:1: HA1 has 6 characters, not 32 (MD5) or 64 (SHA-256)"},
		{"alice:r:" + hex32[:31] + "g", "u:1: HA1 is not hexadecimal"},
		{"alice:r:" + hex32 + "\nbob:r:" + hex32 + "\nalice:r:" + hex32, "u:3: alice:r is there already, in line 1"},
		{"# x\nalice:r:" + hex64 + "\nalice:r:" + hex64, "u:3: alice:r is there already, in line 2"},
	} {
		if _, err := ParseUsers("u", []byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v, want %s", c.text, err, c.want)
		}
	}
	if _, err := LoadUsers(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("missing file: %v", err)
	}
}

func TestParseUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	text := "\ufeff# users\r\n  alice:r:" + strings.ToUpper(hex32) + " \r\n\r\nbob:r:" + hex32 + "\nalice:r:" + hex64 + "\nalice:s:" + strings.Repeat("a", 32) + "\nab:cd:" + strings.Repeat("b", 32)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tab, err := LoadUsers(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, realm string
		alg         Algorithm
		want        string
	}{
		{"alice", "r", MD5, hex32}, {"alice", "r", SHA256, hex64}, {"bob", "r", MD5, hex32}, {"bob", "r", SHA256, ""}, {"alice", "s", MD5, strings.Repeat("a", 32)},
		{"Alice", "r", MD5, ""}, {"alice", "t", MD5, ""}, {"", "", MD5, ""}, {"alice:r", "", MD5, ""}, {"ab:", "d", MD5, ""}, {"a", "b:cd", MD5, ""}, {"ab:cd", strings.Repeat("b", 32), MD5, ""},
	} {
		if got, ok := tab.HA1(c.user, c.realm, c.alg); got != c.want || ok != (c.want != "") {
			t.Errorf("HA1(%q, %q, %v) = %q, %v, want %q", c.user, c.realm, c.alg, got, ok, c.want)
		}
	}
	if tab.Len() != 4 || len(tab.Algorithms()) != 1 || !tab.Has("bob", "r") || tab.Has("bob", "s") {
		t.Errorf("%d users, %v", tab.Len(), tab.Algorithms())
	}
	if none, err := ParseUsers("u", nil); err != nil || none.Len() != 0 || none.Has("a", "b") || len(none.Algorithms()) != 1 {
		t.Errorf("empty: %+v, %v", none, err)
	}
}

func manyUsers(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "user%d:example.org:%s\n", i, hex32)
	}
	return b.Bytes()
}

func TestManyUsersAreSmall(t *testing.T) {
	const n = 100_000
	text := manyUsers(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tab, err := ParseUsers("u", text)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (int(after.HeapAlloc) - int(before.HeapAlloc)) / n; per > 120 {
		t.Errorf("%d octets a user", per)
	}
	for i := range n {
		if !tab.Has(fmt.Sprintf("user%d", i), "example.org") {
			t.Fatalf("user%d is lost", i)
		}
	}
	runtime.KeepAlive(text)
}

func BenchmarkParseUsers100k(b *testing.B) {
	text := manyUsers(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseUsers("u", text); err != nil {
			b.Fatal(err)
		}
	}
}
