package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
)

// validate checks what no single key can tell.
func (c *Config) validate(d *decoder) {
	c.validateDomains(d)
	c.finishUsers(d)
	c.finishAuth(d)
	c.validateListen(d)
	c.validateTLS(d)
	c.validateUpstreams(d)
	c.validateOwnHops(d)
	c.validateRoutes(d)
	c.validateLimits(d)
	if err := checkStateDir(c.StateDir); err != nil {
		d.problem("state_dir", "%v", err)
	}
}

func (c *Config) validateDomains(d *decoder) {
	if len(c.Domains) == 0 {
		d.problem("domain", "missing; write the domain of your users' addresses, such as domain: example.com")
	}
	if len(c.Domains) > 0 && d.at["domain"] != nil && d.at["domains"] != nil {
		d.problem("domain", "stands beside domains; move it there")
	}
	upstreams := map[string]bool{"local": true}
	for i := range c.Upstreams {
		upstreams[c.Upstreams[i].Name] = len(c.Upstreams[i].Hops) > 0
	}
	owner := map[string]string{}
	for _, dom := range c.Domains {
		if hops, known := upstreams[dom.Registrar]; !known {
			d.problem("domains."+dom.Name+".registrar", "no upstream %q%s", dom.Registrar, suggest(dom.Registrar, upstreams))
		} else if !hops {
			d.problem("domains."+dom.Name+".registrar", "upstream %s has no hops to register at", dom.Registrar)
		} else if c.hasLogin(dom.Registrar) {
			d.problem("domains."+dom.Name+".registrar", "upstream %s has a login, with which its challenges to these users would be answered; give the login to an upstream of its own", dom.Registrar)
		}
		for _, name := range append([]string{dom.Name}, dom.Aliases...) {
			if other, taken := owner[name]; taken {
				d.problem("domains."+dom.Name, "%s belongs to %s already", name, other)
			}
			owner[name] = dom.Name
		}
	}
}

func (c *Config) validateListen(d *decoder) {
	if len(c.Listen) == 0 {
		d.problem("listen", "nothing to listen on; write such as listen: [ \"wss://:443/ws\", \"udp://:5060\" ]")
	}
	for i := range c.Listen {
		for j := range i {
			if c.Listen[i].clashes(&c.Listen[j]) {
				d.problem(fmt.Sprintf("listen[%d]", i), "%s and %s need the same port; give one of them another",
					c.Listen[j].URL, c.Listen[i].URL)
			}
		}
	}
	if c.Admin == "" {
		return
	}
	host, port, _ := net.SplitHostPort(c.Admin)
	n, _ := strconv.ParseUint(port, 10, 16)
	addr, _ := netip.ParseAddr(strings.Replace(host, "localhost", "127.0.0.1", 1))
	admin := Listener{Transport: sip.TCP, Addr: addr, Port: uint16(n)}
	for i := range c.Listen {
		if admin.clashes(&c.Listen[i]) {
			d.problem(fmt.Sprintf("listen[%d]", i), "%s and admin %s need the same port; give one of them another", c.Listen[i].URL, c.Admin)
		}
	}
}

func (c *Config) validateTLS(d *decoder) {
	cert, key := c.TLS.Cert, c.TLS.Key
	if c.TLS.ClientCA != "" {
		if err := checkCA(c.TLS.ClientCA); err != nil {
			d.problem("tls.client_ca", "%v", err)
		}
	}
	switch {
	case cert == "" && key == "":
		for i, l := range c.Listen {
			if l.Transport == sip.WSS || l.Transport == sip.TLS {
				d.problem(fmt.Sprintf("listen[%d]", i), "%s needs a certificate; write tls: { cert: cert.pem, key: key.pem }", l.URL)
			}
		}
		return
	case cert == "":
		d.problem("tls.key", "a key without its certificate; add tls.cert")
		return
	case key == "":
		d.problem("tls.cert", "a certificate without its key; add tls.key")
		return
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	var pe *os.PathError
	switch {
	case errors.As(err, &pe) && pe.Path == key:
		d.problem("tls.key", "%v%s", err, fileForm)
	case errors.As(err, &pe):
		d.problem("tls.cert", "%v%s", err, fileForm)
	case err != nil:
		d.problem("tls", "%s; cert and key are a pair of PEM files", strings.TrimPrefix(err.Error(), "tls: "))
	case pair.Leaf != nil:
		d.leaf = pair.Leaf
		d.leaves = append(d.leaves, leaf{"tls.cert", pair.Leaf})
	}
}

const fileForm = "; names of files are relative to this one"

func (c *Config) validateLimits(d *decoder) {
	l := &c.Limits
	if l.MinExpires > l.MaxExpires {
		d.problem("limits.min_expires", "is above max_expires (%s)", l.MaxExpires)
	}
	if l.MinExpires < time.Second {
		d.problem("limits.min_expires", "%s is too short; registrations are counted in seconds", l.MinExpires)
	}
	switch {
	case l.MessageSize < 4<<10:
		d.problem("limits.message_size", "%d octets do not hold an INVITE of a browser; write at least 4KiB", l.MessageSize)
	case l.MessageSize > sip.MaxMessage:
		d.problem("limits.message_size", "%d octets are more than a message can have here; write at most %dKiB", l.MessageSize, sip.MaxMessage>>10)
	}
	if l.SendQueue < l.MessageSize {
		d.problem("limits.send_queue", "does not hold one message of message_size (%d octets)", l.MessageSize)
	}
	if c.RelayExpires < 30*time.Second {
		d.problem("relay_expires", "%s is too often; write at least 30s", c.RelayExpires)
	}
	if c.Ping < time.Second {
		d.problem("ping", "%s is too often; write at least 1s", c.Ping)
	}
}

// checkStateDir wants a directory, or the place for one.
func checkStateDir(dir string) error {
	if dir == "" {
		return nil
	}
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case err == nil:
		return checkKeys(dir)
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s is a link to nothing; make the directory that it is to lead to", dir)
	}
	above := filepath.Dir(dir)
	if info, err := os.Stat(above); err != nil || !info.IsDir() {
		return fmt.Errorf("neither %s nor the directory above it exists; a start makes the last one of them alone, so make %s", dir, above)
	}
	probe, err := os.MkdirTemp(above, ".ringway-check")
	if err != nil {
		return fmt.Errorf("%s does not exist and cannot be made: %w; make it for the user that the gateway runs as, or let systemd (StateDirectory=)", dir, pathless(err))
	}
	return os.Remove(probe)
}

// pathless is err without the name that the caller has not chosen.
func pathless(err error) error {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// makeStateDir makes the directory where checkStateDir found the place for one.
func makeStateDir(dir string, log zerolog.Logger) error {
	if dir == "" {
		return nil
	}
	switch err := os.Mkdir(dir, 0o700); {
	case err == nil:
		log.Info().Str("state_dir", dir).Msg("made, for its owner alone")
	case !errors.Is(err, os.ErrExist):
		if _, there := os.Stat(dir); there != nil { // else it is on what nobody writes to, and so what is in it counts
			return err
		}
	}
	return nil
}

// warn collects what is allowed but probably not meant.
func (c *Config) warn(d *decoder) {
	d.problems = nil
	if slices.Contains(c.Origins, "*") {
		d.problem("origins", "\"*\" lets any web page use this gateway from its visitors' browsers; name the origins of your own pages")
	}
	for _, w := range d.doubts {
		d.problem(w.path, "%s", w.text)
	}
	c.warnListen(d)
	c.warnUpstreams(d)
	c.warnNetworks(d)
	c.warnPrivacy(d)
	for i, p := range d.users {
		if p.password != "" {
			d.problem(p.path, "a password in plain text; `ringway user hash %s@%s` prints the hashes to write in its place", c.Users[i].Name, c.Users[i].Realm)
		}
	}
	if len(c.Users) == 0 && c.anyLocal() {
		d.problem("users_file", "there are no users: nobody can register")
	} else if info, err := os.Stat(c.UsersFile); err == nil && info.Mode().Perm()&0o007 != 0 {
		d.problem("users_file", "everybody on this machine can read %s, and its hashes are as good as passwords; chmod o= it", c.UsersFile)
	}
	if c.StateDir == "" {
		d.problem("state_dir", "not set: keys are new at each start, so calls that are up then cannot be hung up after a restart")
	} else if _, err := os.Stat(c.StateDir); errors.Is(err, os.ErrNotExist) {
		d.problem("state_dir", "%s does not exist yet; the first start makes it (mode 0700) as the user that the gateway runs as, who has to be allowed to write to %s", c.StateDir, filepath.Dir(c.StateDir))
	}
	d.warnEnds()
	if d.leaf != nil {
		c.warnCertificate(d)
	}
	c.warnings = append(d.sorted(), d.foreign...)
}

// anyLocal reports whether some domain's users register here.
func (c *Config) anyLocal() bool {
	return slices.ContainsFunc(c.Domains, func(dom Domain) bool { return dom.Registrar == "local" })
}

func (c *Config) warnListen(d *decoder) {
	for i := range c.Listen {
		l := &c.Listen[i]
		path := fmt.Sprintf("listen[%d]", i)
		if l.Transport == sip.WS && l.public() {
			d.problem(path, "%s is open to the world without TLS: browsers give no microphone to its pages, and anybody on the way can listen; use wss, or ws on an inside address behind a TLS proxy", l.URL)
		}
		if name := c.byAddressAlone(); l.Transport == sip.UDP && l.public() && name != "" {
			d.problem(path, "%s is open to the world, and upstream %s is known by its address alone, which UDP lets anybody forge; listen on an inside address, let a firewall drop such packets, or give it auth or a certificate", l.URL, name)
		}
	}
}

// byAddressAlone is an upstream whose requests nothing but their address tells from others', "" for none.
func (c *Config) byAddressAlone() string {
	for i := range c.Upstreams {
		if g := &c.Upstreams[i]; g.Auth == nil && g.Certificate == "" {
			return g.Name
		}
	}
	return ""
}

func (c *Config) hasLogin(upstream string) bool {
	return slices.ContainsFunc(c.Upstreams, func(g trunk.Group) bool { return g.Name == upstream && g.Login != nil })
}

func (c *Config) listens(t sip.Transport) bool {
	return slices.ContainsFunc(c.Listen, func(l Listener) bool { return l.Transport == t })
}

func (c *Config) warnUpstreams(d *decoder) {
	udpOnly := c.listens(sip.UDP) && !c.listens(sip.TCP)
	for i := range c.Upstreams {
		g := &c.Upstreams[i]
		warnLogin(d, g)
		if udpOnly && slices.ContainsFunc(g.Hops, func(h trunk.Hop) bool { return h.Transport == 0 }) {
			d.problem("upstreams."+g.Name, "has hops for UDP and TCP, but listen has no tcp, so even a browser's INVITE of 2 to 8 KB goes by UDP, in fragments; add \"tcp://:5060\" to listen")
		}
		if g.PinnedTo(sip.UDP) {
			d.problem("upstreams."+g.Name, "every hop is pinned to UDP, but a browser's INVITE has 2 to 8 KB and will be fragmented, which many networks drop; leave ;transport=udp out, or use tcp")
		}
	}
}

// warnLogin: with neither a realm nor a registrar that names it, the first to challenge a call is taken at his word.
func warnLogin(d *decoder, g *trunk.Group) {
	if g.Login != nil && g.Login.Realm == "" && g.Register == nil {
		d.problem("upstreams."+g.Name+".login", "has no realm, and no register learns it from the provider: whoever is called there can ask for a proof of the password (RFC 3261 section 22.3) and is answered, until the first that works; write realm: as its WWW- or Proxy-Authenticate has it")
	}
}

// leaf is a certificate that a key names.
type leaf struct {
	path string
	cert *x509.Certificate
}

// warnEnds has the ends of certificates told before calls fail for them.
func (d *decoder) warnEnds() {
	for _, l := range d.leaves {
		switch ends := l.cert.NotAfter; ageOf(ends) {
		case ended:
			d.problem(l.path, "expired on %s", ends.Format(time.DateOnly))
		case endsSoon:
			d.problem(l.path, "expires on %s; a new one in its files is used without a restart", ends.Format(time.DateOnly))
		}
	}
}

func (c *Config) warnCertificate(d *decoder) {
	if name := c.Domains[0].Name; !coversAny(d.leaf, c) {
		d.problem("tls.cert", "is for %s, and for neither %s nor an advertised name", strings.Join(d.leaf.DNSNames, ", "), name)
	}
}

// coversAny tells whether a client that knows us by a domain, an alias or an
// advertised name would accept the certificate.
func coversAny(leaf *x509.Certificate, c *Config) bool {
	var names []string
	for _, dom := range c.Domains {
		names = append(append(names, dom.Name), dom.Aliases...)
	}
	for _, l := range c.Listen {
		if host, _, err := net.SplitHostPort(l.Advertise); err == nil {
			names = append(names, host)
		}
	}
	return len(leaf.DNSNames) == 0 || slices.ContainsFunc(names, func(n string) bool { return leaf.VerifyHostname(n) == nil })
}
