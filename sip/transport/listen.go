package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/ringway/ringway/sip"
)

// listener is one Config.Listen entry.
type listener struct {
	// Static after construction.
	layer     *Layer
	url       string
	transport sip.Transport
	host      netip.Addr // invalid: all addresses
	port      uint16
	advertise string
	tls       *tls.Config
	clientCAs *x509.CertPool
	index     int

	// Set by open.
	addr netip.AddrPort
	tcp  *net.TCPListener
	udp  []*udpSocket // one; IPv4 and IPv6 apart for all addresses
}

func newListener(l *Layer, entry Listen) (*listener, error) {
	u, err := url.Parse(entry.URL)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	one := &listener{layer: l, url: entry.URL, advertise: entry.Advertise, index: entry.Index}
	port := "5060"
	switch u.Scheme {
	case "udp":
		one.transport = sip.UDP
	case "tcp":
		one.transport = sip.TCP
	case "tls":
		one.transport, port = sip.TLS, "5061"
		if entry.Certificate == nil {
			return nil, errors.New("tls needs a certificate")
		}
		one.tls = entry.Certificate.TLS()
		if one.clientCAs = entry.ClientCAs; one.clientCAs != nil {
			one.tls.ClientAuth = tls.RequestClientCert // peers known otherwise may have any, or none
			one.tls.ClientCAs = one.clientCAs
		}
	default:
		return nil, errors.New("scheme is none of udp, tcp, tls")
	}
	if u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("only host and port have a meaning")
	}
	if host := u.Hostname(); host != "" {
		if one.host, err = netip.ParseAddr(host); err != nil {
			return nil, errors.New("host is not an IP address")
		}
		if one.host = one.host.Unmap(); one.host.IsUnspecified() && one.host.Is6() {
			one.host = netip.Addr{}
		}
	}
	if u.Port() != "" {
		port = u.Port()
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, errors.New("bad port")
	}
	one.port = uint16(n)
	return one, nil
}

// keepAlive finds dead peers of connections without traffic, within two minutes.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4}

func (one *listener) open() error {
	if one.transport == sip.UDP {
		return one.openUDP()
	}
	host := ""
	if one.host.IsValid() {
		host = one.host.String()
	}
	lc := net.ListenConfig{KeepAliveConfig: keepAlive}
	ln, err := lc.Listen(context.Background(), "tcp", net.JoinHostPort(host, strconv.Itoa(int(one.port))))
	if err != nil {
		return err
	}
	one.tcp = ln.(*net.TCPListener)
	one.addr = unmap(one.tcp.Addr().(*net.TCPAddr).AddrPort())
	return nil
}

func (one *listener) openUDP() error {
	hosts := []netip.Addr{one.host}
	if !one.host.IsValid() {
		hosts = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	port := one.port
	for i, host := range hosts {
		s, err := newUDPSocket(one, netip.AddrPortFrom(host, port))
		if err != nil {
			if i > 0 && !errors.Is(ListenError(err), errInUse) {
				break // no IPv6 here
			}
			return err
		}
		one.udp = append(one.udp, s)
		if i == 0 {
			one.addr, port = s.local, s.local.Port()
		}
	}
	return nil
}

func (one *listener) close() {
	if one.tcp != nil {
		one.tcp.Close()
	}
	for _, s := range one.udp {
		s.close()
	}
}

// servers are the loops that Run runs.
func (one *listener) servers() []func() error {
	if one.tcp != nil {
		return []func() error{one.accept}
	}
	var loops []func() error
	for _, s := range one.udp {
		loops = append(loops, s.serve)
	}
	return loops
}

// advertised is the sent-by for a peer that is faced by our address local.
func (one *listener) advertised(local netip.Addr) string {
	if one.advertise != "" {
		return one.advertise
	}
	return netip.AddrPortFrom(local, one.addr.Port()).String()
}

// facing is our address in packets to peer, as the routing table has it; the
// zero Addr when peer cannot be reached.
func facing(peer netip.AddrPort) netip.Addr {
	if peer.Port() == 0 {
		peer = netip.AddrPortFrom(peer.Addr(), 5060)
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(peer)) // sends nothing
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr()
}

// serves reports whether one can send to peer, and how well it fits when from is our
// address facing it: 2 for that very address, 1 for all addresses.
func (one *listener) serves(peer, from netip.Addr) (fit int) {
	switch {
	case one.host.IsValid() && one.host.Is4() != peer.Is4():
		return 0
	case one.host == from:
		return 3
	case !one.host.IsValid() || one.host.IsUnspecified():
		return 2
	case one.host.IsLoopback() == peer.IsLoopback():
		return 1
	}
	return 0
}
