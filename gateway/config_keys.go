package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// keys is the whole vocabulary of a configuration file.
func (c *Config) keys(d *decoder) keys {
	return keys{
		"include":        d.readInclude,
		"domain":         d.parsed(c.setDomain),
		"domains":        c.readDomains(d),
		"listen":         c.readListen(d),
		"tls":            d.table(keys{"cert": d.filename(&c.TLS.Cert), "key": d.filename(&c.TLS.Key), "client_ca": d.filename(&c.TLS.ClientCA)}),
		"origins":        c.readOrigins(d),
		"require_origin": d.bool(&c.RequireOrigin),
		"users":          c.readUsers(d),
		"users_file":     d.filename(&c.UsersFile),
		"admin":          d.parsed(c.setAdmin),
		"admin_pprof":    d.bool(&c.AdminPprof),
		"state_dir":      d.filename(&c.StateDir),
		"upstreams":      c.readUpstreams(d),
		"routes":         c.readRoutes(d),
		"resolver":       d.table(keys{"servers": d.texts(c.addNameServer), "timeout": d.duration(&c.Resolver.Timeout)}),
		"log": d.table(keys{
			"level":  d.oneOf(&c.Log.Level, "debug", "info", "warn", "error"),
			"format": d.oneOf(&c.Log.Format, "auto", "console", "json"),
		}),
		"limits":          d.table(c.Limits.keys(d)),
		"reconnect_grace": d.duration(&c.ReconnectGrace),
		"relay_expires":   d.duration(&c.RelayExpires),
		"ring_timeout":    d.duration(&c.RingTimeout),
		"dead_peer_bye":   d.duration(&c.DeadPeerBye),
		"try_timeout":     d.duration(&c.TryTimeout),
		"ping":            d.duration(&c.Ping),
		"pong":            d.duration(&c.Pong),
	}
}

func (l *Limits) keys(d *decoder) keys {
	return keys{
		"message_size":         d.size(&l.MessageSize),
		"contacts_per_aor":     d.count(&l.ContactsPerAOR),
		"min_expires":          d.duration(&l.MinExpires),
		"max_expires":          d.duration(&l.MaxExpires),
		"flows_per_address":    d.count(&l.FlowsPerAddress),
		"half_open":            d.count(&l.HalfOpen),
		"handshake":            d.duration(&l.Handshake),
		"unproven":             d.duration(&l.Unproven),
		"send_queue":           d.size(&l.SendQueue),
		"write_timeout":        d.duration(&l.WriteTimeout),
		"flow_transactions":    d.count(&l.FlowTransactions),
		"user_invites":         d.count(&l.UserInvites),
		"unproven_rate":        d.count(&l.UnprovenRate),
		"unproven_burst":       d.count(&l.UnprovenBurst),
		"failed_logins":        d.count(&l.FailedLogins),
		"failed_login_penalty": d.duration(&l.FailedLoginPenalty),
		"nonce_ttl":            d.duration(&l.NonceTTL),
		"max_breadth":          d.count(&l.MaxBreadth),
	}
}

// table reads an object by a table.
func (d *decoder) table(k keys) func(string, ast.Node) {
	return func(path string, n ast.Node) { d.object(path, n, k) }
}

// setDomain is the short form of domains.
func (c *Config) setDomain(s string) error {
	if s == "" {
		return nil // as if it were not there; validate says so
	}
	name, err := domainName(s)
	if err == nil {
		c.Domains = append(c.Domains, Domain{Name: name, Registrar: "local"})
	}
	return err
}

func (c *Config) readDomains(d *decoder) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		d.mapping(path, n, func(name, path string, v ast.Node) {
			dom := Domain{Registrar: "local"}
			var err error
			if dom.Name, err = domainName(name); err != nil {
				d.problem(path, "%v", err)
			}
			d.object(path, v, keys{
				"aliases": func(path string, n ast.Node) {
					d.list(path, n, func(path string, n ast.Node) {
						d.parsed(func(s string) error {
							alias, err := domainName(s)
							dom.Aliases = append(dom.Aliases, alias)
							return err
						})(path, n)
					})
				},
				"registrar": d.string(&dom.Registrar),
			})
			c.Domains = append(c.Domains, dom)
		})
	}
}

// domainName checks a name or address that stands for us in SIP URIs.
func domainName(s string) (string, error) {
	name := hostKey(s)
	if _, err := netip.ParseAddr(name); err == nil {
		return name, nil
	}
	switch {
	case name == "":
		return "", errors.New("an empty domain; write a name such as example.com")
	case strings.Contains(s, "://") || strings.HasPrefix(name, "sip:"):
		return "", fmt.Errorf("%q is a URL; write the bare name, such as example.com", s)
	case strings.ContainsRune(name, ':'):
		return "", fmt.Errorf("%q has a port; a domain has none, listen says the ports", s)
	case !hostName(name):
		return "", fmt.Errorf("%q is no domain name", s)
	}
	return name, nil
}

// hostName tells whether s can be a DNS name: letters, digits, hyphens and, because
// people use them, underscores.
func hostName(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return len(s) <= 253
}

func (c *Config) readOrigins(d *decoder) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		d.list(path, n, d.parsed(func(s string) error {
			err := checkOrigin(s)
			c.Origins = append(c.Origins, strings.ToLower(s))
			return err
		}))
	}
}

// checkOrigin accepts what an Origin header can hold (RFC 6454 §6.2), with a wildcard
// for subdomains.
func checkOrigin(s string) error {
	if s == "*" {
		return nil
	}
	scheme, rest, ok := strings.Cut(s, "://")
	host, port, hasPort := strings.Cut(rest, ":")
	switch {
	case !ok:
		return fmt.Errorf("%q has no scheme; write https://%s", s, s)
	case scheme != "https" && scheme != "http":
		return fmt.Errorf("%q: pages come by https or http, not by %s", s, scheme)
	case strings.Contains(rest, "/"):
		return fmt.Errorf("%q has a path; browsers send %s://%s", s, scheme, rest[:strings.Index(rest, "/")])
	case strings.HasPrefix(host, "["): // IPv6: as it stands
		return nil
	case !hostName(strings.TrimPrefix(host, "*.")):
		return fmt.Errorf("%q is no origin; write https://phone.example.com or https://*.example.com", s)
	}
	if p, err := strconv.ParseUint(port, 10, 16); hasPort && (err != nil || p == 0) {
		return fmt.Errorf("%q: %q is no port", s, port)
	}
	return nil
}

func (c *Config) setAdmin(s string) error {
	if s == "" || s == "off" {
		c.Admin = ""
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is no address; write 127.0.0.1:9090, or off", s)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: %q is no port", s, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
		return fmt.Errorf("%q: %q is no IP address", s, host)
	}
	c.Admin = s
	return nil
}
