// Package policy is who may do what: the ordered stages that a request passes
// before it is routed, and the hygiene of what leaves. A stage returns nil or a
// *sip.StatusError and never writes to the wire.
//
// Stages are for requests out of a dialog and for REGISTER. In a dialog the flow
// tokens of the route set say who may; where the peer still has to prove itself
// there, Identity.Prove does it.
package policy

import (
	"bytes"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Domains says what is ours.
type Domains interface {
	// Domain is the domain that a host stands for; port 0: none was given.
	Domain(host string, port uint16) (domain string, ok bool)
}

// domainOf is what follows the '@' of an AOR. A realm is a domain.
func domainOf(aor string) string { return aor[strings.LastIndexByte(aor, '@')+1:] }

// proves reports whether digest user of a realm is the user of an AOR: its user
// part with escapes undone, in the realm's domain.
func proves(user, realm string, aor []byte) bool {
	at := bytes.LastIndexByte(aor, '@')
	if at < 0 || string(aor[at+1:]) != realm {
		return false
	}
	if part := aor[:at]; bytes.IndexByte(part, '%') < 0 {
		return string(part) == user
	}
	return string(aor) == userAOR(user, realm)
}

// userAOR is the canonical AOR of a digest user: what cannot stand in a URI's
// user part is escaped.
func userAOR(user, realm string) string {
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(user)+1+len(realm))
	for i := 0; i < len(user); i++ {
		c := user[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("@:%\"<>\\^`{|}[]#", c) >= 0 {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(append(append(b, '@'), realm...))
}

// datagram reports whether a flow is no connection: nothing that came over it
// before says who sends now.
func datagram(f *flow.Flow) bool { return f.Info().Transport == sip.UDP }
