package gateway

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// upstreamAuth is what the requests of an upstream are challenged for, until the domain is known.
type upstreamAuth struct {
	upstream int // index
	path     string
	password string
}

func (c *Config) readUpstreams(d *decoder) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		d.mapping(path, n, func(name, path string, v ast.Node) {
			g := trunk.Defaults()
			g.Name = name
			d.object(path, v, keys{
				"hops":        func(path string, n ast.Node) { d.list(path, n, d.readHop(&g)) },
				"select":      d.readSelection(&g.Select),
				"from":        d.texts(addPrefix(&g.From)),
				"try_timeout": d.duration(&g.TryTimeout),
				"health":      d.readHealth(&g.Health),
				"ruri_host":   word(d, &g.RURIHost, map[string]trunk.HostRule{"hop": trunk.HostOfHop, "keep": trunk.HostKept}),
				"trusted":     d.bool(&g.Trusted),
				"auth":        func(path string, n ast.Node) { c.readAuth(d, path, n, &g) },
				"certificate": d.string(&g.Certificate),
				"contact":     word(d, &g.Contact, map[string]trunk.ContactRule{"path": trunk.ContactPath, "alias": trunk.ContactAlias}),
				"unregister":  d.bool(&g.Unregister),
				"early_media": word(d, &g.EarlyMedia, map[string]trunk.EarlyMedia{
					"pass": trunk.EarlyMediaPass, "strip": trunk.EarlyMediaStrip, "to-180": trunk.EarlyMediaRing}),
				"redirects": word(d, &g.Recurse, map[string]bool{"forward": false, "recurse": true}),
				"login":     func(path string, n ast.Node) { d.readLogin(path, n, &g) },
				"register":  func(path string, n ast.Node) { d.readRegister(path, n, &g) },
			})
			c.Upstreams = append(c.Upstreams, g)
		})
	}
}

// readHop reads a hop: its URI, or a mapping that says more.
func (d *decoder) readHop(g *trunk.Group) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		var h trunk.Hop
		uri := d.parsed(func(s string) (err error) {
			h, err = trunk.ParseHop(s)
			return err
		})
		switch n.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			d.readHopMapping(path, n, &h, uri)
		default:
			uri(path, n)
		}
		g.Hops = append(g.Hops, h)
	}
}

func (d *decoder) readHopMapping(path string, n ast.Node, h *trunk.Hop, uri func(string, ast.Node)) {
	more := trunk.Hop{Weight: 1}
	var secure *trunk.HopTLS
	d.object(path, n, keys{
		"uri":      uri,
		"priority": d.number(&more.Priority, 65535),
		"weight":   d.number(&more.Weight, 65535),
		"tls": func(path string, n ast.Node) {
			secure = &trunk.HopTLS{}
			d.object(path, n, keys{
				"ca": d.filename(&secure.CA), "cert": d.filename(&secure.Cert), "key": d.filename(&secure.Key),
				"server_name": d.string(&secure.ServerName),
			})
		},
	})
	if d.at[path+".uri"] == nil {
		d.problem(path, "missing uri; write { uri: \"sip:10.0.0.5:5060\", weight: 10 }")
	}
	h.Priority, h.Weight, h.TLS = more.Priority, more.Weight, secure
}

func (d *decoder) readSelection(dst *trunk.Selection) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		v, ok := trunk.ParseSelection(s)
		if !ok {
			return fmt.Errorf("%q is none of: %s", s, strings.Join(trunk.Selections(), ", "))
		}
		*dst = v
		return nil
	})
}

// readHealth reads health: off, or a mapping of times and counts.
func (d *decoder) readHealth(h *trunk.HealthConfig) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		switch n.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			d.object(path, n, keys{
				"interval": d.duration(&h.Interval), "down_interval": d.duration(&h.DownInterval), "timeout": d.duration(&h.Timeout),
				"down_after": d.count(&h.DownAfter), "up_after": d.count(&h.UpAfter),
			})
			return
		}
		d.parsed(func(s string) error {
			if h.Off = s == "off"; !h.Off && s != "on" {
				return fmt.Errorf("%q is neither on nor off, nor a mapping such as { interval: 10s }", s)
			}
			return nil
		})(path, n)
	}
}

// readLogin reads what a provider asks us for. A hash will not do: a provider's realm
// and algorithm are its own.
func (d *decoder) readLogin(path string, n ast.Node, g *trunk.Group) {
	g.Login = &trunk.Login{}
	k := keys{"user": d.string(&g.Login.User), "realm": d.string(&g.Login.Realm)}
	d.secret(k, "password", func(s string) error { g.Login.Password = s; return nil })
	d.object(path, n, k)
}

func (d *decoder) readRegister(path string, n ast.Node, g *trunk.Group) {
	g.Register = &trunk.Register{Expires: 10 * time.Minute}
	d.object(path, n, keys{
		"aor": d.parsed(func(s string) error {
			g.Register.AOR = s
			return checkAOR(s)
		}),
		"expires": d.duration(&g.Register.Expires),
		"contact": d.parsed(func(s string) error {
			g.Register.Contact = s
			return CheckUserName(s)
		}),
	})
}

// checkAOR wants sip:user@domain.
func checkAOR(s string) error {
	u, err := sip.ParseURI(s)
	if err != nil || !u.IsSIP() || u.User == "" {
		return fmt.Errorf("%q is no address-of-record; write sip:4930123@provider.example", s)
	}
	return nil
}

func (c *Config) readAuth(d *decoder, path string, n ast.Node, g *trunk.Group) {
	g.Auth = &digest.User{}
	a := upstreamAuth{upstream: len(c.Upstreams), path: path}
	k := keys{"user": d.string(&g.Auth.Name)}
	d.secret(k, "password", func(s string) error { a.password = s; return nil })
	d.secret(k, "ha1", hexOf(&g.Auth.MD5, md5.Size))
	d.secret(k, "ha1_sha256", hexOf(&g.Auth.SHA256, sha256.Size))
	d.object(path, n, k)
	d.auths = append(d.auths, a)
}

// finishAuth gives the credentials of upstreams their realm: our first domain.
func (c *Config) finishAuth(d *decoder) {
	for _, a := range d.auths {
		u := c.Upstreams[a.upstream].Auth
		if len(c.Domains) > 0 {
			u.Realm = c.Domains[0].Name
		}
		if u.Name == "" {
			d.problem(a.path, "missing user; write { user: NAME, ha1: … }")
			continue
		}
		if err := CheckUserName(u.Name); err != nil {
			d.problem(a.path+".user", "%v", err)
		}
		if other := c.sameAuth(a.upstream); other != "" {
			d.problem(a.path+".user", "%s is the name of upstream %s already; each needs one of its own", u.Name, other)
		}
		p := pendingUser{path: a.path, password: a.password, ok: true}
		c.finishUser(d, u, &p)
		for _, other := range c.Users {
			if other.Name == u.Name && other.Realm == u.Realm {
				d.problem(a.path+".user", "%s is a user's name already; an upstream needs one of its own", u.Name)
			}
		}
	}
}

// validateUpstreams checks groups, and the files their hops name.
func (c *Config) validateUpstreams(d *decoder) {
	certificates := map[string]string{}
	for i := range c.Upstreams {
		g := &c.Upstreams[i]
		path := "upstreams." + g.Name
		if err := checkUpstreamName(g.Name); err != nil {
			d.problem(path, "%v", err)
		}
		if len(g.Hops) == 0 && len(g.From) == 0 && g.Auth == nil && g.Certificate == "" {
			d.problem(path, "has no hops; write hops: [ \"sip:10.0.0.5:5060\" ]")
		}
		if g.Auth != nil && g.Certificate != "" {
			d.problem(path+".certificate", "stands beside auth; its requests are known by one of them")
		}
		if g.Certificate != "" {
			c.validateClientName(d, g, path, certificates)
		}
		if h := &g.Health; !h.Off && (h.Timeout > h.Interval || h.Timeout > h.DownInterval) {
			d.problem(path+".health.timeout", "%s is longer than the time between two probes", h.Timeout)
		}
		d.validateProvider(path, g)
		for j := range g.Hops {
			d.validateHop(fmt.Sprintf("%s.hops[%d]", path, j), g, j)
		}
	}
}

// validateProvider checks what a provider is told.
func (d *decoder) validateProvider(path string, g *trunk.Group) {
	if l := g.Login; l != nil && (l.User == "" || l.Password == "") {
		d.problem(path+".login", "needs user and password; write { user: NAME, password_file: FILE }")
	}
	r := g.Register
	switch {
	case r == nil:
		return
	case r.AOR == "":
		d.problem(path+".register", "missing aor; write { aor: \"sip:4930123@provider.example\" }")
		return
	case len(g.Hops) == 0:
		d.problem(path+".register", "there are no hops to register at")
	case r.Expires < time.Minute:
		d.problem(path+".register.expires", "%s is too short; write at least 1m", r.Expires)
	}
	if u, err := sip.ParseURI(r.AOR); err == nil && r.Contact == "" {
		r.Contact = u.User
	}
}

// checkUpstreamName wants names that cannot be taken for something else in routes.
func checkUpstreamName(name string) error {
	_, scheme := schemes[strings.ToLower(name)]
	if _, err := parsePrefix(name); scheme || name == "location" || name == "users" || name == "local" || err == nil {
		return fmt.Errorf("%q means something else in routes; give it another name", name)
	}
	return nil
}

func (c *Config) validateClientName(d *decoder, g *trunk.Group, path string, names map[string]string) {
	if other, taken := names[hostKey(g.Certificate)]; taken {
		d.problem(path+".certificate", "%s is the name of upstream %s already", g.Certificate, other)
	}
	names[hostKey(g.Certificate)] = g.Name
	if c.TLS.ClientCA == "" {
		d.problem(path+".certificate", "needs to know who signs such certificates; add tls.client_ca")
	}
}

// validateHop checks a hop beside those before it.
func (d *decoder) validateHop(path string, g *trunk.Group, i int) {
	h := &g.Hops[i]
	for j := range i {
		if o := &g.Hops[j]; o.Host == h.Host && o.Port == h.Port && o.Transport == h.Transport {
			d.problem(path, "%s is hops[%d] already; give that one more weight", h.URI, j)
		}
	}
	s := h.TLS
	switch {
	case s == nil:
		return
	case h.Transport != sip.TLS:
		d.problem(path+".tls", "%s is not reached by TLS; write ;transport=tls or sips:", h.URI)
	case (s.Cert == "") != (s.Key == ""):
		d.problem(path+".tls", "cert and key are a pair; one of them is missing")
	case s.Cert != "":
		if pair, err := tls.LoadX509KeyPair(s.Cert, s.Key); err != nil {
			d.problem(path+".tls", "%s; cert and key are a pair of PEM files", strings.TrimPrefix(err.Error(), "tls: "))
		} else if pair.Leaf != nil {
			d.leaves = append(d.leaves, leaf{path + ".tls.cert", pair.Leaf})
		}
	}
	if s.CA != "" {
		if err := checkCA(s.CA); err != nil {
			d.problem(path+".tls.ca", "%v", err)
		}
	}
}

// checkCA wants a PEM file with at least one certificate.
func checkCA(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%w%s", err, fileForm)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(data) {
		return fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return nil
}

// addNameServer takes a DNS server: IP[:PORT].
func (c *Config) addNameServer(s string) error {
	if a, err := netip.ParseAddr(hostKey(s)); err == nil {
		c.Resolver.Servers = append(c.Resolver.Servers, netip.AddrPortFrom(a, 53).String())
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address of a DNS server; write 10.0.0.53 or 10.0.0.53:5353", s)
	}
	a, err := netip.ParseAddr(host)
	n, badPort := strconv.ParseUint(port, 10, 16)
	if err != nil || badPort != nil || n == 0 {
		return fmt.Errorf("%q is no address of a DNS server; write 10.0.0.53 or 10.0.0.53:5353", s)
	}
	c.Resolver.Servers = append(c.Resolver.Servers, netip.AddrPortFrom(a, uint16(n)).String())
	return nil
}

func addPrefix(dst *[]netip.Prefix) func(string) error {
	return func(s string) error {
		p, err := parsePrefix(s)
		*dst = append(*dst, p)
		return err
	}
}

// parsePrefix reads a CIDR; a bare address is a network of one.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is no network; write 10.0.0.0/24, 10.0.0.5 or 2001:db8::/64", s)
	case p.Bits() == 0:
		return p, fmt.Errorf("%q is the whole world; name the networks that the upstream's calls come from", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits beyond its mask; write %s", s, p.Masked())
	}
	return p, nil
}
