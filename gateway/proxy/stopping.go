package proxy

import (
	"strings"

	"github.com/ringway/ringway/sip"
)

// Stopping reports whether a response says that its server is going down, and not what became of the request. From the
// moment that it is told to stop until it has, which takes 10 s and more with calls up, FreeSWITCH answers whatever is new
// with 410; to a caller that is a callee who is gone for good (RFC 3261 §21.4.11), and no other server would be asked. It
// counts as the 503 that it should be. FreeSWITCH's 410 for a callee has a Reason (Q.850 cause 22), and other servers mean
// what they say: so this goes by the name that it gives itself, and needs no key.
func Stopping(m *sip.Message) bool {
	return m.Status() == 410 && !m.Has(sip.Reason) &&
		(strings.HasPrefix(m.Value(sip.UserAgent), "FreeSWITCH") || strings.HasPrefix(m.Named("Server"), "FreeSWITCH"))
}
