package gateway

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Times of keep-alives: those of RFC 5626 §4.4.1, but as often as NATs want them where the provider does not say (Flow-Timer).
const (
	pingLeast    = 25 * time.Second
	pingSpread   = 5 * time.Second
	pongWithin   = 10 * time.Second
	leastOfTimer = 15 * time.Second
)

// pinger is a connection with keep-alives.
type pinger interface {
	Ping() error
	Ponged() time.Time
}

// keepAlive keeps up the TCP or TLS connection that a provider knows us by, for its calls come over it; one that has answered
// before and does not now is ended, and then we register anew. Guarded by the registration's mu.
type keepAlive struct {
	r      *registration
	timer  transaction.Timer
	flow   *flow.Flow     // nil: none
	limit  time.Duration  // the provider's Flow-Timer, 0: none
	asked  time.Time      // when the ping was sent that waits for its pong; zero: none does
	ponger netip.AddrPort // who has answered one
}

// keepLocked begins once a REGISTER over f is granted by m.
func (k *keepAlive) keepLocked(f *flow.Flow, m *sip.Message) {
	tr := f.Info().Transport
	if _, ok := f.Conn.(pinger); !ok || !tr.Reliable() || tr.WebSocket() {
		return
	}
	k.limit = 0
	if n, err := strconv.ParseUint(m.Named("Flow-Timer"), 10, 16); err == nil {
		k.limit = max(time.Duration(n)*time.Second, leastOfTimer)
	}
	if k.flow == f {
		return
	}
	k.flow, k.asked = f, time.Time{}
	k.afterLocked(k.period())
}

// period is the time from one ping to the next.
func (k *keepAlive) period() time.Duration {
	random := rand.Float64
	if k.r.gateway.random != nil {
		random = k.r.gateway.random
	}
	d := pingLeast + time.Duration(random()*float64(pingSpread))
	if k.limit > 0 {
		d = min(d, time.Duration((0.8+0.2*random())*float64(k.limit)))
	}
	return d
}

func (k *keepAlive) afterLocked(d time.Duration) {
	k.r.gateway.transactions.Wheel().After(&k.timer, d, k)
}

func (k *keepAlive) stopLocked() {
	k.flow = nil
	k.r.gateway.transactions.Wheel().Stop(&k.timer)
}

// Expired is transaction.Alarm.
func (k *keepAlive) Expired(*transaction.Timer) {
	if dead := k.beat(); dead != nil {
		dead.Close(sip.CloseDead) // FlowClosed follows
	}
}

// beat sends a ping, or looks for the pong; it returns the connection when there is none.
func (k *keepAlive) beat() (dead *flow.Flow) {
	k.r.mu.Lock()
	defer k.r.mu.Unlock()
	f := k.flow
	if f == nil || k.timer.Stale() {
		return nil
	}
	p, asked := f.Conn.(pinger), k.asked
	switch {
	case !f.Live() || f != k.r.flow:
		k.flow = nil
		return nil
	case asked.IsZero():
		k.asked = time.Now()
		if p.Ping() == nil {
			k.afterLocked(pongWithin)
		}
		return nil
	case !p.Ponged().Before(asked):
		k.ponger = f.Info().Remote
	case k.ponger == f.Info().Remote && !heardSince(f, asked):
		k.flow = nil
		return f
	}
	k.asked = time.Time{}
	k.afterLocked(k.period() - pongWithin)
	return nil
}

// heardSince reports whether anything has come over a connection since then.
func heardSince(f *flow.Flow, then time.Time) bool {
	c, ok := f.Conn.(interface{ Heard() time.Time })
	return ok && !c.Heard().Before(then)
}
