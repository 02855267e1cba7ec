package transport

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certCheck is how often the certificate files are looked at, at most.
const certCheck = 500 * time.Millisecond

// Certificate is a certificate and its key in files. Handshakes see new files
// within a second; files that do not fit each other leave the old pair in use.
type Certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	pair    *tls.Certificate
	stamp   [2]fileStamp
	checked time.Time
	err     error
}

type fileStamp struct {
	mod  time.Time
	size int64
}

// LoadCertificate reads the pair once; the error names the file and what is wrong.
func LoadCertificate(certFile, keyFile string) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile}
	for _, name := range []string{certFile, keyFile} {
		if f, err := os.Open(name); err != nil {
			return nil, err
		} else {
			f.Close()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked(time.Now())
	if c.err != nil {
		return nil, c.err
	}
	return c, nil
}

// TLS is a server's configuration with the certificate of the moment: TLS 1.2
// and above.
func (c *Certificate) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.Current(), nil },
	}
}

// Current is the pair in use.
func (c *Certificate) Current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= certCheck {
		c.reloadLocked(now)
	}
	return c.pair
}

// File is the certificate's.
func (c *Certificate) File() string { return c.certFile }

// Check looks at the files now and returns what Err does then.
func (c *Certificate) Check() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked(time.Now())
	return c.err
}

// Err is why the newest files are not in use, nil when they are.
func (c *Certificate) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Certificate) reloadLocked(now time.Time) {
	c.checked = now
	stamp, err := c.stamps()
	if err != nil {
		c.err = err
		return
	}
	if stamp == c.stamp {
		c.err = nil // what was wrong has gone
		return
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.err = fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
		return // looked at again: the second file may be on its way
	}
	c.pair, c.stamp, c.err = &pair, stamp, nil
}

func (c *Certificate) stamps() (s [2]fileStamp, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return s, nil
}
