package siptest_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

// relay is the least gateway that calls pass through: it sends a request to the flow on
// which the user it names was last heard, challenges nobody, and forks nothing.
type relay struct {
	*transaction.Table
	mu    sync.Mutex
	users map[string]*flow.Flow
}

// Receive learns who is where from what they send.
func (r *relay) Receive(m *sip.Message, from *flow.Flow) {
	if m.IsRequest() {
		r.mu.Lock()
		r.users[user(m.Value(sip.From))] = from
		r.mu.Unlock()
	}
	r.Table.Receive(m, from)
}

func user(s string) string {
	_, s, _ = strings.Cut(s, "sip:")
	s, _, _ = strings.Cut(s, "@")
	return s
}

func (r *relay) target(m *sip.Message) *flow.Flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.users[user(m.RequestURI())]
}

func (r *relay) Request(tx *transaction.Server) {
	m := tx.Request()
	to := r.target(m)
	switch {
	case m.Method() == "REGISTER":
		if !m.Has(sip.Authorization) {
			tx.Refuse(&sip.StatusError{Code: 401, Reason: "Unauthorized", Headers: []string{
				`WWW-Authenticate: Digest realm="example.com", nonce="1", algorithm=MD5, qop="auth"`}})
			return
		}
		tx.Reply(&sip.Reply{Status: 200, Headers: []string{"Contact: " + m.Value(sip.Contact)}})
	case to == nil:
		tx.Refuse(sip.Refuse(404, "Not Found"))
	default:
		c := &call{tx: tx}
		tx.SetUser(c)
		c.forward(r, m, to)
	}
}

func (r *relay) Ack(m *sip.Message, _ *flow.Flow) {
	if to := r.target(m); to != nil {
		s := outgoing(m, to, transaction.NewID())
		_ = to.Send(s.Append(nil))
	}
}

// outgoing is m with our Via, without our Route.
func outgoing(m *sip.Message, to *flow.Flow, id uint64) *sip.Splice {
	info := to.Info()
	s := m.Splice()
	s.PushVia("SIP/2.0/" + info.Transport.String() + " " + info.Advertise + ";branch=" + string(transaction.AppendBranch(nil, id, 0)))
	if m.Has(sip.Route) {
		s.PopRoutes(1)
	}
	if m.Method() == "INVITE" {
		s.PushRecordRoutes("<sip:192.0.2.1;lr>")
	}
	return &s
}

// call is one request on its way.
type call struct {
	tx  *transaction.Server
	out *transaction.Client
}

func (c *call) forward(r *relay, m *sip.Message, to *flow.Flow) {
	id := transaction.NewID()
	c.out = r.Client(id, m.Method(), to, c)
	c.out.Start(outgoing(m, to, id))
}

func (c *call) Response(_ *transaction.Client, m *sip.Message) {
	if m.Status() == 100 {
		return
	}
	s := m.Splice()
	s.PopVia()
	c.tx.Forward(m.Status(), s.Append(nil))
}

func (c *call) Failed(*transaction.Client, error) { c.tx.Refuse(sip.Refuse(408, "Request Timeout")) }

func (c *call) Cancelled(_ *transaction.Server, m *sip.Message) {
	if v := m.Value(sip.Reason); v != "" {
		c.out.Cancel("Reason: " + v)
		return
	}
	c.out.Cancel()
}

func (c *call) Ended(*transaction.Server, error) {}

// start makes a relay and its network in the bubble.
func start(t *testing.T) siptest.Setup {
	r := &relay{users: make(map[string]*flow.Flow)}
	r.Table = transaction.NewTable(transaction.Config{User: r})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return siptest.Setup{
		Net:      siptest.NewNet(r, flow.NewTable()),
		Commands: map[string]func([]string) string{"say": func(words []string) string { return strings.Join(words, " ") }},
	}
}

func TestScripts(t *testing.T) { siptest.RunScripts(t, "testdata/*.txt", start) }
