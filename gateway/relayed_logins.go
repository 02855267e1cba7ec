package gateway

import (
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// mayAsk keeps what a user sends to a registrar behind us, REGISTER apart, within the limits of failed logins there.
func (r *relayed) mayAsk(req *sip.Message, out *sip.Splice, from *flow.Flow, upstream string) error {
	if !req.Has(sip.Authorization) && !req.Has(sip.ProxyAuthorization) {
		return nil
	}
	bare, err := r.MayAsk(upstream, req, from, r.own.proved(req, from))
	if bare {
		out.RemoveAll(sip.Authorization)
		out.RemoveAll(sip.ProxyAuthorization)
	}
	return err
}

// asked tells of the answer to that.
func (r *relayed) asked(upstream string, req, resp *sip.Message, from *flow.Flow) {
	if s := resp.Status(); req != nil && (s == 401 || s == 403 || s == 407) {
		r.Asked(upstream, req, resp, from, r.own.proved(req, from))
	}
}

// Realm is relay.Hosts: credentials for it are for us, and go no further.
func (r *relayed) Realm(realm string) bool { return r.own.isRealm(realm) }
