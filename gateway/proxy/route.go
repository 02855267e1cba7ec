package proxy

import (
	"cmp"
	"strings"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// route is what §16.4 makes of a request: which of its Routes are ours and what
// their tokens say.
type route struct {
	pops   int    // Route values of ours at the top
	strict string // Request-URI put back from the last Route, "" if the sender routes loosely
	next   string // URI of the first Route that remains, "" for none

	// A pair of tokens makes a request in-dialog: src is its sender's, dst the other side's.
	pair     bool
	src, dst flow.Token
	texts    [2]string // of src and dst
	bare     bool      // in a dialog without tokens: dst was found by the Request-URI (Agents)
	// A single token is a Path of ours that somebody else's registrar kept.
	path     bool
	beside   bool   // of an ACK: it goes to another port of a hop's host
	shift    uint32 // what dst's side has got added to CSeqs, as far as the Route says (login.go)
	mark     uint32 // Target.Mark of what began the dialog, if the sender began it (rewrite.go)
	dstName  string // upstream that dst stands for, "" for a user agent
	upstream string // upstream the request came from
}

var (
	errBadToken  = sip.Refuse(403, "Forbidden: Route is not from this gateway, of another call, or too old")
	errHalfToken = sip.Refuse(403, "Forbidden: Route is no Path of this gateway, or one Record-Route of two is missing")
	errForeign   = sip.Refuse(403, "Forbidden: Route leads elsewhere")
	errNoToken   = sip.Refuse(403, "Forbidden: request within a dialog without this gateway's Route")
	errPreloaded = sip.Refuse(403, "Forbidden: Route of a call in a request that begins another") // would pass by the dial rules
	errStranger  = sip.Refuse(403, "Forbidden: not a party of this dialog")
	errBadRoute  = sip.Refuse(400, "Bad Request: Route is no SIP URI")
	errBadURI    = sip.Refuse(400, "Bad Request: Request-URI is no SIP URI")
)

// preprocess is §16.4, and decides whether the sender may use the tokens it shows. An maddr
// in the Request-URI is neither honoured nor stripped: no address of a client's picks where we send.
func (p *Proxy) preprocess(req *sip.Message, from *flow.Flow) (route, error) {
	r, err := p.readRoutes(req)
	if err != nil {
		return r, err
	}
	r.upstream = from.Upstream()
	inDialog := req.ToTag() != "" && req.Method() != "REGISTER" // RFC 3261 §10.2: that never is
	switch {
	case r.pair && !inDialog:
		return r, errPreloaded
	case r.pair:
		return r, p.admitParty(req, from, &r)
	case inDialog && req.Method() != "CANCEL":
		return r, p.bare(req, from, &r)
	case r.next != "" && !p.preloaded(req, from, &r):
		return r, errForeign
	case r.path && r.upstream == "":
		r.path = false // a client may name its own Path; it does not route by it
	}
	return r, nil
}

// readRoutes collects our Route entries from the top, and the Request-URI before
// them where a strict router put one of ours there (§16.4).
func (p *Proxy) readRoutes(req *sip.Message) (r route, err error) {
	var tokens [2]string
	var added, marks [2]uint32
	n, last, values := 0, "", 0
	if t := p.strictToken(req); t != "" {
		tokens[0], n = t, 1
	}
	strict := n == 1
	if req.Has(sip.Route) {
		for v := range req.Values(sip.Route) {
			values++
			u, err := routeURI(v)
			if err != nil {
				return r, errBadRoute
			}
			last = v
			if r.next != "" {
				continue
			}
			if n == 2 || !p.Identity.Own(u.Host, u.Port) {
				r.next = v
				continue
			}
			r.pops++
			if len(u.User) == flow.TokenLen {
				tokens[n], added[n], marks[n] = u.User, shiftOf(&u), markOf(&u)
				n++
			}
		}
	}
	if strict {
		if values == 0 || r.pops == values {
			return r, errBadRoute // nothing left to be the Request-URI
		}
		if r.strict, err = addrOf(last); err != nil {
			return r, errBadRoute
		}
		if values == r.pops+1 {
			r.next = ""
		}
	}
	r.shift, r.mark = added[1], marks[1]
	return r, p.readTokens(&r, tokens[:n], req.CallID())
}

// shiftOf reads shiftParam; nobody is challenged that often that it has more digits.
func shiftOf(u *sip.URI) (n uint32) {
	v, _ := u.Params.Value(shiftParam)
	if len(v) > 2 {
		return 0
	}
	for _, c := range []byte(v) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + uint32(c-'0')
	}
	return n
}

func (p *Proxy) readTokens(r *route, tokens []string, callID string) error {
	switch len(tokens) {
	case 1:
		t, ok := p.Keys.Verify(tokens[0])
		if !ok {
			return errHalfToken
		}
		r.path, r.dst = true, t
	case 2:
		a, b, ok := p.Keys.VerifyPair(tokens[0], tokens[1], callID)
		if !ok {
			return errBadToken
		}
		r.pair, r.src, r.dst = true, a, b
		r.texts = [2]string{tokens[0], tokens[1]}
		r.dstName = p.Identity.Upstream(b.Name)
	}
	return nil
}

// strictToken is the token of a Request-URI that is one of our Record-Routes, "" otherwise.
func (p *Proxy) strictToken(req *sip.Message) string {
	uri := req.RequestURI()
	if len(uri) < flow.TokenLen+len("sip:@h") || !req.Has(sip.Route) {
		return ""
	}
	u, err := sip.ParseURI(uri)
	if err != nil || len(u.User) != flow.TokenLen || !p.Identity.Own(u.Host, u.Port) {
		return ""
	}
	if _, lr := u.Params.Value("lr"); !lr {
		return "" // not a URI that we put into a Record-Route
	}
	return u.User
}

func routeURI(value string) (sip.URI, error) {
	addr, err := addrOf(value)
	if err != nil {
		return sip.URI{}, err
	}
	return sip.ParseURI(addr)
}

// addrOf is the URI of a Route value.
func addrOf(value string) (string, error) {
	if i := strings.IndexByte(value, '<'); i >= 0 && (i == 0 || !strings.Contains(value[:i], "\"")) {
		if j := strings.IndexByte(value[i:], '>'); j > 0 {
			return value[i+1 : i+j], nil
		}
	}
	a, err := sip.ParseNameAddr(value)
	return a.URI, err
}

// admitParty lets an in-dialog request pass that comes from the side its first
// token names. A flow that has proved nothing yet may be the user agent on a new connection:
// it is asked to authenticate.
func (p *Proxy) admitParty(req *sip.Message, from *flow.Flow, r *route) error {
	if p.isParty(r.src, from) {
		return nil
	}
	if from.Proven() || req.Method() == "ACK" || req.Method() == "CANCEL" {
		return errStranger
	}
	if err := p.Authenticate(req, from); err != nil {
		return err
	}
	if !p.isParty(r.src, from) {
		return errStranger
	}
	return nil
}

// isParty: the token's own flow, one that took it over, speaks for its name or has
// authenticated for its AOR, or any address of its upstream.
func (p *Proxy) isParty(t flow.Token, from *flow.Flow) bool {
	if t.Flow != 0 && t.Flow == from.ID || from.SpeaksFor(t.Name) {
		return true
	}
	if up := from.Upstream(); up != "" {
		return p.upstreamName(up) == t.Name
	}
	if f := p.Flows.ByID(t.Flow); f != nil && f.SameAgent(from) {
		return true
	}
	if t.Name == (flow.Name{}) {
		return false
	}
	for _, aor := range from.AORs() {
		if p.Keys.NameOf(aor, "", 0, "") == t.Name {
			return true
		}
	}
	return p.sameUser(t.Name, from)
}

// nameOf is the name that stands for from in the Caller's token: of several that of the user
// who sends req, for the others have no part in the dialog.
func (p *Proxy) nameOf(req *sip.Message, from *flow.Flow) flow.Name {
	if up := from.Upstream(); up != "" {
		return p.upstreamName(up)
	}
	names, aors := from.Names(), from.AORs()
	aor := ""
	if len(aors) > 0 {
		aor = aors[0]
	}
	if len(aors) > 1 && p.Caller != nil {
		aor = cmp.Or(p.Caller(req, from), aor)
	}
	if len(names) > 0 && len(aors) > 1 && p.Bound != nil {
		names = p.Bound(aor, from)
	}
	if len(names) > 0 {
		return names[0]
	}
	if aor != "" {
		return p.Keys.NameOf(aor, "", 0, "")
	}
	return flow.Name{}
}

// liveFlow is the flow a token names: itself or the newest of the same user
// agent, by id, then by name; nil while there is none.
func (p *Proxy) liveFlow(id flow.ID, name flow.Name) *flow.Flow {
	if id != 0 {
		if f := p.Flows.ByID(id); f != nil {
			if c := f.Current(); c.Live() {
				return c
			}
			if f.Live() {
				return f
			}
		}
	}
	if name == (flow.Name{}) {
		return nil
	}
	return p.Flows.ByName(name)
}
