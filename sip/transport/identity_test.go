package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// RFC 5922 §7.1 and §7.2: whom a certificate is for.
func TestCertificateNames(t *testing.T) {
	cert := func(uris []string, dns []string, ips ...string) *x509.Certificate {
		c := &x509.Certificate{DNSNames: dns, Subject: pkix.Name{CommonName: "cn.example.com"}}
		for _, s := range uris {
			u, err := url.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			c.URIs = append(c.URIs, u)
		}
		for _, s := range ips {
			c.IPAddresses = append(c.IPAddresses, net.ParseIP(s))
		}
		return c
	}
	for _, c := range []struct {
		about string
		cert  *x509.Certificate
		name  string
		want  bool
	}{
		{"a DNS name", cert(nil, []string{"pbx.example.com"}), "pbx.example.com", true},
		{"in any case, with the final dot", cert(nil, []string{"PBX.example.com"}), "pbx.Example.com.", true},
		{"another", cert(nil, []string{"pbx.example.com"}), "example.com", false},
		{"one of several", cert(nil, []string{"a.example.com", "b.example.com"}), "b.example.com", true},
		{"a sip URI", cert([]string{"sip:example.com"}, nil), "example.com", true},
		{"a sip URI goes before DNS names", cert([]string{"sip:example.com"}, []string{"pbx.example.com"}), "pbx.example.com", false},
		{"another scheme does not", cert([]string{"https://example.com/"}, []string{"pbx.example.com"}), "pbx.example.com", true},
		{"a user is no domain", cert([]string{"sip:alice@example.com"}, nil), "example.com", false},
		{"beside a user, DNS names count", cert([]string{"sip:alice@example.com"}, []string{"example.com"}), "example.com", true},
		{"wildcards MUST NOT match", cert(nil, []string{"*.example.com"}), "pbx.example.com", false},
		{"but the operator can ask for one", cert(nil, []string{"*.example.com"}), "*.example.com", true},
		{"the common name is none", cert(nil, nil), "cn.example.com", false},
		{"an address", cert(nil, nil, "10.0.0.5"), "10.0.0.5", true},
		{"an address written otherwise", cert(nil, nil, "2001:db8::5"), "2001:DB8:0::5", true},
		{"another address", cert(nil, []string{"10.0.0.6"}, "10.0.0.5"), "10.0.0.6", false},
	} {
		if err := verifyName(c.cert, c.name); (err == nil) != c.want {
			t.Errorf("%s: %v", c.about, err)
		}
	}
}

// authority signs certificates for tests.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.key, a.cert, a.file, _ = a.make(&x509.Certificate{Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate for DNS names: of a server and of a client.
func (a *authority) sign(names ...string) (cert, key string) {
	_, _, cert, key = a.make(&x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return cert, key
}

func (a *authority) make(template *x509.Certificate) (k *ecdsa.PrivateKey, c *x509.Certificate, cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, k
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &k.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	name := filepath.Join(a.dir, template.Subject.CommonName)
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return k, c, name + ".pem", name + ".key"
}

func (a *authority) server(names ...string) *Certificate {
	a.t.Helper()
	c, err := LoadCertificate(a.sign(names...))
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// client is what a hop is configured with: who signed its certificate, and ours by another CA.
func (a *authority) client(ca string, names ...string) *ClientTLS {
	a.t.Helper()
	var cert, key string
	if names != nil {
		cert, key = a.sign(names...)
	}
	c, err := LoadClientTLS(ca, cert, key)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

// Each TLS hop has a CA, a certificate of ours and a name of its own; a client is known by
// the names that its certificate proves, and by none if nobody we trust signed it.
func TestTLSOfHop(t *testing.T) {
	theirs, ours, others := newAuthority(t), newAuthority(t), newAuthority(t)
	pool, err := LoadRoots(ours.file)
	if err != nil {
		t.Fatal(err)
	}
	server := theirs.server("pbx.example.com")
	g := start(t, func(c *Config) { c.Listen[0].Certificate, c.Listen[0].ClientCAs = server, pool }, "tls://127.0.0.1:0")
	peer := start(t, nil, "tcp://127.0.0.1:0")
	for _, c := range []struct {
		about, host string
		tls         *ClientTLS
		names       []string
		err         string
	}{
		{"with a certificate", "pbx.example.com", ours.client(theirs.file, "gw.example.net", "gw2.example.net"), []string{"gw.example.net", "gw2.example.net"}, ""},
		{"without", "pbx.example.com", ours.client(theirs.file), nil, ""},
		{"with one of somebody else's", "pbx.example.com", others.client(theirs.file, "gw.example.net"), nil, ""},
		{"another name", "example.com", ours.client(theirs.file), nil, "certificate is for pbx.example.com, not for example.com"},
		{"its address", "", ours.client(theirs.file), nil, "certificate is not for the address 127.0.0.1"},
		{"another CA", "pbx.example.com", ours.client(others.file), nil, "signed by unknown authority"},
		{"the system's CAs", "pbx.example.com", nil, nil, "signed by unknown authority"},
	} {
		f, err := reach(peer, Hop{Addr: g.Addr(0), Transport: sip.TLS, Host: c.host, TLS: c.tls}, 100)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.about, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.about, err)
			continue
		}
		if err := f.Send(message("a", 10)); err != nil {
			t.Fatal(err)
		}
		<-g.got
		if got := (<-g.flows).Info().Names; !slices.Equal(got, c.names) {
			t.Errorf("%s: names %q, want %q", c.about, got, c.names)
		}
	}
}

// A TLS hop that accepts and says nothing is no connection within the time to dial.
func TestTLSHopSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	peer := start(t, func(c *Config) { c.DialTime, c.HandshakeTime = 50*time.Millisecond, time.Hour }, "tcp://127.0.0.1:0")
	_, err = reach(peer, Hop{Addr: addrPort(ln.Addr()), Transport: sip.TLS}, 100)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reach = %v", err)
	}
}
