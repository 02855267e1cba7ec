package gateway

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

type quietConn struct{ info sip.ConnInfo }

func (quietConn) Send([]byte) error      { return nil }
func (c *quietConn) Info() *sip.ConnInfo { return &c.info }
func (quietConn) Close(sip.CloseReason)  {}

// The end of a connection is told with who, where, why and how long: at info of those who are known and of all who
// did something wrong, else at debug.
func TestFlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		table := flow.NewTable()
		table.Watch(newFlowLog(zerolog.New(&log)))
		open := func() *flow.Flow {
			return table.Open(&quietConn{sip.ConnInfo{Transport: sip.WS, Remote: netip.MustParseAddrPort("192.0.2.7:4711")}})
		}
		for _, tt := range []struct {
			who  string
			why  sip.CloseReason
			want []string
		}{
			{"", sip.CloseNormal, []string{`"level":"debug"`}},
			{"", sip.CloseUnproven, []string{`"level":"debug"`}},
			{"", sip.CloseTooBig, []string{`"level":"info"`, `"reason":"too_big"`, `"remote":"192.0.2.7:4711"`, `"transport":"WS"`, `"dur_s":7`, `"flow":`}},
			{"alice@example.com", sip.CloseGoingAway, []string{`"level":"info"`, `"aor":"alice@example.com"`}},
		} {
			f := open()
			if tt.who != "" {
				f.AuthenticatedAs(tt.who)
			}
			time.Sleep(7 * time.Second)
			log.Reset()
			table.Closed(f, tt.why)
			for _, w := range tt.want {
				if !strings.Contains(log.String(), w) {
					t.Errorf("%q %s: said %s, want %s", tt.who, tt.why, log.String(), w)
				}
			}
		}
	})
}

// A flood of strangers writes so many lines and no more, and hides nobody who is known.
func TestFlowLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		table := flow.NewTable()
		table.Watch(newFlowLog(zerolog.New(&log)))
		end := func(who string) {
			f := table.Open(&quietConn{})
			if who != "" {
				f.AuthenticatedAs(who)
			}
			table.Closed(f, sip.CloseFlood)
		}
		for range 10_000 {
			end("")
		}
		end("alice@example.com")
		if n := strings.Count(log.String(), "\n"); n != flowLinesBurst+1 || !strings.Contains(log.String(), "alice") {
			t.Errorf("%d lines, want %d and alice", n, flowLinesBurst+1)
		}
		time.Sleep(time.Second)
		log.Reset()
		end("")
		if !strings.Contains(log.String(), `"skipped":9500`) {
			t.Errorf("said %s, want how many were skipped", log.String())
		}
	})
}
