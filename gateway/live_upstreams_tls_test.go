//go:build linux

package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// authority signs the certificates of a test, which are files in dir.
type authority struct {
	t    testing.TB
	dir  string
	name string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, dir, name string) *authority {
	a := &authority{t: t, dir: dir, name: name}
	a.cert, a.key = a.sign(name, time.Hour)
	return a
}

// sign makes NAME.pem and NAME.key, valid until then; the first is the authority itself.
func (a *authority) sign(name string, until time.Duration) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(until),
		DNSNames: []string{name}, IsCA: a.cert == nil, BasicConstraintsValid: true,
	}
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(a.dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return cert, key
}

// pair is the certificate of that name, for a peer.
func (a *authority) pair(name string) tls.Certificate {
	a.t.Helper()
	c, err := tls.LoadX509KeyPair(filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key"))
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// secure adds a TLS listener, with a certificate and what it wants of clients, to the gateway.
func (l *live) secure(a *authority) (at netip.AddrPort, config string) {
	at = l.free(70)
	a.sign("example.com", time.Hour)
	l.more = append(l.more, "tls://"+at.String())
	return at, fmt.Sprintf("tls: { cert: %[1]s/example.com.pem, key: %[1]s/example.com.key, client_ca: %[1]s/%[2]s.pem }\n", a.dir, a.name)
}

// A hop behind TLS with a private CA, a name of its own and a demand for our certificate: the right
// one has calls, and calls.
func TestTLSHop(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	a := newAuthority(t, t.TempDir(), "ca.test")
	_, ours := l.secure(a)
	a.sign("pbx.test", time.Hour)
	a.sign("gateway.test", time.Hour)
	at := l.free(71)
	w := l.tcpListener(at)
	w.listener = tls.NewListener(w.listener, &tls.Config{
		Certificates: []tls.Certificate{a.pair("pbx.test")}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.pool(),
	})
	pbx := l.play("pbx", siptest.UAOptions{Transport: sip.TLS, AOR: "pbx@" + at.String()}, &alive{wire: w}, at)
	l.start(ours + groupTLS(at, fmt.Sprintf("ca: %[1]s/ca.test.pem, cert: %[1]s/gateway.test.pem, key: %[1]s/gateway.test.key, server_name: pbx.test", a.dir)))
	l.probed(at)
	alice := l.browser("alice")
	alice.Request("INVITE", "200", body(sdp("offer", 600)))
	if m := pbx.want("INVITE"); m.TopVia().Transport != "TLS" {
		t.Errorf("our Via names %s", m.TopVia().Transport)
	}
	pbx.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	pbx.want("ACK")
	pbx.InDialog("BYE")
	alice.want("BYE")
	alice.Reply(200, "", "BYE")
	pbx.want("200 BYE")
	l.over()
	alice.quiet()
}

// groupTLS is a group with quick probes and one hop behind TLS.
func groupTLS(at netip.AddrPort, tls string) string {
	return fmt.Sprintf("upstreams: { pbx: { hops: [ { uri: \"%s\", tls: { %s } } ], health: { interval: 2s, down_interval: 2s, timeout: 2s, down_after: 1 } } }\n"+
		"routes: [ { match: \"^[0-9]+$\", to: pbx } ]\n", hop(at, "tls"), tls)
}

// RFC 5922 §7.3: with another name, another CA, a certificate that has expired, or without the one
// that the hop wants of us, no call goes there; the log says why and /metrics that.
func TestTLSHopIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ cert, ca, name, ours, says string }{
		"wrong name":     {"pbx.test", "ca.test", "other.test", "", "pbx.test"},
		"wrong CA":       {"pbx.test", "stranger.test", "pbx.test", "", "unknown authority"},
		"expired":        {"old.test", "ca.test", "old.test", "", "expired"},
		"no certificate": {"pbx.test", "ca.test", "pbx.test", "want", "certificate required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			a := newAuthority(t, t.TempDir(), "ca.test")
			newAuthority(t, a.dir, "stranger.test")
			_, ours := l.secure(a)
			a.sign("pbx.test", time.Hour)
			a.sign("old.test", -time.Hour)
			cfg := &tls.Config{Certificates: []tls.Certificate{a.pair(c.cert)}}
			if c.ours != "" {
				cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, a.pool()
			}
			at := l.handshakes(cfg)
			l.start(ours + groupTLS(at, fmt.Sprintf("ca: %s/%s.pem, server_name: %s", a.dir, c.ca, c.name)))
			l.until("the hop is down", func() bool { return l.metric("ringway_upstream_up", at) == "0" })
			alice := l.browser("alice")
			alice.Request("INVITE", "200")
			alice.want("503 INVITE")
			said := ""
			for line := range strings.Lines(l.log.String()) {
				if strings.Contains(line, `"to":"down"`) {
					said = line
				}
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("the log does not say %q: %s", c.says, said)
			}
			alice.quiet()
		})
	}
}

// handshakes is a TLS server that takes connections and says nothing.
func (l *live) handshakes(cfg *tls.Config) netip.AddrPort {
	l.t.Helper()
	at := l.free(71)
	listener, err := tls.Listen("tcp", at.String(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(patience))
				_, _ = c.Read(make([]byte, 1))
			})
		}
	})
	l.t.Cleanup(func() { listener.Close() })
	return at
}

// An upstream that is known by its client certificate is so from any address, and by nothing
// else: not by the address of its hop.
func TestUpstreamIsKnownByCertificate(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	a := newAuthority(t, t.TempDir(), "ca.test")
	stranger := newAuthority(t, t.TempDir(), "ca.test")
	stranger.sign("pbx.test", time.Hour)
	secure, ours := l.secure(a)
	a.sign("pbx.test", time.Hour)
	a.sign("other.test", time.Hour)
	l.start(ours + fmt.Sprintf("upstreams: { pbx: { hops: [ %q ], health: off, certificate: pbx.test } }\n", hop(l.free(71), "tls")))
	alice := l.browser("alice")
	for i, c := range []struct {
		from int
		cert *authority
		name string
		want string
	}{
		{71, nil, "", "403 INVITE"}, // the hop's address alone
		{80, a, "other.test", "403 INVITE"},
		{80, nil, "", "403 INVITE"},
		{80, a, "pbx.test", ""},
		{80, stranger, "pbx.test", "403 INVITE"}, // signed by nobody we know
	} {
		cfg := &tls.Config{RootCAs: a.pool(), ServerName: "example.com"}
		if c.cert != nil {
			pair := c.cert.pair(c.name) // whatever the server says it would take
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		at := l.free(c.from)
		conn, err := tls.DialWithDialer(&net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(at)}, "tcp", secure.String(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		p := l.play(fmt.Sprintf("pbx%d", i), siptest.UAOptions{Transport: sip.TLS, AOR: "pbx@" + at.String()}, newTCPWire(conn), at)
		p.Request("INVITE", "sip:alice@"+secure.String())
		switch c.want {
		case "":
			alice.want("INVITE")
			alice.Reply(486, "", "INVITE")
			alice.want("ACK")
			p.want("486 INVITE")
		default:
			p.want(c.want)
		}
	}
	alice.quiet()
}

// An upstream that is known by credentials is challenged wherever it calls from; its address alone
// is worth nothing, and addresses that are not its hear 403.
func TestUpstreamIsKnownByDigest(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		l.start(fmt.Sprintf("upstreams: { pbx: { hops: [ %q ], health: off, from: [ %s/32 ], auth: { user: trunk1, password: %s } } }\n",
			hop(l.free(71), transport), l.addr(72), password))
		alice := l.browser("alice")
		for i, c := range []struct {
			from           int
			user, password string
			want           []string
		}{
			{71, "trunk1", "", []string{"407 INVITE"}}, // a forged address
			{71, "trunk1", "wrong", []string{"407 INVITE", "407 INVITE"}},
			{73, "trunk1", password, []string{"403 INVITE"}},              // not where it calls from
			{72, "alice", password, []string{"407 INVITE", "403 INVITE"}}, // a user is no upstream
			{72, "trunk1", password, nil},
			{71, "trunk1", password, nil},
		} {
			at := l.free(c.from)
			opt := siptest.UAOptions{Transport: sip.UDP, AOR: c.user + "@" + at.String(), Password: c.password}
			var w wire
			if transport == "tcp" {
				opt.Transport = sip.TCP
				d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(at)}
				conn, err := d.Dial("tcp", l.sip.String())
				if err != nil {
					t.Fatal(err)
				}
				w = newTCPWire(conn)
			} else {
				w = l.udpSocket(at)
			}
			p := l.play(fmt.Sprintf("pbx%d", i), opt, w, at)
			p.Request("INVITE", l.uri("alice"))
			if c.want != nil {
				for _, want := range c.want {
					if got := what(p.next(want)); got != want {
						t.Errorf("%d: %s from %d: %s, want %s", i, c.user, c.from, got, want)
					}
				}
				continue
			}
			p.want("407 INVITE")
			alice.want("INVITE")
			alice.Reply(486, "", "INVITE")
			alice.want("ACK")
			p.want("486 INVITE")
		}
		alice.quiet()
	})
}
