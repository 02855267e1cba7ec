package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	udpBuffer    = 4 << 20 // of the kernel, as far as it allows
	maxDatagram  = 65535
	unfragmented = 1472 // UDP payload of an Ethernet frame, IPv4
	// udpPeers are remembered twice that much, the oldest half forgotten at once.
	udpPeers = 4096
)

// udpSocket is a bound UDP socket; all that is sent by it comes from its port.
type udpSocket struct {
	// Static after construction.
	one    *listener
	conn   *net.UDPConn
	raw    syscall.RawConn
	local  netip.AddrPort
	closed atomic.Bool
	sendFn func(fd uintptr) bool

	// Guarded by sending.
	sending sync.Mutex
	out     []byte
	to      datagramAddr
	sendErr error

	// Guarded by mu: the peers met of late.
	mu         sync.Mutex
	young, old map[netip.AddrPort]*udpPeer
}

// udpPeer is a socket and the address of a peer; it is the sip.Conn of its flow.
type udpPeer struct {
	sock *udpSocket
	info sip.ConnInfo
}

func newUDPSocket(one *listener, bind netip.AddrPort) (*udpSocket, error) {
	network := "udp4"
	if bind.Addr().Is6() {
		network = "udp6" // net sets IPV6_V6ONLY
	}
	c, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(bind))
	if err != nil {
		return nil, err
	}
	s := &udpSocket{one: one, conn: c, local: addrPort(c.LocalAddr()), young: make(map[netip.AddrPort]*udpPeer)}
	if s.raw, err = c.SyscallConn(); err != nil {
		c.Close()
		return nil, err
	}
	s.sendFn = s.trySend
	c.SetReadBuffer(udpBuffer)
	c.SetWriteBuffer(udpBuffer)
	setDatagramOptions(s.raw, bind.Addr().Is6())
	return s, nil
}

func (s *udpSocket) close() {
	s.closed.Store(true)
	s.conn.Close()
}

// peer is the conn for an address, mostly one made before.
func (s *udpSocket) peer(remote netip.AddrPort) *udpPeer {
	s.mu.Lock()
	p := s.young[remote]
	if p == nil {
		if p = s.old[remote]; p != nil {
			s.rememberLocked(remote, p)
		}
	}
	s.mu.Unlock()
	if p != nil {
		return p
	}
	advertise, known := s.advertised(remote)
	p = &udpPeer{sock: s, info: sip.ConnInfo{
		Transport: sip.UDP, Local: s.local, Remote: remote, Listener: s.one.index, Advertise: advertise,
	}}
	if !known {
		return p // the next datagram may find out
	}
	s.mu.Lock()
	s.rememberLocked(remote, p)
	s.mu.Unlock()
	return p
}

func (s *udpSocket) rememberLocked(remote netip.AddrPort, p *udpPeer) {
	if len(s.young) >= udpPeers {
		s.old, s.young = s.young, make(map[netip.AddrPort]*udpPeer)
	}
	s.young[remote] = p
}

// advertised is our address for a peer; known is false when it could not be found out now (no
// file left, no route).
func (s *udpSocket) advertised(remote netip.AddrPort) (address string, known bool) {
	local := s.local.Addr()
	if local.IsUnspecified() && s.one.advertise == "" {
		a := s.one.layer.cfg.facing(remote)
		if !a.IsValid() {
			return s.one.advertised(local), false
		}
		local = a
	}
	return s.one.advertised(local), true
}

// Send sends one datagram. What the kernel has no room for is lost like a
// datagram on the way; other refusals are errors.
func (p *udpPeer) Send(b []byte) error { return p.sock.send(b, p.info.Remote) }

// Info is what is known of the peer.
func (p *udpPeer) Info() *sip.ConnInfo { return &p.info }

// Close does nothing.
func (p *udpPeer) Close(sip.CloseReason) {}

func (s *udpSocket) send(b []byte, to netip.AddrPort) error {
	count := &s.one.layer.count
	if len(b) > unfragmented {
		count.Fragmented.Add(1)
	}
	s.sending.Lock()
	s.out = b
	s.to.set(to)
	err := s.raw.Write(s.sendFn)
	if err == nil {
		err = s.sendErr
	}
	s.out = nil
	s.sending.Unlock()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ECONNREFUSED):
		count.SendDropped.Add(1)
		return nil
	}
	count.SendFailed.Add(1)
	return err
}

// trySend runs under sending, within raw.Write.
func (s *udpSocket) trySend(fd uintptr) bool {
	for {
		switch err := rawSendTo(fd, s.out, &s.to); err {
		case 0:
			s.sendErr = nil
			return true
		case syscall.EINTR:
		default:
			s.sendErr = err
			return true
		}
	}
}

// zoneID of a link-local address; zones are numbers here (see fromSockaddr).
func zoneID(a netip.Addr) uint32 {
	zone := a.Zone()
	if zone == "" {
		return 0
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

// datagram takes one that came in.
func (s *udpSocket) datagram(b []byte, from netip.AddrPort) {
	l := s.one.layer
	defer l.faults.Catch()
	l.count.Datagrams.Add(1)
	if isSTUN(b) {
		l.count.STUN.Add(1)
		s.send(appendBindingResponse(nil, b, from), from)
		return
	}
	if b = bytes.TrimLeft(b, "\r\n"); len(bytes.TrimLeft(b, " \t\r\n\x00")) == 0 {
		l.count.Blank.Add(1) // some phones keep their NAT binding so; RFC 5626 has STUN for it
		return
	}
	l.receive(string(b), sip.Datagram, l.cfg.Table.Datagram(s.peer(from)))
}

// flowTo is the flow by which s sends to remote.
func (s *udpSocket) flowTo(remote netip.AddrPort) *flow.Flow {
	return s.one.layer.cfg.Table.Datagram(s.peer(remote))
}

// The STUN of RFC 5626 §4.4.2 and §8: binding requests by which a user agent
// keeps its UDP flow, answered with the address seen.
const (
	stunHeader   = 20
	stunRequest  = 0x0001
	stunResponse = 0x0101
	stunCookie   = 0x2112a442
	stunMapped   = 0x0020 // XOR-MAPPED-ADDRESS
)

func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && binary.BigEndian.Uint16(b) == stunRequest &&
		binary.BigEndian.Uint32(b[4:]) == stunCookie && int(binary.BigEndian.Uint16(b[2:])) == len(b)-stunHeader
}

// appendBindingResponse answers request (RFC 8489 §14.2).
func appendBindingResponse(dst, request []byte, from netip.AddrPort) []byte {
	family, addr := byte(1), from.Addr().AsSlice()
	if from.Addr().Is6() {
		family = 2
	}
	dst = binary.BigEndian.AppendUint16(dst, stunResponse)
	dst = binary.BigEndian.AppendUint16(dst, uint16(8+len(addr)))
	dst = append(dst, request[4:stunHeader]...) // cookie and transaction id
	dst = binary.BigEndian.AppendUint16(dst, stunMapped)
	dst = binary.BigEndian.AppendUint16(dst, uint16(4+len(addr)))
	dst = append(dst, 0, family)
	dst = binary.BigEndian.AppendUint16(dst, from.Port()^uint16(stunCookie>>16))
	for i, octet := range addr {
		dst = append(dst, octet^request[4+i])
	}
	return dst
}
