package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
)

// ClientTLS is what connections to one TLS server need beyond the system's roots. It is
// compared by its address: one for each server.
type ClientTLS struct {
	roots *x509.CertPool // nil: the layer's
	cert  *Certificate   // nil: none
}

// LoadClientTLS reads PEM files, "" for none: who may have signed the server's
// certificate, and our own with its key, which is read again when it changes.
func LoadClientTLS(ca, cert, key string) (*ClientTLS, error) {
	t := &ClientTLS{}
	var err error
	if ca != "" {
		if t.roots, err = LoadRoots(ca); err != nil {
			return nil, err
		}
	}
	if cert != "" {
		if t.cert, err = LoadCertificate(cert, key); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Certificate is what we show there, nil for none.
func (t *ClientTLS) Certificate() *Certificate { return t.cert }

// LoadRoots reads the certificates of a PEM file.
func LoadRoots(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return pool, nil
}

var errNoCertificate = errors.New("server has no certificate")

// clientConfig is for a connection to key: its certificate has to be valid for the
// domain that was asked for (RFC 5922 §7.3), whatever DNS made of it.
func (l *Layer) clientConfig(key hopKey) *tls.Config {
	cfg := &tls.Config{}
	if l.cfg.DialTLS != nil {
		cfg = l.cfg.DialTLS.Clone()
	}
	cfg.MinVersion = max(cfg.MinVersion, tls.VersionTLS12)
	if key.tls != nil && key.tls.roots != nil {
		cfg.RootCAs = key.tls.roots
	}
	if key.tls != nil && key.tls.cert != nil {
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return key.tls.cert.Current(), nil }
	}
	name := key.host
	if name == "" {
		name = key.addr.Addr().WithZone("").String()
	}
	cfg.ServerName = name
	roots := cfg.RootCAs
	cfg.InsecureSkipVerify = true // Go's own check knows neither sip URIs nor that wildcards do not count
	cfg.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errNoCertificate
		}
		if err := verifyChain(state.PeerCertificates, roots, x509.ExtKeyUsageServerAuth); err != nil {
			return err
		}
		return verifyName(state.PeerCertificates[0], name)
	}
	return cfg
}

// verifyChain checks who signed a certificate and that it is still valid.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage) error {
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage}}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(o)
	return err
}

// verifyName is RFC 5922 §7.2 and §7.3: one of the certificate's identities is name, in any case; a
// wildcard matches nothing but itself.
func verifyName(c *x509.Certificate, name string) error {
	if a, err := netip.ParseAddr(name); err == nil {
		for _, ip := range c.IPAddresses {
			if b, ok := netip.AddrFromSlice(ip); ok && b.Unmap() == a.Unmap() {
				return nil
			}
		}
		return fmt.Errorf("certificate is not for the address %s; name the server, or say server_name", name)
	}
	names := identities(c)
	for _, n := range names {
		if strings.EqualFold(n, strings.TrimSuffix(name, ".")) {
			return nil
		}
	}
	return fmt.Errorf("certificate is for %s, not for %s", strings.Join(names, ", "), name)
}

// identities are the SIP domains that a certificate is for (RFC 5922 §7.1): its sip URIs
// without a user, or else its DNS names.
func identities(c *x509.Certificate) (names []string) {
	for _, u := range c.URIs {
		if !strings.EqualFold(u.Scheme, "sip") {
			continue
		}
		// sip:example.com is opaque to net/url.
		if parsed, err := sip.ParseURI(u.String()); err == nil && parsed.User == "" && parsed.Host != "" {
			names = append(names, parsed.Host)
		}
	}
	if len(names) > 0 {
		return names
	}
	return c.DNSNames
}

// provenNames are the identities of a client certificate that roots vouch for.
func provenNames(state tls.ConnectionState, roots *x509.CertPool) []string {
	if roots == nil || len(state.PeerCertificates) == 0 ||
		verifyChain(state.PeerCertificates, roots, x509.ExtKeyUsageClientAuth) != nil {
		return nil
	}
	return identities(state.PeerCertificates[0])
}
