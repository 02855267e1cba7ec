package policy

import (
	"net/netip"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Source recognises upstreams by the address they send from, or by their TLS client
// certificate. It refuses nobody.
type Source struct {
	// UpstreamOf names the upstream that is known by an address, "" for none.
	UpstreamOf func(netip.AddrPort) string
	// ByCertificate names the upstream that is known by a name in a client certificate, ""
	// for none. Optional.
	ByCertificate func(name string) string
	// Challenged reports whether an upstream is known by its credentials (Identity):
	// who has proved to be one stays it. Optional.
	Challenged func(upstream string) bool
}

// Mark records what upstream the peer belongs to now. Messages that pass no
// stages need it too, since a UDP peer's flow may live for one datagram only. A
// WebSocket never is an upstream's: behind a balancer all have its address.
func (s *Source) Mark(from *flow.Flow) {
	info := from.Info()
	if info.Transport.WebSocket() {
		return
	}
	had := from.Upstream()
	if info.Dialled && had != "" {
		return // who dialled knew whom
	}
	name := s.certified(info)
	if name == "" {
		name = s.UpstreamOf(info.Remote)
	}
	if name == had || name == "" && s.Challenged != nil && s.Challenged(had) {
		return
	}
	from.SetUpstream(name)
}

// certified is the upstream that a client certificate is of.
func (s *Source) certified(info *sip.ConnInfo) string {
	if s.ByCertificate == nil {
		return ""
	}
	for _, n := range info.Names {
		if name := s.ByCertificate(n); name != "" {
			return name
		}
	}
	return ""
}
