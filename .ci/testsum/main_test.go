package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	passing = `{"Action":"run","Package":"github.com/ringway/ringway/sip","Test":"TestA"}
{"Action":"run","Package":"github.com/ringway/ringway/sip","Test":"TestA/x"}
{"Action":"output","Package":"github.com/ringway/ringway/sip","Test":"TestA/x","Output":"quiet\n"}
{"Action":"pass","Package":"github.com/ringway/ringway/sip","Test":"TestA/x"}
{"Action":"pass","Package":"github.com/ringway/ringway/sip","Test":"TestA"}
{"Action":"output","Package":"github.com/ringway/ringway/sip","Output":"PASS\n"}
{"Action":"output","Package":"github.com/ringway/ringway/sip","Output":"ok  \tgithub.com/ringway/ringway/sip\t0.1s\n"}
{"Action":"pass","Package":"github.com/ringway/ringway/sip"}
`
	failing = `{"Action":"run","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Test":"TestB","Output":"want 1\n"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}
{"Action":"fail","Package":"p"}
`
	broken = `{"ImportPath":"q","Action":"build-output","Output":"q.go:1: undefined: x\n"}
{"ImportPath":"q","Action":"build-fail"}
{"Action":"output","Package":"q","Output":"FAIL\tq [build failed]\n"}
{"Action":"fail","Package":"q","FailedBuild":"q"}
`
	skipping = `{"Action":"run","Package":"github.com/ringway/ringway/sip","Test":"TestS"}
{"Action":"skip","Package":"github.com/ringway/ringway/sip","Test":"TestS"}
`
	tap     = "TAP version 13\nok 1 - a call\n1..1\n# tests 1\n# suites 0\n# pass 1\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n# duration_ms 4\n"
	tapFail = "not ok 1 - a call\n# tests 1\n# pass 0\n# fail 1\n"
	tapSkip = "ok 1 - a call\n    ok 2 - video # SKIP no camera\n# tests 2\n# pass 1\n# fail 0\n# skipped 1\n"
	spec    = "✔ a call (3.5ms)\n﹣ video (0.1ms) # SKIP\nℹ tests 2\nℹ pass 1\nℹ fail 0\nℹ skipped 1\n"
)

func TestSum(t *testing.T) {
	for _, c := range []struct {
		name, goOut, web, skips string
		strict, ok              bool
		want                    string // the last lines
	}{
		{"all pass", passing, tap, "", true, true, "ok  \tgithub.com/ringway/ringway/sip\t0.1s\n# tests 1\n# pass 1\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n2 passed, 0 failed\n"},
		{"no browser suite", passing, "", "", false, true, "1 passed, 0 failed\n"},
		{"a Go test fails", passing + failing, tap, "", false, false, "2 passed, 1 failed\n"},
		{"a package does not build", passing + broken, tap, "", false, false, "2 passed, 1 failed\n"},
		{"a browser test fails", passing, tapFail, "", false, false, "# fail 1\n1 passed, 1 failed\n"},
		{"the browser runner dies", passing, "no such file\n", "", false, false, "1 passed, 1 failed\n"},
		{"nothing ran", "", "", "", false, false, "0 passed, 0 failed\n"},
		{"a skip at home", passing + skipping, tap, "", false, true, "2 passed, 0 failed\n"},
		{"an unlisted skip in CI", passing + skipping, tap, "", true, false, "2 passed, 1 failed\n"},
		{"a listed skip in CI", passing + skipping, tap, "sip.TestS -- no IPv6 there\n", true, true, "2 passed, 0 failed\n"},
		{"an unlisted browser skip in CI", passing, tapSkip, "", true, false, "2 passed, 1 failed\n"},
		{"a listed browser skip in CI", passing, tapSkip, "web: video -- no camera\n", true, true, "2 passed, 0 failed\n"},
		{"the spec reporter", passing, spec, "web: video -- no camera\n", true, true, "# skipped 1\n2 passed, 0 failed\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := func(name, text string) string {
				p := filepath.Join(dir, name)
				if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				return p
			}
			var out strings.Builder
			ok, err := sum(&out, file("skips", c.skips), file("go", c.goOut), file("web", c.web), c.strict)
			if err != nil || ok != c.ok || !strings.HasSuffix(out.String(), c.want) {
				t.Errorf("sum = %v, %v, want %v and the end %q; it says:\n%s", ok, err, c.ok, c.want, out.String())
			}
		})
	}
}

func TestSkipNeedsReason(t *testing.T) {
	file := filepath.Join(t.TempDir(), "skips")
	if err := os.WriteFile(file, []byte("# why\nsip.TestS\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readSkips(file); err == nil {
		t.Errorf("readSkips = %v, want an error", got)
	}
}

func TestShow(t *testing.T) {
	var out strings.Builder
	show(strings.NewReader(passing+failing+broken), &out)
	want := "ok  \tgithub.com/ringway/ringway/sip\t0.1s\nwant 1\nFAIL\tp\t0.1s\nq.go:1: undefined: x\nFAIL\tq [build failed]\n"
	if out.String() != want {
		t.Errorf("show prints %q, want %q", out.String(), want)
	}
}
