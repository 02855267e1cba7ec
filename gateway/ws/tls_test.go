package ws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transport"
)

// certificate is a self-signed one for 127.0.0.1, and who trusts it.
func certificate(t testing.TB) (*transport.Certificate, *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, _ := x509.MarshalPKCS8PrivateKey(k)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600)
	pair, err := transport.LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pair, pool
}

func startTLS(t testing.TB, set func(*Config)) (*edge, websocket.Dialer) {
	pair, pool := certificate(t)
	e := start(t, func(c *Config) {
		c.Listen = []Listen{{URL: "wss://127.0.0.1:0/ws", Certificate: pair}}
		if set != nil {
			set(c)
		}
	})
	dialer := offer
	dialer.TLSClientConfig = &tls.Config{RootCAs: pool}
	return e, dialer
}

func TestSecure(t *testing.T) {
	e, dialer := startTLS(t, nil)
	c, _, err := dialer.Dial("wss://"+e.Addr(0).String()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := message("a", 50_000)
	send(t, c, websocket.TextMessage, m)
	want(t, "in", (<-e.got).String(), string(m))
	f := <-e.flows
	want(t, "transport", f.Info().Transport, sip.WSS)
	f.Send(m)
	_, got := receive(t, c)
	want(t, "out", got, string(m))
	f.Close(sip.CloseShutdown)
	want(t, "close code", closeCode(t, c), websocket.CloseServiceRestart)
	e.wantClosed(sip.CloseShutdown)
}

// FIELD 10: a client that never shakes hands keeps nobody out and is cut.
func TestSecureHandshakeStalls(t *testing.T) {
	e, dialer := startTLS(t, nil)
	stalled(t, e)
	c, _, err := dialer.Dial("wss://"+e.Addr(0).String()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	e, _ = startTLS(t, func(c *Config) { c.HandshakeTime = 50 * time.Millisecond })
	if _, err := io.ReadAll(stalled(t, e)); err != nil {
		t.Errorf("not cut: %v", err)
	}
}

func stalled(t *testing.T, e *edge) net.Conn {
	c, err := net.Dial("tcp", e.Addr(0).String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	return c
}
