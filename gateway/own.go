package gateway

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// own is what counts as ours (docs/architecture.md): the domains, their aliases, and
// the addresses we listen on or advertise, by which PBXs call sip:alice@OUR-ADDRESS.
type own struct {
	first   string            // the domain that a bare address stands for
	domains map[string]string // name or alias → domain
	kept    map[string]bool   // domains whose users an upstream keeps
	hosts   map[string]bool   // advertised host names
	addrs   map[netip.Addr]bool
	ports   map[uint16]bool
}

// newOwn collects what cfg says is ours; a listener on every address makes all of
// the host's present addresses ours.
func newOwn(cfg *Config, local func() ([]net.Addr, error)) (*own, error) {
	o := &own{domains: map[string]string{}, kept: map[string]bool{}, hosts: map[string]bool{}, addrs: map[netip.Addr]bool{}, ports: map[uint16]bool{}}
	for _, d := range cfg.Domains {
		if o.first == "" {
			o.first = d.Name
		}
		o.domains[d.Name] = d.Name
		o.kept[d.Name] = d.relayed()
		for _, a := range d.Aliases {
			o.domains[strings.ToLower(a)] = d.Name
		}
	}
	for i := range cfg.Listen {
		l := &cfg.Listen[i]
		o.ports[l.Port] = true
		if l.Addr.IsValid() && !l.Addr.IsUnspecified() {
			o.addrs[l.Addr.Unmap()] = true
		} else if err := o.addLocal(local); err != nil {
			return nil, err
		}
		if l.Advertise != "" {
			o.addAdvertised(l.Advertise)
		}
	}
	return o, nil
}

func (o *own) addLocal(local func() ([]net.Addr, error)) error {
	addrs, err := local()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			o.addrs[p.Addr().Unmap()] = true
		}
	}
	return nil
}

func (o *own) addAdvertised(hostport string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	if n, err := strconv.ParseUint(port, 10, 16); err == nil {
		o.ports[uint16(n)] = true
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		o.addrs[a.Unmap()] = true
	} else {
		o.hosts[strings.ToLower(host)] = true
	}
}

// Domain is the domain of ours that a URI's host stands for: host as in sip.URI,
// port 0 when the URI has none. An address counts only with a port of ours.
func (o *own) Domain(host string, port uint16) (string, bool) {
	if d, ok := o.domains[host]; ok { // the usual spelling, without a copy
		return d, true
	}
	low := strings.TrimSuffix(strings.ToLower(host), ".")
	if d, ok := o.domains[low]; ok {
		return d, true
	}
	if port != 0 && !o.ports[port] {
		return "", false
	}
	if o.hosts[low] {
		return o.first, true
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && o.addrs[a.Unmap()] {
		return o.first, true
	}
	return "", false
}

// Own reports whether host:port is ours.
func (o *own) Own(host string, port uint16) bool {
	_, ok := o.Domain(host, port)
	return ok
}

// AOR is the address-of-record that u stands for when it is in a domain of ours:
// the alias or address replaced by the domain (RFC 3261 §10.3 step 5).
func (o *own) AOR(u *sip.URI) (string, bool) {
	domain, ok := o.Domain(u.Host, u.Port)
	if !ok || u.User == "" {
		return "", false
	}
	if domain == u.Host {
		return u.AOR(), true
	}
	v := *u
	v.Host = domain
	return v.AOR(), true
}

// proved is the user that the sender of req has proved to be: the one in From, or for an
// anonymous From the first; "" for none.
func (o *own) proved(req *sip.Message, from *flow.Flow) string {
	if a, err := sip.ParseNameAddr(req.Value(sip.From)); err == nil {
		if u, err := sip.ParseURI(a.URI); err == nil {
			if aor, ok := o.AOR(&u); ok && from.Is(aor) {
				return aor
			}
		}
	}
	if aors := from.AORs(); len(aors) > 0 {
		return aors[0]
	}
	return ""
}

// caller is whose limit of calls being set up an INVITE counts for; an upstream has none.
func (o *own) caller(req *sip.Message, from *flow.Flow) string {
	if from.Upstream() != "" {
		return ""
	}
	return o.proved(req, from)
}

// isRealm reports whether credentials for a realm are for us: realms are domains. Those of a domain whose users
// an upstream keeps are for the upstream.
func (o *own) isRealm(realm string) bool { return o.domains[realm] == realm && !o.kept[realm] }

// listens reports whether one of our listeners is, or may be, at that very address and port.
func (o *own) listens(at netip.AddrPort) bool {
	return o.addrs[at.Addr().Unmap()] && o.ports[at.Port()]
}
