package relay

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// conn is a connection that nobody reads.
type conn struct{ info sip.ConnInfo }

func (c *conn) Send([]byte) error     { return nil }
func (c *conn) Info() *sip.ConnInfo   { return &c.info }
func (c *conn) Close(sip.CloseReason) {}

// rig is a Relay with a flow table, and a hop of its registrar.
type rig struct {
	*Relay
	flows  *flow.Table
	keys   *flow.Keys
	hop    *flow.Flow
	mu     sync.Mutex
	events []string
	said   []Notice
	login  string // the Authorization line of REGISTERs
	port   uint16
}

func newRig(t testing.TB, up Upstream) *rig {
	t.Helper()
	keys, err := flow.OpenKeys("")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{flows: flow.NewTable(), keys: keys}
	wheel := transaction.NewWheel()
	r.Relay = New(Config{
		Domains: map[string]Upstream{"example.com": up}, Flows: r.flows, Edge: r, Hosts: r, Logins: limit{3, map[string]int{}}, Totals: limit{9, map[string]int{}}, Wheel: wheel, Key: keys.Derive("test"),
		OnEvent: func(e Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e.Change.String()+" "+e.Binding.Contact)
		},
		Notice: func(n Notice) { r.said = append(r.said, n) },
	})
	r.flows.Watch(r.Relay)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { _ = wheel.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	r.hop = &flow.Flow{Conn: &conn{sip.ConnInfo{Transport: sip.UDP, Advertise: "192.0.2.1:5060", Remote: netip.MustParseAddrPort("203.0.113.1:5060")}}}
	return r
}

func (r *rig) NameOf(aor, instance string, regID int, contact string) flow.Name {
	return r.keys.NameOf(aor, instance, regID, contact)
}

func (r *rig) PathOver(name flow.Name, f *flow.Flow, facing *sip.ConnInfo) string {
	b := r.keys.Append([]byte("<sip:"), flow.Token{Side: flow.Registered, Flow: f.ID, Name: name}, "")
	return string(b) + "@" + facing.Advertise + ";lr;ob>"
}

func (r *rig) Own(host string, _ uint16) bool { return host == "192.0.2.1" || host == "example.com" }

func (r *rig) AOR(u *sip.URI) (string, bool) { return u.AOR(), u.Host == "example.com" }

func (r *rig) Leads(_ string, u *sip.URI) bool { return u.Host == "203.0.113.1" }

func (r *rig) Realm(realm string) bool { return realm == "ours" }

// page is a new connection of a browser.
func (r *rig) page() *flow.Flow {
	r.port++
	return r.flows.Open(&conn{sip.ConnInfo{Transport: sip.WS, Advertise: "192.0.2.1:80", Remote: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), r.port)}})
}

func registerText(user, contact string, more ...string) string {
	return "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKr\r\nFrom: <sip:" + user + "@example.com>;tag=1\r\nTo: <sip:" + user +
		"@example.com>\r\nCall-ID: reg-" + user + "\r\nCSeq: 7 REGISTER\r\nContact: " + contact + "\r\n" + strings.Join(more, "") + "Content-Length: 0\r\n\r\n"
}

// register passes a REGISTER on and has the registrar grant it; what goes back is returned.
func (r *rig) register(t testing.TB, f *flow.Flow, user, contact string, answer func(sent string) string) string {
	t.Helper()
	req, err := sip.Parse(registerText(user, contact, r.login), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Read(req, f, user+"@example.com")
	if err != nil {
		t.Fatal(err)
	}
	out := req.Splice()
	if err := x.Leaves(req, &out, r.hop); err != nil {
		t.Fatal(err)
	}
	sent, err := sip.Parse(string(out.Append(nil)), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"Contact: " + sent.Value(sip.Contact)}
	if answer != nil {
		lines = []string{answer(sent.Value(sip.Contact))}
	}
	if path := sent.Value(sip.Path); path != "" && !strings.Contains(lines[0], "\r\nPath: ") {
		lines = append(lines, "Path: "+path)
	}
	resp, err := sip.Parse(string(sent.AppendReply(nil, &sip.Reply{Status: 200, Headers: lines})), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	x.Answers(resp, r.hop)
	back := resp.Splice()
	x.Returns(resp, &back)
	got, err := sip.Parse(string(back.Append(nil)), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return got.Value(sip.Contact)
}

// A thousand registrations cost about as much as their names and texts: no message is held by them, and
// when they have ended nothing is left.
func TestMemoryOfBindings(t *testing.T) {
	for _, up := range []Upstream{{Name: "pbx"}, {Name: "pbx", Alias: true}} {
		r := newRig(t, up)
		const n = 1000
		pages := make([]*flow.Flow, n)
		for i := range pages {
			pages[i] = r.page()
		}
		before := heap()
		for range 3 { // refreshes add nothing
			for i, f := range pages {
				pad := strings.Repeat("x", 1500) // of a message that must not be kept
				r.register(t, f, fmt.Sprintf("u%d", i), fmt.Sprintf("<sip:k%d@h%d.invalid;transport=ws>;expires=600;pad=%s", i, i, pad), nil)
			}
		}
		r.events = nil
		if got := (heap() - before) / n; got > 2500 || r.Len() != n {
			t.Errorf("alias %v: %d octets each of %d bindings, want at most 2,500", up.Alias, got, r.Len())
		}
		for _, f := range pages {
			r.flows.Closed(f, sip.CloseGoingAway)
		}
		if r.Len() != 0 || len(r.table.on) != n { // the dead flows' names linger
			t.Errorf("%d bindings left, %d flows", r.Len(), len(r.table.on))
		}
		runtime.KeepAlive(pages)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestNothingLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Upstream{Name: "pbx", Alias: true})
		f, g := r.page(), r.page()
		r.register(t, f, "alice", "<sip:a@a.invalid>;expires=60", nil)
		r.register(t, g, "alice", "<sip:b@b.invalid>;expires=0", nil)
		r.register(t, g, "bob", "<sip:b@b.invalid>;expires=60", nil)
		r.register(t, g, "bob", "<sip:b@b.invalid>;expires=0", nil)
		if _, known, err := r.ByAlias("pbx", r.alias(r.NameOf("bob@example.com", "", 0, "sip:b@b.invalid")), true); !known || err != nil {
			t.Error("an ended binding's alias serves its calls no more")
		}
		r.flows.Closed(f, sip.CloseLost)
		r.flows.Closed(g, sip.CloseNormal)
		time.Sleep(4 * time.Second)
		if r.Len() != 1 {
			t.Errorf("%d bindings within the grace", r.Len())
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if tb := &r.table; r.Len()+len(tb.named)+len(tb.called)+len(tb.on)+len(tb.of)+len(tb.at) != 0 {
			t.Errorf("left: %d live, %d names, %d aliases, %d flows, %d AORs, %d places", r.Len(), len(tb.named), len(tb.called), len(tb.on), len(tb.of), len(tb.at))
		}
	})
}

func TestFullAOR(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	f := r.page()
	for i := range 14 {
		r.register(t, f, "alice", fmt.Sprintf("<sip:a@%d.invalid>;expires=%d", i, 60+i), nil)
	}
	if r.Len() != 10 || r.Counters[Evicted].Load() != 4 {
		t.Errorf("%d bindings, %d evicted", r.Len(), r.Counters[Evicted].Load())
	}
	for i := range 40 {
		r.register(t, f, "alice", fmt.Sprintf("<sip:a@%d.invalid>;expires=60", i), nil)
		r.register(t, f, "alice", fmt.Sprintf("<sip:a@%d.invalid>;expires=0", i), nil)
	}
	if n := len(r.table.named); n > 10+maxOver+1 {
		t.Errorf("%d entries after many came and went", n)
	}
}

// Whatever REGISTERs of one user agent cross, it ends as one binding, over one flow that speaks for it.
func TestCrossingRegistrations(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	var all sync.WaitGroup
	pages := []*flow.Flow{r.page(), r.page(), r.page()}
	for _, f := range pages {
		all.Go(func() {
			for range 200 {
				r.register(t, f, "alice", `<sip:a@a.invalid>;+sip.instance="<urn:uuid:1>";expires=60`, nil)
			}
		})
	}
	all.Wait()
	b, ok := r.ByName(r.NameOf("alice@example.com", "urn:uuid:1", 0, ""))
	if !ok || r.Len() != 1 || !b.Flow.Is("alice@example.com") || r.flows.ByName(b.Name) != b.Flow {
		t.Errorf("%v, %d bindings, over flow %d, which is %v; the table has %v", ok, r.Len(), b.Flow.ID, b.Flow.AORs(), r.flows.ByName(b.Name).ID)
	}
	for _, f := range pages {
		if f != b.Flow && f.Is("alice@example.com") {
			t.Errorf("flow %d still speaks for her", f.ID)
		}
	}
}

func TestSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Upstream{Name: "pbx"})
		rewrites := func(string) string { return "Contact: <sip:a@192.0.2.1:5060>;expires=60" }
		for range 3 {
			if got := r.register(t, r.page(), "alice", "<sip:a@a.invalid;transport=ws>;expires=60", rewrites); got != "<sip:a@a.invalid;transport=ws>;expires=60" {
				t.Errorf("the browser gets %s", got)
			}
			time.Sleep(2 * time.Minute)
		}
		if len(r.said) != 1 || !r.said[0].Warn || !strings.Contains(r.said[0].Text, "rewrites Contact") {
			t.Errorf("said %+v", r.said)
		}
		r.said = nil
		for range 3 {
			r.notice(Notice{Upstream: "pbx", Text: "no"})
			time.Sleep(45 * time.Second)
		}
		if len(r.said) != 2 {
			t.Errorf("a refusal was explained %d times in 90 s", len(r.said))
		}
	})
}

func BenchmarkRegister(b *testing.B) { // REGISTER there and its 2xx back, without the proxy
	for _, up := range []Upstream{{Name: "pbx"}, {Name: "pbx", Alias: true}} {
		b.Run(fmt.Sprintf("alias=%v", up.Alias), func(b *testing.B) {
			r := newRig(b, up)
			r.OnEvent = nil
			f := r.page()
			req, _ := sip.Parse(registerText("alice", "<sip:a@a.invalid;transport=ws>;expires=600"), sip.Frame)
			x, err := r.Read(req, f, "alice@example.com")
			if err != nil {
				b.Fatal(err)
			}
			out := req.Splice()
			_ = x.Leaves(req, &out, r.hop)
			sent, _ := sip.Parse(string(out.Append(nil)), sip.Frame)
			resp, _ := sip.Parse(string(sent.AppendReply(nil, &sip.Reply{Status: 200, Headers: []string{"Contact: " + sent.Value(sip.Contact)}})), sip.Frame)
			buf := make([]byte, 0, 2048)
			b.ReportAllocs()
			for b.Loop() {
				x, _ := r.Read(req, f, "alice@example.com")
				out := req.Splice()
				_ = x.Leaves(req, &out, r.hop)
				buf = out.Append(buf[:0])
				x.Answers(resp, r.hop)
				back := resp.Splice()
				x.Returns(resp, &back)
				buf = back.Append(buf[:0])
			}
		})
	}
}
