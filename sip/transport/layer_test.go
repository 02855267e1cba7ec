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
