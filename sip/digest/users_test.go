package digest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

const (
	hex32 = "0123456789abcdef0123456789abcdef"
	hex64 = hex32 + hex32
)

func TestTable(t *testing.T) {
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	tab, err := NewTable([]User{{"alice", "r", hex32, hex64}, {"bob", "r", hex32, ""}, {"alice", "s", a, ""}, {"ab", "cd", b, ""}, {"dora", "r", "", hex64}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		user, realm string
		alg         Algorithm
		want        string
	}{
		{"alice", "r", MD5, hex32}, {"alice", "r", SHA256, hex64}, {"bob", "r", MD5, hex32}, {"bob", "r", SHA256, ""},
		{"alice", "s", MD5, a}, {"dora", "r", MD5, ""}, {"dora", "r", SHA256, hex64},
		{"Alice", "r", MD5, ""}, {"alice", "t", MD5, ""}, {"", "", MD5, ""}, {"abc", "d", MD5, ""}, {"a", "bcd", MD5, ""},
	} {
		if got, ok := tab.HA1(c.user, c.realm, c.alg); got != c.want || ok != (c.want != "") {
			t.Errorf("HA1(%q, %q, %v) = %q, %v, want %q", c.user, c.realm, c.alg, got, ok, c.want)
		}
	}
	if tab.Len() != 5 || len(tab.Algorithms()) != 1 || !tab.Has("bob", "r") || tab.Has("bob", "s") {
		t.Errorf("%d users, %v", tab.Len(), tab.Algorithms())
	}
	if none, err := NewTable(nil); err != nil || none.Len() != 0 || none.Has("a", "b") || len(none.Algorithms()) != 1 {
		t.Errorf("empty: %+v, %v", none, err)
	}
	if only, err := NewTable([]User{{"alice", "r", "", hex64}}); err != nil || len(only.Algorithms()) != 1 || only.Algorithms()[0] != SHA256 {
		t.Errorf("nobody has MD5: %v, %v", only.Algorithms(), err)
	}
	if strong, err := NewTable([]User{{"alice", "r", hex32, hex64}}); err != nil || len(strong.Algorithms()) != 2 {
		t.Errorf("everybody has SHA-256: %v, %v", strong.Algorithms(), err)
	}
	if _, err := NewTable([]User{{"alice", "r", hex32, ""}, {"alice", "r", "", hex64}}); err == nil || err.Error() != "user alice is in realm r twice" {
		t.Errorf("twice: %v", err)
	}
}

func manyUsers(n int) []User {
	users := make([]User, n)
	for i := range users {
		users[i] = User{Name: fmt.Sprint("user", i), Realm: "example.org", MD5: hex32}
	}
	return users
}

// The index costs little beside the entries.
func TestManyUsersAreSmall(t *testing.T) {
	const n = 100_000
	users := manyUsers(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tab, err := NewTable(users)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (int(after.HeapAlloc) - int(before.HeapAlloc)) / n; per > 16 {
		t.Errorf("%d octets a user", per)
	}
	for i := range n {
		if !tab.Has(users[i].Name, "example.org") {
			t.Fatalf("user%d is lost", i)
		}
	}
}

func BenchmarkNewTable100k(b *testing.B) {
	users := manyUsers(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewTable(users); err != nil {
			b.Fatal(err)
		}
	}
}
