package gateway

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// memoryLook is how often allocation is looked at.
	memoryLook = 500 * time.Millisecond
	// memoryRest is how many times as long as it took we leave memory alone after we cleaned it.
	memoryRest = 10
	// stormBytes is the least that a storm allocates between two looks.
	stormBytes = 2 << 20
)

// memory gives back to the system what a storm of registrations or calls has left:
// garbage, stacks that grew, pages freed by earlier collections. The runtime would take
// minutes when nothing allocates any more, and keep room for the next storm.
type memory struct {
	read  func() (allocated, live uint64) // bytes: ever allocated; found in use by the last collection
	clean func()

	last    uint64    // allocated at the last look
	cleaned uint64    // allocated when memory was last cleaned
	storm   bool      // one was seen since
	rested  time.Time // when we may collect again
}

func newMemory() *memory {
	return &memory{read: readMemory, clean: cleanMemory, storm: true} // reading the configuration was one
}

// run looks until ctx ends: some microseconds each time.
func (m *memory) run(ctx context.Context) error {
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			if m.look(now) {
				began := time.Now()
				m.clean()
				m.rested = time.Now().Add(memoryRest * time.Since(began))
			}
		}
	}
}

// look reports whether a storm is over that was worth it: a 32nd of the heap was
// allocated anew between two looks, a quarter in all, and since the last look next to nothing.
func (m *memory) look(now time.Time) bool {
	allocated, live := m.read()
	fresh := allocated - m.last
	m.last = allocated
	switch much := max(stormBytes, live/32); {
	case fresh >= much:
		m.storm = true
		return false
	case !m.storm || fresh >= much/4 || allocated-m.cleaned < live/4 || now.Before(m.rested):
		return false
	}
	m.storm, m.cleaned = false, allocated
	return true
}

func readMemory() (allocated, live uint64) {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

// cleanMemory collects twice, as a collection halves a stack once and empties
// pools at the second, and returns free pages.
func cleanMemory() {
	runtime.GC()
	debug.FreeOSMemory()
}
