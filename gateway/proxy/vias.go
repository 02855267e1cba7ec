package proxy

import (
	"hash/maphash"
	"strings"

	"github.com/ringway/ringway/sip"
)

// What stands below our Via in a response is the request's (§16.7 step 3, §8.2.6.2): whoever is
// above us drops what has more, fewer or other Vias than it sent (§8.1.3.3). A peer that made something else of
// them is set right; its own order of parameters and lines passes as it came.

// viasOf says what of the Vias of m but the first skip matters to those who sent them: each one's transport,
// sent-by and branch. 0 for none.
func (p *Proxy) viasOf(m *sip.Message, skip int) uint64 {
	var h maphash.Hash
	h.SetSeed(p.seed)
	n := 0
	for v := range m.Values(sip.Via) {
		if n++; n <= skip {
			continue
		}
		if n == 1 {
			addVia(&h, m.TopVia())
			continue
		}
		via, err := sip.ParseVia(v)
		if err != nil {
			h.WriteString(v) // as it came, then
			continue
		}
		addVia(&h, &via)
	}
	if n <= skip {
		return 0
	}
	return h.Sum64() | 1
}

func addVia(h *maphash.Hash, v *sip.ViaValue) {
	h.WriteString(v.Branch)
	h.WriteByte(0)
	for i := range len(v.Host) {
		h.WriteByte(v.Host[i] | 0x20)
	}
	h.WriteByte(byte(v.Port))
	h.WriteByte(byte(v.Port >> 8))
	for i := range len(v.Transport) {
		h.WriteByte(v.Transport[i] | 0x20)
	}
}

// returnVias gives the response being made of m the Vias of the request when what it has are others; false
// when that request is gone, and with it the way to set them right.
func (rc *responseContext) returnVias(m *sip.Message, out *sip.Splice) bool {
	if rc.p.viasOf(m, 1) == rc.vias {
		return true
	}
	if rc.ownVias == "" && rc.req == nil {
		rc.p.Counters.drop(DropForeignVia)
		return false
	}
	if rc.ownVias == "" {
		rc.ownVias = viasOf(rc.req, rc.from.Info())
	}
	rc.p.Counters.ViasMended.Add(1)
	out.RemoveAll(sip.Via)
	out.PushVia(rc.ownVias)
	return true
}

// viasOf is one Via value of all that req came with, the top one stamped (RFC 3581 §4).
func viasOf(req *sip.Message, from *sip.ConnInfo) string {
	r := sip.Reply{Status: 100, Source: from.Remote}
	m, err := sip.Parse(string(req.AppendReply(nil, &r)), sip.Frame)
	if err != nil {
		m = req
	}
	var all []string
	for v := range m.Values(sip.Via) {
		all = append(all, v)
	}
	return strings.Join(all, ", ")
}
