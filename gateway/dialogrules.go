package gateway

import (
	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// What rules have to do with requests within a dialog: nothing, where it is known. A request that is for nobody whom we know
// to be in a dialog is asked about, and keeps to what the rules say of one without a To tag.

var errNotThere = sip.Refuse(403, "Forbidden: Request-URI is of no dialog that is known, and the routes lead elsewhere")

// again is proxy.Config.Again: what a rule hid when the dialog began stays hidden. A user who invents a mark gets the lines of
// another rule that leads to the same upstream.
func (r *router) again(upstream string, mark uint32, ack bool) func(*sip.Message, *sip.Splice) error {
	rule := r.rules.Marked(mark)
	if rule == nil || rule.To != upstream {
		return nil
	}
	return func(req *sip.Message, out *sip.Splice) error {
		c := rule.Within(&route.Request{From: req.Value(sip.From), Privacy: route.HeaderOf(req, "Privacy")}, ack)
		c.Apply(req, out)
		return nil
	}
}

// barred is proxy.Config.Barred. Who the sender is has been proved by the connection, not by From.
func (r *router) barred(req *sip.Message, uri string, from *flow.Flow, upstream string) error {
	u, err := sip.ParseURI(uri)
	if err != nil {
		return errBadURI
	}
	if route.UserOf(&u) == "" {
		return nil // a server: nobody is called
	}
	domain, ours := r.own.Domain(u.Host, u.Port)
	if !ours {
		domain = r.own.first
	}
	callers := append(from.AORs(), "") // "": as From says
	for _, aor := range callers {
		asked, kept := domain, aor != "" && r.relayed.KeepsUser(aor)
		if kept {
			asked = domainOf(aor)
		}
		rule := r.decideFor(req, &u, asked, aor, from)
		switch {
		case rule != nil && rule.Refusal != nil:
			return rule.Refusal
		case kept && r.relayed.Registrar(asked) == upstream: // whatever is not refused goes there
			return nil
		case rule != nil && rule.To != upstream, rule == nil && ours && from.Upstream() == "":
			return errNotThere
		}
	}
	return nil
}
