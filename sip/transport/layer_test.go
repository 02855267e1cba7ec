package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway is a running Layer and what it was told.
type gateway struct {
	*Layer
	t      testing.TB
	table  *flow.Table
	flows  chan *flow.Flow
	got    chan *sip.Message
	closed chan sip.CloseReason
}

func (g *gateway) FlowNamed(*flow.Flow, flow.Name, *flow.Flow)  {}
func (g *gateway) FlowClosed(_ *flow.Flow, why sip.CloseReason) { g.closed <- why }
func (g *gateway) receive(m *sip.Message, from *flow.Flow)      { g.flows <- from; g.got <- m }
func (g *gateway) wantClosed(why sip.CloseReason) {
	g.t.Helper()
	want(g.t, "close reason", <-g.closed, why)
}

func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s %v, want %v", what, got, want)
	}
}

// start runs a layer with these listeners; set changes the configuration.
func start(t testing.TB, set func(*Config), urls ...string) *gateway {
	t.Helper()
	g := &gateway{
		t: t, table: flow.NewTable(),
		flows: make(chan *flow.Flow, 10_000), got: make(chan *sip.Message, 10_000), closed: make(chan sip.CloseReason, 10_000),
	}
	g.table.Watch(g)
	cfg := Config{Table: g.table, Receive: g.receive}
	for i, url := range urls {
		cfg.Listen = append(cfg.Listen, Listen{URL: url, Index: i})
	}
	if set != nil {
		set(&cfg)
	}
	var err error
	if g.Layer, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := g.Layer.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
		want(t, "flows left", g.count.Open.Load(), 0)
	})
	return g
}

// client is a connection to the i-th listener, which ends with the test.
func (g *gateway) client(network string, i int) net.Conn {
	g.t.Helper()
	c, err := net.Dial(network, g.Addr(i).String())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return c
}

func message(call string, body int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "MESSAGE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK%s;rport\r\n", call)
	fmt.Fprintf(&b, "Max-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\n")
	fmt.Fprintf(&b, "Call-ID: %s\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n", call, body)
	b.WriteString(strings.Repeat("x", body))
	return b.Bytes()
}

func malformed(call string) []byte {
	return bytes.Replace(message(call, 3), []byte("Max-Forwards: 70"), []byte("Max-Forwards: many"), 1)
}

func readSome(t testing.TB, c net.Conn) string {
	t.Helper()
	b := make([]byte, 70_000)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestUDP(t *testing.T) {
	for _, url := range []string{"udp://127.0.0.1:0", "udp://[::1]:0", "udp://:0"} {
		t.Run(url, func(t *testing.T) {
			g := start(t, nil, url)
			c := g.client("udp", 0)
			for _, size := range []int{0, 1400, 65_507 - len(message("a", 10_000)) + 10_000} {
				m := message("a", size)
				c.Write(m)
				f := <-g.flows
				want(t, "message", (<-g.got).String(), string(m))
				info := f.Info()
				want(t, "remote", info.Remote.String(), c.LocalAddr().String())
				want(t, "advertise", info.Advertise, c.RemoteAddr().String())
				if err := f.Send(m); err != nil { // the source of packets is the listener (RFC 3581 §4)
					t.Fatal(err)
				}
				want(t, "answer", readSome(t, c), string(m))
			}
			want(t, "fragmented", g.count.Fragmented.Load(), 2)
		})
	}
}

func TestUDPOddities(t *testing.T) {
	g := start(t, func(c *Config) {
		receive := c.Receive
		c.Receive = func(m *sip.Message, f *flow.Flow) {
			if m.CallID() == "bomb" {
				panic("boom")
			}
			receive(m, f)
		}
	}, "udp://127.0.0.1:0")
	c := g.client("udp", 0)
	for _, blank := range []string{"", "\r\n\r\n", "\r\n", "\x00\x00"} {
		c.Write([]byte(blank))
	}
	c.Write(message("bomb", 0))
	c.Write([]byte("no SIP at all"))
	c.Write(malformed("bad"))
	if got := readSome(t, c); !strings.HasPrefix(got, "SIP/2.0 400 ") || !strings.Contains(got, "rport="+strings.Split(c.LocalAddr().String(), ":")[1]) {
		t.Errorf("answer %q", got)
	}
	c.Write(append(message("good", 0), "surplus"...)) // RFC 3261 §18.3
	want(t, "message", (<-g.got).String(), string(message("good", 0)))
	want(t, "blank", g.count.Blank.Load(), 4)
	want(t, "panics", g.count.Panics.Load(), 1)
	want(t, "bad", g.count.Bad.Load(), 2)
	if err := (<-g.flows).Send(make([]byte, 65_508)); err == nil {
		t.Error("a datagram larger than UDP's sent")
	}
}

// RFC 5626 §8, RFC 8489 §14.2 (test vector's idea: the address is XORed).
func TestUDPAnswersSTUN(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0")
	c := g.client("udp", 0)
	request := append([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, "transaction!"...)
	c.Write(request)
	got := []byte(readSome(t, c))
	from := netip.MustParseAddrPort(c.LocalAddr().String())
	wanted := append([]byte{1, 1, 0, 12, 0x21, 0x12, 0xa4, 0x42}, "transaction!"...)
	wanted = append(wanted, 0, 0x20, 0, 8, 0, 1, byte(from.Port()>>8)^0x21, byte(from.Port())^0x12, 127^0x21, 0^0x12, 0^0xa4, 1^0x42)
	want(t, "response", fmt.Sprintf("%x", got), fmt.Sprintf("%x", wanted))
}

// A burst larger than a batch arrives whole and in order.
func TestUDPBurst(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0")
	c := g.client("udp", 0)
	for i := range 100 {
		c.Write(message(fmt.Sprint(i), 10))
	}
	for i := range 100 {
		want(t, "call", (<-g.got).CallID(), fmt.Sprint(i))
	}
}

func TestStreamFraming(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	a, b := message("a", 30_000), message("b", 0)
	c.Write(append(append([]byte("\r\n"), a...), b...))
	want(t, "first", (<-g.got).String(), string(a))
	want(t, "second", (<-g.got).String(), string(b))
	for _, one := range append(b, b...) { // RFC 3261 §18.3: framing is Content-Length, not segments
		c.Write([]byte{one})
	}
	want(t, "octet by octet", (<-g.got).String(), string(b))
	want(t, "and again", (<-g.got).String(), string(b))
	f := <-g.flows
	want(t, "flow's transport", f.Info().Transport, sip.TCP)
	want(t, "advertise", f.Info().Advertise, g.Addr(0).String())
	if err := f.Send(a); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(a))
	io.ReadFull(c, got)
	want(t, "out", string(got), string(a))
	c.Close()
	g.wantClosed(sip.CloseNormal)
	want(t, "live", f.Live(), false)
}

// RFC 5626 §4.4.1: CRLF CRLF is answered by CRLF, a single CRLF is not.
func TestStreamKeepAlive(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	for _, piece := range []string{"\r\n", string(message("a", 0)), "\r", "\n\r", "\n"} {
		c.Write([]byte(piece))
	}
	want(t, "answer", readSome(t, c), "\r\n")
	want(t, "call", (<-g.got).CallID(), "a")
	want(t, "counted", g.count.KeepAlives.Load(), 1)
	c.Write(bytes.Repeat([]byte("\r\n\r\n"), 200))
	g.wantClosed(sip.CloseFlood)
}

func TestStreamBadMessage(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(malformed("bad")) // framing intact: answered, and the next one is read
	if got := readSome(t, c); !strings.HasPrefix(got, "SIP/2.0 400 ") {
		t.Errorf("answer %q", got)
	}
	c.Write(message("good", 0))
	want(t, "next", (<-g.got).CallID(), "good")
	for range 200 {
		c.Write(malformed("flood"))
	}
	g.wantClosed(sip.CloseFlood)
}

// What loses the frame is answered where it can be, and ends the stream.
func TestStreamBrokenFraming(t *testing.T) {
	without := bytes.Replace(message("x", 0), []byte("Content-Length: 0\r\n"), nil, 1)
	for _, tt := range []struct {
		name   string
		in     []byte
		answer string
		why    sip.CloseReason
	}{
		{"no Content-Length", without, "SIP/2.0 400 ", sip.CloseProtocol},
		{"Content-Length too large", bytes.Replace(message("x", 0), []byte("Length: 0"), []byte("Length: 99999999"), 1), "SIP/2.0 513 ", sip.CloseTooBig},
		{"Content-Length no number", bytes.Replace(message("x", 0), []byte("Length: 0"), []byte("Length: -1"), 1), "SIP/2.0 400 ", sip.CloseProtocol},
		{"bare LF", []byte("REGISTER sip:x SIP/2.0\n"), "", sip.CloseProtocol},
		{"endless line", bytes.Repeat([]byte("x"), 100_000), "", ""},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "", sip.CloseProtocol},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := start(t, nil, "tcp://127.0.0.1:0")
			c := g.client("tcp", 0)
			c.Write(tt.in)
			got, err := io.ReadAll(c)
			if err != nil || !strings.HasPrefix(string(got), tt.answer) || tt.answer == "" && len(got) > 0 {
				t.Errorf("answer %q, error %v, want %q", got, err, tt.answer)
			}
			if why := <-g.closed; tt.why != "" {
				want(t, "close reason", why, tt.why)
			}
		})
	}
}

func TestStreamUnproven(t *testing.T) {
	g := start(t, func(c *Config) { c.ProveTime = 60 * time.Millisecond }, "tcp://127.0.0.1:0")
	proven := g.client("tcp", 0)
	proven.Write(message("a", 0))
	(<-g.flows).AuthenticatedAs("alice@example.com")
	g.client("tcp", 0).Write([]byte("\r\n\r\n"))
	g.wantClosed(sip.CloseUnproven)
	g.client("tcp", 0).Write(message("b", 0))
	g.wantClosed(sip.CloseIdle)
	<-g.flows
	proven.Write(message("c", 0))
	<-g.flows
}

func TestStreamMessageNotCompleted(t *testing.T) {
	g := start(t, func(c *Config) { c.MessageTime = 30 * time.Millisecond }, "tcp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 10)[:100])
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	g.wantClosed(sip.CloseProtocol)
}

func TestStreamPanic(t *testing.T) {
	g := start(t, func(c *Config) { c.Receive = func(*sip.Message, *flow.Flow) { panic("boom") } }, "tcp://127.0.0.1:0")
	g.client("tcp", 0).Write(message("a", 0))
	g.wantClosed(sip.ClosePanic)
	want(t, "counted", g.count.Panics.Load(), 1)
}

func TestStreamCaps(t *testing.T) {
	g := start(t, func(c *Config) { c.MaxPerAddr = 2 }, "tcp://127.0.0.1:0")
	a := g.client("tcp", 0)
	g.client("tcp", 0)
	waitFor(t, func() bool { return g.count.Open.Load() == 2 })
	if c, err := net.Dial("tcp", g.Addr(0).String()); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("third connection is served")
		}
		c.Close()
	}
	waitFor(t, func() bool { return g.count.RefusedFull.Load() == 1 })
	a.Close()
	<-g.closed
	waitFor(t, func() bool { return g.conns.Total() == 1 })
	g.client("tcp", 0).Write(message("a", 0))
	<-g.got
}

// certificateFiles writes a new self-signed pair for 127.0.0.1 and name.
func certificateFiles(t *testing.T, dir, name string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(k)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
	parsed, _ := x509.ParseCertificate(der)
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

func TestTLS(t *testing.T) {
	cert, key, pool := certificateFiles(t, t.TempDir(), "pbx.test")
	pair, err := LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, func(c *Config) { c.Listen[0].Certificate = pair }, "tls://127.0.0.1:0")
	peer := start(t, func(c *Config) { c.DialTLS = &tls.Config{RootCAs: pool} }, "tcp://127.0.0.1:0")
	f, err := reach(peer, Hop{Addr: g.Addr(0), Transport: sip.TLS, Host: "pbx.test"}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 5, 40_000} {
		m := message("a", size)
		if err := f.Send(m); err != nil {
			t.Fatal(err)
		}
		want(t, "message", (<-g.got).String(), string(m))
		back := <-g.flows
		want(t, "transport", back.Info().Transport, sip.TLS)
		if err := back.Send(m); err != nil {
			t.Fatal(err)
		}
		want(t, "answer", (<-peer.got).String(), string(m))
	}
	if _, err := reach(peer, Hop{Addr: g.Addr(0), Transport: sip.TLS, Host: "other.test"}, 100); err == nil {
		t.Error("a certificate of another name is accepted")
	}
	f.Close(sip.CloseNormal)
	peer.wantClosed(sip.CloseNormal)
	g.wantClosed(sip.CloseNormal)
	c := g.client("tcp", 0)
	c.Write([]byte("REGISTER sip:not.tls SIP/2.0\r\n"))
	io.ReadAll(c)
	waitFor(t, func() bool { return g.count.RefusedShakes.Load() == 2 && g.halfOpen.Total() == 0 })
}

// R13: new handshakes see a new pair; a pair that does not fit leaves the old.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := certificateFiles(t, dir, "one.test")
	c, err := LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		c.mu.Lock()
		c.checked = time.Time{} // the next look is due
		c.mu.Unlock()
		leaf, _ := x509.ParseCertificate(c.Current().Certificate[0])
		return leaf.Subject.CommonName
	}
	want(t, "first", name(), "one.test")
	old, _ := os.ReadFile(key)
	certificateFiles(t, dir, "another.test")
	fresh, _ := os.ReadFile(key)
	os.WriteFile(key, append(old, '\n'), 0o600)
	want(t, "with the wrong key", name(), "one.test")
	if c.Err() == nil {
		t.Error("a pair that does not fit is no error")
	}
	os.WriteFile(key, fresh, 0o600)
	want(t, "second", name(), "another.test")
	if err := c.Err(); err != nil {
		t.Error(err)
	}
	if _, err := LoadCertificate(cert, filepath.Join(dir, "none.pem")); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("missing key: %v", err)
	}
}

// reach waits for Reach.
func reach(g *gateway, hop Hop, size int) (*flow.Flow, error) {
	type result struct {
		f   *flow.Flow
		err error
	}
	ch := make(chan result, 2)
	g.Reach(hop, size, func(f *flow.Flow, err error) { ch <- result{f, err} })
	r := <-ch
	return r.f, r.err
}

// RFC 3261 §18.1.1, and what the operator pinned.
func TestReachChoosesTransport(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
	both := start(t, nil, "tcp://127.0.0.1:0")
	closed := closedPort(t)
	for _, tt := range []struct {
		name string
		hop  Hop
		size int
		want sip.Transport // 0: error
	}{
		{"small", Hop{Addr: both.Addr(0)}, 1300, sip.UDP},
		{"large", Hop{Addr: both.Addr(0)}, 1301, sip.TCP},
		{"large without TCP", Hop{Addr: closed}, 1301, sip.UDP},
		{"large pinned to udp", Hop{Addr: both.Addr(0), Transport: sip.UDP}, 5000, sip.UDP},
		{"small pinned to tcp", Hop{Addr: both.Addr(0), Transport: sip.TCP}, 100, sip.TCP},
		{"pinned to tcp, refused", Hop{Addr: closed, Transport: sip.TCP}, 100, 0},
		{"mapped address", Hop{Addr: netip.AddrPortFrom(netip.AddrFrom16(both.Addr(0).Addr().As16()), both.Addr(0).Port())}, 100, sip.UDP},
		{"no listener of that family", Hop{Addr: netip.MustParseAddrPort("[::1]:5060")}, 100, 0},
		{"WebSocket", Hop{Addr: both.Addr(0), Transport: sip.WS}, 100, 0},
	} {
		f, err := reach(g, tt.hop, tt.size)
		if err != nil {
			want(t, tt.name+": "+err.Error(), 0, tt.want)
			continue
		}
		want(t, tt.name, f.Info().Transport, tt.want)
		want(t, tt.name+": listener", f.Info().Listener, map[sip.Transport]int{sip.UDP: 0, sip.TCP: 1}[tt.want])
		want(t, tt.name+": advertise", f.Info().Advertise, g.Addr(f.Info().Listener).String())
	}
	waitFor(t, func() bool { return both.count.Accepted.Load() == 1 })
}

func closedPort(t *testing.T) netip.AddrPort {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return addrPort(ln.Addr())
}

// A refusal is remembered, for a while.
func TestReachRemembersRefusal(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.1:0")
	hop := Hop{Addr: closedPort(t)}
	for range 3 {
		if f, err := reach(g, hop, 2000); err != nil || f.Info().Transport != sip.UDP {
			t.Fatal(f, err)
		}
	}
	want(t, "dialled", g.count.DialFailed.Load(), 1)
	want(t, "fell back", g.count.FellBack.Load(), 3)
	g.hops.mu.Lock()
	g.hops.without[hop.Addr] = time.Now().Add(-time.Second)
	g.hops.mu.Unlock()
	reach(g, hop, 2000)
	want(t, "dialled after the time", g.count.DialFailed.Load(), 2)
}

// A hop that drops SYNs costs TryTime once; who must have TCP waits DialTime.
func TestReachBlackHole(t *testing.T) {
	hole := blackHole(t)
	g := start(t, func(c *Config) { c.TryTime, c.DialTime = 30*time.Millisecond, 300*time.Millisecond }, "udp://127.0.0.1:0")
	pinned := make(chan error, 1)
	g.Reach(Hop{Addr: hole, Transport: sip.TCP}, 100, func(_ *flow.Flow, err error) { pinned <- err })
	f, err := reach(g, Hop{Addr: hole}, 2000)
	if err != nil || f.Info().Transport != sip.UDP {
		t.Fatal(f, err)
	}
	want(t, "pinned ended as early", len(pinned), 0)
	if err := <-pinned; err == nil {
		t.Error("connected to a black hole")
	}
	want(t, "dialled", g.count.DialFailed.Load(), 1)
}

// blackHole is a listening port with a full backlog: SYNs are dropped.
func blackHole(t *testing.T) netip.AddrPort {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	syscall.Listen(fd, 0)
	sa, _ := syscall.Getsockname(fd)
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(sa.(*syscall.SockaddrInet4).Port))
	for range 8 {
		c, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("the backlog does not fill here")
	return addr
}

// Concurrent calls share one dial; an open connection is given at once, and both
// ends keep using it.
func TestReachSharesConnection(t *testing.T) {
	pbx := start(t, nil, "tcp://127.0.0.1:0")
	g := start(t, nil, "udp://127.0.0.1:0", "tcp://127.0.0.1:0")
	hop := Hop{Addr: pbx.Addr(0), Transport: sip.TCP}
	flows := make(chan *flow.Flow, 50)
	for range 50 {
		g.Reach(hop, 100, func(f *flow.Flow, err error) {
			if err != nil {
				t.Error(err)
			}
			flows <- f
		})
	}
	f := <-flows
	for range 49 {
		want(t, "flow", <-flows, f)
	}
	inline := false
	g.Reach(hop, 100, func(again *flow.Flow, _ error) { inline = again == f })
	want(t, "given at once", inline, true)
	f.Send(message("out", 0))
	back := <-pbx.flows
	want(t, "connections", pbx.count.Accepted.Load(), 1)
	back.Send(message("back", 0))
	want(t, "answer", (<-g.got).CallID(), "back")
	back.Close(sip.CloseNormal)
	g.wantClosed(sip.CloseNormal)
	next, err := reach(g, hop, 100)
	if err != nil || next == f || !next.Live() {
		t.Fatal("no new connection after the end of the old", err)
	}
}

// The listener that faces the peer is the one to send from.
func TestReachChoosesListener(t *testing.T) {
	g := start(t, nil, "udp://127.0.0.2:0", "udp://127.0.0.1:0", "udp://[::1]:0", "udp://:0")
	for addr, index := range map[string]int{"127.0.0.1:5060": 1, "[::1]:5060": 2, "192.0.2.1:5060": 3} {
		f, err := reach(g, Hop{Addr: netip.MustParseAddrPort(addr)}, 100)
		if err != nil {
			t.Fatal(err)
		}
		want(t, addr, f.Info().Listener, index)
	}
}

func TestShutdownEndsConnections(t *testing.T) {
	g := start(t, nil, "tcp://127.0.0.1:0", "udp://127.0.0.1:0")
	c := g.client("tcp", 0)
	c.Write(message("a", 0))
	<-g.got
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := g.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	g.wantClosed(sip.CloseShutdown)
	if _, err := reach(g, Hop{Addr: g.Addr(0), Transport: sip.TCP}, 10); err == nil {
		t.Error("dialled after the end")
	}
	u := g.client("udp", 1)
	u.Write(message("late", 0))
	want(t, "UDP goes on", (<-g.got).CallID(), "late")
}

func TestListenErrors(t *testing.T) {
	for url, text := range map[string]string{
		"sctp://:5060": "udp, tcp, tls", "tls://:5061": "certificate", "udp://example.com:5060": "IP address", "udp://:5060/x": "host and port",
	} {
		if _, err := New(Config{Listen: []Listen{{URL: url}}}); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", url, err, text)
		}
	}
	g := start(t, nil, "udp://:0", "tcp://127.0.0.1:0")
	for i, scheme := range []string{"udp://:", "tcp://127.0.0.1:"} {
		l, err := New(Config{Listen: []Listen{{URL: scheme + fmt.Sprint(g.Addr(i).Port())}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Listen(); err == nil || !strings.Contains(err.Error(), "already in use") || strings.Contains(err.Error(), "\n") {
			t.Errorf("port in use: %v", err)
		}
	}
}
