package ws

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// origins decides which pages may connect (RFC 6454, RFC 6455 §10.2).
type origins struct {
	any      bool
	required bool // also refuse a client that names no origin
	allowed  []origin
}

// origin is scheme, host in lower case and port; a host that begins with "*."
// stands for all its subdomains.
type origin struct{ scheme, host, port string }

var errOrigin = errors.New("want scheme://host[:port], https://*.example.com or *")

// parseOrigins reads the configured list; empty means pages of the same host only.
func parseOrigins(list []string, required bool) (*origins, error) {
	o := &origins{required: required}
	for _, text := range list {
		if text == "*" {
			o.any = true
			continue
		}
		one, ok := parseOrigin(text)
		if !ok || strings.Contains(strings.TrimPrefix(one.host, "*."), "*") {
			return nil, errors.New("origin " + text + ": " + errOrigin.Error())
		}
		o.allowed = append(o.allowed, one)
	}
	return o, nil
}

func parseOrigin(text string) (origin, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return origin{}, false
	}
	scheme := strings.ToLower(u.Scheme)
	return origin{scheme, strings.ToLower(u.Hostname()), portOf(u.Port(), scheme)}, true
}

func portOf(port, scheme string) string {
	if port != "" {
		return port
	}
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	}
	return ""
}

// allow decides on a handshake.
func (o *origins) allow(r *http.Request) bool {
	sent := r.Header.Values("Origin")
	switch {
	case len(sent) == 0:
		return !o.required // no browser
	case len(sent) > 1:
		return false
	case o.any:
		return true
	}
	from, ok := parseOrigin(sent[0]) // "null" is none
	if !ok {
		return false
	}
	if len(o.allowed) == 0 {
		return sameHost(from, r.Host)
	}
	for _, a := range o.allowed {
		if a.scheme == from.scheme && a.port == from.port && hostFits(a.host, from.host) {
			return true
		}
	}
	return false
}

func hostFits(allowed, host string) bool {
	if suffix, ok := strings.CutPrefix(allowed, "*"); ok { // ".example.com"
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	}
	return allowed == host
}

// sameHost compares with the Host header, whose absent port is that of the
// origin's scheme: TLS may end in front of us.
func sameHost(from origin, host string) bool {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), ""
	}
	return strings.ToLower(name) == from.host && portOf(port, from.scheme) == from.port
}
