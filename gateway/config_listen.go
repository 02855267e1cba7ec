package gateway

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/ringway/ringway/sip"
)

// schemes are the URLs that can be listened on, with their default ports.
var schemes = map[string]struct {
	transport sip.Transport
	port      uint16
}{
	"ws": {sip.WS, 80}, "wss": {sip.WSS, 443},
	"udp": {sip.UDP, 5060}, "tcp": {sip.TCP, 5060}, "tls": {sip.TLS, 5061},
}

func (c *Config) readListen(d *decoder) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		d.list(path, n, func(path string, n ast.Node) {
			var l Listener
			addr := d.parsed(l.setURL)
			switch n.(type) {
			case *ast.MappingNode, *ast.MappingValueNode:
				var advertise string
				d.object(path, n, keys{"url": addr, "advertise": d.string(&advertise)})
				if l.URL == "" && d.at[path+".url"] == nil {
					d.problem(path, "missing url; write { url: \"udp://:5060\", advertise: sip.example.com }")
				} else if err := l.setAdvertise(advertise); err != nil {
					d.problem(path+".advertise", "%v", err)
				}
			default:
				addr(path, n)
			}
			c.Listen = append(c.Listen, l)
		})
	}
}

// setURL reads ws|wss|udp|tcp|tls://[ADDRESS]:PORT[/PATH].
func (l *Listener) setURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("%q is no URL (%w)%s", s, err, listenForm)
	}
	scheme, ok := schemes[u.Scheme]
	switch {
	case !strings.Contains(s, "://"):
		return fmt.Errorf("%q is no URL%s", s, listenForm)
	case !ok:
		return fmt.Errorf("%q: unknown transport %q%s; write ws, wss, udp, tcp or tls", s, u.Scheme, suggestOnly(u.Scheme, schemes))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%q has more than an address and a path%s", s, listenForm)
	}
	l.URL, l.Transport, l.Port, l.Path = s, scheme.transport, scheme.port, u.Path
	if l.Transport.WebSocket() {
		if l.Path == "" {
			l.Path = "/"
		}
	} else if strings.Trim(l.Path, "/") != "" {
		return fmt.Errorf("%q has a path; only ws and wss have one", s)
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return fmt.Errorf("%q: %q is no port; ports go up to 65535", s, p)
		}
		l.Port = uint16(n)
	}
	switch host := u.Hostname(); host {
	case "":
	case "localhost":
		l.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	default:
		if l.Addr, err = netip.ParseAddr(host); err != nil {
			return fmt.Errorf("%q: %s is no IP address of this machine; leave it out for all of them, and put the name into advertise", s, host)
		}
	}
	return nil
}

const listenForm = "; write ws|wss|udp|tcp|tls://[ADDRESS]:PORT, with a /PATH for ws and wss"

// setAdvertise reads HOST[:PORT]; the port is the listener's unless given.
func (l *Listener) setAdvertise(s string) error {
	if s == "" {
		return nil
	}
	host, port := s, l.Port
	if a, err := netip.ParseAddr(hostKey(s)); err == nil {
		l.Advertise = joinHostPort(a.String(), port)
		return nil
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q: %q is no port; write HOST or HOST:PORT", s, s[i+1:])
		}
		host, port = s[:i], uint16(n)
	}
	name, err := domainName(host)
	if err != nil {
		return fmt.Errorf("%q is no host; write HOST or HOST:PORT", s)
	}
	l.Advertise = joinHostPort(name, port)
	return nil
}

// clashes tells whether l and m need the same port of the same address. UDP ports
// are apart from the others'; port 0 is any free one.
func (l *Listener) clashes(m *Listener) bool {
	if l.Port != m.Port || l.Port == 0 || (l.Transport == sip.UDP) != (m.Transport == sip.UDP) {
		return false
	}
	return l.everywhere() || m.everywhere() || l.Addr.Unmap() == m.Addr.Unmap()
}

func (l *Listener) everywhere() bool { return !l.Addr.IsValid() || l.Addr.IsUnspecified() }

// public tells whether strangers can probably reach l.
func (l *Listener) public() bool {
	return l.everywhere() || !l.Addr.IsLoopback() && !l.Addr.IsPrivate() && !l.Addr.IsLinkLocalUnicast()
}
