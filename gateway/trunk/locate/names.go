package locate

import (
	"net/netip"
	"strings"
)

// hostName is host in lower case with its final dot, or false when it is no host
// name: RFC 1123 §2.1 and underscores, which private zones use.
func hostName(host string) (fqdn string, ok bool) {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253 {
		return "", false
	}
	label, digits := 0, true
	for i := range len(host) {
		switch c := host[i] | 0x20; {
		case host[i] == '.':
			if label == 0 {
				return "", false
			}
			label, digits = -1, true
		case c >= 'a' && c <= 'z', host[i] == '_', host[i] == '-':
			digits = false
		case host[i] < '0' || host[i] > '9':
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	if label == 0 || digits { // a last label of digits is a mistyped address
		return "", false
	}
	return strings.ToLower(host) + ".", true
}

// literal is host as an IP address.
func literal(host string) (netip.Addr, bool) {
	if bare, ok := strings.CutPrefix(host, "["); ok {
		if host, ok = strings.CutSuffix(bare, "]"); !ok {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(host)
	return a.Unmap(), err == nil
}

// reachable reports whether a server can have the address.
func reachable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast &&
		(!a.Is6() || !a.IsLinkLocalUnicast() || a.Zone() != "")
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// specialUse are names of RFC 6761 that no server is to be asked for.
func specialUse(fqdn string) (addrs []netip.Addr, special bool) {
	switch {
	case fqdn == "localhost." || strings.HasSuffix(fqdn, ".localhost."):
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, true
	case fqdn == "invalid." || strings.HasSuffix(fqdn, ".invalid."):
		return nil, true
	}
	return nil, false
}
