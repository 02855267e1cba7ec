package ws

import (
	"net/http"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// faulty runs an edge; told sends what panicked.
func faulty(t *testing.T, set func(*Config)) (e *edge, told chan any) {
	told = make(chan any, 100)
	e = start(t, func(c *Config) {
		c.Panicked = func(v any, _ []byte) { told <- v }
		c.Table.OnPanic(c.Panicked)
		if set != nil {
			set(c)
		}
	})
	return e, told
}

// Who waits for a pong is told on the reader's goroutine, or on a timer's: a panic there neither ends the
// process nor keeps it from the others who wait.
func TestPanicOfWhoWaitsForPong(t *testing.T) {
	e, told := faulty(t, nil)
	c := e.dial()
	send(t, c, websocket.TextMessage, message("a", 0))
	f := <-e.flows
	<-e.got
	second := make(chan bool, 1)
	ping := func(within time.Duration) {
		e.Ping(f, within, func(alive bool) { panic(alive) })
		e.Ping(f, within, func(alive bool) { second <- alive })
	}
	ping(time.Hour)
	send(t, c, websocket.TextMessage, message("b", 0))
	want(t, "told", <-told, any(true))
	want(t, "second", <-second, true)
	<-e.got // and the message is read
	ping(20 * time.Millisecond)
	want(t, "told", <-told, any(false))
	want(t, "second", <-second, false)
	e.wantClosed(sip.CloseDead)
	want(t, "counted", e.count.Panics.Load(), 2)
	send(t, e.dial(), websocket.TextMessage, message("c", 0))
	<-e.got
}

// The end of a flow is told to all who watch it.
func TestPanicOfWatcher(t *testing.T) {
	after := make(chan sip.CloseReason, 1)
	e, told := faulty(t, func(c *Config) {
		c.Table.Watch(watcherFunc(func(sip.CloseReason) { panic("watcher") }))
		c.Table.Watch(watcherFunc(func(why sip.CloseReason) { after <- why }))
	})
	e.dial().Close()
	e.wantClosed(sip.CloseLost)
	want(t, "told", <-told, any("watcher"))
	want(t, "the watcher after it", <-after, sip.CloseLost)
}

type watcherFunc func(why sip.CloseReason)

func (watcherFunc) FlowNamed(*flow.Flow, flow.Name, *flow.Flow)    {}
func (w watcherFunc) FlowClosed(_ *flow.Flow, why sip.CloseReason) { w(why) }

// A page that panics is counted; net/http would hide it.
func TestPanicOfPage(t *testing.T) {
	e, told := faulty(t, func(c *Config) {
		c.Pages = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("page") })
	})
	res, err := http.Get("http://" + e.Addr(0).String() + "/")
	if err == nil {
		res.Body.Close()
	}
	want(t, "told", <-told, any("page"))
	http.DefaultClient.CloseIdleConnections()
}
