package gateway

import (
	"context"
	"testing"

	"github.com/rs/zerolog"

	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/registrar"
)

// What others call from loops of their own does not end them: a gateway in which nothing is wired panics at
// everything, and counts it.
func TestPanicsOfCallbacks(t *testing.T) {
	g := &Gateway{log: zerolog.Nop()}
	for name, call := range map[string]func(){
		"bindingChanged": func() { g.bindingChanged(registrar.Event{Change: registrar.Unregistered}) },
		"Probe":          func() { (*prober)(g).Probe(trunk.Target{}, 0, nil) },
	} {
		before := g.count.panics.Load()
		call()
		if n := g.count.panics.Load() - before; n != 1 {
			t.Errorf("%s: %d panics counted, want 1", name, n)
		}
	}
}

// A part that panics ends the run with an error, and with it the others.
func TestPanicOfPart(t *testing.T) {
	g := &Gateway{log: zerolog.Nop()}
	if err := g.runPart(context.Background(), func(context.Context) error { panic("part") }); err == nil || err.Error() != "internal error: part" {
		t.Errorf("ended with %v", err)
	}
	if n := g.count.panics.Load(); n != 1 {
		t.Errorf("%d panics counted, want 1", n)
	}
}
