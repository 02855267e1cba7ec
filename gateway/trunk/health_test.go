package trunk

import (
	"strings"
	"testing"
	"time"
)

// TestHealth plays events against the state machine. A step is an event, perhaps with "=" and
// seconds (the Retry-After of 503, or how long is waited), and "→" the state after it.
func TestHealth(t *testing.T) {
	on := Defaults().Health
	off := HealthConfig{Off: true}.withDefaults()
	events := map[string]event{
		"ok": probeAnswered, "miss": probeMissed, "answer": callAnswered, "503": callUnavailable,
		"silent": callSilent, "broken": callBroken, "refused": callNoConnection, "wait": waited,
	}
	for _, c := range []struct {
		name  string
		cfg   HealthConfig
		steps string
	}{
		{"the first answer tells", on, "ok→up"},
		{"three misses from the start", on, "miss→unknown miss→unknown miss→down"},
		{"three misses in a row", on, "ok→up miss→up miss→up ok→up miss→up miss→up miss→down miss→down"},
		{"two answers in a row", on, "ok→up refused→down ok→down miss→down ok→down ok→up"},
		{"long up is not long answering", on, "ok→up ok→up ok→up ok→up refused→down ok→down ok→up"},
		{"a call's answer is a sign of life", on, "ok→up miss→up miss→up answer→up miss→up miss→up miss→down"},
		{"and tells of an address not probed yet", on, "answer→up"},
		{"but not of one that is down: it may be late", on, "ok→up refused→down answer→down"},
		{"no connection is enough", on, "ok→up refused→down refused→down"},
		{"one silent call is a lost packet", on, "ok→up silent→up ok→up silent→up answer→up silent→up"},
		{"two in a row are not", on, "ok→up silent→up silent→down"},
		{"nor are two of different kinds", on, "ok→up broken→up 503→down"},
		{"a silent call and a missed probe", on, "ok→up miss→up silent→down"},
		{"a missed probe and a silent call", on, "ok→up silent→up miss→down"},
		{"503 without Retry-After is a failure", on, "ok→up 503→up answer→up 503→up 503→down"},
		{"503 with Retry-After", on, "ok→up 503=30→busy wait=29→busy wait=1→unknown ok→up"},
		{"no answer shortens it", on, "ok→up 503=30→busy ok→busy answer→busy wait=30→unknown"},
		{"a second one lengthens it", on, "ok→up 503=30→busy wait=20→busy 503=30→busy wait=29→busy wait=1→unknown"},
		{"30 seconds at most where it is probed", on, "503=999999999→busy wait=29→busy wait=1→unknown"},
		{"five minutes at most", off, "503=86400→busy wait=299→busy wait=1→unknown"},
		{"busy and silent to probes: down as soon as it counts", on, "ok→up 503=30→busy miss→busy miss→busy wait=30→unknown miss→down"},
		{"busy and no connection", on, "503=30→busy refused→down ok→down ok→up"},
		{"down stays down at a late 503", on, "refused→down 503=1→down wait=2→down"},
		{"without probes: out for the interval", off, "refused→down wait=9→down wait=1→unknown refused→down wait=10→unknown answer→up"},
		{"without probes: two failures", off, "silent→unknown silent→down wait=10→unknown silent→unknown answer→up"},
		{"without probes: a call's answer counts", off, "silent→unknown 503→down answer→up"},
		{"without probes: Retry-After", off, "503=20→busy wait=20→unknown"},
	} {
		now := time.Unix(1_000_000, 0)
		h := health{}
		for i, step := range strings.Fields(c.steps) {
			what, want, _ := strings.Cut(step, "→")
			name, seconds, _ := strings.Cut(what, "=")
			e, known := events[name]
			if !known {
				t.Fatal("no event " + name)
			}
			wait, _ := time.ParseDuration(seconds + "s")
			if e == waited {
				now = now.Add(wait)
			}
			before := h
			h = h.next(&c.cfg, e, "why", wait, now)
			if h.state.String() != want {
				t.Errorf("%s: %v after step %d (%s), want %s", c.name, h.state, i+1, step, want)
			}
			if h.state != before.state && (h.since != now || h.cause == "") {
				t.Errorf("%s: step %d (%s) changes the state without saying when or why: %+v", c.name, i+1, step, h)
			}
		}
	}
}
