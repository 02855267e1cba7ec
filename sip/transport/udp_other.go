//go:build !linux

package transport

import (
	"errors"
	"net"
	"syscall"
)

func (s *udpSocket) serve() error {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			s.datagram(buf[:n], unmap(from))
		case s.closed.Load(), errors.Is(err, net.ErrClosed):
			return net.ErrClosed
		}
	}
}

func setDatagramOptions(syscall.RawConn, bool) {}
