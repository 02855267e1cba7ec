package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip/digest"
)

const manyUsers = 100_000

// writeManyUsers is a configuration with two lines in its users file for each user.
func writeManyUsers(t testing.TB) (config string) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range manyUsers {
		fmt.Fprintf(&b, "user%d:example.com:%032x\nuser%d:example.com:%064x\n", i, i, i, i)
	}
	config = filepath.Join(dir, "ringway.yaml")
	for file, text := range map[string]string{
		config:                      "domain: example.com\nlisten: [ \"udp://127.0.0.1:5060\" ]\nusers_file: users\n",
		filepath.Join(dir, "users"): b.String(),
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

// The users are held once: file, entries and index make 225 octets each, 140 of them the file's.
func TestManyUsersAreSmall(t *testing.T) {
	file := writeManyUsers(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cfg, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	users, err := digest.NewTable(cfg.Users)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := int(after.HeapAlloc-before.HeapAlloc) / manyUsers; per > 300 {
		t.Errorf("%d octets a user", per)
	}
	if users.Len() != manyUsers || !users.Has("user99999", "example.com") || len(users.Algorithms()) != 2 {
		t.Errorf("%d users", users.Len())
	}
	runtime.KeepAlive(cfg)
}

func BenchmarkLoad100kUsers(b *testing.B) {
	file := writeManyUsers(b)
	b.ReportAllocs()
	for b.Loop() {
		cfg, err := Load(file)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := digest.NewTable(cfg.Users); err != nil {
			b.Fatal(err)
		}
	}
}
