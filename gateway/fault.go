package gateway

import (
	"context"
	"fmt"

	"github.com/ringway/ringway/sip/fault"
)

// panics is who is told of every panic that was caught.
func (g *Gateway) panics() fault.Handler { return g.panicked }

// panicked counts and logs a panic that ended no more than what it happened in: a request, a connection, the
// call of a timer.
func (g *Gateway) panicked(v any, stack []byte) {
	g.count.panics.Add(1)
	g.log.Error().Interface("panic", v).Bytes("stack", stack).Msg("a panic was caught; the request or connection concerned has ended")
}

// runPart lets a part that panics end as one that fails: the others are closed in order.
func (g *Gateway) runPart(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			g.panics().Pass(v)
			err = fmt.Errorf("internal error: %v", v)
		}
	}()
	return run(ctx)
}
