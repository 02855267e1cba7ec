package proxy

import (
	"strings"

	"github.com/ringway/ringway/sip"
)

// atHost is a SIP URI with another host[:port].
func atHost(uri, host string) string {
	u, err := sip.ParseURI(uri)
	if err != nil || !u.IsSIP() {
		return uri
	}
	u.Host, u.Port = host, 0
	return u.String()
}

// ownFrom is the From that responses to a copy must have where the copy's may differ
// (RFC 3261 §8.2.6.2). Late 2xx need it when the request is gone.
func ownFrom(a *act) string {
	if a.w.Rewrite == nil {
		return ""
	}
	return strings.Clone(a.req.Value(sip.From))
}

// restoreFrom gives the caller its own From back, byte for byte.
func (b *branch) restoreFrom(m *sip.Message, out *sip.Splice) {
	if b.from == "" || m.Value(sip.From) == b.from {
		return
	}
	for _, f := range m.Fields() {
		if f.Header == sip.From {
			out.Replace(f, b.from)
		}
	}
}
