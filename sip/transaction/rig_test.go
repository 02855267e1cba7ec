package transaction_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

// rig is a table with the test as its user, on a network in memory.
type rig struct {
	*transaction.Table
	t     *testing.T
	net   *siptest.Net
	flows *flow.Table
	began time.Time

	// onRequest, if set, is called for each new request; the test is its ServerUser already.
	onRequest func(tx *transaction.Server)
	// lock is what a user would hold; each event takes it, so that a re-entrant one shows.
	lock sync.Mutex

	mu     sync.Mutex
	server *transaction.Server // of the last request
	events []string
	ids    uint64
}

// inBubble runs f with a fresh rig in a synctest bubble, which also proves that no goroutine is left.
func inBubble(t *testing.T, f func(r *rig)) {
	t.Helper()
	inBubbleWith(t, transaction.Config{}, f)
}

func inBubbleWith(t *testing.T, cfg transaction.Config, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newRig(t, cfg)) })
}

func newRig(t *testing.T, cfg transaction.Config) *rig {
	t.Helper()
	r := &rig{t: t, flows: flow.NewTable(), began: time.Now()}
	cfg.User = r
	r.Table = transaction.NewTable(cfg)
	r.net = siptest.NewNet(r.Table, r.flows)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return r
}

func (r *rig) Request(tx *transaction.Server) {
	r.mu.Lock()
	r.server = tx
	r.mu.Unlock()
	r.note("request %s", tx.Method())
	if r.onRequest != nil {
		r.onRequest(tx)
		return
	}
	tx.SetUser(r)
}

func (r *rig) Ack(m *sip.Message, _ *flow.Flow) { r.note("ack") }

func (r *rig) Cancelled(tx *transaction.Server, m *sip.Message) { r.note("cancelled") }

func (r *rig) Ended(tx *transaction.Server, err error) {
	if err != nil {
		r.note("ended: %v", err)
		return
	}
	r.note("ended")
}

func (r *rig) Response(tx *transaction.Client, m *sip.Message) {
	r.note("response %d", m.Status())
}

func (r *rig) Failed(tx *transaction.Client, err error) { r.note("failed: %v", err) }

// note keeps an event with its time; it takes the user's lock as a response context would.
func (r *rig) note(format string, args ...any) {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, r.at(time.Now())+fmt.Sprintf(format, args...))
}

// at is a time of the bubble in front of what happened: nothing for the beginning.
func (r *rig) at(now time.Time) string {
	if d := now.Sub(r.began); d > 0 {
		return d.String() + " "
	}
	return ""
}

// wait lets time pass, and what it brings happen.
func (r *rig) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// wantEvents compares what the users were told since the last call.
func (r *rig) wantEvents(want ...string) {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	got := r.events
	r.events = nil
	r.mu.Unlock()
	r.same("events", got, want)
}

// wantSent compares what the gateway sent on c since the last call: method or status, with its time.
func (r *rig) wantSent(c *siptest.Conn, want ...string) {
	r.t.Helper()
	synctest.Wait()
	var got []string
	for _, a := range c.Take() {
		got = append(got, r.at(a.At)+r.short(a.Text))
	}
	r.same("sent", got, want)
}

func (r *rig) same(what string, got, want []string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("%s:\n got  %s\n want %s", what, strings.Join(got, " | "), strings.Join(want, " | "))
	}
}

// short is the method of a request, the status of a response, with the CSeq method if that is CANCEL.
func (r *rig) short(text string) string {
	r.t.Helper()
	m, err := sip.Parse(text, sip.Datagram)
	if err != nil {
		r.t.Fatalf("gateway sent what does not parse: %v\n%s", err, text)
	}
	if m.IsRequest() {
		return m.Method()
	}
	if _, method := m.CSeq(); method == "CANCEL" {
		return fmt.Sprintf("%d CANCEL", m.Status())
	}
	return fmt.Sprint(m.Status())
}

// Peers.

var (
	aliceAddr = netip.MustParseAddrPort("198.51.100.1:5060")
	bobAddr   = netip.MustParseAddrPort("198.51.100.2:5060")
)

func (r *rig) alice(t sip.Transport) *siptest.Conn { return r.net.Connect(t, aliceAddr) }
func (r *rig) bob(t sip.Transport) *siptest.Conn   { return r.net.Connect(t, bobAddr) }

// request is a request of alice's; branch names its transaction.
func request(method, branch string, headers ...string) string {
	lines := append([]string{
		method + " sip:bob@example.com SIP/2.0",
		"Via: SIP/2.0/UDP alice.invalid;branch=" + branch,
		"Max-Forwards: 70",
		"From: <sip:alice@example.com>;tag=a1",
		"Call-ID: call-1",
		"CSeq: 1 " + method,
	}, headers...)
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "To:") }) {
		lines = append(lines, "To: <sip:bob@example.com>")
	}
	return strings.Join(append(lines, "Content-Length: 0"), "\r\n") + "\r\n\r\n"
}

const branch1 = "z9hG4bK-alice-1"

// response is bob's answer to what the gateway sent with our branch id.
func response(status int, method string, id uint64) string {
	return strings.Join([]string{
		fmt.Sprintf("SIP/2.0 %d Reason", status),
		"Via: SIP/2.0/UDP 192.0.2.1;branch=" + string(transaction.AppendBranch(nil, id, 7)),
		"Via: SIP/2.0/UDP alice.invalid;branch=" + branch1,
		"From: <sip:alice@example.com>;tag=a1",
		"To: <sip:bob@example.com>;tag=b1",
		"Call-ID: call-1",
		"CSeq: 1 " + method,
		"Content-Length: 0",
	}, "\r\n") + "\r\n\r\n"
}

// forward answers the last request as a proxy does: the bytes of another's response.
func (r *rig) forward(status int) {
	r.t.Helper()
	r.lock.Lock() // held as a response context would; events must not need it now
	defer r.lock.Unlock()
	m, err := sip.Parse(response(status, r.server.Method(), 1), sip.Datagram)
	if err != nil {
		r.t.Fatal(err)
	}
	s := m.Splice()
	s.PopVia()
	r.server.Forward(status, s.Append(nil))
}

// send starts a client transaction to c and returns it with its id.
func (r *rig) send(method string, c *siptest.Conn) (*transaction.Client, uint64) {
	r.t.Helper()
	r.ids++
	tx := r.Client(r.ids, method, c.Flow(), r)
	m, err := sip.Parse(request(method, branch1), sip.Datagram)
	if err != nil {
		r.t.Fatal(err)
	}
	s := m.Splice()
	s.PushVia("SIP/2.0/UDP 192.0.2.1;branch=" + string(transaction.AppendBranch(nil, r.ids, 7)))
	r.lock.Lock()
	defer r.lock.Unlock()
	tx.Start(&s)
	return tx, r.ids
}

// adopt makes c a listed peer of an upstream.
func (r *rig) adopt(c *siptest.Conn, upstream string) *siptest.Conn {
	r.flows.Adopt(c.Flow()).SetUpstream(upstream)
	return c
}
