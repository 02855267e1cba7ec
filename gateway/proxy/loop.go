package proxy

import (
	"hash/maphash"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// loopHash covers all that decides where a request goes (RFC 5393 §4.2.1), not
// its method, so that a CANCEL and its INVITE agree. Whom it came from does not count: a
// user who is here is found before any upstream is asked, so a PBX that hands a call
// back with the same Request-URI has nobody to reach, and is to hear so in the first round. The same goes for
// one that hands it back with the Request-URI that it got, where that names the PBX itself (Hop.Host).
//
// The upper half is of the Request-URI that came, the lower of the one that leaves.
func (p *Proxy) loopHash(req *sip.Message) (loop uint64) {
	var h maphash.Hash
	h.SetSeed(p.seed)
	add := func(s string) { h.WriteString(s); h.WriteByte(0) }
	add(req.CallID())
	add(req.FromTag())
	add(req.ToTag())
	if req.Has(sip.Route) {
		for r := range req.Values(sip.Route) {
			if req.ToTag() != "" || p.routes(r) {
				add(r)
			}
		}
	}
	if req.Has(sip.ProxyRequire) {
		add(req.Value(sip.ProxyRequire))
	}
	n, _ := req.CSeq()
	loop = (h.Sum64() ^ p.numberHash(n) ^ maphash.String(p.seed, req.RequestURI())) >> 32
	return loop<<32 | loop
}

// leavingAs is the hash of a copy of req that has another Request-URI.
func (p *Proxy) leavingAs(loop uint64, req *sip.Message, uri string) uint64 {
	change := maphash.String(p.seed, req.RequestURI()) ^ maphash.String(p.seed, uri)
	return loop ^ change>>32
}

// leavingNumbered is the hash of a copy whose CSeq is left instead of n.
func (p *Proxy) leavingNumbered(loop uint64, n, left uint32) uint64 {
	if left == n {
		return loop
	}
	change := (p.numberHash(n) ^ p.numberHash(left)) >> 32
	return loop ^ (change<<32 | change)
}

func (p *Proxy) numberHash(n uint32) uint64 {
	b := [4]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
	return maphash.Bytes(p.seed, b[:])
}

// sameLoop reports whether a request with hash loop is one that came, or left, with hash via.
func sameLoop(via, loop uint64) bool { return via>>32 == loop>>32 || uint32(via) == uint32(loop) }

// routes reports whether a Route value of a request out of a dialog decides where it goes: what
// only names us as the outbound proxy is gone when the request comes back.
func (p *Proxy) routes(value string) bool {
	u, err := routeURI(value)
	return err != nil || len(u.User) == flow.TokenLen || !p.Identity.Own(u.Host, u.Port)
}

// looped reports whether we have forwarded the same request before (RFC 5393
// §4.2.2): one of its Via branches is ours and has the same hash. The hash is keyed, so
// the sent-by need not be compared.
func looped(req *sip.Message, loop uint64) bool {
	if _, l, ok := transaction.ParseBranch(req.TopVia().Branch); ok && sameLoop(l, loop) {
		return true
	}
	first := true
	for v := range req.Values(sip.Via) {
		if first { // the top one was looked at
			first = false
			continue
		}
		via, err := sip.ParseVia(v)
		if err != nil {
			continue
		}
		if _, l, ok := transaction.ParseBranch(via.Branch); ok && sameLoop(l, loop) {
			return true
		}
	}
	return false
}
