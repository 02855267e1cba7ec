package transaction_test

import (
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transaction"
)

// broken is a request whose texts cannot be made: the first good ones of Append can.
type broken struct{ good int }

func (b *broken) Append([]byte) []byte {
	if b.good--; b.good < 0 {
		panic("append")
	}
	return []byte("REGISTER sip:x SIP/2.0\r\n\r\n")
}
func (b *broken) CSeq() uint32                             { return 1 }
func (b *broken) AppendAck([]byte, *sip.Message) []byte    { panic("ack") }
func (b *broken) AppendCancel([]byte, ...string) []byte    { panic("cancel") }
func (r *rig) startBroken(c *transaction.Client, good int) { c.Start(&broken{good}) }

// panics runs f with a rig that counts panics, and then looks whether the process is as good as
// before: each panic was told once, nothing is left, the wheel turns and requests are served.
func panics(t *testing.T, want int, f func(r *rig)) {
	t.Helper()
	told := 0
	inBubbleWith(t, transaction.Config{OnPanic: func(any, []byte) { told++ }}, func(r *rig) {
		f(r)
		r.wait(2 * time.Minute)
		if told != want {
			t.Errorf("%d panics told, want %d", told, want)
		}
		for kind, n := range r.Stats().Live {
			if n != 0 {
				t.Errorf("%d transactions of kind %s are left", n, transaction.Kind(kind))
			}
		}
		r.onRequest = nil
		r.events = nil
		carol := r.alice(sip.UDP)
		carol.Write(request("INVITE", "z9hG4bK-after"))
		r.wait(time.Second)
		r.wantEvents(r.at(time.Now().Add(-time.Second)) + "request INVITE")
		r.wantSent(carol, r.at(time.Now().Add(-800*time.Millisecond))+"100")
	})
}

// A client transaction whose request cannot be made again (timer A), acknowledged or cancelled fails
// with ErrInternal, and holds nobody up.
func TestClientPanics(t *testing.T) {
	t.Run("start", func(t *testing.T) {
		panics(t, 1, func(r *rig) {
			r.startBroken(r.Client(1, "INVITE", r.bob(sip.UDP).Flow(), r), 0)
			r.wantEvents("failed: " + transaction.ErrInternal.Error())
		})
	})
	t.Run("timer A", func(t *testing.T) {
		panics(t, 1, func(r *rig) {
			r.startBroken(r.Client(1, "INVITE", r.bob(sip.UDP).Flow(), r), 1)
			r.wait(time.Second)
			r.wantEvents("500ms failed: " + transaction.ErrInternal.Error())
		})
	})
	t.Run("ack", func(t *testing.T) {
		panics(t, 1, func(r *rig) {
			bob := r.bob(sip.UDP)
			r.startBroken(r.Client(1, "INVITE", bob.Flow(), r), 1)
			bob.Write(response(486, "INVITE", 1))
			r.wantEvents("failed: " + transaction.ErrInternal.Error())
		})
	})
	t.Run("cancel", func(t *testing.T) {
		panics(t, 1, func(r *rig) {
			bob := r.bob(sip.UDP)
			tx := r.Client(1, "INVITE", bob.Flow(), r)
			r.startBroken(tx, 1)
			bob.Write(response(180, "INVITE", 1))
			tx.Cancel()
			r.wantEvents("response 180", "failed: "+transaction.ErrInternal.Error())
		})
	})
}

// A server transaction that panics is answered 500 by the table, and ends.
func TestServerPanics(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		panics(t, 1, func(r *rig) {
			alice := r.alice(sip.UDP)
			alice.Write(request(method, branch1))
			r.server.Reply(nil)
			r.wantSent(alice, "500")
			r.wantEvents("request "+method, "ended: "+transaction.ErrInternal.Error())
		})
	}
}

// A panic of the user in Request goes on to the reader; the client gets 500 and nothing waits for an
// answer that nobody will give.
func TestRequestPanics(t *testing.T) {
	for _, method := range []string{"INVITE", "MESSAGE"} {
		panics(t, 0, func(r *rig) {
			r.onRequest = func(*transaction.Server) { panic("request") }
			alice := r.alice(sip.UDP)
			func() {
				defer func() {
					if v := recover(); v != "request" {
						t.Errorf("the reader recovered %v, want request", v)
					}
				}()
				alice.Write(request(method, branch1))
			}()
			r.wantSent(alice, "500")
		})
	}
}
