package transport

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setStreamOptions keeps what a peer does not read visible: without TCP_NOTSENT_LOWAT the kernel swallows
// megabytes for it.
func setStreamOptions(raw syscall.RawConn) {
	setUserTimeout(raw, clientPatience)
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSentLowat)
	})
}

// setUserTimeout is how long octets may go unacknowledged, and keep-alives unanswered (RFC 5482): by itself the
// kernel repeats octets for a quarter of an hour to a peer that has lost its power.
func setUserTimeout(raw syscall.RawConn, d time.Duration) {
	raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
