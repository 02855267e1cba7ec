//go:build !linux || race

package transport

import (
	"net/netip"
	"syscall"
)

// The race detector knows what these order.

func rawRead(fd uintptr, p []byte) (int, syscall.Errno) { return called(syscall.Read(int(fd), p)) }

func rawWrite(fd uintptr, p []byte) (int, syscall.Errno) { return called(syscall.Write(int(fd), p)) }

func rawSendTo(fd uintptr, p []byte, to *datagramAddr) syscall.Errno {
	_, err := called(0, syscall.Sendto(int(fd), p, 0, to.sockaddr))
	return err
}

// datagramAddr is where a datagram goes.
type datagramAddr struct {
	sockaddr syscall.Sockaddr
	v4       syscall.SockaddrInet4
	v6       syscall.SockaddrInet6
}

func (a *datagramAddr) set(to netip.AddrPort) {
	if !to.Addr().Is4() {
		a.v6 = syscall.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: zoneID(to.Addr())}
		a.sockaddr = &a.v6
	} else {
		a.v4 = syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
		a.sockaddr = &a.v4
	}
}

func called(n int, err error) (int, syscall.Errno) {
	no, _ := err.(syscall.Errno)
	return n, no
}
