package transport

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// setStreamOptions keeps what a peer does not read visible: without
// TCP_NOTSENT_LOWAT the kernel swallows megabytes for it.
func setStreamOptions(raw syscall.RawConn) {
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
}
