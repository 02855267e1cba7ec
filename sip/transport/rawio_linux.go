//go:build linux && !race

package transport

import (
	"syscall"
	"unsafe"
)

// rawRead and rawWrite are for descriptors that never block. The runtime is not told of
// the call: it would wake its monitor thread for what is over in microseconds.

func rawRead(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, err := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), err
}

func rawWrite(fd uintptr, p []byte) (int, syscall.Errno) {
	n, _, err := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), err
}
