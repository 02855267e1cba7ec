package policy

import (
	"errors"
	"net/netip"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/flow"
)

// Identity binds From to whom the peer proved to be: an out-of-dialog request
// passes when it comes from an upstream, over a connection that was authenticated
// for From's AOR, or with that user's credentials. REGISTER always needs
// credentials of To's user; ACK and CANCEL cannot be challenged (RFC 3261 §22.1).
type Identity struct {
	Domains Domains
	Digest  *Digest
	Flood   *Flood
	Realm   string // domain to challenge for when the request names none of ours
	// Upstreams are those known by credentials, of Realm. Optional.
	Upstreams Upstreams
	// Kept are the users whose registrar is an upstream. Optional.
	Kept Kept
}

// Kept knows the users whose registrar is an upstream: it has their passwords, we have
// its word for who they are.
type Kept interface {
	// Keeps reports whether an upstream keeps the users of a domain.
	Keeps(domain string) bool
	// MayRegister passes a REGISTER for aor on, or refuses it: its login has failed too often.
	MayRegister(req *sip.Message, from *flow.Flow, aor string) error
	// MaySend lets aor send over a flow, or refuses: no REGISTER was accepted there.
	MaySend(from *flow.Flow, aor string) error
}

// Upstreams are the upstreams that are known by credentials instead of by their address.
type Upstreams interface {
	// ByUser is the upstream whose credentials have that user name, "" for none.
	ByUser(user string) string
	// Challenged reports whether the upstream of that name is one of them.
	Challenged(upstream string) bool
	// MayCall reports whether one of them may call from an address.
	MayCall(addr netip.AddrPort) bool
}

// ErrNoPassword: an upstream has the passwords of that domain, and nobody can be asked for one.
var ErrNoPassword = sip.Refuse(403, "Forbidden: no REGISTER was accepted over this connection")

// Refusals of identity. They say what to change, not what we know.
var (
	errFrom          = sip.Refuse(400, "Bad Request: From is no URI")
	errTo            = sip.Refuse(400, "Bad Request: To is no URI")
	errForeignFrom   = sip.Refuse(403, "Forbidden: From is no user of a domain of ours")
	errUnknownSource = sip.Refuse(403, "Forbidden: neither a user of ours nor a known upstream")
	errForeignTo     = sip.Refuse(403, "Forbidden: To is no user of a domain of ours")
	errNotFrom       = sip.Refuse(403, "Forbidden: credentials are not those of the user in From")
	errNotTo         = sip.Refuse(403, "Forbidden: credentials are not those of the user in To")
)

// Admit is the step of admission that asks who it is.
func (i *Identity) Admit(req *sip.Message, from *flow.Flow) error {
	switch req.Method() {
	case "ACK", "CANCEL":
		return nil
	case "REGISTER":
		return i.refused(from, i.register(req, from))
	}
	if up := from.Upstream(); up != "" && !(datagram(from) && i.Upstreams != nil && i.Upstreams.Challenged(up)) {
		return nil
	}
	return i.refused(from, i.request(req, from))
}

// Prove makes the peer of a connection authenticate as any user of ours, for
// requests whose From says nothing of the sender: in a dialog it may be a number
// of the PBX's. Afterwards the flow is authenticated for that user.
func (i *Identity) Prove(req *sip.Message, from *flow.Flow) error {
	realm := i.Realm
	if u, err := addressOf(req, sip.From); err == nil {
		if d, ok := i.Domains.Domain(u.Host, u.Port); ok {
			realm = d
		}
	}
	return i.refused(from, i.anyone(req, from, realm))
}

// refused charges a refusal to a peer that has proved nothing, a wrong password to anybody.
func (i *Identity) refused(from *flow.Flow, err error) error {
	if err != nil && (!from.Proven() || errors.Is(err, digest.ErrPassword)) {
		i.Flood.Charge(from)
	}
	return err
}

// register is RFC 3261 §10.3 steps 3 and 4.
func (i *Identity) register(req *sip.Message, from *flow.Flow) error {
	u, err := addressOf(req, sip.To)
	if err != nil {
		return errTo
	}
	if !i.local(&u) {
		return errForeignTo
	}
	if i.keeps(u.Host) {
		return i.relayed(req, from, u.AOR())
	}
	return i.prove(req, from, &u, errNotTo)
}

// relayed lets a REGISTER pass to who challenges it. From a peer that has proved nothing it counts as a request
// that was refused: it makes the upstream work.
func (i *Identity) relayed(req *sip.Message, from *flow.Flow, aor string) error {
	err := i.Kept.MayRegister(req, from, aor)
	if err == nil && !from.Proven() {
		i.Flood.Charge(from)
	}
	return err
}

func (i *Identity) keeps(domain string) bool { return i.Kept != nil && i.Kept.Keeps(domain) }

func (i *Identity) request(req *sip.Message, from *flow.Flow) error {
	u, err := addressOf(req, sip.From)
	if err != nil {
		return errFrom
	}
	if sip.EqualFold(u.Host, "anonymous.invalid") { // RFC 3323 §4.1.1.3
		if i.saysUpstream(req, from, len(from.AORs()) == 0) {
			return i.upstream(req, from)
		}
		return i.anonymous(req, from)
	}
	ok := i.local(&u)
	if i.saysUpstream(req, from, !ok) {
		return i.upstream(req, from)
	}
	if !ok {
		return foreign(from)
	}
	if i.keeps(u.Host) {
		return i.Kept.MaySend(from, u.AOR())
	}
	var room [128]byte
	if !datagram(from) && from.Proved(u.AppendAOR(room[:0])) != "" {
		return nil
	}
	return i.prove(req, from, &u, errNotFrom)
}

func foreign(from *flow.Flow) error {
	if datagram(from) {
		return errUnknownSource
	}
	return errForeignFrom
}

// local reports whether u is a user of a domain of ours, whose name it puts in the place of an alias or
// address: so u.AOR() is the canonical one (RFC 3261 §10.3 step 5).
func (i *Identity) local(u *sip.URI) bool {
	domain, ok := i.Domains.Domain(u.Host, u.Port)
	if ok && u.IsSIP() && u.User != "" {
		u.Host = domain
		return true
	}
	return false
}

// prove makes the peer prove that it is the user u; a right password of another user is wrong.
func (i *Identity) prove(req *sip.Message, from *flow.Flow, u *sip.URI, wrong *sip.StatusError) error {
	var room [128]byte
	realm, aor := u.Host, u.AppendAOR(room[:0])
	user, err := i.Digest.Prove(req, from, realm)
	if err != nil {
		return err
	}
	if !proves(user, realm, aor) || i.byUser(user, realm) != "" {
		return wrong
	}
	if from.Proved(aor) == "" {
		from.AuthenticatedAs(string(aor))
	}
	return nil
}

// anonymous lets a From without identity pass when the peer is known anyhow. A
// UDP peer is known by having registered from there, and is challenged each time.
func (i *Identity) anonymous(req *sip.Message, from *flow.Flow) error {
	realm := i.Realm
	if !datagram(from) {
		if from.Proven() {
			return nil
		}
	} else {
		aors := from.AORs()
		if len(aors) == 0 {
			return errUnknownSource
		}
		realm = domainOf(aors[0])
		if i.keeps(realm) {
			return nil // who challenges him does so each time
		}
	}
	return i.anyone(req, from, realm)
}

func (i *Identity) anyone(req *sip.Message, from *flow.Flow, realm string) error {
	if i.keeps(realm) {
		return ErrNoPassword
	}
	user, err := i.Digest.Prove(req, from, realm)
	if err != nil {
		return err
	}
	if name := i.byUser(user, realm); name != "" {
		return setUpstream(from, name)
	}
	from.AuthenticatedAs(userAOR(user, realm))
	return nil
}

// byUser is the upstream that a user of a realm stands for, "" for a user of ours.
func (i *Identity) byUser(user, realm string) string {
	if i.Upstreams == nil || realm != i.Realm {
		return ""
	}
	return i.Upstreams.ByUser(user)
}

// saysUpstream reports whether a request is to prove that an upstream sent it: it has such
// credentials, or nobody else can have sent it (a From that is none of ours) and one may
// call from there.
func (i *Identity) saysUpstream(req *sip.Message, from *flow.Flow, nobody bool) bool {
	if i.Upstreams == nil || from.Info().Transport.WebSocket() {
		return false
	}
	if nobody && i.Upstreams.MayCall(from.Info().Remote) {
		return true
	}
	cred, found, err := credentials(req, sip.ProxyAuthorization, i.Realm)
	return err == nil && found && i.Upstreams.ByUser(cred.User) != ""
}

// upstream makes the peer prove that it is an upstream.
func (i *Identity) upstream(req *sip.Message, from *flow.Flow) error {
	user, err := i.Digest.Prove(req, from, i.Realm)
	if err != nil {
		return err
	}
	name := i.Upstreams.ByUser(user)
	if name == "" {
		return foreign(from) // a user of ours, with a From that is not his
	}
	return setUpstream(from, name)
}

func setUpstream(from *flow.Flow, name string) error {
	if from.Info().Transport.WebSocket() {
		return errNotFrom // behind a balancer all have its address, and any page can ask for a password
	}
	from.SetUpstream(name)
	return nil
}

// addressOf is the URI of From or To.
func addressOf(req *sip.Message, h sip.Header) (sip.URI, error) {
	a, err := sip.ParseNameAddr(req.Value(h))
	if err != nil {
		return sip.URI{}, err
	}
	return sip.ParseURI(a.URI)
}
