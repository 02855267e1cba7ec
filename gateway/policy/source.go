package policy

import (
	"net/netip"

	"github.com/ringway/ringway/sip/flow"
)

// Source recognises upstreams by the address they send from. It refuses nobody.
type Source struct {
	// UpstreamOf names the upstream that an address belongs to, "" for none.
	UpstreamOf func(netip.AddrPort) string
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
	if name := s.UpstreamOf(info.Remote); name != had {
		from.SetUpstream(name)
	}
}
