package transaction

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// runWheel runs w in the bubble until the test ends.
func runWheel(t *testing.T, w *Wheel) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = w.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	synctest.Wait()
}

func TestWheelFiresOnTime(t *testing.T) {
	for _, d := range []time.Duration{
		10 * time.Millisecond, 20 * time.Millisecond, 500 * time.Millisecond, 630 * time.Millisecond, 640 * time.Millisecond,
		650 * time.Millisecond, 32 * time.Second, 40950 * time.Millisecond, 40960 * time.Millisecond, 40970 * time.Millisecond,
		185 * time.Second, time.Hour, 50 * time.Hour, 3000 * time.Hour,
	} {
		for _, lead := range []time.Duration{0, 10 * time.Millisecond, 630 * time.Millisecond, 40 * time.Second, 47 * time.Hour} {
			t.Run(fmt.Sprintf("%v after %v", d, lead), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := NewWheel()
					runWheel(t, w)
					time.Sleep(lead)
					start := time.Now()
					fired := make(chan time.Duration, 2)
					var tm Timer
					w.After(&tm, d, AlarmFunc(func() { fired <- time.Since(start) }))
					if got := <-fired; got != d {
						t.Errorf("armed for %v: fired after %v", d, got)
					}
				})
			})
		}
	}
}

func TestWheelNeverEarlyAndOneStepLateAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		runWheel(t, w)
		rng := rand.New(rand.NewPCG(1, 2))
		const n = 2000
		late := make(chan time.Duration, n)
		timers := make([]Timer, n)
		for i := range timers {
			time.Sleep(time.Duration(rng.Int64N(int64(20 * time.Millisecond))))
			d := time.Duration(rng.Int64N(int64(3 * time.Minute)))
			due := time.Now().Add(d)
			w.After(&timers[i], d, AlarmFunc(func() { late <- time.Since(due) }))
		}
		for range n {
			if l := <-late; l < 0 || l >= Resolution {
				t.Fatalf("fired %v after its time, want 0 <= late < %v", l, Resolution)
			}
		}
	})
}

func TestWheelAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		runWheel(t, w)
		start := time.Now()
		fired := make(chan time.Duration, 1)
		var later, tm Timer
		w.After(&later, time.Second, AlarmFunc(func() {}))
		w.After(&tm, 0, AlarmFunc(func() { fired <- time.Since(start) }))
		if got := <-fired; got != 0 {
			t.Errorf("armed for now: fired after %v", got)
		}
	})
}

func TestWheelOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		runWheel(t, w)
		var got []int
		timers := make([]Timer, 6)
		for i, d := range []time.Duration{5 * time.Second, time.Second, 5 * time.Second, 100 * time.Second, 0, 5 * time.Second} {
			w.After(&timers[i], d, AlarmFunc(func() { got = append(got, i) }))
		}
		time.Sleep(200 * time.Second)
		synctest.Wait()
		if want := []int{4, 1, 0, 2, 5, 3}; !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
	})
}

func TestWheelStopAndMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		runWheel(t, w)
		start := time.Now()
		var fired []time.Duration
		note := AlarmFunc(func() { fired = append(fired, time.Since(start)) })
		var stopped, moved, idle Timer
		w.After(&stopped, time.Second, note)
		w.After(&moved, time.Second, note)
		w.After(&moved, 3*time.Second, note)
		if !w.Stop(&stopped) || w.Stop(&stopped) || w.Stop(&idle) {
			t.Error("Stop reports wrongly whether the timer was armed")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if want := []time.Duration{3 * time.Second}; !slices.Equal(fired, want) {
			t.Errorf("fired at %v, want %v", fired, want)
		}
	})
}

// One alarm that stops another of the same step, and one that arms itself again.
func TestWheelStopFromAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		runWheel(t, w)
		var first, second, again Timer
		n := 0
		w.After(&first, time.Second, AlarmFunc(func() { w.Stop(&second) }))
		w.After(&second, time.Second, AlarmFunc(func() { t.Error("stopped timer fired") }))
		var rearm AlarmFunc
		rearm = func() {
			if n++; n < 5 {
				w.After(&again, time.Second, rearm)
			}
		}
		w.After(&again, time.Second, rearm)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n != 5 {
			t.Errorf("rearmed timer fired %d times, want 5", n)
		}
	})
}

// An Expired call that was on its way when its timer was stopped or armed anew is told so.
func TestTimerStale(t *testing.T) {
	for name, act := range map[string]func(*Wheel, *Timer, Alarm){
		"stopped": func(w *Wheel, tm *Timer, _ Alarm) { w.Stop(tm) },
		"rearmed": func(w *Wheel, tm *Timer, a Alarm) { w.After(tm, time.Hour, a) },
		"left":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := NewWheel()
				runWheel(t, w)
				entered, gate, stale := make(chan bool), make(chan bool), make(chan bool)
				var tm Timer
				alarm := AlarmFunc(func() { entered <- true; <-gate; stale <- tm.Stale() })
				w.After(&tm, time.Second, alarm)
				<-entered
				if act != nil {
					act(w, &tm, alarm)
				}
				gate <- true
				if got, want := <-stale, act != nil; got != want {
					t.Errorf("Stale() = %v, want %v", got, want)
				}
				w.Stop(&tm)
			})
		})
	}
}

func TestWheelArmedBeforeRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		fired := make(chan struct{}, 2)
		var a, b Timer
		w.After(&a, time.Second, AlarmFunc(func() { fired <- struct{}{} }))
		w.After(&b, 0, AlarmFunc(func() { fired <- struct{}{} }))
		time.Sleep(time.Minute)
		runWheel(t, w)
		<-fired
		<-fired
	})
}

// An idle wheel leaves the clock alone: fake time jumps straight to the test's own timer.
func TestWheelIdleDoesNotTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewWheel()
		runWheel(t, w)
		var tm Timer
		w.After(&tm, time.Second, AlarmFunc(func() {}))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.armed != never {
			t.Errorf("clock armed for step %d with no timer left", w.armed)
		}
	})
}

func TestWheelNoAllocs(t *testing.T) {
	w := NewWheel()
	var tm Timer
	var alarm Alarm = AlarmFunc(func() {})
	if n := testing.AllocsPerRun(100, func() { w.After(&tm, time.Second, alarm); w.Stop(&tm) }); n != 0 {
		t.Errorf("%v allocations per timer, want 0", n)
	}
}

// A panic of one alarm reaches OnPanic and stops nobody else.
func TestWheelPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []any
		w := NewTable(Config{OnPanic: func(v any, _ []byte) { got = append(got, v) }}).Wheel()
		runWheel(t, w)
		var a, b Timer
		w.After(&a, time.Second, AlarmFunc(func() { panic("first") }))
		w.After(&b, time.Second, AlarmFunc(func() { got = append(got, "second") }))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !slices.Equal(got, []any{"first", "second"}) {
			t.Errorf("got %v, want first, second", got)
		}
	})
}
