package registrar_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const alice = "alice@example.com"

// wire is a Conn that leads nowhere: the registrar never writes.
type wire struct {
	t    testing.TB
	info sip.ConnInfo
}

func (w *wire) Send([]byte) error     { w.t.Error("the registrar wrote to the wire"); return nil }
func (w *wire) Info() *sip.ConnInfo   { return &w.info }
func (w *wire) Close(sip.CloseReason) { w.t.Error("the registrar closed a flow") }

// edge makes Paths as the gateway does: of a token that names flow and user agent.
type edge struct{ *flow.Keys }

func (e edge) AppendPath(b []byte, name flow.Name, f *flow.Flow) []byte {
	b = append(b, "<sip:"...)
	b = e.Append(b, flow.Token{Side: flow.Registered, Flow: f.ID, Name: name}, "")
	return append(b, "@192.0.2.1;lr;ob>"...)
}

// world is a registrar with what stands round it.
type world struct {
	t     testing.TB
	reg   *registrar.Registrar
	store *registrar.Memory
	table *flow.Table
	keys  *flow.Keys
	cseq  int

	mu     sync.Mutex
	events []registrar.Event
}

func newWorld(t testing.TB, change ...func(*registrar.Config)) *world {
	t.Helper()
	keys, err := flow.OpenKeys("")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: registrar.NewMemory(), table: flow.NewTable(), keys: keys}
	cfg := registrar.Config{
		Store: w.store, Flows: w.table, Edge: edge{keys},
		Own: func(host string, port uint16) bool {
			return host == "example.com" || host == "192.0.2.1" && port == 5060
		},
		OnEvent: w.event,
	}
	for _, c := range change {
		c(&cfg)
	}
	if w.reg, err = registrar.New(cfg); err != nil {
		t.Fatal(err)
	}
	w.table.Watch(w.reg)
	return w
}

func (w *world) event(e registrar.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// changes returns what has happened since it was last asked.
func (w *world) changes() []registrar.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []registrar.Change
	for _, e := range w.events {
		out = append(out, e.Change)
	}
	w.events = nil
	return out
}

func (w *world) wantChanges(want ...registrar.Change) {
	w.t.Helper()
	if got := w.changes(); !slices.Equal(got, want) {
		w.t.Errorf("events %q, want %q", got, want)
	}
}

// run drives the registrar's timer until the test ends.
func (w *world) run() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.reg.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	})
	w.t.Cleanup(func() { cancel(); wg.Wait() })
}

func conn(t testing.TB, tr sip.Transport, remote string) *wire {
	return &wire{t, sip.ConnInfo{Transport: tr, Remote: netip.MustParseAddrPort(remote),
		Local: netip.MustParseAddrPort("192.0.2.1:5060")}}
}

// ws opens a WebSocket flow.
func (w *world) ws() *flow.Flow { return w.table.Open(conn(w.t, sip.WSS, "198.51.100.7:40000")) }

func (w *world) open(tr sip.Transport, remote string) *flow.Flow {
	return w.table.Open(conn(w.t, tr, remote))
}

func (w *world) udp(remote string) *flow.Flow { return w.table.Datagram(conn(w.t, sip.UDP, remote)) }

// request is a REGISTER with the given lines; Via, From, To, Call-ID and CSeq are
// put in where they are not given.
func (w *world) request(lines ...string) *sip.Message {
	w.t.Helper()
	w.cseq++
	have := map[string]bool{}
	for _, l := range lines {
		name, _, _ := strings.Cut(l, ":")
		have[strings.ToLower(name)] = true
	}
	text := "REGISTER sip:example.com SIP/2.0\r\n"
	for _, d := range [][2]string{
		{"Via", "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK" + strconv.Itoa(w.cseq)},
		{"Max-Forwards", "69"},
		{"To", "<sip:alice@example.com>"},
		{"From", "<sip:alice@example.com>;tag=a1"},
		{"Call-ID", "call-1"},
		{"CSeq", strconv.Itoa(w.cseq) + " REGISTER"},
	} {
		if !have[strings.ToLower(d[0])] {
			text += d[0] + ": " + d[1] + "\r\n"
		}
	}
	text += strings.Join(append(lines, "Content-Length: 0"), "\r\n") + "\r\n\r\n"
	m, err := sip.Parse(text, sip.Frame)
	if err != nil {
		w.t.Fatalf("the test's own REGISTER: %v\n%s", err, text)
	}
	return m
}

// ok registers and wants 200.
func (w *world) ok(f *flow.Flow, lines ...string) *sip.Reply {
	w.t.Helper()
	return w.okAs(alice, f, lines...)
}

func (w *world) okAs(aor string, f *flow.Flow, lines ...string) *sip.Reply {
	w.t.Helper()
	r, err := w.reg.Register(w.t.Context(), w.request(lines...), f, aor)
	if err != nil {
		w.t.Fatalf("REGISTER %q: %v", lines, err)
	}
	if r.Status != 200 {
		w.t.Fatalf("REGISTER %q: status %d", lines, r.Status)
	}
	return r
}

// refused wants a status, a reason holding text, and an unchanged store.
func (w *world) refused(code int, text string, f *flow.Flow, lines ...string) *sip.StatusError {
	w.t.Helper()
	return w.refusedAs(alice, code, text, f, lines...)
}

func (w *world) refusedAs(aor string, code int, text string, f *flow.Flow, lines ...string) *sip.StatusError {
	w.t.Helper()
	before := w.dump()
	_, err := w.reg.Register(w.t.Context(), w.request(lines...), f, aor)
	var s *sip.StatusError
	if !errors.As(err, &s) {
		w.t.Fatalf("REGISTER %q: error %v, want %d", lines, err, code)
	}
	if s.Code != code || !strings.Contains(s.Reason, text) {
		w.t.Errorf("REGISTER %q: %d %q, want %d with %q", lines, s.Code, s.Reason, code, text)
	}
	if after := w.dump(); !slices.Equal(before, after) {
		w.t.Errorf("REGISTER %q was refused and changed\n%q to\n%q", lines, before, after)
	}
	return s
}

// dump is the store's content, sorted.
func (w *world) dump() []string {
	var out []string
	_ = w.store.Each(w.t.Context(), func(aor string, list []registrar.Binding) bool {
		for _, b := range list {
			out = append(out, aor+" "+b.Head+b.Tail+" "+b.CallID+" "+strconv.Itoa(int(b.CSeq))+" "+b.Expires.String())
		}
		return true
	})
	slices.Sort(out)
	return out
}

func (w *world) lookup(aor string) []registrar.Binding {
	w.t.Helper()
	list, err := w.reg.Lookup(w.t.Context(), aor)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) wantContacts(aor string, want ...string) {
	w.t.Helper()
	got := []string{}
	for _, b := range w.lookup(aor) {
		got = append(got, b.Contact)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("%s is bound to %q, want %q", aor, got, want)
	}
}

// values are the values of the reply's lines of a name.
func values(r *sip.Reply, name string) []string {
	var out []string
	for _, h := range r.Headers {
		if n, v, _ := strings.Cut(h, ": "); n == name {
			out = append(out, v)
		}
	}
	return out
}

func wantValues(t testing.TB, r *sip.Reply, name string, want ...string) {
	t.Helper()
	if got := values(r, name); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", name, got, want)
	}
}
