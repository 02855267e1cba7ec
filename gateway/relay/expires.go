package relay

import (
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
)

// maxFloor bounds the Min-Expires that a registrar may make us respect.
const maxFloor = 24 * 3600

// floors are the seconds below which registrars have answered 423, by upstream. The map never changes.
type floors map[string]*atomic.Uint32

// raise notes the Min-Expires of a 423 (RFC 3261 §10.3): the user agent is about to ask for that.
func (f floors) raise(upstream string, m *sip.Message) {
	n, err := sip.ParseExpires(m.Named("Min-Expires"))
	if at := f[upstream]; err == nil && n <= maxFloor && n > at.Load() {
		at.Store(n)
	}
}

// limit is for how many seconds a REGISTER may ask.
func (x *Registration) limit() uint32 {
	return max(uint32(x.relay.MaxExpires/time.Second), x.relay.floors[x.up.Name].Load())
}

// shorten has a REGISTER ask for no longer than we want: who is gone without a word is known to the registrar for so
// long, and in the way of who comes back under another Contact. It gives the Contact value as it is to be.
func (x *Registration) shorten(contact string, out *sip.Splice) string {
	n := x.limit()
	if x.asked <= n {
		return contact
	}
	header := false
	for _, f := range x.req.Fields() {
		if f.Header == sip.Expires {
			header = true
			if v, err := sip.ParseExpires(x.req.FieldValue(f)); err != nil || v > n {
				out.Replace(f, decimal(n))
			}
		}
	}
	if _, param := x.addr.Params.Value("expires"); param || !header {
		return withExpires(contact, x.addr.Params, n)
	}
	return contact
}
