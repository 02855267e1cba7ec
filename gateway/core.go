package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/policy"
	"github.com/ringway/ringway/gateway/proxy"
	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// stage is one step of admission. It answers with nil or a *sip.StatusError and writes nothing.
type stage interface {
	Admit(req *sip.Message, from *flow.Flow) error
}

// core is the transaction user: it admits a request and hands it to the registrar,
// to itself (OPTIONS) or to the proxy.
type core struct {
	own       *own
	stages    []stage // in the order of wirePolicy
	flood     *policy.Flood
	prove     func(req *sip.Message, from *flow.Flow) error
	registrar *registrar.Registrar
	relayed   *relayed
	router    *router
	proxy     *proxy.Proxy
	log       zerolog.Logger
}

// Request is called by the transaction table for each new request.
func (c *core) Request(tx *transaction.Server) {
	if err := c.serve(tx, tx.Request(), tx.Flow()); err != nil {
		c.refuse(tx, sip.AsStatus(err))
	}
}

// Ack is called for an ACK to a 2xx.
func (c *core) Ack(m *sip.Message, from *flow.Flow) { c.proxy.Ack(m, from) }

func (c *core) serve(tx *transaction.Server, req *sip.Message, from *flow.Flow) error {
	method := req.Method()
	if req.ToTag() != "" && method != "REGISTER" {
		if !c.flood.Stray(from) {
			return policy.ErrFlood
		}
		c.proxy.Request(tx) // in a dialog: the flow tokens decide who may
		return nil
	}
	for _, s := range c.stages {
		if err := s.Admit(req, from); err != nil {
			return err
		}
	}
	switch method {
	case "REGISTER":
		return c.register(tx, req, from)
	case "OPTIONS":
		if answered, err := c.options(tx, req); answered || err != nil {
			return err
		}
	}
	c.proxy.Request(tx)
	return nil
}

// register is RFC 3261 §10.3 for a user who has proved to be the AOR in To.
func (c *core) register(tx *transaction.Server, req *sip.Message, from *flow.Flow) error {
	to, err := sip.ParseNameAddr(req.Value(sip.To))
	if err != nil {
		return sip.Refuse(400, "Bad Request: To is no address")
	}
	u, err := sip.ParseURI(to.URI)
	if err != nil {
		return sip.Refuse(400, "Bad Request: To is no SIP URI")
	}
	domain, ok := c.own.Domain(u.Host, u.Port)
	if !ok || u.User == "" {
		return errForeign
	}
	u.Host = domain
	var room [128]byte
	text := u.AppendAOR(room[:0])
	aor := from.Proved(text) // for nearly all, as they are here
	if aor == "" {
		aor = string(text)
	}
	if c.relayed.KeepsUser(aor) {
		c.proxy.Request(tx)
		return nil
	}
	reply, err := c.registrar.Register(context.Background(), req, from, aor)
	if err != nil {
		return err
	}
	tx.Reply(reply)
	return nil
}

// authenticate is proxy.Config.Authenticate.
func (c *core) authenticate(req *sip.Message, from *flow.Flow) error {
	err := c.prove(req, from)
	if err == error(policy.ErrNoPassword) {
		return proxy.ErrUnregistered
	}
	return err
}

// methods are what this server's own answers list; it passes any on.
const methods = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, INFO, UPDATE, PRACK, REFER, SUBSCRIBE, NOTIFY, PUBLISH"

// options answers for the server itself and for its users: whether a user can be
// reached is known here, and a PBX's qualify must not depend on a sleeping tab.
func (c *core) options(tx *transaction.Server, req *sip.Message) (answered bool, err error) {
	u, err := sip.ParseURI(req.RequestURI())
	if err != nil {
		return false, errBadURI
	}
	if by, err := c.qualify(tx, req, &u); by || err != nil {
		return by, err
	}
	if !c.own.Own(u.Host, u.Port) {
		return false, nil
	}
	if u.User == "" {
		if req.Has(sip.Require) {
			return false, unsupported(req)
		}
	} else {
		if req.Has(sip.Require) {
			return false, nil // the user agent has to say whether it can
		}
		if err := c.proxy.Validate(req); err != nil {
			return false, err
		}
		targets, err := c.router.Targets(req, tx.Flow())
		if err != nil {
			return false, err
		}
		if len(targets[0].Hops) > 0 {
			return false, nil // somebody else's user
		}
		if !c.proxy.Reachable(targets) {
			return false, errAway
		}
	}
	c.alive(tx)
	return true, nil
}

// alive answers OPTIONS.
func (c *core) alive(tx *transaction.Server) {
	tx.Reply(&sip.Reply{Status: 200, Headers: []string{methods, "Accept: application/sdp", "Supported: path, outbound, gruu"}})
}

// unsupported is RFC 3261 §8.2.2.3: the server itself needs no extension to be asked.
func unsupported(req *sip.Message) error {
	return &sip.StatusError{Code: 420, Reason: "Bad Extension",
		Headers: []string{"Unsupported: " + strings.Join(slices.Collect(req.Values(sip.Require)), ", ")}}
}

func (c *core) refuse(tx *transaction.Server, err *sip.StatusError) {
	if c.log.GetLevel() <= zerolog.DebugLevel {
		c.log.Debug().Str("method", tx.Method()).Int("status", err.Code).Str("reason", err.Reason).AnErr("cause", err.Err).
			Uint64("flow", uint64(tx.Flow().ID)).Msg("refused")
	}
	if err.Code == 500 && err.Err != nil {
		c.log.Error().Err(err.Err).Str("method", tx.Method()).Msg("request failed")
	}
	tx.Refuse(err)
}
