package ws

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// rawDial is a client without gorilla's buffers and allocations.
func rawDial(t testing.TB, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: sip\r\n\r\n")
	for head := make([]byte, 0, 512); !strings.HasSuffix(string(head), "\r\n\r\n"); {
		if len(head) == cap(head) {
			t.Fatalf("handshake: %q", head)
		}
		n, err := c.Read(head[len(head) : len(head)+1])
		if err != nil {
			t.Fatal(err)
		}
		head = head[:len(head)+n]
	}
	return c
}

func masked(payload []byte) []byte {
	b := []byte{0x81, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	return append(b, payload...)
}

// BenchmarkEcho is a message of 3 KB in and the same out, over a real socket;
// the client takes part in the time, not in the allocations.
func BenchmarkEcho(b *testing.B) {
	e := start(b, func(c *Config) {
		c.Receive = func(m *sip.Message, f *flow.Flow) { f.Send([]byte(m.String())) }
	})
	c := rawDial(b, e.Addr(0).String())
	defer c.Close()
	m := message("echo", 2700)
	in, out := masked(m), make([]byte, len(m)+4)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(in); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, out); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSend is one message out.
func BenchmarkSend(b *testing.B) {
	e := start(b, nil)
	c := rawDial(b, e.Addr(0).String())
	defer c.Close()
	m := message("out", 2700)
	out := make([]byte, len(m)+4)
	c.Write(masked(m))
	f := <-e.flows
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Send(m); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, out); err != nil {
			b.Fatal(err)
		}
	}
}

const idleServer = "RINGWAY_TEST_IDLE_SERVER" // the test binary is the server of BenchmarkIdle

// BenchmarkIdle is what 10,000 WebSockets cost that have sent a message, got
// one and proved who they are: memory (PSS) of a server of its own process. Run
// it with -benchtime=1x.
func BenchmarkIdle(b *testing.B) {
	if os.Getenv(idleServer) != "" {
		serveIdle(b)
		return
	}
	const clients = 10_000
	for b.Loop() {
		server := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkIdle$", "-test.benchtime=1x")
		server.Env = append(os.Environ(), idleServer+"=1")
		server.Stderr = os.Stderr
		in, _ := server.StdinPipe()
		out, _ := server.StdoutPipe()
		if err := server.Start(); err != nil {
			b.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		ask := func() []string {
			fmt.Fprintln(in, "?")
			for lines.Scan() {
				if rest, ok := strings.CutPrefix(lines.Text(), "idle: "); ok {
					return strings.Fields(rest)
				}
			}
			b.Fatal("server is gone")
			return nil
		}
		first := ask()
		before, _ := strconv.Atoi(first[1])
		conns := openIdle(b, first[0], clients)
		last := ask()
		after, _ := strconv.Atoi(last[1])
		garbage, _ := strconv.Atoi(last[2])
		b.ReportMetric(float64(after-before)/clients, "B/conn")
		b.ReportMetric(float64(garbage-before)/clients, "B/conn-before-GC")
		for _, c := range conns {
			c.Close()
		}
		in.Close()
		server.Wait()
	}
}

func openIdle(b *testing.B, addr string, n int) []net.Conn {
	m := masked(message("idle", 300))
	answer := make([]byte, 4096)
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = rawDial(b, addr)
		conns[i].Write(m)
		if _, err := conns[i].Read(answer); err != nil {
			b.Fatal(err)
		}
	}
	return conns
}

func serveIdle(b *testing.B) {
	e := start(b, func(c *Config) {
		c.ProveTime = time.Hour
		c.Receive = func(m *sip.Message, f *flow.Flow) {
			f.AuthenticatedAs("alice@example.com")
			f.Send([]byte(m.String()))
		}
	})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		garbage := pss(b)
		for range 4 { // stacks shrink by half at each collection
			runtime.GC()
		}
		fmt.Println("\nidle:", e.Addr(0), pss(b), garbage)
	}
}

func pss(b *testing.B) int {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		b.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "Pss:" {
			kib, _ := strconv.Atoi(f[1])
			return kib << 10
		}
	}
	b.Fatal("no Pss")
	return 0
}

// BenchmarkUpgrade is a connection with its handshake and its end.
func BenchmarkUpgrade(b *testing.B) {
	e := start(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		c := rawDial(b, e.Addr(0).String())
		c.Close()
	}
}
