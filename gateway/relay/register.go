package relay

import (
	"hash/maphash"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Limits of what one REGISTER may make us keep.
const (
	maxContactText = 2048
	maxInstance    = 256
	maxServiceText = 1024 // Service-Route, all values together
)

var (
	errUpstream     = sip.Refuse(403, "Forbidden: REGISTER from an upstream")
	errThirdParty   = sip.Refuse(403, "Forbidden: From is not To")
	errForeignURI   = sip.Refuse(403, "Forbidden: Request-URI is not the registrar of To")
	errPath         = sip.Refuse(403, "Forbidden: Path is set by this gateway")
	errContactOwn   = sip.Refuse(403, "Forbidden: Contact is an address of this gateway")
	errContactCount = sip.Refuse(400, "Bad Request: more than one Contact")
	errContactText  = sip.Refuse(400, "Bad Request: Contact is longer than 2048 octets")
	errContact      = sip.Refuse(400, "Bad Request: Contact is no SIP URI")
	errInstance     = sip.Refuse(400, "Bad Request: +sip.instance")
	errNotAccepted  = sip.Refuse(403, "Forbidden: the registrar of the user in From has accepted no REGISTER over this connection")
)

// Registration is one REGISTER on its way to a registrar and back. Its strings are parts of the message.
type Registration struct {
	// Static after Read.
	relay *Relay
	up    *Upstream
	aor   string
	from  *flow.Flow
	req   *sip.Message

	field    sip.Field // the Contact line; hasContact
	value    string    // the Contact value, "" for a fetch and for *
	addr     sip.NameAddr
	uri      sip.URI
	all      bool // Contact: *
	asked    uint32
	instance string
	regID    int
	name     flow.Name
	alias    string
	login    string // whose credentials it carries, "" without or of several
	tried    bool   // it carries some
	turn     turn
	wait     transaction.Timer

	mu   sync.Mutex
	sent string // the Contact URI that went to the registrar
	path string
	done *sip.Message // the 2xx that was looked at, and what becomes of it:
	list []listed
	room [2]listed
	grow uint32 // what its Expires is to be at most

	keeps bool // the 2xx has a Path, and it is another
}

// Read checks a REGISTER for an AOR whose domain a registrar behind us keeps. The error is a
// *sip.StatusError; nothing is kept then, nor before the registrar has accepted it.
func (r *Relay) Read(req *sip.Message, from *flow.Flow, aor string) (*Registration, error) {
	up, ok := r.Domains[domainOf(aor)]
	if !ok {
		return nil, errForeignURI
	}
	if from.Upstream() != "" {
		return nil, errUpstream
	}
	x := &Registration{relay: r, up: r.groups[up.Name], aor: aor, from: from, req: req}
	if err := x.checkAddresses(); err != nil {
		return nil, err
	}
	if req.Has(sip.Path) {
		r.Counters.add(ForgedPath)
		return nil, errPath
	}
	if err := x.readContact(); err != nil {
		return nil, err
	}
	l := r.loginOf(req, from)
	x.login, x.tried = l.only(), l.tried
	x.turn = turn{callID: maphash.String(r.table.seed, req.CallID()), serial: r.serial.Add(1)}
	x.turn.cseq, _ = req.CSeq()
	return x, nil
}

// Registrar is where it goes.
func (x *Registration) Registrar() string { return x.up.Name }

// Hop is the address that answered this AOR last, the zero Hop when that is not known.
func (x *Registration) Hop() Hop { return x.relay.hopOf(x.aor) }

// checkAddresses wants a user who registers himself with his registrar: what the 2xx proves, it
// proves of whose credentials it took, and that is From.
func (x *Registration) checkAddresses() error {
	if from, ok := x.relay.aorOf(x.req, sip.From); !ok || from != x.aor {
		return errThirdParty
	}
	u, err := sip.ParseURI(x.req.RequestURI())
	if err != nil || !x.isRegistrar(&u) {
		return errForeignURI
	}
	return nil
}

// isRegistrar reports whether a Request-URI is To's domain (RFC 3261 §10.2), an address of ours or of the registrar; it may judge by
// it whose user that is.
func (x *Registration) isRegistrar(u *sip.URI) bool {
	domain := domainOf(x.aor)
	if sip.EqualFold(u.Host, domain) || x.relay.Hosts.Leads(x.up.Name, u) {
		return true
	}
	v := *u
	v.User = "any"
	aor, ours := x.relay.Hosts.AOR(&v)
	_, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	return ours && (domainOf(aor) == domain || err == nil)
}

func (r *Relay) aorOf(m *sip.Message, h sip.Header) (string, bool) {
	a, err := sip.ParseNameAddr(m.Value(h))
	if err != nil {
		return "", false
	}
	u, err := sip.ParseURI(a.URI)
	if err != nil {
		return "", false
	}
	return r.Hosts.AOR(&u)
}

func (x *Registration) readContact() error {
	n := 0
	for i := range x.req.Fields() {
		f := x.req.Fields()[i]
		if f.Header != sip.Contact {
			continue
		}
		for v := range sip.SplitList(x.req.FieldValue(f)) {
			if n++; n > 1 {
				return errContactCount
			}
			x.field, x.value = f, v
		}
	}
	switch x.value {
	case "":
		return nil // a fetch
	case "*":
		x.value, x.all = "", true
		return nil
	}
	return x.parseContact()
}

func (x *Registration) parseContact() (err error) {
	if len(x.value) > maxContactText {
		return errContactText
	}
	if x.addr, err = sip.ParseNameAddr(x.value); err == nil {
		x.uri, err = sip.ParseURI(x.addr.URI)
	}
	if err != nil || !x.uri.IsSIP() || x.uri.User == "" {
		return errContact
	}
	if host, port := x.uri.HostPort(); x.relay.Hosts.Own(host, port) {
		x.relay.Counters.add(ForgedContact)
		return errContactOwn // the registrar's calls to it would reach whom it names
	}
	x.asked = 3600
	if n, err := sip.ParseExpires(x.req.Value(sip.Expires)); err == nil {
		x.asked = n
	}
	if v, ok := x.addr.Params.Value("expires"); ok {
		if n, err := sip.ParseExpires(v); err == nil {
			x.asked = n
		}
	}
	if v, ok := x.addr.Params.Value("+sip.instance"); ok {
		if x.instance = bare(v); x.instance == "" || len(x.instance) > maxInstance {
			return errInstance
		}
	}
	if v, ok := x.addr.Params.Value("reg-id"); ok && x.instance != "" && x.req.HasOption(sip.Supported, "outbound") {
		if n, err := strconv.ParseUint(v, 10, 31); err == nil {
			x.regID = int(n)
		}
	}
	x.name = x.relay.Edge.NameOf(x.aor, x.instance, x.regID, x.addr.URI)
	if x.up.Alias {
		x.alias = x.relay.alias(x.name)
	}
	return nil
}

// MaySend lets a user pass whom his registrar has accepted on that flow. We have no passwords to
// challenge for.
func (r *Relay) MaySend(from *flow.Flow, aor string) error {
	if from.Is(aor) {
		return nil
	}
	r.Counters.add(ForeignFrom)
	return errNotAccepted
}

func remote(f *flow.Flow) netip.Addr { return f.Info().Remote.Addr() }

// Leaves changes the copy of the REGISTER that is about to go to a hop (RFC 3327 §5.2): a Path of ours,
// which obliges us to see that Supported names path (Asterisk: 420), or an alias as Contact.
func (x *Registration) Leaves(req *sip.Message, out *sip.Splice, to *flow.Flow) error {
	facing := to.Info()
	if x.value == "" {
		return nil
	}
	x.awaited()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.up.Alias {
		x.sent = aliasURI(x.alias, facing)
		out.Replace(x.field, x.shorten(withURI(x.value, &x.addr, x.sent), out))
		return nil
	}
	x.sent = x.addr.URI
	if v := x.shorten(x.value, out); v != x.value {
		out.Replace(x.field, v)
	}
	x.path = x.relay.Edge.PathOver(x.name, x.from, facing)
	out.Add("Path", x.path)
	supportPath(req, out)
	return nil
}

// supportPath adds "path" to the first Supported line, or makes one.
func supportPath(req *sip.Message, out *sip.Splice) {
	if req.HasOption(sip.Supported, "path") {
		return
	}
	for _, f := range req.Fields() {
		if f.Header == sip.Supported {
			v := strings.TrimRight(req.FieldValue(f), ", \t")
			if v != "" {
				v += ", "
			}
			out.Replace(f, v+"path")
			return
		}
	}
	out.Add("Supported", "path")
}
