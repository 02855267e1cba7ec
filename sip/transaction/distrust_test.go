package transaction

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// dialled is a connection of ours to a hop, over which something came at heard.
type dialled struct {
	heard  time.Time
	closed sip.CloseReason
}

func (*dialled) Send([]byte) error           { return nil }
func (*dialled) Info() *sip.ConnInfo         { return &sip.ConnInfo{Transport: sip.TCP, Dialled: true} }
func (d *dialled) Close(why sip.CloseReason) { d.closed = why }
func (d *dialled) Heard() time.Time          { return d.heard }

// A connection that brought nothing while a transaction waited in vain (timer F) is closed: what else is sent over
// it would not get there either. One that brings other things stays.
func TestTimeoutClosesSilentHop(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		want  sip.CloseReason
	}{{-time.Second, sip.CloseDead}, {time.Second, ""}} {
		synctest.Test(t, func(t *testing.T) {
			u := &benchUser{}
			table := NewTable(Config{User: u})
			runWheel(t, table.Wheel())
			c := &dialled{heard: time.Now().Add(tt.after)}
			table.Client(1, "OPTIONS", flow.NewTable().Open(c), u).Start(u)
			time.Sleep(TimerF + time.Second)
			synctest.Wait()
			if c.closed != tt.want {
				t.Errorf("heard %s after the request: closed %q, want %q", tt.after, c.closed, tt.want)
			}
		})
	}
}
