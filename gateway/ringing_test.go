package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const (
	ringing     = 10_000
	perCaller   = 100 // user_invites
	ringingHeap = 100 << 20
	sdpSize     = 2400 // makes an INVITE of 3 KB
)

// ringer is a WebSocket client that lets every INVITE ring.
type ringer struct {
	info sip.ConnInfo
	gw   *Gateway
	flow *flow.Flow
	sent []*sip.Message // what it has to answer finally
	got  int            // responses, as a caller
}

func (r *ringer) Info() *sip.ConnInfo   { return &r.info }
func (r *ringer) Close(sip.CloseReason) {}

func (r *ringer) Send(b []byte) error {
	head, _, _ := strings.Cut(string(b), "\r\n\r\n") // keeps no body: the gateway's copy is what is measured
	m, err := sip.Parse(strings.Replace(head, "Content-Length: 2400", "Content-Length: 0", 1)+"\r\n\r\n", sip.Frame)
	if err != nil {
		return err
	}
	if !m.IsRequest() {
		r.got++
	} else if m.Method() == "INVITE" {
		r.sent = append(r.sent, m)
	}
	return nil
}

func (r *ringer) answer(t *testing.T, status int) {
	t.Helper()
	for _, m := range r.sent {
		text := m.AppendReply(nil, &sip.Reply{Status: status, ToTag: "b"})
		resp, err := sip.Parse(string(text), sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		r.gw.receive(resp, r.flow)
	}
}

// TestRingingCallsHoldLittle: 10,000 ringing calls hold 100 MB at most and no
// goroutine, and nothing of them is left when they are over.
func TestRingingCallsHoldLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTheatre(t)
		bob := enter(t, s.gw, "bob")
		var callers []*ringer
		for i := range ringing / perCaller {
			callers = append(callers, enter(t, s.gw, fmt.Sprintf("caller%d", i)))
		}
		heap, routines := live(), runtime.NumGoroutine()
		for i := range ringing {
			n := i / perCaller
			s.gw.receive(invite(t, fmt.Sprintf("caller%d", n), i), callers[n].flow)
		}
		bob.answer(t, 180)
		synctest.Wait()
		rung := 0
		for _, c := range callers {
			rung += c.got
		}
		if n := s.gw.proxy.Counters.Contexts.Load(); n != ringing || rung != ringing {
			t.Fatalf("%d calls are pending, %d ring; want %d (%d sent) %s", n, rung, ringing, len(bob.sent), s.drops(nil))
		}
		held, more := live()-heap, runtime.NumGoroutine()-routines
		t.Logf("%d ringing calls hold %.1f MB, %d goroutines", ringing, float64(held)/1e6, more)
		if held > ringingHeap || more > 0 {
			t.Errorf("%d ringing calls hold %d octets and %d goroutines, want at most %d and none", ringing, held, more, ringingHeap)
		}
		bob.answer(t, 486)
		bob.sent = nil
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		left, more := live()-heap, runtime.NumGoroutine()-routines
		t.Logf("after them %.1f MB, %d goroutines", float64(left)/1e6, more)
		if left > ringingHeap/20 || more > 0 {
			t.Errorf("after the calls %d octets and %d goroutines are left", left, more)
		}
	})
}

// live is the heap in use after a collection.
func live() int64 {
	runtime.GC()
	runtime.GC() // pools give up their second half
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// enter registers a user over a connection of its own.
func enter(t *testing.T, gw *Gateway, user string) *ringer {
	t.Helper()
	r := &ringer{gw: gw, info: sip.ConnInfo{Transport: sip.WS, Advertise: "gw.example.com", Remote: netip.MustParseAddrPort("192.0.2.1:5000")}}
	r.flow = gw.flows.Open(r)
	aor := user + "@example.com"
	r.flow.AuthenticatedAs(aor)
	m, err := sip.Parse("REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKr"+user+"\r\nFrom: <sip:"+aor+
		">;tag=r\r\nTo: <sip:"+aor+">\r\nCall-ID: r-"+user+"\r\nCSeq: 1 REGISTER\r\nContact: <sip:"+user+"@x.invalid;transport=ws>\r\n\r\n", sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gw.registrar.Register(context.Background(), m, r.flow, aor); err != nil {
		t.Fatal(err)
	}
	return r
}

func invite(t *testing.T, from string, i int) *sip.Message {
	t.Helper()
	m, err := sip.Parse(fmt.Sprintf("INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKi%d\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%s@example.com>;tag=a%d\r\nTo: <sip:bob@example.com>\r\nCall-ID: i-%d\r\nCSeq: 1 INVITE\r\n"+
		"Contact: <sip:alice@x.invalid;transport=ws;ob>\r\nAllow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY\r\n"+
		"Supported: timer,ice,replaces,outbound\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
		i, from, i, i, sdpSize, strings.Repeat("a=candidate:x\r\n", sdpSize/15)), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
