package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// maxInclude bounds an included file.
const maxInclude = 4 << 20

// readRegular reads a file that has an end: no device, no pipe, and no more than most octets.
func readRegular(name string, most int64) ([]byte, error) {
	switch info, err := os.Stat(name); {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d MiB; this is no configuration", name, most>>20)
	}
	return data, err
}

// checkKeys says of a state directory that exists what a start would: keys can be read and written there.
func checkKeys(dir string) error {
	probe, err := os.CreateTemp(dir, "check.*")
	if err != nil {
		return fmt.Errorf("keys cannot be written there: %w", err)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return err
	}
	const name = "flow.keys"
	data, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	twin, err := os.MkdirTemp("", "ringway-check") // opening them may replace them
	if err != nil {
		return err
	}
	defer os.RemoveAll(twin)
	if err := os.WriteFile(filepath.Join(twin, name), data, 0o600); err != nil {
		return err
	}
	if _, err = flow.OpenKeys(twin); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), twin, dir))
	}
	return nil
}

// validateOwnHops finds hops that are listeners of ours: calls would go round until Max-Forwards ends them.
func (c *Config) validateOwnHops(d *decoder) {
	local := map[netip.Addr]bool{}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				local[p.Addr().Unmap()] = true
			}
		}
	}
	for i := range c.Upstreams {
		g := &c.Upstreams[i]
		for j := range g.Hops {
			for k := range c.Listen {
				if c.Listen[k].is(&g.Hops[j], local) {
					d.problem(fmt.Sprintf("upstreams.%s.hops[%d]", g.Name, j), "%s is our own listener %s; name the address of the server behind", g.Hops[j].URI, c.Listen[k].URL)
					break
				}
			}
		}
	}
}

// is reports whether a hop leads to l.
func (l *Listener) is(h *trunk.Hop, local map[netip.Addr]bool) bool {
	port := h.Port
	if port == 0 {
		port = 5060
	}
	same := h.Transport == l.Transport || h.Transport == 0 && (l.Transport == sip.UDP || l.Transport == sip.TCP)
	if !same || l.Transport.WebSocket() {
		return false
	}
	if l.Advertise != "" && l.Advertise == joinHostPort(h.Host, port) {
		return true
	}
	a := h.Addr.Unmap()
	if port != l.Port || !a.IsValid() {
		return false
	}
	return l.Addr.Unmap() == a || l.everywhere() && (a.IsLoopback() || local[a])
}

// warnNetworks doubts networks that make half the world an upstream, or one peer two upstreams.
func (c *Config) warnNetworks(d *decoder) {
	public := false
	for i := range c.Listen {
		public = public || c.Listen[i].public()
	}
	for i := range c.Upstreams {
		g := &c.Upstreams[i]
		path := "upstreams." + g.Name + ".from"
		addrs := uint64(0)
		for _, p := range g.From {
			if huge(p) {
				d.problem(path, "%s is a large part of the world, and who calls from there is believed to be %s; name the networks its calls come from", p, g.Name)
			} else if p.Addr().Is4() {
				addrs += 1 << (32 - p.Bits())
			}
			if public && p.Addr().IsLoopback() && !p.IsSingleIP() && g.Auth == nil && g.Certificate == "" {
				d.problem(path, "%s is this machine: whatever comes through a proxy or tunnel on it is believed to be %s; name one address, or give it auth", p, g.Name)
			}
		}
		if addrs > 1<<25 {
			d.problem(path, "these networks together have %d million addresses, and who calls from there is believed to be %s; name the networks its calls come from", addrs>>20, g.Name)
		}
		for j := range i {
			c.warnOverlap(d, path, g, &c.Upstreams[j])
		}
	}
}

// huge is a network larger than any that one owner has.
func huge(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < 8
	}
	return p.Bits() < 16
}

// warnOverlap doubts networks of two upstreams that share addresses: one of them never gets its calls.
func (c *Config) warnOverlap(d *decoder, path string, g, other *trunk.Group) {
	for _, p := range g.From {
		for _, q := range other.From {
			if !p.Overlaps(q) {
				continue
			}
			d.problem(path, "%s shares addresses with %s of upstream %s; an address is one upstream's, so name networks that are apart", p, q, other.Name)
			return
		}
	}
}

// warnPrivacy says what privacy: id does not hide.
func (c *Config) warnPrivacy(d *decoder) {
	for i := range c.Routes {
		if c.Routes[i].Rewrite.Privacy == route.PrivacyID {
			d.problem(fmt.Sprintf("routes[%d].rewrite.privacy", i), "hides the caller in From: the Contact, which has to lead to him, may show who calls; use it towards upstreams that may know, and are asked to tell nobody")
		}
	}
}

// sameAuth is the upstream before i that has the same auth.user, "" for none: its requests could not be told from i's.
func (c *Config) sameAuth(i int) string {
	for j := range i {
		if a := c.Upstreams[j].Auth; a != nil && a.Name == c.Upstreams[i].Auth.Name {
			return c.Upstreams[j].Name
		}
	}
	return ""
}
