package policy

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// Digest makes peers prove passwords (RFC 3261 §22).
type Digest struct {
	Authority *digest.Authority
	Users     digest.Users
	Logins    *Logins
	Stats     DigestStats
}

// DigestStats count what came of requests that had to prove a password.
type DigestStats struct {
	Proved     atomic.Int64
	Challenged atomic.Int64 // no credentials for the realm
	Expired    atomic.Int64 // stale: nonce too old
	Replayed   atomic.Int64 // stale: nc not risen
	Foreign    atomic.Int64 // stale: nonce of another flow or address, or from before a restart
	Failed     atomic.Int64 // unknown user or wrong password
	Malformed  atomic.Int64 // answered 400
	Blocked    atomic.Int64 // too many failures before
}

var errBlocked = sip.Refuse(403, "Forbidden: too many failed logins, try again later")

// Prove returns the user of realm whose password the request's credentials
// prove. Otherwise the error is the answer: a challenge (401 to REGISTER, 407
// else), 400 for credentials that are none, 403 after too many failures.
func (d *Digest) Prove(req *sip.Message, from *flow.Flow, realm string) (user string, err error) {
	header := sip.ProxyAuthorization
	if req.Method() == "REGISTER" {
		header = sip.Authorization
	}
	cred, found, err := credentials(req, header, realm)
	if err != nil {
		return "", d.malformed(header, err)
	}
	if !found {
		d.Stats.Challenged.Add(1)
		return "", d.challenge(header, from, realm, false)
	}
	addr := from.Info().Remote.Addr()
	if d.Logins.Blocked(cred.User, realm, addr) {
		d.Stats.Blocked.Add(1)
		return "", errBlocked
	}
	out, err := d.Authority.Verify(&cred, &digest.Request{
		Realm: realm, Method: req.Method(), URI: req.RequestURI(), Flow: nonceFlow(from)}, d.Users)
	switch out {
	case digest.OK:
		d.Stats.Proved.Add(1)
		return cred.User, nil
	case digest.Stale:
		d.countStale(err)
		return "", d.challenge(header, from, realm, true)
	case digest.BadCredentials:
		d.Stats.Failed.Add(1)
		d.Logins.Failed(cred.User, realm, addr)
		refusal := d.challenge(header, from, realm, false)
		refusal.Err = err
		return "", refusal
	default:
		return "", d.malformed(header, err)
	}
}

func (d *Digest) countStale(why error) {
	switch why {
	case digest.ErrExpired:
		d.Stats.Expired.Add(1)
	case digest.ErrReplayed:
		d.Stats.Replayed.Add(1)
	default:
		d.Stats.Foreign.Add(1)
	}
}

func (d *Digest) malformed(header sip.Header, why error) *sip.StatusError {
	d.Stats.Malformed.Add(1)
	return &sip.StatusError{Code: 400, Reason: "Bad Request: " + header.String() + ": " + why.Error(), Err: why}
}

func (d *Digest) challenge(header sip.Header, from *flow.Flow, realm string, stale bool) *sip.StatusError {
	e := &sip.StatusError{Code: 407, Reason: "Proxy Authentication Required"}
	field := "Proxy-Authenticate: "
	if header == sip.Authorization {
		e.Code, e.Reason, field = 401, "Unauthorized", "WWW-Authenticate: "
	}
	e.Headers = d.Authority.Challenge(field, realm, nonceFlow(from), stale, d.Users.Algorithms())
	return e
}

// credentials are the first of a realm among the header's lines (RFC 3261 §22.3:
// lines for other realms are none of our business, whatever is in them). A line
// that cannot be read is an error when none is the realm's.
func credentials(req *sip.Message, header sip.Header, realm string) (c digest.Credentials, found bool, err error) {
	if !req.Has(header) {
		return c, false, nil
	}
	for _, f := range req.Fields() {
		if f.Header != header {
			continue
		}
		v := req.FieldValue(f)
		if !digest.IsDigest(v) {
			continue
		}
		one, bad := digest.ParseCredentials(v)
		if bad == nil && one.Realm == realm {
			return one, true, nil
		}
		if bad != nil {
			err = bad
		}
	}
	return c, false, err
}

// nonceFlow is what a nonce is bound to: a connection, on UDP the address it was sent to
// (IPv6: the /64; a NAT may change the port). So who forges a source has no nonce for it, and
// with any other his wrong passwords are stale and cost the address nothing.
func nonceFlow(from *flow.Flow) uint64 {
	if !datagram(from) {
		return uint64(from.ID)
	}
	ip, n := network(from.Info().Remote.Addr())
	return maphash.Bytes(addressSeed, ip[:n])
}

var addressSeed = maphash.MakeSeed()
