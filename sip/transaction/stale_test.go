package transaction

import (
	"testing"

	"github.com/ringway/ringway/sip"
)

// An alarm that was on its way when the state changed does nothing: neither the 100 after
// 200 ms behind a 2xx, nor timer B behind a 180.
func TestStaleAlarms(t *testing.T) {
	u := &benchUser{}
	table := NewTable(Config{User: u})
	f := benchFlow(sip.WS)
	table.Receive(benchRequest(t, "INVITE", "z9hG4bK1"), f)
	u.tx.Forward(200, benchBytes)
	(*serverAlarm)(u.tx).Expired(&u.tx.timer)
	if u.tx.state != accepted {
		t.Errorf("server: state %d, want accepted (%d)", u.tx.state, accepted)
	}
	tx := table.Client(1, "INVITE", f, u)
	tx.Start(u)
	table.Receive(benchResponse(t, 180, "INVITE", 1), f)
	(*clientAlarm)(tx).Expired(&tx.timer)
	if tx.state != ringing {
		t.Errorf("client: state %d, want ringing (%d)", tx.state, ringing)
	}
}

// What comes often costs no allocation: a request again, a response that matches nothing.
func TestNoAllocs(t *testing.T) {
	u := &benchUser{}
	table := NewTable(Config{User: u})
	f := benchFlow(sip.UDP)
	inv, stray := benchRequest(t, "INVITE", "z9hG4bK1"), benchResponse(t, 200, "INVITE", 99)
	table.Receive(inv, f)
	u.tx.Forward(180, benchBytes)
	if n := testing.AllocsPerRun(100, func() { table.Receive(inv, f); table.Receive(stray, f) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
