package proxy

import (
	"strconv"
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

// markParam is a parameter of our Record-Route: Target.Mark of the request that began the dialog.
const markParam = "rw"

func markOf(u *sip.URI) uint32 {
	v, ok := u.Params.Value(markParam)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(v, 16, 32)
	if err != nil {
		return 0 // no number of ours
	}
	return uint32(n)
}

// again is what changes in a later request of a dialog on its way to an upstream, nil for nothing.
func (p *Proxy) again(r *route, ack bool) func(*sip.Message, *sip.Splice) error {
	if r.mark == 0 || r.dstName == "" || p.Again == nil {
		return nil
	}
	return p.Again(r.dstName, r.mark, ack)
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
