//go:build linux && !race

package transport

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"
)

// rawRead and rawWrite are for descriptors that never block. The runtime is not told of
// the call: it would wake its monitor thread for what is over in microseconds.

func rawRead(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), err
}

// rawSendTo is sendto(2) to an address of either family.
func rawSendTo(fd uintptr, p []byte, to *datagramAddr) syscall.Errno {
	name, size := unsafe.Pointer(&to.v4), uintptr(syscall.SizeofSockaddrInet4)
	if to.is6 {
		name, size = unsafe.Pointer(&to.v6), syscall.SizeofSockaddrInet6
	}
	_, _, err := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0,
		uintptr(name), size)
	return err
}

// datagramAddr is where a datagram goes, as the kernel wants it.
type datagramAddr struct {
	is6 bool
	v4  syscall.RawSockaddrInet4
	v6  syscall.RawSockaddrInet6
}

func (a *datagramAddr) set(to netip.AddrPort) {
	a.is6 = !to.Addr().Is4() // the kernel refuses what is not of the socket's family
	port := bigEndian(to.Port())
	if a.is6 {
		a.v6 = syscall.RawSockaddrInet6{Family: syscall.AF_INET6, Port: port, Addr: to.Addr().As16(), Scope_id: zoneID(to.Addr())}
	} else {
		a.v4 = syscall.RawSockaddrInet4{Family: syscall.AF_INET, Port: port, Addr: to.Addr().As4()}
	}
}

// bigEndian is port in the order of the network.
func bigEndian(port uint16) (p uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&p))[:], port)
	return p
}

func rawWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), err
}
