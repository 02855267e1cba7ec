package transport

import (
	"errors"
	"hash/maphash"
	"net"
	"os"
	"strconv"
	"syscall"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

var tagSeed = maphash.MakeSeed()

// Refuse answers request m with err's status, without any state: the same
// request gets the same To tag (RFC 3261 §8.2.7). Responses and ACKs are not
// answered, nor is what cannot be (m nil).
func Refuse(m *sip.Message, err error, from *flow.Flow) {
	if m == nil || !m.IsRequest() || m.Method() == "ACK" {
		return
	}
	status := sip.AsStatus(err)
	remote := from.Info().Remote
	from.Send(m.AppendReply(nil, &sip.Reply{
		Status:     status.Code,
		Reason:     status.Reason,
		ToTag:      strconv.FormatUint(maphash.String(tagSeed, m.String()), 36),
		SourceAddr: remote.Addr().String(),
		SourcePort: remote.Port(),
		Headers:    status.Headers,
	}))
}

// ListenError is err of a listening call in few words.
func ListenError(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("address already in use: does another SIP server run here?")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("no interface has this address")
	case errors.Is(err, os.ErrPermission):
		return errors.New("permission denied: ports below 1024 need CAP_NET_BIND_SERVICE")
	case errors.As(err, &op):
		return op.Err
	}
	return err
}
