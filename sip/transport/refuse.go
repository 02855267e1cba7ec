package transport

import (
	"hash/maphash"
	"strconv"

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
	from.Send(m.AppendReply(nil, &sip.Reply{
		Status:  status.Code,
		Reason:  status.Reason,
		ToTag:   strconv.FormatUint(maphash.String(tagSeed, m.String()), 36),
		Source:  from.Info().Remote,
		Headers: status.Headers,
	}))
}
