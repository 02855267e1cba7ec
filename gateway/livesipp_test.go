//go:build linux

package gateway_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program finds a program that a test needs; a test without it proves nothing.
func program(t testing.TB, name, pkg string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("SKIPPED: %s is not installed (apt install %s): NOTHING HERE IS TESTED", name, pkg)
	return ""
}

// process is a peer that runs until it ends or the test does.
type process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  logs
	done chan struct{}
	err  error
}

// run starts a program in a directory, with its children in a process group of their own.
func run(t testing.TB, dir, path string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: filepath.Base(path), cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	p.cmd.WaitDelay = patience
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("%s %q said:\n%s", p.name, args, &p.out)
		}
	})
	return p
}

// end makes the process and its children end.
func (p *process) end() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// sipp is a SIPp with one scenario.
type sipp struct {
	*process
	at  netip.AddrPort
	dir string
}

// call is what a SIPp does.
type call struct {
	scenario  string         // file in testdata/sipp
	at        netip.AddrPort // where it is
	transport string         // udp, tcp
	to        netip.AddrPort // whom it calls; the zero value: it is called
	user      string         // that it calls
	status    string         // in the place of 486
	more      []string
}

// sipp starts a SIPp; one that is called listens when it returns.
func (l *live) sipp(c call) *sipp {
	l.t.Helper()
	path := program(l.t, "sipp", "sip-tester")
	s := &sipp{at: c.at, dir: l.t.TempDir()}
	scenario, err := os.ReadFile("../testdata/sipp/" + c.scenario + ".xml")
	if err != nil {
		l.t.Fatal(err)
	}
	if c.status != "" {
		scenario = bytes.ReplaceAll(scenario, []byte("486"), []byte(c.status))
	}
	if strings.HasPrefix(c.user, "[field") { // from an injection file
		scenario = bytes.ReplaceAll(scenario, []byte("[service]"), []byte(c.user))
	}
	if err := os.WriteFile(filepath.Join(s.dir, "scenario.xml"), scenario, 0o600); err != nil {
		l.t.Fatal(err)
	}
	args := []string{
		"-sf", "scenario.xml", "-i", c.at.Addr().String(), "-p", fmt.Sprint(c.at.Port()),
		"-t", map[string]string{"udp": "u1", "tcp": "t1"}[c.transport],
		"-nostdin", "-timeout", "20s", "-timeout_error", "-trace_err", "-error_file", "errors", "-trace_msg", "-message_file", "messages",
	}
	if !slices.Contains(c.more, "-m") {
		args = append(args, "-m", "1")
	}
	if c.to.IsValid() {
		args = append(args, "-s", c.user, c.to.String())
	}
	s.process = run(l.t, s.dir, path, append(args, c.more...)...)
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("SIPp %s at %s:\n%s%s", c.scenario, c.at, s.file("errors"), s.file("messages"))
		}
	})
	if !c.to.IsValid() {
		l.until("SIPp listens at "+c.at.String(), func() bool { return s.over() || listens(c.transport, c.at) })
	}
	return s
}

func (s *sipp) file(name string) string {
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	return fmt.Sprintf("-- %s:\n%s", name, bytes.TrimSpace(b))
}

func (s *sipp) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// succeeds waits until SIPp has ended and every call was as its scenario says.
func (s *sipp) succeeds() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	select {
	case <-s.done:
	case <-ctx.Done():
		s.t.Fatalf("SIPp at %s does not end", s.at)
	}
	if s.err != nil {
		s.t.Fatalf("SIPp at %s: %v", s.at, s.err)
	}
}

// ends waits until SIPp has placed that many calls, whatever became of them.
func (s *sipp) ends(calls int) {
	s.t.Helper()
	limit := time.NewTimer(time.Duration(calls)*20*time.Millisecond + time.Minute)
	defer limit.Stop()
	select {
	case <-s.done:
	case <-limit.C:
		s.t.Fatalf("SIPp at %s does not end", s.at)
	}
}

// listens tells whether a socket is bound to an address, as the kernel says.
func listens(transport string, at netip.AddrPort) bool {
	ip := at.Addr().As4()
	slices.Reverse(ip[:])
	want := strings.ToUpper(hex.EncodeToString(ip[:])) + fmt.Sprintf(":%04X", at.Port())
	table, _ := os.ReadFile("/proc/net/" + transport)
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) > 3 && f[1] == want && (transport == "udp" || f[3] == "0A") {
			return true
		}
	}
	return false
}
