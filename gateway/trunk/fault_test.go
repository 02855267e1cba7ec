package trunk

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/gateway/trunk/locate"
)

type breaking struct{ asked int }

func (b *breaking) Locate(context.Context, locate.Target) locate.Result {
	b.asked++
	panic("broken")
}

// A look-up that panics ends neither the process nor the look-ups: there is another one later.
func TestPanicInALookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, err := ParseHop("sip:pbx.example.com")
		if err != nil {
			t.Fatal(err)
		}
		b, told := &breaking{}, 0
		s := NewSet(Config{Groups: []Group{{Name: "pbx", Hops: []Hop{h}}}, Locator: b, Panicked: func(any, []byte) { told++ }})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		time.Sleep(3500 * time.Millisecond)
		stop()
		<-ended
		if b.asked != 4 || told != 4 {
			t.Errorf("asked %d times, told of %d", b.asked, told)
		}
	})
}
