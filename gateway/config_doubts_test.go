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

// A state_dir that does not exist is made by the start, for its owner alone, not by the check before; one that cannot be made is said with its place in
// the file.
func TestStateDirIsMade(t *testing.T) {
	dir := t.TempDir()
	file, later := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "later")
	cfg, err := Parse(file, []byte(aConfig+"state_dir: later\n"))
	if err != nil {
		t.Fatal(err)
	}
	if w := Problems(cfg.Warnings()).Error(); !strings.Contains(w, "c.yaml:4:12: state_dir: "+later+" does not exist yet; the first start makes it") {
		t.Errorf("of a directory that does not exist: %s", w)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("the check left %v", left)
	}
	for range 2 {
		if _, err := New(cfg, zerolog.Nop()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(later); err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("made %v, %v", info, err)
		}
	}
	if _, err := os.Stat(filepath.Join(later, "flow.keys")); err != nil {
		t.Error(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nothing"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	bad := map[string]string{"no/such": "neither " + filepath.Join(dir, "no/such") + " nor the directory above it exists", "link": filepath.Join(dir, "link") + " is a link to nothing"}
	if os.Geteuid() != 0 { // who may write anywhere
		if err := os.Mkdir(filepath.Join(dir, "locked"), 0o500); err != nil {
			t.Fatal(err)
		}
		bad["locked/in"] = filepath.Join(dir, "locked/in") + " does not exist and cannot be made: permission denied; make it"
	} else if _, err := os.Stat("/proc/self"); err == nil {
		bad["/proc/ringway"] = "/proc/ringway does not exist and cannot be made: "
	}
	for name, want := range bad {
		if _, err := Parse(file, []byte(aConfig+"state_dir: "+name+"\n")); err == nil || !strings.HasPrefix(err.Error(), file+":4:12: state_dir: "+want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg.StateDir = filepath.Join(dir, "gone/since")
	if _, err := New(cfg, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), "state_dir: mkdir "+cfg.StateDir) {
		t.Errorf("a start whose directory cannot be made any more: %v", err)
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
