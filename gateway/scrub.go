package gateway

import (
	"github.com/ringway/ringway/gateway/policy"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Outward is relay.Relay's for every message of a user to an upstream, less what users are no authority for.
func (r *relayed) Outward(upstream string, from *flow.Flow, req *sip.Message, out *sip.Splice, to *sip.ConnInfo) {
	policy.ScrubUser(req, out)
	r.Relay.Outward(upstream, from, req, out, to)
}
