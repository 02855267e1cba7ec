package gateway

import (
	"net/netip"
	"strings"

	"github.com/ringway/ringway/sip"
)

// hostAddr is the address that a URI's host is, when it is one.
func hostAddr(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	return a.Unmap(), err == nil
}

// transportOf is the transport that u pins, 0 for none: sips is TLS (RFC 3261 §26.2.2).
func transportOf(u *sip.URI) sip.Transport {
	if strings.EqualFold(u.Scheme, "sips") {
		return sip.TLS
	}
	v, _ := u.Params.Value("transport")
	for _, t := range []sip.Transport{sip.UDP, sip.TCP, sip.TLS} {
		if strings.EqualFold(v, t.String()) {
			return t
		}
	}
	return 0
}

// defaultPort is RFC 3261 §19.1.2's.
func defaultPort(t sip.Transport) uint16 {
	if t == sip.TLS {
		return 5061
	}
	return 5060
}

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
