package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip/transport"
)

// certificateCheck is how often the files are looked at where no handshake does, certificateSoon how long before its end one is
// warned of: 14 days.
const (
	certificateCheck = 30 * time.Second
	certificateSoon  = 14 * 24 * time.Hour
)

// certificate tells the operator what becomes of a pair of files: by itself the old pair stays in use, until it ends.
type certificate struct {
	*transport.Certificate
	key string // its file
	of  string // key of the configuration that names the files
	log zerolog.Logger

	mu    sync.Mutex
	ends  time.Time // of the pair in use, when it was looked at last
	age   age       // likewise
	wrong string    // about the newest files
}

// age is how near a certificate is to its end.
type age int8

const (
	lasting age = iota
	endsSoon
	ended
)

func ageOf(ends time.Time) age {
	switch left := time.Until(ends); {
	case left <= 0:
		return ended
	case left < certificateSoon:
		return endsSoon
	}
	return lasting
}

// watchCertificate has a pair of files looked at, once where several of the configuration's keys name it.
func (g *Gateway) watchCertificate(c *transport.Certificate, key, of string) {
	for _, other := range g.certificates {
		if other.File() == c.File() && other.key == key {
			return
		}
	}
	g.certificates = append(g.certificates, &certificate{Certificate: c, key: key, of: of, log: g.log})
}

// watchCertificates looks at the files from time to time.
func (g *Gateway) watchCertificates(ctx context.Context) error {
	if len(g.certificates) == 0 {
		return nil
	}
	g.Reload()
	often := time.NewTicker(certificateCheck)
	defer often.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-often.C:
			g.Reload()
		}
	}
}

// check looks at the files and says what has changed.
func (c *certificate) check() {
	wrong := ""
	if err := c.Check(); err != nil {
		wrong = err.Error()
	}
	ends := c.end()
	is := ageOf(ends)
	c.mu.Lock()
	defer c.mu.Unlock()
	if wrong != c.wrong && wrong != "" {
		c.say(zerolog.ErrorLevel, ends).Str("error", wrong).Msg("new certificate cannot be used; the old one stays")
	}
	if !ends.Equal(c.ends) || is != c.age || wrong != c.wrong && wrong == "" {
		switch is {
		case lasting:
			c.say(zerolog.InfoLevel, ends).Msg("certificate")
		case endsSoon:
			c.say(zerolog.WarnLevel, ends).Msg("certificate ends soon; put a new one in its files, which takes no restart")
		case ended:
			c.say(zerolog.ErrorLevel, ends).Msg("certificate has ended; put a new one in its files, which takes no restart")
		}
	}
	c.ends, c.age, c.wrong = ends, is, wrong
}

func (c *certificate) say(level zerolog.Level, ends time.Time) *zerolog.Event {
	return c.log.WithLevel(level).Str("key", c.of).Str("file", c.File()).Time("not_after", ends)
}

// end is when the pair in use ends.
func (c *certificate) end() time.Time {
	if leaf := c.Current().Leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// certificateFigures are those of /metrics, by file.
func (g *Gateway) certificateFigures() (ends, failed map[string]uint64) {
	ends, failed = map[string]uint64{}, map[string]uint64{}
	for _, c := range g.certificates {
		ends[c.File()] = uint64(max(0, c.end().Unix()))
		if failed[c.File()] |= 0; c.Err() != nil {
			failed[c.File()] = 1
		}
	}
	return ends, failed
}

// Reload looks at the certificate files at once. The rest of the configuration is read at the start only.
func (g *Gateway) Reload() {
	for _, c := range g.certificates {
		c.check()
	}
}
