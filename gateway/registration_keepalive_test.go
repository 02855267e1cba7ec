package gateway

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

type nobody struct{}

func (nobody) Receive(*sip.Message, *flow.Flow)           {}
func (nobody) ReceiveBad(*sip.Message, error, *flow.Flow) {}

// RFC 5626 §4.4.1: a ping every 25 to 30 s, or sooner where the registrar says so (§4.4, Flow-Timer); no pong within 10 s ends the
// connection, but of those who have answered one before only.
func TestKeepAliveOfRegistration(t *testing.T) {
	for _, c := range []struct {
		name   string
		lines  string
		random float64
		tr     sip.Transport
		peer   func(c *siptest.Conn, after time.Duration) // called every second
		pings  int                                        // within five minutes
		closed time.Duration                              // 0: not
	}{
		{name: "answers", tr: sip.TCP, pings: 12},
		{name: "answers, at the latest", tr: sip.TLS, random: 0.9999, pings: 10},
		{name: "over UDP", tr: sip.UDP},
		{name: "never answers", tr: sip.TCP, peer: func(c *siptest.Conn, _ time.Duration) { c.IgnorePings() }, pings: 12},
		{name: "Flow-Timer", tr: sip.TCP, lines: "Flow-Timer: 20\r\n", pings: 18},
		{name: "Flow-Timer, long", tr: sip.TCP, lines: "Flow-Timer: 120\r\n", pings: 12},
		{name: "Flow-Timer, absurd", tr: sip.TCP, lines: "Flow-Timer: 1\r\n", pings: 25},
		{name: "Flow-Timer, unreadable", tr: sip.TCP, lines: "Flow-Timer: soon\r\n", pings: 12},
		{name: "dies", tr: sip.TCP, pings: 3, closed: 85 * time.Second, peer: func(c *siptest.Conn, after time.Duration) {
			if after == time.Minute {
				c.Freeze()
			}
		}},
		{name: "hangs up", tr: sip.TCP, pings: 2, closed: time.Minute, peer: func(c *siptest.Conn, after time.Duration) {
			if after == time.Minute {
				c.Hangup(sip.CloseNormal)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &Gateway{transactions: transaction.NewTable(transaction.Config{}), random: func() float64 { return c.random }}
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { _ = g.transactions.Run(ctx); close(done) }()
				defer func() { cancel(); <-done }()
				flows := flow.NewTable()
				conn := siptest.NewNet(nobody{}, flows).Connect(c.tr, netip.MustParseAddrPort("203.0.113.1:5060"))
				m, err := sip.Parse("SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP x;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:a@x>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\n"+c.lines+"Content-Length: 0\r\n\r\n", sip.Stream)
				if err != nil {
					t.Fatal(err)
				}
				r := &registration{gateway: g, flow: conn.Flow()}
				r.keep.r = r
				closed := time.Duration(0)
				for s := range 5 * 60 {
					if s%100 == 0 { // refreshes change nothing
						r.mu.Lock()
						r.keep.keepLocked(r.flow, m)
						r.mu.Unlock()
					}
					if after := time.Duration(s) * time.Second; c.peer != nil {
						c.peer(conn, after)
					}
					if conn.Closed() && closed == 0 {
						closed = time.Duration(s) * time.Second
					}
					time.Sleep(time.Second)
					synctest.Wait()
				}
				if got, want := fmt.Sprint(conn.Pings(), " ", closed), fmt.Sprint(c.pings, " ", c.closed); got != want {
					t.Errorf("pings and end: %s, want %s", got, want)
				}
			})
		})
	}
}
