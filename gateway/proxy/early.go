package proxy

import "github.com/ringway/ringway/sip"

// EarlyMedia says what becomes of the session description in an upstream's provisional response: a
// browser that plays what comes before the answer may play silence in the place of a ring.
type EarlyMedia uint8

// The choices; the first is the default.
const (
	EarlyMediaPasses   EarlyMedia = iota
	EarlyMediaStripped            // the response goes on without it
	EarlyMediaRings               // and 183 as 180, so that the caller's phone rings
)

// withoutEarlyMedia sees to a response of an upstream to an INVITE that begins a call, and is its
// status. What is sent reliably (RFC 3262) stays as it is: the answer may be in it, and nowhere else.
func (b *branch) withoutEarlyMedia(m *sip.Message, out *sip.Splice) (status int) {
	status, rc := m.Status(), b.t.rc
	if status <= 100 || status >= 200 || !rc.invite || rc.inDialog || m.Body() == "" {
		return status
	}
	t := rc.p.terms(b.w.Upstream)
	if t == nil || t.EarlyMedia == EarlyMediaPasses || m.Has(sip.RSeq) || m.HasOption(sip.Require, "100rel") {
		return status
	}
	out.DropBody()
	if t.EarlyMedia == EarlyMediaRings && status == 183 {
		status = 180
		out.SetStatus(status, sip.StatusText(status))
	}
	return status
}
