package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
	"github.com/ringway/ringway/web/phone"
)

const goodConfig = "domain: example.com\nlisten: [ \"udp://127.0.0.1:0\" ]\nusers: { alice: { ha1: 0123456789abcdef0123456789abcdef } }\nstate_dir: .\n"

// standIn takes a gateway's place; its fields say how it goes.
type standIn struct {
	ready   chan struct{}
	runErr  error
	stopped chan struct{}
	stop    sync.Once
	hangs   bool
	reloads chan struct{}
	drains  func() // told of Shutdown
}

func (s *standIn) Reload() { s.reloads <- struct{}{} }

func newStandIn() *standIn {
	s := &standIn{ready: make(chan struct{}), stopped: make(chan struct{}), reloads: make(chan struct{}, 10)}
	return s
}

func (s *standIn) Ready() <-chan struct{} { return s.ready }

func (s *standIn) Run(ctx context.Context) error {
	if s.runErr != nil {
		return s.runErr
	}
	close(s.ready)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return nil
	}
}

func (s *standIn) Shutdown(ctx context.Context) error {
	if s.drains != nil {
		s.drains()
	}
	if s.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	s.stop.Do(func() { close(s.stopped) })
	return nil
}

type result struct {
	code           int
	stdout, stderr string
}

// command runs ringway with args; change may replace parts of it.
func command(t *testing.T, stdin string, change func(*app), args ...string) result {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString(stdin); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var out, errOut bytes.Buffer
	a := newApp()
	a.stdin, a.stdout, a.stderr = r, &out, &errOut
	a.newServer = func(*gateway.Config, zerolog.Logger) (server, error) {
		t.Error("made a server")
		return nil, errors.New("unexpected")
	}
	if change != nil {
		change(a)
	}
	code := a.main(args)
	return result{code, out.String(), errOut.String()}
}

func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ringway.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"--help"}, 0, "user hash", ""},
		{[]string{"run", "--help"}, 0, "CONFIG", ""},
		{[]string{"version"}, 0, "ringway ", ""},
		{nil, 2, "", "expected one of"},
		{[]string{"rnu"}, 2, "", "did you mean \"run\""},
		{[]string{"run"}, 2, "", "CONFIG"},
		{[]string{"run", "a", "b"}, 2, "", "unexpected argument"},
		{[]string{"user", "hash", "alice"}, 2, "", "NAME@DOMAIN"},
		{[]string{"user", "hash", "a b@example.com"}, 2, "", "user name"},
	} {
		got := command(t, "secret\n", nil, c.args...)
		if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
			t.Errorf("ringway %q = %d, %q, %q, want %d, %q, %q", c.args, got.code, got.stdout, got.stderr, c.code, c.stdout, c.stderr)
		}
		if c.code == 2 && strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("ringway %q says more than one line: %q", c.args, got.stderr)
		}
	}
}

// RFC 7616 §3.4.2: H(unq(username) ":" unq(realm) ":" passwd).
func TestUserHash(t *testing.T) {
	got := command(t, "Circle of Life\r\n", nil, "user", "hash", "Mufasa@Example.ORG")
	md5, sha256 := gateway.HashUser("Mufasa", "example.org", "Circle of Life")
	want := "Mufasa:example.org:" + md5 + "\nMufasa:example.org:" + sha256 + "\n"
	if got != (result{0, want, ""}) {
		t.Errorf("user hash = %+v, want %q", got, want)
	}
	if got := command(t, "\n", nil, "user", "hash", "a@b"); got.code != 1 || got.stdout != "" {
		t.Errorf("user hash without a password = %+v", got)
	}
	// What it prints is what users_file takes.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "users"), []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := gateway.Parse(filepath.Join(dir, "x.yaml"), []byte("domain: example.org\nlisten: [ \"udp://127.0.0.1:0\" ]\nusers_file: users\n"))
	if err != nil || len(cfg.Users) != 1 || cfg.Users[0] != (gateway.User{Name: "Mufasa", Realm: "example.org", MD5: md5, SHA256: sha256}) {
		t.Errorf("loaded users = %+v, %v", cfg, err)
	}
}

func TestCheck(t *testing.T) {
	good, bad := configFile(t, goodConfig), configFile(t, "domian: example.com\nlisten: [ \"udp://:x\" ]\n")
	if got := command(t, "", nil, "check", good); got != (result{0, good + ": ok\n", ""}) {
		t.Errorf("check of a good file = %+v", got)
	}
	doubtful := configFile(t, goodConfig+"origins: [ \"*\" ]\n")
	if got := command(t, "", nil, "check", doubtful); got.code != 0 || got.stdout != doubtful+": ok, 1 warning\n" || !strings.HasPrefix(got.stderr, "warning: "+doubtful+":5:10: origins: ") {
		t.Errorf("check of a doubtful file = %+v", got)
	}
	got := command(t, "", nil, "check", bad)
	if got.code != 1 || got.stdout != "" || !strings.HasPrefix(got.stderr, bad+":1:1: unknown key \"domian\" (did you mean \"domain\"?)\n"+bad+":2:11: listen[0]: ") {
		t.Errorf("check of a bad file = %+v", got)
	}
	if got := command(t, "", nil, "check", "nowhere.yaml"); got != (result{1, "", "ringway: open nowhere.yaml: no such file or directory\n"}) {
		t.Errorf("check of no file = %+v", got)
	}
}

// What stops a start is one line on stderr, and exit code 1.
func TestRunFailsInOneLine(t *testing.T) {
	good := configFile(t, goodConfig)
	for name, text := range map[string]string{
		"missing certificate": goodConfig + "tls: { cert: nowhere.pem, key: nowhere.pem }\n",
		"missing users file":  goodConfig + "users_file: nowhere\n",
	} {
		if got := command(t, "", nil, "run", configFile(t, text)); got.code != 1 || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, "nowhere") {
			t.Errorf("run with a %s = %+v", name, got)
		}
	}
	s := newStandIn()
	s.runErr = errors.New("listen udp 127.0.0.1:5060: bind: address already in use")
	got := command(t, "", func(a *app) {
		a.newServer = func(*gateway.Config, zerolog.Logger) (server, error) { return s, nil }
	}, "run", good)
	if want := "ringway: " + s.runErr.Error() + "\n"; got != (result{1, "", want}) {
		t.Errorf("run with a port in use = %+v, want %q", got, want)
	}
}

func TestSignals(t *testing.T) {
	good := configFile(t, goodConfig)
	run := func(s *standIn, signals int) (result, int) {
		exited := 0
		got := command(t, "", func(a *app) {
			c := make(chan os.Signal, 2)
			a.signals = c
			a.exit = func(code int) { exited = code }
			a.newServer = func(cfg *gateway.Config, _ zerolog.Logger) (server, error) {
				go func() {
					<-s.ready
					for range signals {
						c <- syscall.SIGTERM
					}
				}()
				return s, nil
			}
		}, "run", good)
		return got, exited
	}
	if got, exited := run(newStandIn(), 1); got.code != 0 || exited != 0 {
		t.Errorf("a run that is stopped = %+v, exited %d", got, exited)
	}
	hanging := newStandIn()
	hanging.hangs = true
	if _, exited := run(hanging, 2); exited != 1 {
		t.Errorf("a second signal exits with %d, want 1", exited)
	}
}

// A terminal that closes, or systemctl reload, cuts no calls: certificates are looked at, and while
// it drains, SIGHUP is no second signal.
func TestHangup(t *testing.T) {
	s := newStandIn()
	signals := make(chan os.Signal) // each is taken before the next
	got := command(t, "", func(a *app) {
		a.signals = signals
		a.exit = func(int) { t.Error("ended at once") }
		a.newServer = func(*gateway.Config, zerolog.Logger) (server, error) {
			go func() {
				<-s.ready
				signals <- syscall.SIGHUP
				signals <- syscall.SIGHUP
				<-s.reloads
				<-s.reloads
				s.drains = func() { signals <- syscall.SIGHUP }
				signals <- syscall.SIGTERM
			}()
			return s, nil
		}
	}, "run", configFile(t, goodConfig))
	if got.code != 0 || strings.Count(got.stderr, "read at the next start") != 2 {
		t.Errorf("run = %+v", got)
	}
}

func TestReadinessIsToldToSystemd(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: file, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err) // so that silence ends the test, not go test's own limit
	}
	t.Setenv("NOTIFY_SOCKET", file)
	s := newStandIn()
	signals := make(chan os.Signal, 1)
	go func() {
		buf := make([]byte, 64)
		if n, err := l.Read(buf); err != nil || string(buf[:n]) != "READY=1" {
			t.Errorf("systemd is told %q, %v", buf[:n], err)
		}
		signals <- syscall.SIGINT
	}()
	got := command(t, "", func(a *app) {
		a.signals = signals
		a.newServer = func(*gateway.Config, zerolog.Logger) (server, error) { return s, nil }
	}, "run", configFile(t, goodConfig))
	if got.code != 0 {
		t.Errorf("run = %+v", got)
	}
}

func TestDemoConfig(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "")
	cfg, err := demoConfig(8080, []phone.User{{Name: "alice", Password: "a"}, {Name: "bob", Password: "b"}})
	if err != nil {
		t.Fatal(err)
	}
	l := cfg.Listen[0]
	if len(cfg.Listen) != 1 || l.Addr != netip.MustParseAddr("127.0.0.1") || l.Path != "/ws" || cfg.Admin != "" || len(cfg.Users) != 2 {
		t.Errorf("demo listens on %+v, admin %q, users %v", cfg.Listen, cfg.Admin, cfg.Users)
	}
}

func TestFreePortSkipsTakenOnes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if got, err := freePort(taken); err != nil || got <= taken {
		t.Errorf("freePort(%d) = %d, %v", taken, got, err)
	}
}
