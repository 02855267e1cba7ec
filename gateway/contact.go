package gateway

import (
	"context"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// namesTarget reports whether a request of that method has to have a Contact: it begins a dialog or refreshes its target
// (RFC 3261 §8.1.1.8 and §12.2.1.1, RFC 3311 §5.1, RFC 3515 §2.2, RFC 6665 §3.1.3.1 and §8.2.1).
func namesTarget(method string) bool {
	switch method {
	case "INVITE", "UPDATE", "REFER", "SUBSCRIBE", "NOTIFY":
		return true
	}
	return false
}

// lendContact gives a user's request to an upstream the Contact that it lacks: JsSIP's and SIP.js's NOTIFYs of a REFER, which
// Asterisk refuses, waiting for the next for ever. Best is what the user agent gave in the dialog, else what it
// has registered over that flow.
func (g *Gateway) lendContact(req *sip.Message, out *sip.Splice, from, to *flow.Flow, upstream string) {
	if req.Has(sip.Contact) || !namesTarget(req.Method()) {
		return
	}
	uri := g.relayed.Contact(upstream, from, req, g.proxy.ContactIn(req), to.Info())
	if uri == "" {
		uri = g.boundContact(g.core.own.proved(req, from), from)
	}
	if uri != "" {
		out.Add("Contact", "<"+uri+">")
	}
}

// boundContact is the Contact of a user of ours over a flow, "" for none.
func (g *Gateway) boundContact(aor string, from *flow.Flow) string {
	if aor == "" {
		return ""
	}
	list, err := g.registrar.Lookup(context.Background(), aor)
	if err != nil {
		return ""
	}
	for i := range list {
		if b := &list[i]; b.Flow == from.ID || from.SpeaksFor(b.Name) {
			return b.Target()
		}
	}
	return ""
}
