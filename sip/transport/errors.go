package transport

import (
	"errors"
	"net"
	"os"
	"syscall"
)

var errInUse = errors.New("address already in use: does another SIP server run here?")

// ListenError is err of a listening call in few words.
func ListenError(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errInUse
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("no interface has this address")
	case errors.Is(err, os.ErrPermission):
		return errors.New("permission denied: ports below 1024 need CAP_NET_BIND_SERVICE")
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// OutOfDescriptors reports whether accepting failed for now: no descriptor was
// left, or the connection was gone already.
func OutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED)
}
