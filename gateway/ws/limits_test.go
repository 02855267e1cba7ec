package ws

import (
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// TestLimitsAreThoseConfigured: message size, send queue and patience.
func TestLimitsAreThoseConfigured(t *testing.T) {
	const limit = 5000
	e := start(t, func(c *Config) { c.MaxMessage, c.SendQueue, c.WriteTime = limit, 40_000, time.Minute })
	c := e.dial()
	fits := message("fits", limit-len(message("fits", 1000))+1000)
	send(t, c, websocket.TextMessage, fits)
	want(t, "of the limit", len((<-e.got).String()), limit)
	send(t, c, websocket.TextMessage, message("large", limit))
	if _, answer := receive(t, c); !strings.HasPrefix(answer, "SIP/2.0 513 Message Too Large: over 5000 octets\r\n") {
		t.Errorf("answer %q", answer)
	}
	e.wantClosed(sip.CloseTooBig)

	slow := e.dial()
	send(t, slow, websocket.TextMessage, message("slow", 0))
	<-e.flows
	f, m := <-e.flows, message("out", 3000)
	most := 0
	for f.Send(m) == nil {
		most = max(most, f.Conn.(*Flow).sock.Pending())
	}
	if most == 0 || most > 40_000 {
		t.Errorf("%d octets waited", most)
	}
	e.wantClosed(sip.CloseSlow) // by the queue: a minute has not passed
}
