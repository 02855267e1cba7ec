//go:build !linux

package transport

import (
	"syscall"
	"time"
)

func setStreamOptions(syscall.RawConn) {}

func setUserTimeout(syscall.RawConn, time.Duration) {}
