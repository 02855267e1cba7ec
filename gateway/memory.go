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
	memoryLook = 5 * time.Second
	// memoryRest is the least time between two collections of ours.
	memoryRest = 30 * time.Second
	// stormBytes is the least that a storm allocates between two looks.
	stormBytes = 8 << 20
)

// memory gives back to the system what a storm of registrations or calls has left:
// garbage, stacks that grew, pages freed by earlier collections. The runtime would take
// minutes when nothing allocates any more, and keep room for the next storm.
type memory struct {
	read  func() (allocated, live uint64) // bytes: ever allocated; found in use by the last collection
	clean func()

	last   uint64    // allocated at the last look
	storm  bool      // one was seen and not yet cleaned after
	rested time.Time // when we may collect again
}

func newMemory() *memory {
	return &memory{read: readMemory, clean: cleanMemory, storm: true} // reading the configuration was one
}

// run looks every 5 seconds until ctx ends.
func (m *memory) run(ctx context.Context) error {
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			if m.look(now) {
				m.clean()
			}
		}
	}
}

// look reports whether a storm is over: an eighth of the heap was allocated anew
// within one look, and not a quarter of that within the last.
func (m *memory) look(now time.Time) bool {
	allocated, live := m.read()
	fresh := allocated - m.last
	m.last = allocated
	switch much := max(stormBytes, live/8); {
	case fresh >= much:
		m.storm = true
		return false
	case !m.storm || fresh >= much/4 || now.Before(m.rested):
		return false
	}
	m.storm, m.rested = false, now.Add(memoryRest)
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
