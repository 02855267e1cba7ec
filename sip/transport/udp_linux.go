package transport

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batchSize is how many datagrams one recvmmsg(2) takes.
const batchSize = 16

// mmsghdr is struct mmsghdr.
type mmsghdr struct {
	hdr syscall.Msghdr
	len uint32
}

// batch is what recvmmsg(2) fills. Its memory is used only as far as datagrams reach.
type batch struct {
	headers [batchSize]mmsghdr
	vecs    [batchSize]syscall.Iovec
	names   [batchSize]syscall.RawSockaddrInet6 // large enough for both families
	buffers [batchSize][maxDatagram]byte
}

// serve reads until the socket is closed. It stays within one wait of the
// poller: a batch that is not full has emptied the socket, and the edge of
// what comes later is not lost. So a datagram that comes alone costs one call.
func (s *udpSocket) serve() error {
	b := new(batch)
	for i := range b.headers {
		b.vecs[i].Base = &b.buffers[i][0]
		b.vecs[i].SetLen(maxDatagram)
		b.headers[i].hdr = syscall.Msghdr{Name: (*byte)(unsafe.Pointer(&b.names[i])), Iov: &b.vecs[i], Iovlen: 1}
	}
	var failed error
	err := s.raw.Read(func(fd uintptr) bool {
		for !s.closed.Load() {
			n, errno := b.receive(fd)
			for i := range n {
				s.datagram(b.buffers[i][:b.headers[i].len], fromSockaddr(&b.names[i]))
			}
			switch {
			case errno == syscall.EAGAIN, errno == 0 && n < batchSize:
				return false
			case errno == syscall.EBADF, errno == syscall.ENOTSOCK, errno == syscall.EINVAL, errno == syscall.ENOSYS:
				failed = errno
				return true
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	if s.closed.Load() || errors.Is(err, net.ErrClosed) {
		return net.ErrClosed
	}
	return err
}

func (b *batch) receive(fd uintptr) (int, syscall.Errno) {
	for i := range b.headers {
		b.headers[i].hdr.Namelen = syscall.SizeofSockaddrInet6
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.headers[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

func fromSockaddr(sa *syscall.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	if sa.Family == syscall.AF_INET {
		sa4 := (*syscall.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), port)
	}
	a := netip.AddrFrom16(sa.Addr).Unmap()
	if sa.Scope_id != 0 {
		a = a.WithZone(strconv.FormatUint(uint64(sa.Scope_id), 10))
	}
	return netip.AddrPortFrom(a, port)
}

// setDatagramOptions lets requests larger than the path's MTU go out in fragments.
func setDatagramOptions(raw syscall.RawConn, is6 bool) {
	raw.Control(func(fd uintptr) {
		// beyond the system's limit, if we may
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer)
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, udpBuffer)
		if is6 {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
		} else {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
		}
	})
}
