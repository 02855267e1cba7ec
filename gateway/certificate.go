package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip/transport"
)

// certificateCheck is how often the files are looked at where no handshake does.
const certificateCheck = 30 * time.Second

// certificate tells the operator what becomes of new files: by itself the old pair stays in use, until it ends.
type certificate struct {
	*transport.Certificate
	log zerolog.Logger

	mu    sync.Mutex
	ends  time.Time // of the pair in use, when it was looked at last
	wrong string    // about the newest files
}

// watch looks at the files from time to time; a nil certificate has none.
func (c *certificate) watch(ctx context.Context) error {
	if c == nil {
		return nil
	}
	c.check()
	often := time.NewTicker(certificateCheck)
	defer often.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-often.C:
			c.check()
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if wrong != c.wrong && wrong != "" {
		c.log.Error().Str("file", c.File()).Str("error", wrong).Time("not_after", ends).Msg("new certificate cannot be used; the old one stays")
	}
	if !ends.Equal(c.ends) || wrong != c.wrong && wrong == "" {
		c.log.Info().Str("file", c.File()).Time("not_after", ends).Msg("certificate")
	}
	c.ends, c.wrong = ends, wrong
}

// end is when the pair in use ends.
func (c *certificate) end() time.Time {
	if leaf := c.Current().Leaf; leaf != nil {
		return leaf.NotAfter
	}
	return time.Time{}
}

// certificates are the figures of /metrics, by file.
func (g *Gateway) certificates() (ends, failed map[string]uint64) {
	ends, failed = map[string]uint64{}, map[string]uint64{}
	if c := g.certificate; c != nil {
		ends[c.File()], failed[c.File()] = uint64(max(0, c.end().Unix())), 0
		if c.Err() != nil {
			failed[c.File()] = 1
		}
	}
	return ends, failed
}

// Reload looks at the certificate files at once. The rest of the configuration is read at the start only.
func (g *Gateway) Reload() {
	if g.certificate != nil {
		g.certificate.check()
	}
}
