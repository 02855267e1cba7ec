package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip/transport"
)

// A rotation that fails is told once, and shown until it is mended; so is one that works.
func TestCertificateRotation(t *testing.T) {
	cert, key := certificateFiles(t)
	pair, err := transport.LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	g := &Gateway{certificate: &certificate{Certificate: pair, log: zerolog.New(&log)}}
	said := func(want ...string) {
		t.Helper()
		g.Reload()
		g.Reload() // again: nothing new
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		log.Reset()
		if want == nil && lines[0] == "" {
			return
		}
		if len(lines) != len(want) {
			t.Fatalf("said\n%s\nwant %q", strings.Join(lines, "\n"), want)
		}
		for i, w := range want {
			if !strings.Contains(lines[i], w) || !strings.Contains(lines[i], "not_after") {
				t.Errorf("said %s, want %s", lines[i], w)
			}
		}
	}
	figures := func(wantFailed uint64) {
		t.Helper()
		ends, failed := g.certificates()
		if leaf := pair.Current().Leaf; ends[cert] != uint64(leaf.NotAfter.Unix()) || failed[cert] != wantFailed {
			t.Errorf("ends %v, failed %v", ends, failed)
		}
	}
	said(`"level":"info"`)
	figures(0)
	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	said("new certificate cannot be used")
	figures(1)
	if err := os.WriteFile(key, good, 0o600); err != nil {
		t.Fatal(err)
	}
	said(`"level":"info"`)
	figures(0)
	said()
}

// certificateFiles are a new pair's.
func certificateFiles(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
