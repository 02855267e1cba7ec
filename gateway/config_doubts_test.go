package gateway

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip/flow"
)

const aConfig = "domain: example.com\nlisten: [ \"ws://127.0.0.1:8080/\" ]\nadmin: off\n"

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStateDirAsAtStart: what is said of state_dir before a start is what the start would say.
func TestStateDirAsAtStart(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ name, keys, want string }{
		{"new", "", ""}, {"corrupt", "no keys\n", "corrupt/flow.keys:1: not a key line"}, {"empty", "#", "not a key line"}, {"cut", "name 00\n", "flow.keys:1: key is not 32"},
	} {
		state := filepath.Join(dir, c.name)
		if err := os.Mkdir(state, 0o700); err != nil {
			t.Fatal(err)
		}
		if c.keys != "" {
			writeFile(t, filepath.Join(state, "flow.keys"), c.keys)
		}
		cfg, err := Parse(filepath.Join(dir, "c.yaml"), []byte(aConfig+"state_dir: "+c.name+"\n"))
		if c.want != "" {
			_, started := flow.OpenKeys(state)
			if err == nil || !strings.Contains(err.Error(), c.want) || started == nil || !strings.Contains(err.Error(), started.Error()) {
				t.Errorf("%s: %v, a start says %v", c.name, err, started)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(state); len(left) != 0 {
			t.Errorf("%s: the check left %v", c.name, left)
		}
		if _, err := New(cfg, zerolog.Nop()); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		before, _ := os.ReadFile(filepath.Join(state, "flow.keys"))
		if _, err := Parse(filepath.Join(dir, "c.yaml"), []byte(aConfig+"state_dir: "+c.name+"\n")); err != nil {
			t.Errorf("%s: once started: %v", c.name, err)
		}
		if after, _ := os.ReadFile(filepath.Join(state, "flow.keys")); string(after) != string(before) || len(after) == 0 {
			t.Errorf("%s: the check changed the keys", c.name)
		}
	}
	cfg, err := Parse(filepath.Join(dir, "c.yaml"), []byte(aConfig+"state_dir: later\n"))
	if err != nil {
		t.Fatal(err)
	}
	if w := Problems(cfg.Warnings()).Error(); !strings.Contains(w, "later does not exist yet") {
		t.Errorf("of a directory that does not exist: %s", w)
	}
	if os.Geteuid() == 0 {
		return // may write anywhere
	}
	if err := os.Mkdir(filepath.Join(dir, "locked"), 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(filepath.Join(dir, "c.yaml"), []byte(aConfig+"state_dir: locked\n")); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("of a directory that cannot be written: %v", err)
	}
}

// TestByteOrderMark: some editors begin files with U+FEFF.
func TestByteOrderMark(t *testing.T) {
	dir := t.TempDir()
	hash, _ := HashUser("alice", "example.com", "x")
	writeFile(t, filepath.Join(dir, "users"), "\ufeffalice:example.com:"+hash+"\n")
	writeFile(t, filepath.Join(dir, "more.yaml"), "\ufeffusers_file: users\n")
	writeFile(t, filepath.Join(dir, "c.yaml"), "\ufeff"+aConfig+"include: more.yaml\n")
	cfg, err := Load(filepath.Join(dir, "c.yaml"))
	if err != nil || len(cfg.Users) != 1 || cfg.Users[0].Name != "alice" || cfg.Domains[0].Name != "example.com" {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// TestIncludeOfNoFile: what has no end is not read.
func TestIncludeOfNoFile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "large"), strings.Repeat("# comment\n", maxInclude/10+1))
	writeFile(t, filepath.Join(dir, "full"), strings.Repeat("#", maxInclude))
	for name, want := range map[string]string{"/dev/zero": "/dev/zero is no regular file", "fifo": "fifo is no regular file", ".": "is no regular file", "large": "large has more than 4 MiB", "full": ""} {
		_, err := Parse(filepath.Join(dir, "c.yaml"), []byte(aConfig+"include: "+name+"\n"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}
