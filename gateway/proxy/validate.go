package proxy

import (
	"strconv"
	"strings"

	"github.com/ringway/ringway/sip"
)

// validate is §16.3; it returns the loop hash of the request. Syntax and
// scheme (steps 1 and 2) were checked by the parser, credentials by the gateway.
func (p *Proxy) validate(req *sip.Message) (loop uint64, err error) {
	if req.MaxForwards() <= 0 { // step 3
		return 0, sip.Refuse(483, "Too Many Hops")
	}
	loop = p.loopHash(req)
	if looped(req, loop) { // step 4
		return 0, sip.Refuse(482, "Loop Detected")
	}
	return loop, p.proxyRequire(req)
}

// proxyRequire is §16.3 step 5.
func (p *Proxy) proxyRequire(req *sip.Message) error {
	if !req.Has(sip.ProxyRequire) {
		return nil
	}
	var unknown []string
	for tag := range req.Values(sip.ProxyRequire) {
		if !p.supports(tag) {
			unknown = append(unknown, tag)
		}
	}
	if unknown == nil {
		return nil
	}
	e := sip.Refuse(420, "Bad Extension")
	e.Headers = []string{"Unsupported: " + strings.Join(unknown, ", ")}
	return e
}

func (p *Proxy) supports(tag string) bool {
	for _, o := range p.Options {
		if strings.EqualFold(o, tag) {
			return true
		}
	}
	return false
}

// maxBreadth is RFC 5393 §5.3.3: how many branches may run in parallel below this request.
func (p *Proxy) maxBreadth(req *sip.Message) (int, error) {
	if !req.Has(sip.MaxBreadth) {
		return p.MaxBreadth, nil
	}
	n, err := strconv.ParseUint(req.Value(sip.MaxBreadth), 10, 16)
	if err != nil {
		return 0, sip.Refuse(400, "Bad Request: Max-Breadth is no number")
	}
	if n == 0 {
		return 0, errBreadth
	}
	return int(min(n, uint64(p.MaxBreadth))), nil
}

var errBreadth = sip.Refuse(440, "Max-Breadth Exceeded")
