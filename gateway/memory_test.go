package gateway

import (
	"context"
	"errors"
	"runtime/metrics"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const mib = 1 << 20

func TestMemoryIsCleanedOnceAfterAStorm(t *testing.T) {
	const took = memoryLook * 3 / 4
	rest := make([]uint64, memoryRest)
	for _, tt := range []struct {
		name  string
		live  uint64
		fresh []uint64 // MiB allocated in each look
		want  []int    // looks after which memory is cleaned
	}{
		{"the start counts as one", 10, []uint64{9, 0, 0, 0, 0}, []int{1}},
		{"never in a storm", 10, []uint64{20, 20, 20, 20, 20, 20}, nil},
		{"not while it fades", 10, []uint64{20, 2, 1, 1, 0, 0}, []int{4}},
		{"a trickle is none", 10, append([]uint64{9, 0}, slices.Repeat([]uint64{1}, 100)...), []int{1}},
		{"a storm, then quiet", 10, slices.Concat([]uint64{9, 0}, rest, []uint64{40, 50, 0, 0, 0}), []int{1, 14}},
		{"a large heap has larger storms", 800, slices.Concat([]uint64{800, 0}, rest, slices.Repeat([]uint64{20}, 50), []uint64{0, 0}), []int{1}},
		{"too little to clean", 80, slices.Concat([]uint64{80, 0}, rest, []uint64{10, 0, 0, 0, 10, 0}), []int{1, 17}},
		{"a rest after it", 10, slices.Concat([]uint64{9, 0, 20}, rest, []uint64{0, 0, 0}), []int{1, 10}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var allocated uint64
				var got []int
				look := -1
				m := newMemory()
				m.read = func() (uint64, uint64) {
					look++
					if look < len(tt.fresh) {
						allocated += tt.fresh[look] * mib
					}
					return allocated, tt.live * mib
				}
				m.clean = func() { got = append(got, look); time.Sleep(took) }
				ctx, cancel := context.WithTimeout(t.Context(), memoryLook*time.Duration(len(tt.fresh))+memoryLook/2)
				defer cancel()
				if err := m.run(ctx); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("cleaned after looks %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// What the runtime calls its metrics may change with the release of Go.
func TestMemoryMetricsExist(t *testing.T) {
	cleanMemory()
	allocated, live := readMemory()
	if allocated == 0 || live == 0 || live > allocated {
		t.Errorf("%d allocated, %d live", allocated, live)
	}
	before := metricOf("/gc/cycles/total:gc-cycles")
	cleanMemory()
	if n := metricOf("/gc/cycles/total:gc-cycles") - before; n < 2 {
		t.Errorf("%d collections, want 2", n)
	}
}

func metricOf(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
