// Package trunk knows the groups of SIP servers behind the gateway: the YAML
// calls them upstreams. It says which addresses a group has now, in which order
// they are tried, which group an address or a host belongs to, and which group a
// dialled user goes to. It sends nothing.
package trunk

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
)

// Group is one operator's group of SIP servers.
type Group struct {
	Name string
	// Hops are tried in order.
	Hops []Hop
	// From are addresses that calls of this group may come from beside its hops'.
	From []netip.Prefix
	// TryTimeout is how long a hop may stay silent before the next one is tried.
	TryTimeout time.Duration
}

// PinnedTo reports whether every hop of the group names transport t.
func (g *Group) PinnedTo(t sip.Transport) bool {
	return len(g.Hops) > 0 && !slices.ContainsFunc(g.Hops, func(h Hop) bool { return h.Transport != t })
}

// Hop is one address of a group, as its URI names it.
type Hop struct {
	URI  string // as configured
	Host string // name in lower case, or IP address without brackets
	Port uint16 // never 0
	// Transport is UDP, TCP or TLS when the URI pins it; 0: UDP or TCP by size.
	Transport sip.Transport
	// Addr is Host when it is an IP address, else the zero Addr.
	Addr netip.Addr
}

// Target is an address to try: a hop and one of its host's addresses.
type Target struct {
	Hop  *Hop
	Addr netip.AddrPort
}

// ParseHop reads a hop's URI: sip:HOST[:PORT][;transport=udp|tcp|tls], sips: means
// TLS. The default ports are 5060 and, for TLS, 5061 (RFC 3261 §19.1.2).
func ParseHop(s string) (Hop, error) {
	u, err := sip.ParseURI(s)
	if err != nil {
		return Hop{}, fmt.Errorf("%q is no SIP URI (%w)%s", s, err, hopForm)
	}
	h := Hop{URI: s, Port: u.Port}
	switch strings.ToLower(u.Scheme) {
	case "sip":
	case "sips":
		h.Transport = sip.TLS
	default:
		return Hop{}, fmt.Errorf("%q is no SIP URI%s", s, hopForm)
	}
	switch {
	case u.User != "" || u.Pass != "":
		return Hop{}, fmt.Errorf("%q has a user part; a hop is a server%s", s, hopForm)
	case u.Headers != "":
		return Hop{}, fmt.Errorf("%q has headers after '?'%s", s, hopForm)
	}
	if err := h.params(u.Params); err != nil {
		return Hop{}, fmt.Errorf("%q: %w", s, err)
	}
	if err := h.host(u.Host); err != nil {
		return Hop{}, fmt.Errorf("%q: %w", s, err)
	}
	if h.Port == 0 {
		h.Port = 5060
		if h.Transport == sip.TLS {
			h.Port = 5061
		}
	}
	return h, nil
}

const hopForm = "; write sip:HOST[:PORT][;transport=udp|tcp|tls]"

func (h *Hop) params(ps sip.Params) error {
	for name, value := range ps.All() {
		if !strings.EqualFold(name, "transport") {
			return fmt.Errorf("unknown parameter %q%s", name, hopForm)
		}
		t, ok := map[string]sip.Transport{"udp": sip.UDP, "tcp": sip.TCP, "tls": sip.TLS}[strings.ToLower(value)]
		switch {
		case !ok:
			return fmt.Errorf("a hop is reached by udp, tcp or tls, not by %q", value)
		case h.Transport == sip.TLS && t == sip.UDP:
			return errors.New("sips: and transport=udp contradict each other")
		case h.Transport != sip.TLS: // sips:…;transport=tcp is TLS over TCP (RFC 3261 §26.2.2)
			h.Transport = t
		}
	}
	return nil
}

func (h *Hop) host(host string) error {
	if host == "" {
		return errors.New("missing host" + hopForm)
	}
	bare := strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	a, err := netip.ParseAddr(bare)
	if err != nil {
		if bare != host || strings.Trim(host, "0123456789.") == "" {
			return fmt.Errorf("%s is no IP address", host)
		}
		h.Host = hostKey(host)
		return nil
	}
	if a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("%s is no address of a server", a)
	}
	h.Addr = a.Unmap()
	h.Host = h.Addr.String()
	return nil
}

// String is "host:port" with the pinned transport, for logs.
func (h *Hop) String() string {
	host := h.Host
	if h.Addr.Is6() {
		host = "[" + host + "]"
	}
	s := host + ":" + strconv.Itoa(int(h.Port))
	if h.Transport != 0 {
		s += "/" + strings.ToLower(h.Transport.String())
	}
	return s
}

// hostKey is the form in which host names are compared.
func hostKey(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
