//go:build !linux

package transport

import "syscall"

func setStreamOptions(syscall.RawConn) {}
