package proxy

import (
	"net/netip"

	"github.com/ringway/ringway/sip/flow"
)

// reopenLocked sees to a response that the caller's connection did not take (§18.2.2): to an upstream, and to nobody else, a
// new one is opened, to the address it sent from and the port it listens at by its Via.
func (rc *responseContext) reopenLocked(status int, text []byte) {
	info := rc.from.Info()
	if !info.Transport.Reliable() || info.Transport.WebSocket() || rc.from.Upstream() == "" {
		return
	}
	h := Hop{Addr: netip.AddrPortFrom(info.Remote.Addr(), rc.port), Transport: info.Transport}
	rc.todo(act{kind: actReopen, hop: h, n: status, text: text})
}

// reopen does so.
func (rc *responseContext) reopen(h Hop, status int, text []byte) {
	rc.p.Network.Reach(h, len(text), func(f *flow.Flow, err error) {
		if err != nil {
			rc.p.Counters.drop(DropReturn)
			return
		}
		rc.p.Counters.Reopened.Add(1)
		rc.tx.Move(f) // a final response goes now
		if status > 0 && status < 200 {
			rc.tx.Forward(status, text)
		}
	})
}
