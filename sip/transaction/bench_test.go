package transaction

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// nowhere is a connection that takes everything.
type nowhere struct{ info sip.ConnInfo }

func (c *nowhere) Send([]byte) error     { return nil }
func (c *nowhere) Info() *sip.ConnInfo   { return &c.info }
func (c *nowhere) Close(sip.CloseReason) {}

// benchUser answers nothing.
type benchUser struct{ tx *Server }

func (u *benchUser) Request(tx *Server)              { u.tx = tx; tx.SetUser(u) }
func (u *benchUser) Ack(*sip.Message, *flow.Flow)    {}
func (u *benchUser) Cancelled(*Server, *sip.Message) {}
func (u *benchUser) Ended(*Server, error)            {}
func (u *benchUser) Response(*Client, *sip.Message)  {}
func (u *benchUser) Failed(*Client, error)           {}
func (u *benchUser) CSeq() uint32                    { return 1 }
func (u *benchUser) Append([]byte) []byte            { return benchBytes }
func (u *benchUser) AppendAck([]byte, *sip.Message) []byte {
	return benchBytes
}
func (u *benchUser) AppendCancel([]byte, ...string) []byte { return benchBytes }

var benchBytes = make([]byte, 500)

func benchFlow(t sip.Transport) *flow.Flow {
	return flow.NewTable().Open(&nowhere{sip.ConnInfo{
		Transport: t, Remote: netip.MustParseAddrPort("198.51.100.1:40000"), Local: netip.MustParseAddrPort("192.0.2.1:80"),
	}})
}

func benchRequest(tb testing.TB, method, branch string) *sip.Message {
	return benchParse(tb, method+" sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS alice.invalid;branch="+branch+
		"\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>\r\nCall-ID: c1\r\nCSeq: 1 "+method+
		"\r\nContent-Length: 2500\r\n\r\n"+strings.Repeat("a=candidate\r\n", 200)[:2500])
}

func benchResponse(tb testing.TB, status int, method string, id uint64) *sip.Message {
	return benchParse(tb, fmt.Sprintf("SIP/2.0 %d R\r\nVia: SIP/2.0/WS 192.0.2.1;branch=%s\r\nVia: SIP/2.0/WS alice.invalid;branch=z9hG4bK1\r\n"+
		"From: <sip:alice@example.com>;tag=a1\r\nTo: <sip:bob@example.com>;tag=b1\r\nCall-ID: c1\r\nCSeq: 1 %s\r\nContent-Length: 0\r\n\r\n",
		status, AppendBranch(nil, id, 0), method))
}

func benchParse(tb testing.TB, text string) *sip.Message {
	m, err := sip.Parse(text, sip.Frame)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// BenchmarkServerInvite is one INVITE with 180, 486 and ACK.
func BenchmarkServerInvite(b *testing.B) {
	for _, tr := range []sip.Transport{sip.WS, sip.UDP} {
		b.Run(tr.String(), func(b *testing.B) {
			u := &benchUser{}
			table := NewTable(Config{User: u})
			f := benchFlow(tr)
			inv, ack := benchRequest(b, "INVITE", "z9hG4bK1"), benchRequest(b, "ACK", "z9hG4bK1")
			b.ReportAllocs()
			for b.Loop() {
				table.Receive(inv, f)
				u.tx.Forward(180, benchBytes)
				u.tx.Forward(486, benchBytes)
				table.Receive(ack, f)
				if tr == sip.UDP { // timer I
					u.tx.mu.Lock()
					u.tx.terminateLocked(nil)
					u.tx.mu.Unlock()
				}
			}
		})
	}
}

// BenchmarkServerOther is one REGISTER answered by us.
func BenchmarkServerOther(b *testing.B) {
	table := NewTable(Config{User: &replier{}})
	f := benchFlow(sip.WS)
	m := benchRequest(b, "REGISTER", "z9hG4bK1")
	b.ReportAllocs()
	for b.Loop() {
		table.Receive(m, f)
	}
}

type replier struct{ benchUser }

func (*replier) Request(tx *Server) { tx.Reply(&sip.Reply{Status: 200}) }

// BenchmarkClientInvite is one INVITE sent, with 180, 486 and its ACK.
func BenchmarkClientInvite(b *testing.B) {
	u := &benchUser{}
	table := NewTable(Config{User: u})
	f := benchFlow(sip.WS)
	ringing, busy := benchResponse(b, 180, "INVITE", 1), benchResponse(b, 486, "INVITE", 1)
	b.ReportAllocs()
	for b.Loop() {
		table.Client(1, "INVITE", f, u).Start(u)
		table.Receive(ringing, f)
		table.Receive(busy, f)
	}
}

// BenchmarkRetransmission is an INVITE that comes again while it is being handled.
func BenchmarkRetransmission(b *testing.B) {
	u := &benchUser{}
	table := NewTable(Config{User: u})
	f := benchFlow(sip.UDP)
	m := benchRequest(b, "INVITE", "z9hG4bK1")
	table.Receive(m, f)
	u.tx.Forward(180, benchBytes)
	b.ReportAllocs()
	for b.Loop() {
		table.Receive(m, f)
	}
}

func BenchmarkWheel(b *testing.B) {
	w := NewWheel()
	timers := make([]Timer, 100_000)
	alarm := Alarm(AlarmFunc(func() {}))
	for i := range timers {
		w.After(&timers[i], time.Duration(i)*time.Millisecond+time.Second, alarm)
	}
	var t Timer
	b.ReportAllocs()
	for b.Loop() {
		w.After(&t, 32*time.Second, alarm)
		w.Stop(&t)
	}
}

// BenchmarkMemory is what a live transaction holds, its message aside: bytes/tx. The
// accepted one has dropped its message too.
func BenchmarkMemory(b *testing.B) {
	b.Run("ringing", func(b *testing.B) { memory(b, func(u *benchUser) { u.tx.Forward(180, benchBytes) }) })
	b.Run("accepted", func(b *testing.B) { memory(b, func(u *benchUser) { u.tx.Forward(200, benchBytes) }) })
}

func memory(b *testing.B, answer func(u *benchUser)) {
	const n = 20_000
	for b.Loop() {
		u := &benchUser{}
		table := NewTable(Config{User: u, MaxPending: n})
		f := benchFlow(sip.WS)
		m := benchRequest(b, "INVITE", "z9hG4bK1")
		before := heap()
		for i := range n {
			tx := newServer(table, m, key{uint64(i), uint64(i), f.ID}, f)
			table.admit(tx, m)
			table.enterServer(tx)
			tx.startLocked()
			u.Request(tx)
			answer(u)
			c := table.Client(uint64(i)+1, "INVITE", f, u)
			c.Start(u)
		}
		b.ReportMetric(float64(heap()-before)/n, "bytes/pair")
		runtime.KeepAlive(table)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
