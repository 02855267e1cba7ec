// Package trunk knows the groups of SIP servers behind the gateway: the YAML
// calls them upstreams. It says which addresses a group has now, which of them are
// healthy, in which order a call tries them, and which group an address or a host
// belongs to. It sends nothing: its probes are sent by whom it is given.
package trunk

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// Group is one operator's group of SIP servers.
type Group struct {
	Name string
	// Hops in the order of the file.
	Hops   []Hop
	Select Selection
	// From are addresses that calls of this group may come from beside its hops'.
	From []netip.Prefix
	// TryTimeout is how long a hop may stay silent before the next one is tried.
	TryTimeout time.Duration
	Health     HealthConfig
	RURIHost   HostRule
	// Trusted: P-Asserted-Identity is sent to and believed from it (RFC 3325).
	Trusted bool
	// Auth: its requests are challenged for these credentials instead of believed by
	// their address; the realm is the caller's to fill in. nil: by address.
	Auth *digest.User
	// Certificate is the name in the client certificate that its requests are known
	// by, instead of their address. "": by address.
	Certificate string

	// Contact says how the users of a relayed domain are named to it.
	Contact ContactRule
	// Unregister: it takes an un-REGISTER from us for a client that is gone.
	Unregister bool
	EarlyMedia EarlyMedia
	// Recurse: its redirections (3xx) are followed here, not by the caller.
	Recurse bool
	// Login answers its challenges in the name of our callers; nil: they reach the caller.
	Login *Login
	// Register is what we register there ourselves; nil: nothing.
	Register *Register
}

// ContactRule says how a relayed registration names the client.
type ContactRule uint8

// The rules; the first is the default.
const (
	ContactPath  ContactRule = iota // its Contact stays, a Path leads to it (RFC 3327)
	ContactAlias                    // its Contact is one of ours, which stands for it
)

// EarlyMedia says what callers get of an upstream's answers before the final one. A
// reliable one (RFC 3262) always passes.
type EarlyMedia uint8

// The choices; the first is the default.
const (
	EarlyMediaPass  EarlyMedia = iota
	EarlyMediaStrip            // 183 without its body
	EarlyMediaRing             // a 180 in its place
)

// Login is credentials that a provider asks for.
type Login struct {
	User     string
	Password string
	Realm    string // the only one that is answered; "": any
}

// Register is an address-of-record of a provider's that leads to us.
type Register struct {
	AOR     string // sip:user@domain
	Expires time.Duration
	Contact string // user part of our Contact
}

// Defaults is a group without a name and hops: what the configuration starts from.
// TryTimeout is left to the gateway's own.
func Defaults() Group {
	return Group{Trusted: true, Health: HealthConfig{
		Interval: 10 * time.Second, DownInterval: 5 * time.Second, Timeout: 2 * time.Second, DownAfter: 3, UpAfter: 2,
	}}
}

// HealthConfig says how hops are probed. Zero values are the defaults.
type HealthConfig struct {
	// Off: no probes. A hop that calls found dead is left out for Interval, then
	// tried again.
	Off          bool
	Interval     time.Duration // between probes of a hop that is up
	DownInterval time.Duration // of one that is not
	Timeout      time.Duration // of one probe
	DownAfter    int           // probes without an answer in a row
	UpAfter      int           // answers in a row
}

func (c HealthConfig) withDefaults() HealthConfig {
	d := Defaults().Health
	return HealthConfig{
		Off: c.Off, Interval: cmp.Or(c.Interval, d.Interval), DownInterval: cmp.Or(c.DownInterval, d.DownInterval),
		Timeout: cmp.Or(c.Timeout, d.Timeout), DownAfter: cmp.Or(c.DownAfter, d.DownAfter), UpAfter: cmp.Or(c.UpAfter, d.UpAfter),
	}
}

// Selection is how a call chooses among the hops of one priority.
type Selection uint8

// The selections; the first is the default.
const (
	Order      Selection = iota // in the order of the file
	Weighted                    // at random, in proportion to their weights
	RoundRobin                  // in turn
	LeastBusy                   // who has the fewest calls for its weight
	HashCallID                  // the same Call-ID to the same hop
)

var selectionNames = [...]string{"order", "weighted", "round_robin", "least_busy", "hash"}

// String is the word of the configuration.
func (s Selection) String() string { return selectionNames[s] }

// Selections are the words of the configuration.
func Selections() []string { return selectionNames[:] }

// ParseSelection reads a word of the configuration.
func ParseSelection(word string) (s Selection, ok bool) {
	i := slices.Index(selectionNames[:], word)
	return Selection(max(i, 0)), i >= 0
}

// HostRule says what becomes of the host in the Request-URI of what goes to a group.
type HostRule uint8

// The rules; the first is the default.
const (
	HostOfHop HostRule = iota // it becomes the hop's
	HostKept                  // it stays
)

// PinnedTo reports whether every hop of the group names transport t.
func (g *Group) PinnedTo(t sip.Transport) bool {
	return len(g.Hops) > 0 && !slices.ContainsFunc(g.Hops, func(h Hop) bool { return h.Transport != t })
}

// Hop is one server of a group, as its URI names it. ParseHop makes it.
type Hop struct {
	URI  string // as configured
	Host string // name in lower case, or IP address without brackets
	// Port is 0 when a name comes without one: DNS says it (RFC 3263 §4.2).
	Port uint16
	// Transport is UDP, TCP or TLS when the URI pins it; 0: what DNS says, or UDP or TCP by size.
	Transport sip.Transport
	// Addr is Host when it is an IP address, else the zero Addr.
	Addr netip.Addr

	Priority int // the lowest is tried first
	Weight   int // share within the priority; 0: only when nobody else of it is up
	TLS      *HopTLS
}

// HopTLS is what a TLS connection to a hop needs beyond the system's roots; "" for none.
type HopTLS struct {
	CA         string // PEM file: who may have signed the hop's certificate
	Cert, Key  string // PEM files: our own certificate
	ServerName string // name in the hop's certificate where it is not Host
}

// ParseHop reads a hop's URI: sip:HOST[:PORT][;transport=udp|tcp|tls], sips: means
// TLS. An IP address has the default port 5060 or, with TLS, 5061 (RFC 3261 §19.1.2). The weight is 1.
func ParseHop(s string) (Hop, error) {
	u, err := sip.ParseURI(s)
	if err != nil {
		return Hop{}, fmt.Errorf("%q is no SIP URI (%w)%s", s, err, hopForm)
	}
	h := Hop{URI: s, Port: u.Port, Weight: 1}
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
	if h.Port == 0 && h.Addr.IsValid() {
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

// Server is "host[:port]" as a URI has it.
func (h *Hop) Server() string {
	host := h.Host
	if h.Addr.Is6() {
		host = "[" + host + "]"
	}
	if h.Port != 0 {
		host += ":" + strconv.Itoa(int(h.Port))
	}
	return host
}

// String is Server with the pinned transport, for logs.
func (h *Hop) String() string {
	s := h.Server()
	if h.Transport != 0 {
		s += "/" + strings.ToLower(h.Transport.String())
	}
	return s
}

// secure reports whether the hop was given as sips.
func (h *Hop) secure() bool { return len(h.URI) > 5 && strings.EqualFold(h.URI[:5], "sips:") }

// String is the address with the transport, if it is pinned, and the name that led to it.
func (t *Target) String() string {
	s := t.Addr.String()
	if t.Transport != 0 {
		s += "/" + strings.ToLower(t.Transport.String())
	}
	if t.Hop != nil && !t.Hop.Addr.IsValid() {
		s += " (" + t.Hop.Host + ")"
	}
	return s
}

// hostKey is the form in which host names are compared.
func hostKey(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }
