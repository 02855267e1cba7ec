//go:build linux

package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// suites of Debian's whose Asterisk .ci/asterisk.sh unpacks.
var asterisks = []string{"sid", "bullseye"}

// asterisk is a real one with the configuration of testdata/asterisk.
type asterisk struct {
	*process
	t      testing.TB
	at     netip.AddrPort // UDP and TCP
	major  int
	dir    string
	values map[string]string
	tree   string
	ami    *manager
}

// asterisk starts one at an address of the network. values are put in the place of
// @NAME@ in its files, beside what it finds out itself; files of the directories more are
// in the place of those of the same name.
func (l *live) asterisk(suite string, values map[string]string, more ...string) *asterisk {
	l.t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		l.t.Fatal(err)
	}
	tree := filepath.Join(cache, "ringway", "asterisk-"+suite)
	version, err := os.ReadFile(filepath.Join(tree, "VERSION"))
	if err != nil {
		l.t.Skipf("SKIPPED: no Asterisk from %s (.ci/asterisk.sh %[1]s unpacks one): NOTHING HERE IS TESTED", suite)
	}
	major, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(string(version)))
	if err != nil {
		l.t.Fatalf("%q is no version", version)
	}
	dir, err := os.MkdirTemp("", "asterisk") // its control socket's path must be short
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { os.RemoveAll(dir) })
	a := &asterisk{t: l.t, at: l.free(80), major: major, dir: dir, tree: tree}
	modern := func(now, before string) string {
		if major < 18 {
			return before
		}
		return now
	}
	a.values = map[string]string{
		"RUN": dir, "MODULES": filepath.Dir(findFile(l.t, tree, "chan_pjsip.so")), "DATA": filepath.Join(tree, "usr/share/asterisk"),
		"AT": a.at.String(), "IP": a.at.Addr().String(), "AMI": fmt.Sprint(l.free(80).Port()), "WS": "0", "HTTP": "no",
		"GATEWAYS": "127.68.0.0/14", "GATEWAY": l.sip.String(), "DENY": modern("deny", "blacklist"), "AUTH": modern("digest", "userpass"),
		"BIND_MEDIA": "yes", "CANDIDATES": "", "QUALIFY": "0", "USERS": "", "EARLY": "60", "HOLD": "yes", "DTMF": "info",
	}
	for k, v := range values {
		a.values[k] = v
	}
	a.render("../testdata/asterisk")
	for _, dir := range more {
		a.render(dir)
	}
	a.start()
	return a
}

func findFile(t testing.TB, root, name string) (found string) {
	t.Helper()
	_ = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			found = path
			return filepath.SkipAll
		}
		return nil
	})
	if found == "" {
		t.Fatalf("no %s in %s", name, root)
	}
	return found
}

// render writes the configuration that is in a directory.
func (a *asterisk) render(dir string) {
	a.t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil || len(files) == 0 {
		a.t.Fatalf("no configuration of Asterisk's: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			a.t.Fatal(err)
		}
		a.write(filepath.Base(f), a.fill(string(text)))
	}
}

func (a *asterisk) write(name, text string) {
	a.t.Helper()
	if name == "modules.conf" { // that this version has
		text = regexp.MustCompile(`(?m)^(?:pre)?load = (\S+)\n`).ReplaceAllStringFunc(text, func(line string) string {
			_, module, _ := strings.Cut(strings.TrimSpace(line), " = ")
			if _, err := os.Stat(filepath.Join(a.values["MODULES"], module)); err != nil {
				return ""
			}
			return line
		})
	}
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *asterisk) fill(text string) string {
	text = strings.ReplaceAll(text, "127.0.0.1:5070", a.at.String()) // of shipped files
	return regexp.MustCompile(`@[A-Z_]+@`).ReplaceAllStringFunc(text, func(name string) string {
		v, ok := a.values[strings.Trim(name, "@")]
		if !ok {
			a.t.Errorf("nobody knows %s", name)
		}
		return v
	})
}

// start runs it, and waits until all of it is up.
func (a *asterisk) start() {
	a.t.Helper()
	a.process = run(a.t, a.dir, filepath.Join(a.tree, "bin/asterisk"), "-C", filepath.Join(a.dir, "asterisk.conf"), "-f")
	at := netip.AddrPortFrom(a.at.Addr(), uint16(must(strconv.Atoi(a.values["AMI"]))))
	limit := time.Now().Add(2 * patience)
	for {
		c, err := net.Dial("tcp", at.String())
		if err == nil {
			a.ami = newManager(c)
			break
		}
		select {
		case <-a.done:
			a.t.Fatalf("Asterisk has ended: %v\n%s\n%s", a.err, &a.out, a.log())
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(limit) {
			a.t.Fatalf("Asterisk does not start:\n%s", a.log())
		}
	}
	a.t.Cleanup(func() {
		a.ami.c.Close()
		if a.t.Failed() {
			lines := strings.SplitAfter(a.log(), "\n")
			a.t.Logf("Asterisk's log:\n%s", strings.Join(lines[max(0, len(lines)-400):], ""))
		}
	})
	a.do("Login", "Username", "test", "Secret", "test")
	a.event("Event", "FullyBooted")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (a *asterisk) log() string {
	b, _ := os.ReadFile(filepath.Join(a.dir, "full"))
	return string(b)
}

// as is the same Asterisk for a part of the test.
func (a *asterisk) as(t testing.TB) *asterisk {
	b := *a
	b.t = t
	return &b
}

// do has the manager do a thing: keys and values.
func (a *asterisk) do(action string, pairs ...string) textproto.MIMEHeader {
	a.t.Helper()
	m, err := a.ami.ask(action, pairs)
	if err != nil {
		a.t.Fatalf("%s %q: %v", action, pairs, err)
	}
	return m
}

// calls has Asterisk call, and do with who answers what exten says; it gives the channel.
func (a *asterisk) calls(whom, exten string, more ...string) string {
	a.t.Helper()
	id := fmt.Sprint("test", originated.Add(1))
	a.do("Originate", append([]string{
		"Channel", "PJSIP/" + whom, "Context", "pbx", "Exten", exten, "Priority", "1",
		"CallerID", "Desk <200>", "Timeout", "30000", "Async", "true", "ChannelId", id,
	}, more...)...)
	return a.event("Event", "Newchannel", "Uniqueid", id).Get("Channel")
}

var originated atomic.Int32

// hangup ends a channel.
func (a *asterisk) hangup(channel string) {
	a.t.Helper()
	a.do("Hangup", "Channel", channel, "Cause", "16")
}

// event waits for an event with these keys and values.
func (a *asterisk) event(pairs ...string) textproto.MIMEHeader {
	a.t.Helper()
	limit := time.After(2 * patience)
	for {
		m, changed := a.ami.find(pairs)
		if m != nil {
			return m
		}
		select {
		case <-changed:
		case <-limit:
			a.t.Fatalf("Asterisk does not tell of %q", pairs)
		}
	}
}

// manager is a connection to Asterisk's manager interface.
type manager struct {
	c       net.Conn
	mu      sync.Mutex
	n       int
	events  []textproto.MIMEHeader
	answers map[string]chan textproto.MIMEHeader
	changed chan struct{} // closed when there are more events
}

func newManager(c net.Conn) *manager {
	m := &manager{c: c, answers: map[string]chan textproto.MIMEHeader{}, changed: make(chan struct{})}
	go m.read()
	return m
}

func (m *manager) read() {
	r := textproto.NewReader(bufio.NewReader(m.c))
	_, _ = r.ReadLine() // says who it is
	for {
		h, err := r.ReadMIMEHeader()
		if err != nil {
			return
		}
		m.mu.Lock()
		if answer := m.answers[h.Get("ActionID")]; answer != nil && h.Get("Response") != "" {
			answer <- h
		} else {
			m.events = append(m.events, h)
			close(m.changed)
			m.changed = make(chan struct{})
		}
		m.mu.Unlock()
	}
}

func (m *manager) ask(action string, pairs []string) (textproto.MIMEHeader, error) {
	m.mu.Lock()
	m.n++
	id, answer := fmt.Sprint(m.n), make(chan textproto.MIMEHeader, 1)
	m.answers[id] = answer
	text := "Action: " + action + "\r\nActionID: " + id + "\r\n"
	for p := range slices.Chunk(pairs, 2) {
		text += p[0] + ": " + p[1] + "\r\n"
	}
	_, err := m.c.Write([]byte(text + "\r\n"))
	m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	select {
	case h := <-answer:
		if h.Get("Response") == "Error" {
			return h, fmt.Errorf("%q", h)
		}
		return h, nil
	case <-time.After(2 * patience):
		return nil, fmt.Errorf("no answer")
	}
}

func (m *manager) find(pairs []string) (textproto.MIMEHeader, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
next:
	for _, e := range m.events {
		for p := range slices.Chunk(pairs, 2) {
			if e.Get(p[0]) != p[1] {
				continue next
			}
		}
		return e, nil
	}
	return nil, m.changed
}
