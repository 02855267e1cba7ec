package registrar

import (
	"strings"

	"github.com/ringway/ringway/sip"
)

// options are option tags that matter here.
type options uint8

const (
	pathOption options = 1 << iota
	outboundOption
	gruuOption
)

const supportedLine = "Supported: path, outbound, gruu"

func option(tag string) options {
	switch {
	case sip.EqualFold(tag, "path"):
		return pathOption
	case sip.EqualFold(tag, "outbound"):
		return outboundOption
	case sip.EqualFold(tag, "gruu"):
		return gruuOption
	}
	return 0
}

// readOptions reads Supported and refuses a Require of what is not spoken here,
// naming all of it (RFC 3261 §8.2.2.3). To require an extension is to support it.
func readOptions(g *registration, req *sip.Message) error {
	for tag := range req.Values(sip.Supported) {
		g.supports |= option(tag)
	}
	var unknown []string
	for tag := range req.Values(sip.Require) {
		if o := option(tag); o != 0 {
			g.supports |= o
		} else {
			unknown = append(unknown, tag)
		}
	}
	if unknown != nil {
		return &sip.StatusError{Code: 420, Reason: "Bad Extension",
			Headers: []string{"Unsupported: " + strings.Join(unknown, ", ")}}
	}
	return nil
}

// readPath takes the Path values (RFC 3327 §5.3). They are kept whether or not
// the client lists "path": the proxies on the way need them.
func readPath(g *registration, req *sip.Message) error {
	if !req.Has(sip.Path) {
		return nil
	}
	for value := range req.Values(sip.Path) {
		if len(g.paths) == maxPaths {
			return errPathLong
		}
		if _, err := pathURI(value); err != nil {
			return because(errPath, err)
		}
		g.paths = append(g.paths, value)
	}
	return nil
}

func pathURI(value string) (sip.URI, error) {
	addr, err := sip.ParseNameAddr(value)
	if err != nil {
		return sip.URI{}, err
	}
	u, err := sip.ParseURI(addr.URI)
	if err == nil && !u.IsSIP() {
		err = errContactScheme
	}
	return u, err
}

// useOutbound decides whether reg-ids count (RFC 5626 §6): the client lists
// "outbound", and the first hop, which is us or the first to add a Path, can do it.
func useOutbound(g *registration, req *sip.Message) error {
	asked, binds, bound := false, false, 0
	for i := range g.contacts {
		c := &g.contacts[i]
		if g.supports&outboundOption == 0 {
			c.regID = 0
		}
		asked = asked || c.regID > 0
		if c.seconds > 0 {
			bound++
			binds = binds || c.regID > 0
		}
	}
	switch {
	case !asked:
		return nil
	case binds && bound > 1:
		return sip.Refuse(400, "reg-id Needs a REGISTER of Its Own")
	case !firstHopOutbound(g, req):
		return sip.Refuse(439, "First Hop Lacks Outbound Support")
	}
	g.outbound = binds
	return nil
}

func firstHopOutbound(g *registration, req *sip.Message) bool {
	vias := 0
	for range req.Values(sip.Via) {
		if vias++; vias > 1 {
			break
		}
	}
	if vias == 1 {
		return true
	}
	if len(g.paths) == 0 {
		return false
	}
	u, err := pathURI(g.paths[len(g.paths)-1]) // each proxy puts its own on top
	_, ob := u.Param("ob")
	return err == nil && ob
}
