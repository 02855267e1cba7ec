// Command testsum reads what the test runners said: go test -json, and node --test.
//
//	testsum show                            stdin: go test -json as it runs; prints packages, and the output of failed tests
//	testsum sum -skips FILE GO.json WEB.txt prints the runners' summary lines, what was skipped, and "N passed, N failed"
//
// sum exits 1 when a test failed or nothing ran, and where CI=true also when a test was
// skipped that FILE does not list with a reason.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "show" {
		show(os.Stdin, os.Stdout)
		return
	}
	flags := flag.NewFlagSet("testsum sum", flag.ExitOnError)
	skips := flags.String("skips", "", "file of tests that may be skipped")
	if len(os.Args) < 2 || os.Args[1] != "sum" || flags.Parse(os.Args[2:]) != nil || flags.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: testsum show | testsum sum -skips FILE GO.json WEB.txt")
		os.Exit(2)
	}
	ok, err := sum(os.Stdout, *skips, flags.Arg(0), flags.Arg(1), os.Getenv("CI") == "true")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// event is a line of go test -json (go doc test2json).
type event struct{ Action, Package, Test, Output string }

// name is how a test is called in summaries: its package within the module, and it.
func (e *event) name() string {
	pkg := strings.TrimPrefix(strings.TrimPrefix(e.Package, "github.com/ringway/ringway"), "/")
	return pkg + "." + e.Test
}

// events yields the events of a stream; lines that are none (of the compiler, say) go
// to other.
func events(r io.Reader, other func(line string), each func(*event)) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action != "" {
				each(&e)
			} else {
				other(line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// packageLine tells the runner's one line per package from the other output of it.
func packageLine(s string) bool {
	return strings.HasPrefix(s, "ok  \t") || strings.HasPrefix(s, "FAIL\t")
}

func show(r io.Reader, w io.Writer) {
	said := map[string]*strings.Builder{} // test → its output so far
	_ = events(r, func(line string) { fmt.Fprint(w, line) }, func(e *event) {
		key := e.name()
		switch {
		case e.Action == "build-output":
			fmt.Fprint(w, e.Output)
		case e.Action == "output" && packageLine(e.Output):
			fmt.Fprint(w, e.Output)
		case e.Action == "output":
			if said[key] == nil {
				said[key] = &strings.Builder{}
			}
			said[key].WriteString(e.Output)
		case e.Action == "fail" && said[key] != nil:
			fmt.Fprint(w, said[key].String())
			delete(said, key)
		case e.Action == "pass" || e.Action == "skip":
			delete(said, key)
		}
	})
}

// tally is what one runner, or both, reported.
type tally struct {
	lines          []string // the runner's own summary
	passed, failed int
	failures       []string
	skipped        []string
}

func goTests(r io.Reader) (tally, error) {
	var t tally
	parents, failedIn := map[string]bool{}, map[string]bool{}
	var ended []event
	err := events(r, func(string) {}, func(e *event) {
		switch {
		case e.Action == "output" && packageLine(e.Output):
			t.lines = append(t.lines, strings.TrimRight(e.Output, "\n"))
		case e.Action == "pass" || e.Action == "fail" || e.Action == "skip":
			ended = append(ended, *e)
		case e.Action == "run":
			if i := strings.LastIndexByte(e.Test, '/'); i >= 0 {
				parents[e.Package+" "+e.Test[:i]] = true
			}
		}
	})
	for _, e := range ended {
		isParent := parents[e.Package+" "+e.Test]
		switch {
		case e.Test == "" && (e.Action != "fail" || failedIn[e.Package]):
		case e.Test == "": // the package does not build, or its test binary died
			t.failed++
			t.failures = append(t.failures, e.name()+"(package)")
		case e.Action == "fail":
			failedIn[e.Package] = true
			t.failed++
			t.failures = append(t.failures, e.name())
		case e.Action == "skip":
			t.skipped = append(t.skipped, e.name())
		case !isParent:
			t.passed++
		}
	}
	return t, err
}

var (
	// "# tests 5" of node's TAP reporter, "ℹ tests 5" of its spec reporter.
	nodeLine = regexp.MustCompile(`^(?:#|ℹ) (tests|pass|fail|cancelled|skipped|todo) (\d+)$`)
	// "ok 3 - name # SKIP", or "﹣ name (0.1ms) # SKIP".
	nodeSkip = regexp.MustCompile(`^\s*(?:ok \d+ - |﹣ )(.*?)(?: \([0-9.]+ms\))? # SKIP`)
)

func nodeTests(r io.Reader) (tally, error) {
	var t tally
	count := map[string]int{}
	said := false
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		said = said || line != ""
		if m := nodeLine.FindStringSubmatch(line); m != nil {
			n := 0
			fmt.Sscan(m[2], &n)
			count[m[1]] = n
			t.lines = append(t.lines, "# "+m[1]+" "+m[2])
		} else if m := nodeSkip.FindStringSubmatch(line); m != nil {
			t.skipped = append(t.skipped, "web: "+m[1])
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return t, err
		}
	}
	t.passed, t.failed = count["pass"], count["fail"]+count["cancelled"]
	if _, ended := count["pass"]; said && (!ended || count["tests"] == 0) {
		t.failed++
		t.failures = append(t.failures, "web: the runner died, or found no test")
	}
	return t, nil
}

func sum(w io.Writer, skipFile, goFile, webFile string, strict bool) (bool, error) {
	reasons, err := readSkips(skipFile)
	if err != nil {
		return false, err
	}
	all := tally{}
	for _, part := range []struct {
		file string
		read func(io.Reader) (tally, error)
	}{{goFile, goTests}, {webFile, nodeTests}} {
		f, err := os.Open(part.file)
		if err != nil {
			return false, err
		}
		t, err := part.read(f)
		f.Close()
		if err != nil {
			return false, err
		}
		all.lines = append(all.lines, t.lines...)
		all.passed, all.failed = all.passed+t.passed, all.failed+t.failed
		all.failures, all.skipped = append(all.failures, t.failures...), append(all.skipped, t.skipped...)
	}
	for _, name := range all.skipped {
		switch reason := reasons[name]; {
		case reason != "":
			fmt.Fprintf(w, "skipped: %s -- %s\n", name, reason)
		case strict:
			all.failed++
			all.failures = append(all.failures, name+" was skipped, and "+skipFile+" does not list it")
		default:
			fmt.Fprintf(w, "SKIPPED: %s\n", name)
		}
	}
	for _, line := range all.failures {
		fmt.Fprintln(w, "failed:", line)
	}
	for _, line := range all.lines {
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "%d passed, %d failed\n", all.passed, all.failed)
	return all.failed == 0 && all.passed > 0, nil
}

// readSkips reads NAME -- REASON lines.
func readSkips(file string) (map[string]string, error) {
	reasons := map[string]string{}
	if file == "" {
		return reasons, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		name, reason, _ := strings.Cut(line, " -- ")
		if strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: %s has no reason", file, i+1, name)
		}
		reasons[name] = reason
	}
	return reasons, nil
}
