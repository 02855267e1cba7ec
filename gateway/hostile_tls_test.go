package gateway_test

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway"
	"github.com/ringway/ringway/sip"
)

// tlsRig is a hostileRig whose gateway listens on wss and tls too.
type tlsRig struct {
	*hostileRig
	wss, tls netip.AddrPort
	trust    *x509.CertPool
}

func newTLSRig(t *testing.T, more string) *tlsRig {
	t.Helper()
	r := &tlsRig{hostileRig: &hostileRig{t: t, net: byte(hostileNetworks.Add(1))}, trust: x509.NewCertPool()}
	taken := map[netip.AddrPort]bool{}
	for _, at := range []*netip.AddrPort{&r.ws, &r.sip, &r.wss, &r.tls} {
		for *at = r.freePort(); taken[*at]; {
			*at = r.freePort()
		}
		taken[*at] = true
	}
	dir := t.TempDir()
	r.writeCertificate(dir)
	var users strings.Builder
	for _, u := range []string{"alice", "bob", "mallory", "eve", "dave"} {
		fmt.Fprintf(&users, "%s:example.com:%s\n", u, md5hex(u+":example.com:pw-"+u))
	}
	writeHostile(t, dir+"/users", users.String())
	cfg, err := gateway.Parse(dir+"/tls.yaml", fmt.Appendf(nil, "domain: example.com\nadmin: off\nusers_file: users\n"+
		"listen: [ \"ws://%s/ws\", \"udp://%s\", \"tcp://%s\", \"wss://%s/ws\", \"tls://%s\" ]\ntls: { cert: cert.pem, key: key.pem }\n%s",
		r.ws, r.sip, r.sip, r.wss, r.tls, more))
	if err != nil {
		t.Fatal(err)
	}
	if r.g, err = gateway.New(cfg, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.g.Run(ctx) }()
	select {
	case <-r.g.Ready():
	case err := <-ended:
		cancel()
		t.Fatalf("the gateway does not start: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
		if n := r.g.Snapshot().Panics; n > 0 {
			t.Errorf("%d handlers panicked", n)
		}
	})
	r.alice, r.bob = r.wsFrom(victimHost), r.wssFrom(victimHost+1)
	r.alice.register("alice")
	r.bob.register("bob")
	return r
}

func (r *tlsRig) writeCertificate(dir string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"example.com"},
		IPAddresses: []net.IP{r.addr(ourHost).AsSlice()}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		r.t.Fatal(err)
	}
	r.trust.AddCert(parsed)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		r.t.Fatal(err)
	}
	writeHostile(r.t, dir+"/cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	writeHostile(r.t, dir+"/key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})))
}

// wssFrom is a browser over TLS.
func (r *tlsRig) wssFrom(host byte) *hostilePeer {
	r.t.Helper()
	d := websocket.Dialer{NetDialContext: r.dialer(host).DialContext, Subprotocols: []string{"sip"}, HandshakeTimeout: hostilePatience,
		TLSClientConfig: &tls.Config{RootCAs: r.trust}}
	c, res, err := d.Dial("wss://"+r.wss.String()+"/ws", nil)
	if err != nil {
		r.t.Fatalf("WebSocket over TLS: %v (%v)", err, res)
	}
	res.Body.Close()
	var mu sync.Mutex
	p := r.peer(sip.WS, c.LocalAddr(), func(s string) error {
		mu.Lock()
		defer mu.Unlock()
		return c.WriteMessage(websocket.TextMessage, []byte(s))
	}, func() { c.Close() })
	go func() {
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				p.in <- hostileItem{code: 1006, end: true}
				return
			}
			p.in <- hostileItem{text: string(b)}
		}
	}()
	return p
}

// tlsFrom is a SIP phone over TLS.
func (r *tlsRig) tlsFrom(host byte) *hostilePeer {
	r.t.Helper()
	d := tls.Dialer{NetDialer: r.dialer(host), Config: &tls.Config{RootCAs: r.trust}}
	c, err := d.Dial("tcp", r.tls.String())
	if err != nil {
		r.t.Fatal(err)
	}
	p := r.peer(sip.TCP, c.LocalAddr(), func(s string) error { _, err := io.WriteString(c, s); return err }, func() { c.Close() })
	go func() {
		in := bufio.NewReader(c)
		for {
			text, err := readStreamed(in)
			if err != nil {
				p.in <- hostileItem{code: 1006, end: true}
				return
			}
			p.in <- hostileItem{text: text}
		}
	}()
	return p
}

// both runs a test on the two kinds of TLS listeners.
func (r *tlsRig) both(t *testing.T, f func(t *testing.T, at netip.AddrPort)) {
	for name, at := range map[string]netip.AddrPort{"wss": r.wss, "tls": r.tls} {
		t.Run(name, func(t *testing.T) { f(t, at) })
	}
}

// raw is a TCP connection of the attacker's, closed with the test.
func (r *tlsRig) raw(t *testing.T, at netip.AddrPort) net.Conn {
	t.Helper()
	c, err := r.dialer(attackerHost).Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(hostilePatience))
	return c
}

// everything reads until the connection ends; a peer that is kept waiting is a failure.
func everything(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		t.Error("the connection was not ended")
	}
	return string(b)
}

// others makes sure that a new browser, a new phone and a call get through.
func (r *tlsRig) others(t *testing.T) {
	t.Helper()
	browser, phone := r.wssFrom(otherHost).on(t), r.tlsFrom(otherHost).on(t)
	browser.register("eve")
	phone.register("dave")
	r.ring(browser, phone, "sip:dave@example.com").answer().hangUp()
	browser.close()
	phone.close()
	r.alive(t)
}

// halting passes a number of writes on, and then none: who uses it is stuck.
type halting struct {
	net.Conn
	writes int
}

func (h *halting) Write(b []byte) (int, error) {
	if h.writes--; h.writes < 0 {
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// hello is the first flight of a TLS client (RFC 8446 §4.1.2).
func hello(t *testing.T) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		_ = tls.Client(ours, &tls.Config{ServerName: "example.com"}).Handshake() // it gets no answer
		ours.Close()
	}()
	b := make([]byte, 16<<10)
	n, err := theirs.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// TestHostileTLSHandshakes: who stops in a handshake is cut off after limits.handshake,
// wherever it stops; up to half_open of one address may be at it, and nobody else notices.
func TestHostileTLSHandshakes(t *testing.T) {
	const places = 6
	r := newTLSRig(t, fmt.Sprintf("limits: { handshake: 1s, half_open: %d }\n", places))
	first := hello(t)
	stops := []string{"", first[:1], first[:5], first[:len(first)/2], first, "\x16\x03\x01\x40\x00" + strings.Repeat("\x00", 100)}
	r.both(t, func(t *testing.T, at netip.AddrPort) {
		refused := r.g.Snapshot().Refused["tls_handshake"]
		var stuck []net.Conn
		for _, text := range stops {
			c := r.raw(t, at)
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
			stuck = append(stuck, c)
		}
		for range places { // beyond its places: refused at once (tls) or made to wait (wss)
			if c, err := r.dialer(attackerHost).Dial("tcp", at.String()); err == nil {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(hostilePatience))
				stuck = append(stuck, c)
			}
		}
		r.others(t)
		for _, c := range stuck {
			everything(t, c)
		}
		if now := r.g.Snapshot().Refused["tls_handshake"]; at == r.tls && now < refused+2*places {
			t.Errorf("%d handshakes refused are counted, want %d", now-refused, 2*places)
		}
		c := tls.Client(r.raw(t, at), &tls.Config{RootCAs: r.trust, ServerName: "example.com"})
		if err := c.Handshake(); err != nil {
			t.Errorf("the places were not given back: %v", err)
		}
		c.Close()
	})
}

// TestHostileTLSSlowly: the deadline is for the whole handshake, not for each octet of it.
func TestHostileTLSSlowly(t *testing.T) {
	r := newTLSRig(t, "limits: { handshake: 1s }\n")
	first := hello(t)
	r.both(t, func(t *testing.T, at netip.AddrPort) {
		dripping := r.raw(t, at)
		go func() {
			step := time.NewTicker(100 * time.Millisecond)
			defer step.Stop()
			for i := 0; i < len(first); i++ {
				if _, err := io.WriteString(dripping, first[i:i+1]); err != nil {
					return
				}
				<-step.C
			}
		}()
		middle := tls.Client(&halting{r.raw(t, at), 1}, &tls.Config{RootCAs: r.trust, ServerName: "example.com", MaxVersion: tls.VersionTLS12})
		met := make(chan error, 1)
		go func() { met <- middle.Handshake() }() // takes our flight and never finishes
		r.others(t)
		everything(t, dripping)
		var ne net.Error
		if err := <-met; err == nil || errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("a handshake without its end: %v", err)
		}
	})
}

// TestHostileTLSDefaults: what is shipped.
func TestHostileTLSDefaults(t *testing.T) {
	cfg, err := gateway.Parse("x.yaml", []byte("domain: example.com\nlisten: [ \"udp://127.0.0.1:0\" ]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if l := cfg.Limits; l.Handshake != 5*time.Second || l.HalfOpen != 100 || l.FlowsPerAddress != 20_000 {
		t.Errorf("handshake %v, half_open %d, flows_per_address %d", l.Handshake, l.HalfOpen, l.FlowsPerAddress)
	}
}

// TestHostilePlaintextToTLS: what is no TLS gets no SIP and no WebSocket.
func TestHostilePlaintextToTLS(t *testing.T) {
	r := newTLSRig(t, "")
	for name, text := range map[string]string{
		"HTTP":                     fmt.Sprintf(goodHandshake, r.wss) + "\r\n",
		"SIP":                      "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS x;branch=z9hG4bKa\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
		"garbage":                  strings.Repeat("\x00\xff", 4000),
		"a record of another kind": "\x17\x03\x03\x00\x05hello",
		"an endless record":        "\x16\x03\x01\xff\xff" + strings.Repeat("a", 70000),
		"SSL 2":                    "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + strings.Repeat("\x01", 37),
	} {
		t.Run(name, func(t *testing.T) {
			r.both(t, func(t *testing.T, at netip.AddrPort) {
				c := r.raw(t, at)
				go io.WriteString(c, text) // the end may come before it is all sent
				if got := everything(t, c); strings.Contains(got, "SIP/2.0") || strings.Contains(got, "101 ") {
					t.Errorf("answered %q", got)
				}
				r.alive(t)
			})
		})
	}
}

// TestHostileTLSVersions: RFC 8996: 1.0 and 1.1 are not spoken, nor what is weak in 1.2.
func TestHostileTLSVersions(t *testing.T) {
	r := newTLSRig(t, "")
	for _, c := range []struct {
		name     string
		min, max uint16
		suites   []uint16
		good     bool
	}{
		{"TLS 1.0", tls.VersionTLS10, tls.VersionTLS10, nil, false},
		{"TLS 1.1", tls.VersionTLS11, tls.VersionTLS11, nil, false},
		{"1.0 or 1.1", tls.VersionTLS10, tls.VersionTLS11, nil, false},
		{"TLS 1.2", tls.VersionTLS12, tls.VersionTLS12, nil, true},
		{"TLS 1.3", tls.VersionTLS13, tls.VersionTLS13, nil, true},
		{"whatever there is", tls.VersionTLS10, 0, nil, true},
		{"RC4", tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}, false},
		{"RSA key exchange", tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.both(t, func(t *testing.T, at netip.AddrPort) {
				conn := tls.Client(r.raw(t, at), &tls.Config{RootCAs: r.trust, ServerName: "example.com", MinVersion: c.min, MaxVersion: c.max, CipherSuites: c.suites})
				err := conn.Handshake()
				var told *net.OpError // an alert of ours
				switch {
				case c.good && err != nil:
					t.Errorf("refused: %v", err)
				case c.good && conn.ConnectionState().Version < tls.VersionTLS12:
					t.Errorf("spoke %x", conn.ConnectionState().Version)
				case !c.good && (!errors.As(err, &told) || told.Op != "remote error"):
					t.Errorf("not refused by an alert: %v", err)
				}
				r.alive(t)
			})
		})
	}
}

// tapped keeps what was read, for the random value of the server.
type tapped struct {
	net.Conn
	read strings.Builder
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Write(b[:n])
	return n, err
}

// prf12 is the PRF of TLS 1.2 with SHA-256 (RFC 5246 §5).
func prf12(secret []byte, label string, seed []byte, n int) (out []byte) {
	sum := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	seed = append([]byte(label), seed...)
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// secondRecord seals text as the record after a TLS 1.2 client's Finished, with
// AES-128-GCM (RFC 5288 §3); keyLog is what the client logged of its secrets.
func secondRecord(t *testing.T, keyLog, fromServer string, kind byte, text string) string {
	t.Helper()
	fields := strings.Fields(keyLog) // CLIENT_RANDOM random master
	if len(fields) != 3 {
		t.Fatalf("key log %q", keyLog)
	}
	random, _ := hex.DecodeString(fields[1])
	master, _ := hex.DecodeString(fields[2])
	const at = 5 + 4 + 2 // record and handshake headers, version
	keys := prf12(master, "key expansion", append([]byte(fromServer[at:at+32]), random...), 40)
	block, err := aes.NewCipher(keys[:16])
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	number := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	additional := append(append([]byte{}, number...), kind, 3, 3, byte(len(text)>>8), byte(len(text)))
	sealed := append(append([]byte{}, number...), aead.Seal(nil, append(append([]byte{}, keys[32:36]...), number...), []byte(text), additional)...)
	return string([]byte{kind, 3, 3, byte(len(sealed) >> 8), byte(len(sealed))}) + string(sealed)
}

// TestHostileRenegotiation: a new ClientHello within TLS 1.2 costs its sender the connection
// and us no handshake (RFC 5746 §4.4 lets a server refuse).
func TestHostileRenegotiation(t *testing.T) {
	r := newTLSRig(t, "")
	first := hello(t)
	message := first[5:] // without its record header
	for name, record := range map[string]struct {
		kind byte
		text string
		ends bool
	}{
		"a ClientHello": {22, message, true}, "a HelloRequest": {22, "\x00\x00\x00\x00", true},
		"a key is none": {20, "\x01", true}, "what TLS carries": {23, "\r\n\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			r.both(t, func(t *testing.T, at netip.AddrPort) {
				var log strings.Builder
				raw := &tapped{Conn: r.raw(t, at)}
				c := tls.Client(raw, &tls.Config{RootCAs: r.trust, ServerName: "example.com", MaxVersion: tls.VersionTLS12, KeyLogWriter: &log,
					CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, SessionTicketsDisabled: true})
				if err := c.Handshake(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(raw.Conn, secondRecord(t, log.String(), raw.read.String(), record.kind, record.text)); err != nil {
					t.Fatal(err)
				}
				if !record.ends { // the records are well made: this one is taken
					if at == r.tls {
						pong := make([]byte, 2)
						if _, err := io.ReadFull(c, pong); err != nil || string(pong) != "\r\n" {
							t.Errorf("answered %q, %v", pong, err)
						}
					}
					return
				}
				b, err := io.ReadAll(c)
				var ne net.Error
				if errors.As(err, &ne) && ne.Timeout() || len(b) > 0 {
					t.Errorf("not refused: %q, %v", b, err)
				}
				r.alive(t)
			})
		})
	}
}
