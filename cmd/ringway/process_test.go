//go:build linux

// All of 127.0.0.0/8 is this machine on Linux only.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// patience is for what must come; nothing takes so long unless it never comes.
const patience = 20 * time.Second

// What makes the test binary ringway itself, and how long it then drains.
const (
	beRingway = "RINGWAY_TEST_MAIN"
	drainFor  = "RINGWAY_TEST_DRAIN"
)

func TestMain(m *testing.M) {
	if os.Getenv(beRingway) == "" {
		os.Exit(m.Run())
	}
	a := newApp()
	if d, err := time.ParseDuration(os.Getenv(drainFor)); err == nil {
		a.drain = d
	}
	os.Exit(a.main(os.Args[1:]))
}

// process is a ringway of its own.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer // to be read after ended
	states         *net.UnixConn
	ended          chan struct{}
}

// launch runs a verb; the test waits for its end.
func launch(t *testing.T, drain time.Duration, args ...string) *process {
	t.Helper()
	p := &process{t: t, ended: make(chan struct{})}
	at := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	var err error
	if p.states, err = net.ListenUnixgram("unixgram", at); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(exe, args...)
	p.cmd.Env = append(os.Environ(), beRingway+"=1", drainFor+"="+drain.String(), "NOTIFY_SOCKET="+at.Name, "STATE_DIRECTORY=")
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // its code is asked for
		p.states.Close() // nobody tells more
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("ringway %q said:\n%s%s", args, p.stdout.Bytes(), p.stderr.Bytes())
		}
	})
	return p
}

// told waits until the service manager is told a state.
func (p *process) told(state string) {
	p.t.Helper()
	buf := make([]byte, 64)
	_ = p.states.SetReadDeadline(time.Now().Add(patience))
	n, err := p.states.Read(buf)
	if got := string(buf[:n]); err != nil || got != state {
		p.t.Fatalf("told %q, %v instead of %q", got, err, state)
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// code waits for the end and gives the exit code.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("ringway has not ended after %v", patience)
		return -1
	}
}

var networks atomic.Int32

// ownAddr is an address of loopback that no other test uses.
func ownAddr() net.IP { return net.IPv4(127, 72, byte(networks.Add(1)), 1) }

// freeAddr is host:port on such an address, free for UDP and TCP.
func freeAddr(t *testing.T) string {
	t.Helper()
	ip := ownAddr()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ip})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// gatewayAt runs a gateway with alice and bob on a WebSocket address.
func gatewayAt(t *testing.T, addr string, drain time.Duration) *process {
	t.Helper()
	file := configFile(t, fmt.Sprintf("domain: example.com\nlisten: [ \"ws://%s/ws\" ]\nadmin: off\nstate_dir: .\nlog: { level: debug }\n"+
		"users: { alice: { password: secret }, bob: { password: secret } }\n", addr))
	p := launch(t, drain, "run", file)
	p.told("READY=1")
	return p
}

// client is a registered user on a WebSocket.
type client struct {
	*siptest.UA
	t     *testing.T
	came  chan struct{}
	inbox []siptest.Seen
}

type webSocket struct {
	c      *websocket.Conn
	mu     sync.Mutex
	closed atomic.Bool
}

func (w *webSocket) Write(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.c.WriteMessage(websocket.TextMessage, []byte(text)) // a lost one is missed by the test
}
func (w *webSocket) Closed() bool         { return w.closed.Load() }
func (w *webSocket) Framing() sip.Framing { return sip.Frame }

func newClient(t *testing.T, addr, user string) *client {
	t.Helper()
	d := websocket.Dialer{Subprotocols: []string{"sip"}, HandshakeTimeout: patience}
	c, res, err := d.Dial("ws://"+addr+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	w := &webSocket{c: c}
	p := &client{t: t, came: make(chan struct{}, 1)}
	p.UA = siptest.NewUAOn(user, siptest.UAOptions{Transport: sip.WS, AOR: user + "@example.com", Password: "secret"},
		w, c.LocalAddr().(*net.TCPAddr).AddrPort(), func() {
			select {
			case p.came <- struct{}{}:
			default:
			}
		})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			_, b, err := c.ReadMessage()
			var ce *websocket.CloseError
			switch {
			case errors.As(err, &ce):
				p.Note(fmt.Sprint("closed ", ce.Code))
			case err != nil:
				p.Note("lost: " + err.Error())
			default:
				p.UA.Receive(w, string(b))
				continue
			}
			w.closed.Store(true)
			return
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	p.Register(600)
	p.want("SIP/2.0 401")
	p.want("SIP/2.0 200")
	return p
}

// want is the next message but 100, or note, which has to begin so.
func (p *client) want(start string) string {
	p.t.Helper()
	limit := time.After(patience)
	for {
		if p.inbox = append(p.inbox, p.Seen()...); len(p.inbox) > 0 {
			got := p.inbox[0].Text + p.inbox[0].Note
			p.inbox = p.inbox[1:]
			if strings.HasPrefix(got, "SIP/2.0 100") {
				continue
			}
			if !strings.HasPrefix(got, start) {
				p.t.Fatalf("%s got %q instead of %s", p.Name, got, start)
			}
			return got
		}
		select {
		case <-p.came:
		case <-limit:
			p.t.Fatalf("%s waited %v for %s", p.Name, patience, start)
		}
	}
}
