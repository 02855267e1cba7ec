package registrar

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

const memoryShards = 64

// Memory is a Store in this process's memory: bindings end with it.
type Memory struct {
	seed   maphash.Seed
	shards [memoryShards]memoryShard
}

type memoryShard struct {
	mu sync.RWMutex
	// The slices are replaced whole, never changed.
	aors map[string][]Binding
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	m := &Memory{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].aors = make(map[string][]Binding)
	}
	return m
}

func (m *Memory) shard(aor string) *memoryShard {
	return &m.shards[maphash.String(m.seed, aor)%memoryShards]
}

// Update is Store.Update; fn is called once, under the lock of the AOR's shard.
func (m *Memory) Update(ctx context.Context, aor string, fn func([]Binding) ([]Binding, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := m.shard(aor)
	s.mu.Lock()
	defer s.mu.Unlock()
	list, err := fn(slices.Clone(s.aors[aor]))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		delete(s.aors, aor)
		return nil
	}
	s.aors[keep(list[0].AOR, aor)] = list // aor may be part of a message
	return nil
}

// Get is Store.Get.
func (m *Memory) Get(ctx context.Context, aor string) ([]Binding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := m.shard(aor)
	s.mu.RLock()
	list := s.aors[aor]
	s.mu.RUnlock()
	return unexpired(list, time.Now()), nil
}

// Each is Store.Each.
func (m *Memory) Each(ctx context.Context, fn func(aor string, b []Binding) bool) error {
	for i := range m.shards {
		lists := m.shards[i].snapshot()
		for _, list := range lists {
			if err := ctx.Err(); err != nil {
				return err
			}
			live := unexpired(list.bindings, time.Now())
			if len(live) > 0 && !fn(list.aor, live) {
				return nil
			}
		}
	}
	return ctx.Err()
}

type aorBindings struct {
	aor      string
	bindings []Binding
}

func (s *memoryShard) snapshot() []aorBindings {
	s.mu.RLock()
	defer s.mu.RUnlock()
	lists := make([]aorBindings, 0, len(s.aors))
	for aor, b := range s.aors {
		lists = append(lists, aorBindings{aor, b})
	}
	return lists
}

// unexpired copies the bindings of list that have not ended.
func unexpired(list []Binding, now time.Time) []Binding {
	if len(list) == 0 {
		return nil
	}
	out := make([]Binding, 0, len(list))
	for i := range list {
		if list[i].Live(now) {
			out = append(out, list[i])
		}
	}
	return out
}
