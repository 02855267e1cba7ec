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
	for _, tt := range []struct {
		name  string
		live  uint64
		fresh []uint64 // MiB allocated in each look
		want  []int    // looks after which memory is cleaned
	}{
		{"the start counts as one", 10, []uint64{0, 0, 0, 0}, []int{0}},
		{"a storm, then quiet", 10, []uint64{0, 0, 0, 0, 0, 0, 40, 50, 0, 0, 0}, []int{0, 8}},
		{"never in a storm", 10, []uint64{20, 20, 20, 20, 20, 20}, nil},
		{"not while it fades", 10, []uint64{20, 7, 4, 2, 1, 1}, []int{4}},
		{"a trickle is none", 10, []uint64{1, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, []int{0}},
		{"a large heap has larger storms", 800, []uint64{0, 50, 50, 50, 50, 50, 50, 50, 0, 0}, []int{0}},
		{"half a minute between two", 10, []uint64{0, 20, 0, 20, 0, 0, 0, 20, 0}, []int{0, 6}},
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
				m.clean = func() { got = append(got, look) }
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(tt.fresh))*memoryLook+time.Second)
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
