//go:build linux

package gateway_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// freeswitch is an installed FreeSWITCH with the configuration of testdata/freeswitch. FS_PREFIX says where
// it is: no package of Debian's has it, so nothing here can fetch it.
type freeswitch struct {
	*process
	t       testing.TB
	at      netip.AddrPort // whose callers need a password, UDP and TCP
	open    netip.AddrPort // whose don't
	dir     string
	control *eventSocket
}

// freeswitchBinary finds it; a test without it proves nothing.
func freeswitchBinary(t testing.TB) string {
	t.Helper()
	if prefix := os.Getenv("FS_PREFIX"); prefix != "" {
		for _, name := range []string{"bin/freeswitch", "sbin/freeswitch"} {
			if _, err := os.Stat(filepath.Join(prefix, name)); err == nil {
				return filepath.Join(prefix, name)
			}
		}
		t.Fatalf("no bin/freeswitch in FS_PREFIX=%s", prefix)
	}
	t.Skip("SKIPPED: FS_PREFIX names no folder with an installed FreeSWITCH: NOTHING HERE IS TESTED")
	return ""
}

// freeswitch starts one; gw is where its own calls go, as it writes it. shipped is a folder whose profile and directory
// are in the place of the tests'.
func (l *live) freeswitch(gw string, shipped ...string) *freeswitch {
	l.t.Helper()
	binary := freeswitchBinary(l.t)
	f := &freeswitch{t: l.t, at: l.free(80), open: l.free(80), dir: l.t.TempDir()}
	events := l.free(80)
	rtp := 20000 + 200*l.net%30000
	f.configure(map[string]any{
		"IP": f.at.Addr(), "PORT": f.at.Port(), "OPEN_PORT": f.open.Port(), "ESL_PORT": events.Port(),
		"RTP_FROM": rtp, "RTP_TO": rtp + 190, "GW": gw, "PING": 5, "PRESENCE": false,
	})
	for _, dir := range shipped {
		for from, to := range map[string]string{"sip_profiles/ringway.xml": "users.xml", "directory/ringway.xml": "directory.xml"} {
			f.replace(filepath.Join(dir, from), to)
		}
	}
	args := []string{"-nf", "-nc", "-nonat", "-nonatmap", "-np", "-nocal"}
	for _, what := range []string{"conf", "log", "db", "run", "certs", "scripts", "storage", "recordings", "cache", "temp"} {
		dir := filepath.Join(f.dir, what)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			l.t.Fatal(err)
		}
		args = append(args, "-"+what, dir)
	}
	f.process = run(l.t, f.dir, binary, args...)
	f.connect(events)
	l.until("FreeSWITCH takes calls", func() bool {
		return strings.Count(f.api("sofia status"), "RUNNING") == 2 && strings.Contains(f.api("status"), "is ready")
	})
	return f
}

func (f *freeswitch) configure(values map[string]any) {
	f.t.Helper()
	conf := filepath.Join(f.dir, "conf")
	if err := os.CopyFS(conf, os.DirFS("../testdata/freeswitch")); err != nil {
		f.t.Fatal(err)
	}
	var vars strings.Builder
	for name, v := range values {
		fmt.Fprintf(&vars, "<X-PRE-PROCESS cmd=\"set\" data=\"%s=%v\"/>\n", name, v)
	}
	if err := os.WriteFile(filepath.Join(conf, "vars.xml"), []byte("<include>\n"+vars.String()+"</include>\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// replace puts a shipped file into the configuration, with the addresses of this network.
func (f *freeswitch) replace(from, to string) {
	f.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		f.t.Fatal(err)
	}
	port := `"sip-port" value="`
	text = []byte(strings.NewReplacer("127.0.0.1", f.at.Addr().String(), port+"5070", port+fmt.Sprint(f.at.Port())).Replace(string(text)))
	if err := os.WriteFile(filepath.Join(f.dir, "conf", to), text, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// connect opens the event socket once it is there.
func (f *freeswitch) connect(at netip.AddrPort) {
	f.t.Helper()
	limit := time.Now().Add(6 * patience)
	for f.control == nil {
		if c, err := net.Dial("tcp", at.String()); err == nil {
			f.control = &eventSocket{c: c, r: textproto.NewReader(bufio.NewReader(c))}
			break
		}
		select {
		case <-f.done:
			f.t.Fatalf("FreeSWITCH has ended: %v\n%s\n%s", f.err, &f.out, f.log())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(limit) {
			f.t.Fatalf("FreeSWITCH does not start:\n%s", f.log())
		}
	}
	f.t.Cleanup(func() {
		if f.t.Failed() {
			f.t.Logf("FreeSWITCH's log:\n%s", f.log())
		}
		_, _ = f.control.ask("api fsctl shutdown now") // TERM waits for calls; it may end before it answers
		f.control.c.Close()
	})
	if err := f.control.login("tests"); err != nil {
		f.t.Fatal(err)
	}
}

func (f *freeswitch) log() string {
	b, _ := os.ReadFile(filepath.Join(f.dir, "log", "freeswitch.log"))
	return string(b)
}

// api runs a command and gives its answer.
func (f *freeswitch) api(command string) string {
	f.t.Helper()
	answer, err := f.control.ask("api " + command)
	if err != nil {
		f.t.Fatalf("%s: %v", command, err)
	}
	return answer
}

// quiet waits until no call is left in it.
func (f *freeswitch) quiet(l *live) {
	l.t.Helper()
	l.until("FreeSWITCH has no call", func() bool { return strings.HasPrefix(strings.TrimSpace(f.api("show channels count")), "0 total") })
}

// eventSocket is FreeSWITCH's control connection: header lines, an empty one, a body of Content-Length.
type eventSocket struct {
	c net.Conn
	r *textproto.Reader
}

func (e *eventSocket) login(password string) error {
	if _, err := e.r.ReadMIMEHeader(); err != nil { // auth/request
		return err
	}
	answer, err := e.ask("auth " + password)
	if err == nil && !strings.HasPrefix(answer, "+OK") {
		err = errors.New(answer)
	}
	return err
}

func (e *eventSocket) ask(command string) (string, error) {
	_ = e.c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(e.c, command+"\n\n"); err != nil {
		return "", err
	}
	h, err := e.r.ReadMIMEHeader()
	if err != nil {
		return "", err
	}
	n, _ := strconv.Atoi(h.Get("Content-Length"))
	body := make([]byte, n)
	if _, err := io.ReadFull(e.r.R, body); err != nil {
		return "", err
	}
	return h.Get("Reply-Text") + string(body), nil
}
