package siptest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

// Update is the flag -update of tests that compare with files.
var Update = flag.Bool("update", false, "rewrite what tests expect: call-flow scripts and other files")

// Setup is a gateway with its network, for one script.
type Setup struct {
	Net *Net
	// Commands are what the gateway adds to the commands of scripts (testdata/flows/README.md): words
	// are those after the name; what they return is shown.
	Commands map[string]func(words []string) string
}

// RunScripts plays each script that the pattern of file names finds, in a bubble of its own,
// against the gateway that start makes, and compares what each command makes every
// user agent see with what the script says. With -update it rewrites the scripts
// instead. start is called in the bubble and leaves what it starts to t.Cleanup.
func RunScripts(t *testing.T, pattern string, start func(t *testing.T) Setup) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no script is named %s", pattern)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := parseScript(string(text))
			synctest.Test(t, func(t *testing.T) {
				for _, problem := range s.play(start(t), *Update) {
					t.Errorf("%s:%s", file, problem)
				}
			})
			if *Update && s.String() != string(text) {
				if err := os.WriteFile(file, []byte(s.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// script is a file: blocks with what stands between them.
type script struct{ blocks []block }

// block is commands, and what they make the user agents see.
type block struct {
	before   []string // comments and blank lines
	line     int
	commands []string
	want     []string
}

const rule = "----"

// parseScript reads blocks: commands, a line "----", what is seen; a blank line ends a block.
func parseScript(text string) *script {
	s := &script{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		var b block
		for ; i < len(lines) && (lines[i] == "" || lines[i][0] == '#'); i++ {
			b.before = append(b.before, lines[i])
		}
		b.line = i + 1
		for ; i < len(lines) && lines[i] != "" && lines[i] != rule; i++ {
			b.commands = append(b.commands, lines[i])
		}
		if i < len(lines) && lines[i] == rule {
			i++
		}
		for ; i < len(lines) && lines[i] != ""; i++ {
			b.want = append(b.want, lines[i])
		}
		s.blocks = append(s.blocks, b)
	}
	return s
}

// String is the file again. A block that makes nobody see anything needs no rule.
func (s *script) String() string {
	var out strings.Builder
	for _, b := range s.blocks {
		lines := append(append([]string(nil), b.before...), b.commands...)
		if len(b.want) > 0 {
			lines = append(append(lines, rule), b.want...)
		}
		for _, l := range lines {
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}

// play runs the script and returns what is not as it says, each with its line. With
// rewrite it is the script that changes.
func (s *script) play(setup Setup, rewrite bool) (problems []string) {
	p := &player{net: setup.Net, more: setup.Commands, uas: make(map[string]*UA), mask: NewMasker()}
	for i := range s.blocks {
		b := &s.blocks[i]
		if len(b.commands) == 0 {
			continue
		}
		got, err := p.block(b)
		if err != nil {
			return append(problems, fmt.Sprintf("%d: %v", b.line, err))
		}
		if rewrite {
			b.want = got
			continue
		}
		if g, w := strings.Join(got, "\n"), strings.Join(b.want, "\n"); g != w {
			problems = append(problems, fmt.Sprintf("%d: %s\nseen:\n%s\nwant:\n%s", b.line, b.commands[0], indent(g), indent(w)))
		}
	}
	return problems
}

func indent(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") }
