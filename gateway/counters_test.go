package gateway

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// TestEveryReasonIsDocumented: docs/metrics.md names each value that a label of ours can
// have; methods, classes and transports speak for themselves.
func TestEveryReasonIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Parse("c.yaml", []byte("domain: example.com\nadmin: off\nlisten: [ \"udp://127.0.0.1:0\" ]\n"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := New(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	s := g.Snapshot()
	missing := func(page string) (names []string) {
		for _, values := range []map[string]uint64{s.FlowsClosed, s.Drops, s.Refused, s.Events, s.Limited, s.Transport, s.TimedOut, s.Repeated, s.Logins} {
			for _, v := range slices.Sorted(maps.Keys(values)) {
				if !strings.Contains(page, "`"+v+"`") {
					names = append(names, v)
				}
			}
		}
		return names
	}
	if names := missing(string(text)); names != nil {
		t.Errorf("docs/metrics.md lacks %s", strings.Join(names, ", "))
	}
	if missing(strings.ReplaceAll(string(text), "`stray_ack`", "")) == nil {
		t.Error("a page that lacks one passes")
	}
}
