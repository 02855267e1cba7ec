package siptest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
)

// UA is a scripted user agent. What it is told to send has tags, CSeq, branch, Via and
// Contact filled in; all of them follow from its name and counters, so that each run sends the same.
// By itself it ACKs non-2xx responses, answers CANCEL with 200 and, if it has a
// password, answers the first challenge to a request; UAOptions.Manual turns this off.
type UA struct {
	Name string

	net  *Net
	opt  UAOptions
	user string // of the AOR
	host string

	notify func() // told of each Seen, under mu; nil: nobody

	mu       sync.Mutex
	conn     Wire
	addr     netip.AddrPort
	seen     []Seen
	dialogs  []*dialog // newest last
	use      int       // which of them requests are in, from 1; 0: the newest
	requests []received
	sent     []*draft // requests, newest last
	last     string   // text sent last
	count    int      // of branches
	tags     int
	regCSeq  uint32
}

// UAOptions says what a UA is.
type UAOptions struct {
	Transport sip.Transport
	AOR       string         // "user@domain"
	Addr      netip.AddrPort // zero: the next free one
	Password  string
	Instance  string // URN for +sip.instance, with reg-id RegID
	RegID     int    // 0: 1
	Contact   string // user part of the Contact; "": the AOR's
	Manual    bool
	Listen    bool // the gateway may dial Addr (TCP, TLS)
}

// Seen is what reached a UA: a message or, with Text "", a note ("closed: dead").
type Seen struct {
	At   time.Time
	UA   string
	Text string
	Note string
}

type received struct {
	m    *sip.Message
	conn Wire
	tag  string // our To tag
}

// Wire is what a UA needs of a connection: a Conn, or a real one.
type Wire interface {
	// Write sends one message.
	Write(text string)
	Closed() bool
	// Framing is how messages stand on it.
	Framing() sip.Framing
}

// NewUAOn is a user agent on a connection that is not of a Net; addr is the
// address it names in Via and Contact. Whoever reads the connection calls Receive.
// notify, unless nil, is called after each message and note, and must not call the UA.
func NewUAOn(name string, opt UAOptions, conn Wire, addr netip.AddrPort, notify func()) *UA {
	u := &UA{Name: name, opt: opt, addr: addr, conn: conn, notify: notify}
	u.user, u.host, _ = strings.Cut(opt.AOR, "@")
	return u
}

// Rewire makes conn the connection that the UA sends on.
func (u *UA) Rewire(conn Wire) { u.mu.Lock(); u.conn = conn; u.mu.Unlock() }

// Receive takes a message that arrived on conn, and does what a UA does unasked.
func (u *UA) Receive(conn Wire, text string) { u.receive(conn, Arrival{time.Now(), text}) }

// Note adds a remark to what reached the UA, such as the end of a connection.
func (u *UA) Note(s string) { u.note(s) }

// NewUA connects a user agent to the gateway.
func (n *Net) NewUA(name string, opt UAOptions) *UA {
	u := &UA{Name: name, net: n, opt: opt, addr: opt.Addr}
	u.user, u.host, _ = strings.Cut(opt.AOR, "@")
	if !u.addr.IsValid() {
		port := uint16(5060)
		if opt.Transport.WebSocket() {
			port = 40000
		}
		u.addr = n.NextAddr(port)
	}
	if opt.Listen {
		n.Listen(opt.Transport, u.addr, u.take)
	} else {
		u.take(n.Connect(opt.Transport, u.addr))
	}
	return u
}

// take makes c the connection that the UA sends on.
func (u *UA) take(c *Conn) {
	u.mu.Lock()
	u.conn = c
	u.mu.Unlock()
	c.Handle(func(a Arrival) { u.receive(c, a) }, func(why sip.CloseReason) { u.note("closed: " + string(why)) })
}

// Conn is the UA's connection in memory; nil for one of NewUAOn's.
func (u *UA) Conn() *Conn {
	u.mu.Lock()
	defer u.mu.Unlock()
	c, _ := u.conn.(*Conn)
	return c
}

// Reconnect opens a new connection from another port. What is in the UA stays: dialogs, counters.
func (u *UA) Reconnect() {
	u.mu.Lock()
	u.addr = netip.AddrPortFrom(u.addr.Addr(), u.addr.Port()+1)
	u.mu.Unlock()
	u.take(u.net.Connect(u.opt.Transport, u.addr))
}

// Seen returns what reached the UA since the last call.
func (u *UA) Seen() []Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.seen
	u.seen = nil
	return s
}

func (u *UA) note(s string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seeLocked(Seen{At: time.Now(), Note: s})
}

func (u *UA) seeLocked(s Seen) {
	s.UA = u.Name
	u.seen = append(u.seen, s)
	if u.notify != nil {
		u.notify()
	}
}

// receive notes a message and does what a UA does unasked.
func (u *UA) receive(c Wire, a Arrival) {
	u.mu.Lock()
	u.seeLocked(Seen{At: a.At, Text: a.Text})
	m, err := sip.Parse(a.Text, c.Framing())
	var out []string
	switch {
	case err != nil:
		u.seeLocked(Seen{At: a.At, Note: "cannot parse it: " + err.Error()})
	case m.IsRequest():
		out = u.requestLocked(m, c)
	default:
		out = u.responseLocked(m)
	}
	u.mu.Unlock()
	for _, text := range out {
		c.Write(text)
	}
}

func (u *UA) requestLocked(m *sip.Message, c Wire) (out []string) {
	switch m.Method() {
	case "ACK":
	case "CANCEL":
		if !u.opt.Manual {
			return []string{u.replyLocked(received{m, c, u.tagOfLocked(m)}, 200, "", nil)}
		}
		fallthrough
	default:
		if slices.ContainsFunc(u.requests, func(q received) bool { return sameTransaction(q.m, m) }) {
			return nil // retransmitted
		}
		u.requests = append(u.requests, received{m, c, u.tagOfLocked(m)})
	}
	return nil
}

// tagOfLocked is our To tag for m: the dialog's, that of the INVITE it cancels, or a new one.
func (u *UA) tagOfLocked(m *sip.Message) string {
	if m.ToTag() != "" {
		return m.ToTag()
	}
	for _, q := range u.requests {
		if m.Method() == "CANCEL" && q.m.TopVia().Branch == m.TopVia().Branch {
			return q.tag
		}
	}
	u.tags++
	return u.Name + "-" + strconv.Itoa(u.tags)
}

func (u *UA) responseLocked(m *sip.Message) (out []string) {
	n, method := m.CSeq()
	if method == "INVITE" || method == "SUBSCRIBE" {
		u.learnLocked(m)
	}
	q := u.sentLocked(m)
	if q == nil || u.opt.Manual {
		return nil
	}
	if method == "INVITE" && m.Status() >= 300 {
		out = append(out, ackTo(q, m).text())
	}
	if again := u.authorizeLocked(q, m, n+1); again != nil {
		out = append(out, again.text())
		u.last = again.text()
	}
	return out
}

// sentLocked is the request of ours that m answers.
func (u *UA) sentLocked(m *sip.Message) *draft {
	n, method := m.CSeq()
	cseq := fmt.Sprintf("%d %s", n, method)
	for _, q := range u.sent {
		if q.value("Call-ID") == m.CallID() && q.value("CSeq") == cseq {
			return q
		}
	}
	return nil
}

// ackTo is the ACK to a non-2xx (RFC 3261 §17.1.1.3).
func ackTo(q *draft, m *sip.Message) *draft {
	ack := &draft{start: "ACK" + strings.TrimPrefix(q.start, "INVITE")}
	for _, name := range []string{"Via", "Route", "Max-Forwards", "From", "Call-ID"} {
		for _, v := range q.all(name) {
			ack.headers = append(ack.headers, name+": "+v)
		}
	}
	n, _ := m.CSeq()
	ack.headers = append(ack.headers, "To: "+m.Value(sip.To), fmt.Sprintf("CSeq: %d ACK", n))
	return ack
}

// authorizeLocked is q again with credentials, once.
func (u *UA) authorizeLocked(q *draft, m *sip.Message, cseq uint32) *draft {
	if s := m.Status(); u.opt.Password == "" || s != 401 && s != 407 ||
		q.value("Authorization")+q.value("Proxy-Authorization") != "" {
		return nil
	}
	uri := strings.Fields(q.start)[1]
	h := authorization(m, u.user, u.opt.Password, q.method(), uri)
	if h == "" {
		return nil
	}
	again := q.clone()
	again.headers = append(again.headers, h)
	again.set(fmt.Sprintf("CSeq: %d %s", cseq, q.method()))
	again.set("Via: " + u.viaLocked())
	u.sent = append(u.sent, again)
	if d := u.dialogLocked(m.CallID()); d != nil {
		d.cseq = max(d.cseq, cseq)
		if q.method() == "INVITE" {
			d.invite, d.inviteCSeq = again, cseq
		}
	} else if q.method() == "REGISTER" {
		u.regCSeq = max(u.regCSeq, cseq)
	}
	return again
}

func (u *UA) dialogLocked(callID string) *dialog {
	for _, d := range slices.Backward(u.dialogs) {
		if d.callID == callID {
			return d
		}
	}
	return nil
}

func sameTransaction(a, b *sip.Message) bool {
	return a.Method() == b.Method() && a.TopVia().Branch == b.TopVia().Branch
}
