package transaction

import (
	"hash/maphash"
	"strconv"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// key finds a server transaction (RFC 3261 §17.2.3). It holds hashes under seeds
// of the process, so it keeps no message text alive and nobody can make two collide.
type key struct {
	a, b uint64
	flow flow.ID // the connection on WebSocket, where a sent-by names nobody; else 0
}

// keyer makes keys.
type keyer struct{ a, b maphash.Seed }

func newKeyer() keyer { return keyer{maphash.MakeSeed(), maphash.MakeSeed()} }

// of is the key of the transaction that request m belongs to: ACK and CANCEL that of their INVITE.
func (k keyer) of(m *sip.Message, via *sip.ViaValue, from *flow.Flow) key {
	var buf [512]byte
	text := appendIdentity(buf[:0], m, via)
	id := key{a: maphash.Bytes(k.a, text), b: maphash.Bytes(k.b, text)}
	if from.Info().Transport.WebSocket() {
		id.flow = from.ID
	}
	return id
}

// appendIdentity writes what §17.2.3 compares, parts set off by octets that no message holds.
func appendIdentity(dst []byte, m *sip.Message, via *sip.ViaValue) []byte {
	method := m.Method()
	if method == "ACK" || method == "CANCEL" {
		method = "INVITE"
	}
	dst = append(append(dst, method...), 0)
	if hasCookie(via.Branch) {
		dst = append(append(dst, via.Branch...), 0)
		return appendSentBy(dst, via)
	}
	return appendOldIdentity(dst, m, via, method)
}

// appendOldIdentity is for RFC 2543 clients: Request-URI, tags, Call-ID, CSeq and top
// Via. The To tag of an ACK is the response's, so INVITE's class goes without it.
func appendOldIdentity(dst []byte, m *sip.Message, via *sip.ViaValue, method string) []byte {
	n, _ := m.CSeq()
	for _, part := range [...]string{m.RequestURI(), m.FromTag(), m.CallID(), via.Branch, string(via.Params)} {
		dst = append(append(dst, part...), 0)
	}
	if method != "INVITE" {
		dst = append(append(dst, m.ToTag()...), 0)
	}
	return appendSentBy(strconv.AppendUint(dst, uint64(n), 10), via)
}

func appendSentBy(dst []byte, via *sip.ViaValue) []byte {
	for i := range len(via.Host) {
		dst = append(dst, sip.Lower(via.Host[i]))
	}
	return strconv.AppendUint(append(dst, 0), uint64(via.Port), 10)
}

// tag is the To tag of all answers that we make ourselves to the requests of one
// key. It follows from the key, so a stateless answer has the same one again
// (RFC 3261 §8.2.7), a CANCEL's that of its INVITE (§9.2), and an ACK shows that
// it is for an answer of ours.
func (k key) tag() string {
	var buf [16]byte
	return string(appendHex(buf[:0], k.a^k.b<<32^k.b>>32))
}
