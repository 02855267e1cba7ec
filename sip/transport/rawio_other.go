//go:build !linux || race

package transport

import "syscall"

// The race detector knows what these order.

func rawRead(fd uintptr, p []byte) (int, syscall.Errno) { return called(syscall.Read(int(fd), p)) }

func rawWrite(fd uintptr, p []byte) (int, syscall.Errno) { return called(syscall.Write(int(fd), p)) }

func called(n int, err error) (int, syscall.Errno) {
	no, _ := err.(syscall.Errno)
	return n, no
}
