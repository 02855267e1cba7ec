package policy

import (
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// Scrub cuts from a copy to be forwarded what must not leave: credentials for our
// realms always; Bearer tokens, which name nobody whom they are for, but to keeper: the registrar of the user who sent them
// (RFC 8898); what only trusted neighbours may say (RFC 3325, RFC 7315) when the request came from somebody else. ours says
// whether a realm is one of ours.
func Scrub(req *sip.Message, s *sip.Splice, trusted, keeper bool, ours func(realm string) bool) {
	if !trusted {
		scrubIdentity(req, s)
	}
	credentials := req.Has(sip.Authorization) || req.Has(sip.ProxyAuthorization)
	if trusted && !credentials {
		return
	}
	for _, f := range req.Fields() {
		switch f.Header {
		case sip.Authorization, sip.ProxyAuthorization:
			if spent(req.FieldValue(f), keeper, ours) {
				s.Remove(f)
			}
		case sip.Other:
			if !trusted && reserved(req.Name(f)) {
				s.Remove(f)
			}
		}
	}
}

// ScrubUser cuts from a user's request to an upstream what only servers on the way may say: who diverted it (carriers
// bill by RFC 5806 and RFC 7044), whom it was for, which service it asks, and signatures in our name (RFC 8224).
func ScrubUser(req *sip.Message, s *sip.Splice) {
	for _, f := range req.Fields() {
		if f.Header == sip.Other && presumed(req.Name(f)) {
			s.Remove(f)
		}
	}
}

// presumed are names of headers that users are no authority for.
func presumed(name string) bool {
	switch name[0] | 0x20 {
	case 'd':
		return sip.EqualFold(name, "Diversion")
	case 'h':
		return sip.EqualFold(name, "History-Info")
	case 'i':
		return sip.EqualFold(name, "Identity") || sip.EqualFold(name, "Identity-Info")
	case 'n', 'y':
		return len(name) == 1 // Identity-Info, Identity
	case 'p':
		return sip.EqualFold(name, "P-Called-Party-ID") || sip.EqualFold(name, "P-Preferred-Service") || sip.EqualFold(name, "P-Asserted-Service")
	}
	return false
}

// ScrubResponse cuts from a response of somebody who is no trusted neighbour what only those may say.
func ScrubResponse(resp *sip.Message, s *sip.Splice) {
	scrubIdentity(resp, s)
	for _, f := range resp.Fields() {
		if f.Header == sip.Other && reserved(resp.Name(f)) {
			s.Remove(f)
		}
	}
}

func scrubIdentity(m *sip.Message, s *sip.Splice) {
	for _, h := range [...]sip.Header{sip.PAssertedIdentity, sip.PPreferredIdentity, sip.RemotePartyID} {
		if m.Has(h) {
			s.RemoveAll(h)
		}
	}
}

// spent reports whether an Authorization value was for us. One that cannot be
// read may have been.
func spent(value string, keeper bool, ours func(realm string) bool) bool {
	if !digest.IsDigest(value) {
		return !keeper && digest.IsBearer(value)
	}
	c, err := digest.ParseCredentials(value)
	return err != nil || ours(c.Realm)
}

// Withheld reports whether lines of that name never leave when a user sent them (see Scrub), or not to an
// upstream (see ScrubUser).
func Withheld(name string, upstream bool) bool {
	if name == "" {
		return false
	}
	switch sip.HeaderNamed(name) {
	case sip.PAssertedIdentity, sip.PPreferredIdentity, sip.RemotePartyID:
		return true
	}
	return reserved(name) || upstream && presumed(name)
}

// reserved are names that are kept for use between trusted neighbours.
func reserved(name string) bool {
	switch name[0] | 0x20 {
	case 'p':
		return hasPrefix(name, "P-Charging-")
	case 'x':
		return hasPrefix(name, "X-Internal")
	}
	return false
}

func hasPrefix(name, prefix string) bool {
	return len(name) >= len(prefix) && sip.EqualFold(name[:len(prefix)], prefix)
}

// Withhold keeps from a user who a caller is that asked for it (RFC 3325 §7). The older
// Remote-Party-ID says the same and goes with it, or by its own privacy parameter.
func Withhold(req *sip.Message, s *sip.Splice) {
	asserted, remote := req.Has(sip.PAssertedIdentity), req.Has(sip.RemotePartyID)
	if !asserted && !remote {
		return
	}
	id := false
	for _, f := range req.Fields() {
		id = id || f.Header == sip.Privacy && wantsID(req.FieldValue(f))
	}
	if id && asserted {
		s.RemoveAll(sip.PAssertedIdentity)
	}
	if remote && (id || private(req)) {
		s.RemoveAll(sip.RemotePartyID)
	}
}

// private reports whether a Remote-Party-ID has a privacy parameter that is not "off", or cannot be read.
func private(req *sip.Message) bool {
	for v := range req.Values(sip.RemotePartyID) {
		a, err := sip.ParseNameAddr(v)
		if err != nil {
			return true
		}
		if p, ok := a.Params.Value("privacy"); ok && !sip.EqualFold(p, "off") {
			return true
		}
	}
	return false
}

// wantsID looks for the priv-value "id" (RFC 3323 §4.2: values are set off by ";").
func wantsID(value string) bool {
	for v := range strings.SplitSeq(value, ";") {
		if sip.EqualFold(strings.Trim(v, " \t"), "id") {
			return true
		}
	}
	return false
}

// AssertIdentity says who the caller is to an upstream that trusts us (RFC 3325 §5).
func AssertIdentity(s *sip.Splice, aor string) {
	s.Add("P-Asserted-Identity", "<sip:"+aor+">")
}
