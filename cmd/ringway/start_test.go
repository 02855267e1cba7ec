//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refusedStart runs a gateway that has to say in one line why it does not start.
func refusedStart(t *testing.T, file string) string {
	t.Helper()
	p := launch(t, 0, "run", file)
	if code := p.code(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	said := p.stderr.String()
	if strings.Count(said, "\n") != 1 || !strings.HasSuffix(said, "\n") {
		t.Errorf("said more or less than a line: %q", said)
	}
	if p.stdout.Len() > 0 {
		t.Errorf("said on stdout: %q", p.stdout.Bytes())
	}
	return strings.TrimSuffix(said, "\n")
}

// A port in use is said with the key and the address that want it.
func TestPortInUse(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "cert.pem", "key.pem")
	hold := func(network string) string {
		if network == "udp" {
			c, err := net.ListenUDP("udp", &net.UDPAddr{IP: ownAddr()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c.LocalAddr().String()
		}
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: ownAddr()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l.Addr().String()
	}
	for _, c := range []struct{ network, entry string }{
		{"udp", "udp://%s"}, {"tcp", "tcp://%s"}, {"tcp", "tls://%s"}, {"tcp", "ws://%s/ws"}, {"tcp", "wss://%s/ws"}, {"tcp", "admin"},
	} {
		t.Run(c.entry, func(t *testing.T) {
			taken, free := hold(c.network), freeAddr(t)
			url := fmt.Sprintf(strings.Replace(c.entry, "%s", "%[1]s", 1), taken)
			listen, admin, key := url, "off", "listen "+url
			if c.entry == "admin" {
				listen, admin, key = "udp://"+free, taken, "admin "+taken
			}
			file := filepath.Join(dir, c.network+".yaml")
			writeFile(t, file, fmt.Sprintf("domain: example.com\nlisten: [ \"tcp://%s\", \"ws://%s/ws\", %q ]\nadmin: %q\nstate_dir: .\n"+
				"tls: { cert: cert.pem, key: key.pem }\nusers: { alice: { ha1: 0123456789abcdef0123456789abcdef } }\n",
				freeAddr(t), freeAddr(t), listen, admin))
			if said := refusedStart(t, file); !strings.HasPrefix(said, "ringway: "+key+": address already in use") {
				t.Errorf("said %q", said)
			}
		})
	}
}

// What is wrong in the file, or in what it names, is said with line and column.
func TestFilesThatDoNotDo(t *testing.T) {
	const head = "domain: example.com\nlisten: [ \"udp://127.0.0.1:0\" ]\n"
	dir := t.TempDir()
	writePair(t, dir, "cert.pem", "key.pem")
	writePair(t, dir, "other.pem", "otherkey.pem")
	writeFile(t, filepath.Join(dir, "text"), "no certificate\n")
	writeFile(t, filepath.Join(dir, "users"), "alice:example.com:0123456789abcdef0123456789abcdef\nbob:example.com\n")
	writeFile(t, filepath.Join(dir, "locked"), "")
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "ringway.yaml")
	cases := []struct{ name, text, at, why string }{
		{"a missing certificate", head + "tls: { cert: nowhere.pem, key: key.pem }\n", file + ":3:14: tls.cert: ", "no such file"},
		{"a missing key", head + "tls: { cert: cert.pem, key: nowhere.pem }\n", file + ":3:29: tls.key: ", "no such file"},
		{"a key that does not fit", head + "tls: { cert: cert.pem, key: otherkey.pem }\n", file + ":3:6: tls: ", "does not match"},
		{"a certificate that is none", head + "tls: { cert: text, key: key.pem }\n", file + ":3:6: tls: ", "PEM"},
		{"a certificate without its key", head + "tls: { cert: cert.pem }\n", file + ":3:14: tls.cert: ", "without its key"},
		{"wss without a certificate", "domain: example.com\nlisten: [ \"wss://127.0.0.1:0/ws\" ]\n", file + ":2:11: listen[0]: ", "needs a certificate"},
		{"a missing users file", head + "users_file: nowhere\n", file + ":3:13: users_file: ", "no such file"},
		{"a users file that cannot be read", head + "users_file: directory\n", file + ":3:13: users_file: ", "is a directory"},
		{"a users file with a broken line", head + "users_file: users\n", filepath.Join(dir, "users") + ":2:", ""},
		{"an unknown key", head + "user: {}\n", file + ":3:1: ", "unknown key \"user\""},
		{"a value of another kind", head + "ping: soon\n", file + ":3:7: ping: ", "soon"},
		{"a key twice", head + "domain: example.org\n", file + ":3:1: ", "domain"},
		{"a list without its end", head + "users: [ a\n", file + ":3:", "not YAML"},
		{"a tab", head + "users:\n\talice: {}\n", file + ":4:1: ", ""},
		{"no file", "", "ringway: open " + filepath.Join(dir, "none.yaml") + ": ", "no such file"},
	}
	if os.Geteuid() != 0 { // root reads everything
		if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, struct{ name, text, at, why string }{
			"a users file that may not be read", head + "users_file: locked\n", file + ":3:13: users_file: ", "permission denied"})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			name := file
			if c.text == "" {
				name = filepath.Join(dir, "none.yaml")
			} else {
				writeFile(t, file, c.text)
			}
			if said := refusedStart(t, name); !strings.HasPrefix(said, c.at) || !strings.Contains(said, c.why) {
				t.Errorf("said  %q\nwant %q… %q", said, c.at, c.why)
			}
		})
	}
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// writePair writes a certificate that nobody signed, and its key.
func writePair(t *testing.T, dir, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(1000 * time.Hour), DNSNames: []string{"example.com"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, cert), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeFile(t, filepath.Join(dir, key), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}
