package registrar

import (
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Limits of one REGISTER (DoS: all that is bound is kept for an hour).
const (
	maxContacts    = 20
	maxContactText = 2048
	maxPaths       = 16
	maxInstance    = 256
)

var (
	errContactCount    = sip.Refuse(400, "More Than 20 Contacts")
	errContactText     = sip.Refuse(400, "Contact Longer Than 2048 Octets")
	errContact         = sip.Refuse(400, "Bad Contact")
	errContactScheme   = sip.Refuse(400, "Contact Is Not a SIP URI")
	errContactQ        = sip.Refuse(400, "Bad q in Contact")
	errContactRegID    = sip.Refuse(400, "Bad reg-id in Contact")
	errContactInstance = sip.Refuse(400, "Bad +sip.instance in Contact")
	errContactOwn      = sip.Refuse(403, "Contact Is an Address of This Server")
	errStar            = sip.Refuse(400, "Contact * Needs Expires: 0 and No Other Contact")
)

// contact is one Contact value of a REGISTER; its strings are parts of the message.
type contact struct {
	text       string // its URI
	uri        sip.URI
	key        uint64 // of uri, for the index
	head, tail string // see Binding
	seconds    uint32 // granted; 0 removes
	q          uint16
	instance   string
	regID      int // 0 unless it is Outbound's
	// known is what the index knows of the very same Contact, nil for nothing. Its uri is not parsed then.
	known *indexed
	name  flow.Name

	// What the binding is to say, once the REGISTER is accepted so far.
	bind Binding
}

// contacts reads all Contact values (RFC 3261 §10.3 step 6); none is a fetch.
func (r *Registrar) contacts(g *registration, req *sip.Message) error {
	header := req.Value(sip.Expires)
	for value := range req.Values(sip.Contact) {
		if value == "*" {
			g.all = true
			continue
		}
		if len(g.contacts) == maxContacts {
			return errContactCount
		}
		g.contacts = append(g.contacts, contact{})
		if err := r.contact(&g.contacts[len(g.contacts)-1], g.aor, value, header); err != nil {
			return err
		}
	}
	if g.all {
		if n, err := sip.ParseExpires(header); err != nil || n != 0 || len(g.contacts) > 0 {
			return errStar
		}
	} else if len(g.contacts) == 0 && req.Has(sip.Contact) {
		return errContact
	}
	return nil
}

// contact reads one value; expires is the Expires header.
func (r *Registrar) contact(c *contact, aor, value, expires string) (err error) {
	if len(value) > maxContactText {
		return errContactText
	}
	if seconds, ok := r.index.recall(aor, value, c); ok {
		c.seconds, err = r.grant(seconds, seconds != "", expires)
		return err
	}
	addr, err := sip.ParseNameAddr(value)
	if err != nil {
		return because(errContact, err)
	}
	c.text = addr.URI
	if c.uri, err = sip.ParseURI(addr.URI); err != nil {
		return because(errContact, err)
	}
	if !c.uri.IsSIP() {
		return errContactScheme
	}
	if r.isOwn(&c.uri) {
		return errContactOwn
	}
	c.key = r.index.key(&c.uri)
	if err := c.params(addr.Params); err != nil {
		return err
	}
	c.head, c.tail = cutContact(value, string(addr.Params))
	v, ok := addr.Params.Value("expires")
	c.seconds, err = r.grant(v, ok, expires)
	return err
}

// parsed is the Contact's URI.
func (c *contact) parsed() *sip.URI {
	if c.uri.Scheme == "" {
		c.uri, _ = sip.ParseURI(c.text) // it is known, or it would have been refused
	}
	return &c.uri
}

// isOwn reports whether a request to u would come back to us.
func (r *Registrar) isOwn(u *sip.URI) bool {
	if r.own == nil {
		return false
	}
	host, port := u.HostPort()
	return r.own(strings.ToLower(strings.TrimSuffix(host, ".")), port)
}

// because is a refusal whose cause is told: it speaks of the peer's own text only.
func because(e *sip.StatusError, cause error) error {
	return &sip.StatusError{Code: e.Code, Reason: e.Reason + ": " + cause.Error(), Err: cause}
}

// params reads q, +sip.instance and reg-id. A reg-id without an instance means
// nothing (RFC 5626 §6).
func (c *contact) params(p sip.Params) error {
	q, err := sip.QValue(p)
	if err != nil {
		return errContactQ
	}
	c.q = uint16(q)
	instance, ok := p.Value("+sip.instance")
	if !ok {
		return nil
	}
	instance = strings.TrimSuffix(strings.TrimPrefix(instance, "<"), ">")
	if instance == "" || len(instance) > maxInstance {
		return errContactInstance
	}
	c.instance = instance
	if id, ok := p.Value("reg-id"); ok {
		n, err := strconv.ParseUint(id, 10, 31) // 1 to 2^31-1
		if err != nil || n == 0 {
			return errContactRegID
		}
		c.regID = int(n)
	}
	return nil
}

// grant is the lifetime in seconds: the expires parameter, else the Expires
// header, else the default (RFC 3261 §10.3 step 6); what can't be read counts as
// absent from there on (§20.10, §20.19). Too long is cut, too short refused (423).
func (r *Registrar) grant(param string, given bool, header string) (uint32, error) {
	asked := r.defaultExpires
	if given {
		if n, err := sip.ParseExpires(param); err == nil {
			asked = n
		}
	} else if n, err := sip.ParseExpires(header); err == nil {
		asked = n
	}
	if asked > 0 && asked < r.minExpires {
		return 0, r.errBrief
	}
	return min(asked, r.maxExpires), nil
}

// noExpires is what a Contact value without the parameter gets.
const noExpires = ";expires="

// cutContact cuts a Contact value, whose parameters are p, where the seconds of
// expires go, and takes pub-gruu and temp-gruu out: they are ours (RFC 5627 §5.1).
func cutContact(value, p string) (head, tail string) {
	base := value[:strings.LastIndex(value, p)]
	start, end := -1, 0 // of the seconds in p
	for i := 0; i < len(p); {
		stop := paramEnd(p, i)
		name := strings.Trim(p[i+1:stop], " \t")
		if eq := strings.IndexByte(name, '='); eq >= 0 {
			name = strings.TrimRight(name[:eq], " \t")
		}
		switch {
		case sip.EqualFold(name, "pub-gruu") || sip.EqualFold(name, "temp-gruu"):
			p = p[:i] + p[stop:]
			continue
		case sip.EqualFold(name, "expires"):
			start, end = secondsAt(p, i, stop)
		}
		i = stop
	}
	if start < 0 {
		return base + p + noExpires, ""
	}
	if p[start-1] != '=' && !strings.HasSuffix(strings.TrimRight(p[:start], " \t"), "=") {
		return base + p[:start] + "=", p[end:]
	}
	if len(base)+len(p) == len(value) { // the usual case: nothing was taken out
		return value[:len(base)+start], value[len(base)+end:]
	}
	return base + p[:start], p[end:]
}

// paramEnd is the index past the parameter that begins with the ';' at p[i].
func paramEnd(p string, i int) int {
	quoted := false
	for i++; i < len(p); i++ {
		switch {
		case p[i] == '\\' && quoted:
			i++
		case p[i] == '"':
			quoted = !quoted
		case p[i] == ';' && !quoted:
			return i
		}
	}
	return len(p)
}

// secondsAt is where the value of the parameter p[i:stop] stands, or goes when it has none.
func secondsAt(p string, i, stop int) (start, end int) {
	seg := p[i:stop]
	trimmed := len(strings.TrimRight(seg, " \t"))
	eq := strings.IndexByte(seg, '=')
	if eq < 0 {
		return i + trimmed, i + trimmed
	}
	blanks := len(seg[eq+1:trimmed]) - len(strings.TrimLeft(seg[eq+1:trimmed], " \t"))
	return i + eq + 1 + blanks, i + trimmed
}
