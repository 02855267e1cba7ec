package gateway

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
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
	cert, key := certificateFiles(t, 1000*time.Hour)
	pair, err := transport.LoadCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	g := &Gateway{log: zerolog.New(&log)}
	g.watchCertificate(pair, key, "tls")
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
		ends, failed := g.certificateFigures()
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

// What we show hops ends, too: it is told at the start and by check, shown, and looked at again when its files change; files that two hops
// share once.
func TestHopCertificateEnds(t *testing.T) {
	lasting, lastingKey := certificateFiles(t, 1000*time.Hour)
	soon, soonKey := certificateFiles(t, 13*24*time.Hour)
	past, pastKey := certificateFiles(t, -time.Hour)
	text := aConfig + "state_dir: .\nupstreams:\n  pbx:\n    hops:\n"
	for i, files := range [][2]string{{lasting, lastingKey}, {soon, soonKey}, {past, pastKey}, {soon, soonKey}} {
		text += fmt.Sprintf("      - { uri: \"sips:pbx%d.example.net\", tls: { cert: %s, key: %s } }\n", i, files[0], files[1])
	}
	dir := t.TempDir()
	cfg, err := Parse(filepath.Join(dir, "c.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	warned := Problems(cfg.Warnings()).Error()
	for _, want := range []string{"c.yaml:9:", "hops[1].tls.cert: expires on ", "c.yaml:10:", "hops[2].tls.cert: expired on ", "hops[3].tls.cert: expires on "} {
		if !strings.Contains(warned, want) {
			t.Errorf("warned of\n%s\nwant %s", warned, want)
		}
	}
	if strings.Contains(warned, "hops[0]") {
		t.Errorf("warned of\n%s", warned)
	}
	var log bytes.Buffer
	g, err := New(cfg, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	log.Reset()
	said := func(want ...string) {
		t.Helper()
		g.Reload()
		g.Reload()
		lines := strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		log.Reset()
		if len(lines) != len(want)/2 {
			t.Fatalf("said\n%s\nwant %q", strings.Join(lines, "\n"), want)
		}
		for i := range lines {
			if !strings.Contains(lines[i], want[2*i]) || !strings.Contains(lines[i], want[2*i+1]) {
				t.Errorf("said %s, want %q", lines[i], want[2*i:2*i+2])
			}
		}
	}
	said(`"level":"info","key":"upstreams.pbx.hops[0].tls"`, `"certificate"`, `"level":"warn","key":"upstreams.pbx.hops[1].tls"`, "ends soon", `"level":"error","key":"upstreams.pbx.hops[2].tls"`, "has ended")
	ends, failed := g.certificateFigures()
	if now := uint64(time.Now().Unix()); len(ends) != 3 || len(failed) != 3 || ends[lasting] < now || ends[soon] < now || ends[past] > now || failed[past] != 0 {
		t.Errorf("ends %v, failed %v", ends, failed)
	}
	if err := errors.Join(os.Rename(lasting, past), os.Rename(lastingKey, pastKey)); err != nil {
		t.Fatal(err)
	}
	said(`"level":"error","key":"upstreams.pbx.hops[0].tls"`, "cannot be used; the old one stays", `"level":"info","key":"upstreams.pbx.hops[2].tls"`, `"certificate"`)
	if ends, failed := g.certificateFigures(); ends[past] < uint64(time.Now().Unix()) || failed[past] != 0 || failed[lasting] != 1 {
		t.Errorf("ends %v, failed %v", ends, failed)
	}
}

// certificateFiles are a new pair's, which is valid as long as lasts.
func certificateFiles(t *testing.T, lasts time.Duration) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(lasts), DNSNames: []string{"example.com"}}
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
