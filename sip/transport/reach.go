package transport

import (
	"errors"
	"net/netip"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// largeRequest is the size over which a request wants a congestion-controlled
// transport (RFC 3261 §18.1.1).
const largeRequest = 1300

var (
	errNoSocket  = errors.New("no udp listener that could send there")
	errTransport = errors.New("transport cannot be dialled")
	errEnding    = errors.New("transport layer is closed")
)

// Hop is where a request is to go next.
type Hop struct {
	Addr      netip.AddrPort
	Transport sip.Transport // UDP, TCP or TLS; 0: UDP, or TCP for what is large
	Host      string        // name in the certificate of a TLS hop (RFC 5922); "": the address
	TLS       *ClientTLS    // of a TLS hop; nil: the system's roots, no certificate of ours
}

// Reach finds the flow to send a request of size octets by. done is called once:
// before Reach returns for UDP and open connections, else on the goroutine that
// dials. The request is to be spliced for the transport of the flow given, which
// for a hop of either transport is TCP above 1300 octets, and UDP where TCP is
// refused or takes more than half a second (remembered for ten minutes), or where we
// have no TCP listener: the peer's own requests in the dialog would find nobody.
func (l *Layer) Reach(hop Hop, size int, done func(*flow.Flow, error)) {
	hop.Addr = unmap(hop.Addr)
	switch hop.Transport {
	case sip.UDP:
		l.reachUDP(hop.Addr, done)
	case sip.TCP, sip.TLS:
		l.hops.connect(keyOf(hop), l.cfg.DialTime, done)
	case 0:
		l.reachEither(hop, size, done)
	default:
		done(nil, errTransport)
	}
}

func keyOf(hop Hop) hopKey {
	key := hopKey{addr: hop.Addr, transport: hop.Transport}
	if key.transport == sip.TLS {
		key.host, key.tls = hop.Host, hop.TLS
	}
	return key
}

func (l *Layer) reachUDP(to netip.AddrPort, done func(*flow.Flow, error)) {
	s := l.hops.route(to).udp
	if s == nil {
		done(nil, errNoSocket)
		return
	}
	done(s.flowTo(to), nil)
}

func (l *Layer) reachEither(hop Hop, size int, done func(*flow.Flow, error)) {
	hop.Transport = sip.TCP
	key := keyOf(hop)
	r := l.hops.route(hop.Addr)
	s := r.udp
	switch {
	case s == nil:
		l.hops.connect(key, l.cfg.DialTime, done)
	case size <= largeRequest:
		done(s.flowTo(hop.Addr), nil)
	case r.tcp == nil || l.hops.refuses(hop.Addr):
		l.count.FellBack.Add(1)
		done(s.flowTo(hop.Addr), nil)
	default:
		l.hops.connect(key, l.cfg.TryTime, func(f *flow.Flow, err error) {
			if err != nil {
				l.hops.refused(hop.Addr)
				l.count.FellBack.Add(1)
				f = s.flowTo(hop.Addr)
			}
			done(f, nil)
		})
	}
}
