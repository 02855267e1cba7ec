// Package siptest plays SIP user agents against a gateway over connections in
// memory, from Go (Net, UA) or from scripts (RunScripts). Everything runs inside
// testing/synctest bubbles: time is the bubble's, and nothing sleeps for real.
package siptest

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Gateway is the system under test, seen from its transports.
type Gateway interface {
	// Receive takes a message, on the goroutine that reads the connection.
	Receive(m *sip.Message, from *flow.Flow)
	// ReceiveBad takes what sip.Parse refused; m may be nil.
	ReceiveBad(m *sip.Message, err error, from *flow.Flow)
}

// Net is the network in memory between a gateway and its peers.
type Net struct {
	gateway Gateway
	flows   *flow.Table

	mu     sync.Mutex
	local  map[sip.Transport]netip.AddrPort
	conns  map[endpoint]*Conn // by peer address: open connections, and UDP peers
	listen map[endpoint]func(*Conn)
	nextIP byte
}

type endpoint struct {
	transport sip.Transport
	remote    netip.AddrPort
}

// NewNet makes a network in front of g, which uses the flows of t.
func NewNet(g Gateway, t *flow.Table) *Net {
	us := netip.MustParseAddr("192.0.2.1")
	return &Net{
		gateway: g, flows: t,
		local: map[sip.Transport]netip.AddrPort{
			sip.UDP: netip.AddrPortFrom(us, 5060), sip.TCP: netip.AddrPortFrom(us, 5060), sip.TLS: netip.AddrPortFrom(us, 5061),
			sip.WS: netip.AddrPortFrom(us, 80), sip.WSS: netip.AddrPortFrom(us, 443),
		},
		conns:  make(map[endpoint]*Conn),
		listen: make(map[endpoint]func(*Conn)),
	}
}

// Attach puts g, which uses the flows of t, in the place of the gateway that was
// there, as after a restart: all connections are gone, peers and addresses stay.
func (n *Net) Attach(g Gateway, t *flow.Table) {
	n.mu.Lock()
	conns := slices.Collect(maps.Values(n.conns))
	n.gateway, n.flows = g, t
	n.mu.Unlock()
	for _, c := range conns {
		if c.info.Transport != sip.UDP {
			c.end()
		}
	}
}

// Local is the address at which the gateway listens for a transport.
func (n *Net) Local(t sip.Transport) netip.AddrPort { return n.local[t] }

// errRefused is what dialling an address without a listener gives.
var errRefused = errors.New("connection refused")

// Connect opens a connection from a peer at remote to the gateway. On UDP it is the peer's address and nothing more.
func (n *Net) Connect(t sip.Transport, remote netip.AddrPort) *Conn {
	c := n.newConn(t, remote, false)
	if t != sip.UDP {
		c.flow = n.flows.Open(c)
	}
	n.keep(c)
	return c
}

// Listen lets the gateway dial remote; accept is given each connection. On UDP the peer needs Connect only.
func (n *Net) Listen(t sip.Transport, remote netip.AddrPort, accept func(*Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listen[endpoint{t, remote}] = accept
}

// Dial is the gateway's way to a peer: over UDP at once, else by the connection that is open or a new one.
func (n *Net) Dial(t sip.Transport, remote netip.AddrPort) (*flow.Flow, error) {
	n.mu.Lock()
	c := n.conns[endpoint{t, remote}]
	accept := n.listen[endpoint{t, remote}]
	n.mu.Unlock()
	switch {
	case c != nil && t == sip.UDP:
		return n.flows.Datagram(c), nil
	case c != nil && !c.Closed():
		return c.flow, nil
	case t == sip.UDP: // nobody is there: what is sent is lost
		return n.flows.Datagram(n.newConn(t, remote, true)), nil
	case accept == nil:
		return nil, errRefused
	}
	c = n.newConn(t, remote, true)
	c.flow = n.flows.Open(c)
	n.keep(c)
	accept(c)
	return c.flow, nil
}

func (n *Net) newConn(t sip.Transport, remote netip.AddrPort, dialled bool) *Conn {
	local := n.local[t]
	return &Conn{net: n, info: sip.ConnInfo{
		Transport: t, Local: local, Remote: remote, Advertise: local.String(), Dialled: dialled,
	}}
}

func (n *Net) keep(c *Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[endpoint{c.info.Transport, c.info.Remote}] = c
}

// NextAddr is an address for one more peer: 198.51.100.1, .2 and so on.
func (n *Net) NextAddr(port uint16) netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nextIP++
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, n.nextIP}), port)
}
