package registrar

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// registration is one REGISTER being processed; its strings are parts of the message.
type registration struct {
	registrar *Registrar
	aor       string
	from      *flow.Flow
	now       time.Time
	callID    string
	cseq      uint32
	userAgent string
	secure    bool // the To URI is SIPS

	contacts []contact
	all      bool     // Contact: *
	paths    []string // the Path values it carried
	supports options
	outbound bool // RFC 5626 processing applied to a contact

	list    []Binding // what the AOR has now
	changes []change

	// Room for the usual REGISTER: one contact, one change.
	contactRoom [1]contact
	changeRoom  [1]change

	*workspace
}

// maxPooled keeps the room for rare long answers from staying.
const maxPooled = 16 << 10

// workspace is what a registration leaves to the next.
type workspace struct {
	path   []byte // our own Path value
	text   []byte
	sealed [gruuRoom]byte
	// update is apply of this registration, made once.
	update func([]Binding) ([]Binding, error)
}

// registrations are used again: stores and seals make them escape.
var registrations = sync.Pool{New: func() any {
	g := &registration{workspace: new(workspace)}
	g.update = g.apply
	return g
}}

func (r *Registrar) newRegistration(from *flow.Flow, aor string) *registration {
	g := registrations.Get().(*registration)
	g.registrar, g.aor, g.from, g.now = r, aor, from, time.Now()
	g.contacts, g.changes = g.contactRoom[:0], g.changeRoom[:0]
	return g
}

func (g *registration) free() {
	*g = registration{workspace: g.workspace} // let go of the message
	if cap(g.text) > maxPooled {
		g.text = nil
	}
	registrations.Put(g)
}

var (
	errOrder    = sip.Refuse(500, "CSeq Out of Order")
	errFull     = sip.Refuse(403, "Too Many Contacts for This Address")
	errForeign  = sip.Refuse(403, "Contact Is Bound by Another User")
	errPath     = sip.Refuse(400, "Bad Path")
	errPathLong = sip.Refuse(400, "More Than 16 Path Values")
)

// Register processes an authenticated REGISTER for aor ("user@domain", the
// canonical To URI, whose domain is ours) that came over from (RFC 3261 §10.3
// steps 2 and 6 to 8; the others are the caller's). The error is a
// *sip.StatusError: 400, 403, 420, 423, 439, 500 or 503; nothing was changed then.
func (r *Registrar) Register(ctx context.Context, req *sip.Message, from *flow.Flow, aor string) (*sip.Reply, error) {
	g := r.newRegistration(from, aor)
	defer g.free()
	if err := r.read(g, req); err != nil {
		return nil, err
	}
	if !g.all && len(g.contacts) == 0 { // a fetch
		var err error
		if g.list, err = r.store.Get(ctx, aor); err != nil {
			return nil, storeError(err)
		}
		return r.reply(g), nil
	}
	if err := r.prepare(g); err != nil {
		return nil, err
	}
	if err := r.commit(ctx, g); err != nil {
		return nil, storeError(err)
	}
	r.announce(g)
	return r.reply(g), nil
}

// read takes from the message all that matters and refuses what is wrong in it.
func (r *Registrar) read(g *registration, req *sip.Message) error {
	if err := readOptions(g, req); err != nil {
		return err
	}
	g.callID = req.CallID()
	g.cseq, _ = req.CSeq()
	g.userAgent = req.Value(sip.UserAgent)
	if err := r.contacts(g, req); err != nil {
		return err
	}
	if err := readPath(g, req); err != nil {
		return err
	}
	if g.supports&gruuOption != 0 {
		if to, err := sip.ParseNameAddr(req.Value(sip.To)); err == nil {
			g.secure = len(to.URI) > 4 && sip.EqualFold(to.URI[:5], "sips:")
		}
	}
	return useOutbound(g, req)
}

// prepare makes the flow, the name and the way of each contact to be bound.
func (r *Registrar) prepare(g *registration) error {
	binds := false
	for i := range g.contacts {
		binds = binds || g.contacts[i].seconds > 0
	}
	if !binds {
		return nil
	}
	f := r.flows.Adopt(g.from)
	if f == nil {
		return busy(errors.New("no room for another UDP peer"))
	}
	g.from = f
	for i := range g.contacts {
		if c := &g.contacts[i]; c.seconds > 0 {
			if c.known == nil || c.known.regID != c.regID {
				c.name = r.edge.NameOf(g.aor, c.instance, c.regID, c.text)
			}
			c.bind = Binding{Name: c.name, Flow: f.ID, Q: c.q, RegID: c.regID, CSeq: g.cseq,
				Received: f.Info().Remote, Transport: f.Info().Transport,
				Updated: g.now, Created: g.now, Expires: g.now.Add(time.Duration(c.seconds) * time.Second)}
		}
	}
	return nil
}

// commit applies g to store and index, or to neither.
func (r *Registrar) commit(ctx context.Context, g *registration) error {
	s := r.index.stripe(g.aor)
	s.Lock()
	defer s.Unlock()
	claimed, err := r.claim(g)
	if err == nil {
		err = r.store.Update(ctx, g.aor, g.update)
	}
	if err != nil {
		for i := range claimed {
			r.index.drop(&claimed[i])
		}
		return err
	}
	r.known(g.changes)
	r.index.set(s, g.aor, g.list, g.from)
	for i := range claimed { // replaced by another value of the same REGISTER
		if !binds(g.list, claimed[i].contact) {
			r.index.drop(&claimed[i])
		}
	}
	return nil
}

// apply is what the store is to do; it may be called again.
func (g *registration) apply(have []Binding) (list []Binding, err error) {
	g.list, err = g.registrar.merge(g, have)
	return g.list, err
}

func binds(list []Binding, contact string) bool {
	for i := range list {
		if list[i].Contact == contact {
			return true
		}
	}
	return false
}

// claim enters the new Contacts into the index, so that of two AORs that want
// the same at once one is refused.
func (r *Registrar) claim(g *registration) (claimed []owner, err error) {
	for i := range g.contacts {
		c := &g.contacts[i]
		if c.seconds == 0 {
			continue
		}
		o := owner{aor: g.aor, contact: c.text, key: c.key, flow: c.bind.Flow, name: c.bind.Name, remote: c.bind.Received}
		if added, ok := r.index.claim(o, c, g.from); !ok {
			return claimed, errForeign
		} else if added {
			claimed = append(claimed, o)
		}
	}
	return claimed, nil
}

// announce binds names to the flow, lets go of those of bindings that are no
// more, and tells of the changes; no lock is held.
func (r *Registrar) announce(g *registration) {
	for i := range g.changes {
		if c := &g.changes[i]; !c.Gone() {
			r.deadlines.expires(c.Binding.AOR, c.Binding.Expires)
			r.nameFlow(g.from, &c.Binding)
		}
	}
	if len(g.contacts) > 0 && !g.from.Live() { // it ended meanwhile: nobody else will tell
		r.FlowClosed(g.from, sip.CloseLost)
	}
	r.tell(g.changes, g.list)
}

// storeError makes the answer of what a store or merge returned.
func storeError(err error) error {
	var status *sip.StatusError
	if errors.As(err, &status) {
		return status
	}
	if errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return busy(err)
	}
	return &sip.StatusError{Code: 500, Reason: "Server Internal Error", Err: err}
}

// busy is 503; the clients come back spread over time.
func busy(err error) error {
	after := strconv.Itoa(5 + rand.IntN(26))
	return &sip.StatusError{Code: 503, Reason: "Service Unavailable", Headers: []string{"Retry-After: " + after}, Err: err}
}
