package gateway

import (
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transport"
)

// How many lines about connections that ended are written at info level, of those that proved who they are and of
// strangers apart: a flood of the one does not hide the other.
const (
	flowLines      = 50 // a second
	flowLinesBurst = 500
)

// faults are why a connection ends that did something wrong, or that we failed.
var faults = [...]sip.CloseReason{sip.CloseProtocol, sip.CloseTooBig, sip.CloseEncoding, sip.CloseFlood, sip.CloseUnsupported,
	sip.CloseSlow, sip.CloseDead, sip.CloseOverload, sip.ClosePanic}

// flowLog writes a line for each connection that ends (flow.Watcher).
type flowLog struct {
	log zerolog.Logger

	mu    sync.Mutex
	lines [2]struct { // of strangers, of those who are known
		rate    transport.Rate
		skipped uint64
	}
}

func newFlowLog(log zerolog.Logger) *flowLog { return &flowLog{log: log} }

// FlowNamed is flow.Watcher's.
func (*flowLog) FlowNamed(*flow.Flow, flow.Name, *flow.Flow) {}

// FlowClosed is flow.Watcher's.
func (l *flowLog) FlowClosed(f *flow.Flow, why sip.CloseReason) {
	known := f.Proven()
	line := l.log.Debug()
	if known || slices.Contains(faults[:], why) {
		skipped, ok := l.allow(known)
		if !ok {
			return
		}
		line = l.log.Info()
		if skipped > 0 {
			line = line.Uint64("skipped", skipped)
		}
	}
	if line == nil {
		return
	}
	if aors := f.AORs(); len(aors) > 0 {
		line = line.Str("aor", aors[0])
	}
	if up := f.Upstream(); up != "" {
		line = line.Str("upstream", up)
	}
	info := f.Info()
	line.Uint64("flow", uint64(f.ID)).Stringer("transport", info.Transport).Stringer("remote", info.Remote).
		Str("reason", string(why)).Int64("dur_s", int64(time.Since(f.Opened())/time.Second)).Msg("connection closed")
}

// allow reports whether a line may be written, and how many of its kind were not since the last.
func (l *flowLog) allow(known bool) (skipped uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := &l.lines[0]
	if known {
		k = &l.lines[1]
	}
	if !k.rate.Allow(time.Now().UnixNano(), flowLines, flowLinesBurst) {
		k.skipped++
		return 0, false
	}
	skipped, k.skipped = k.skipped, 0
	return skipped, true
}
