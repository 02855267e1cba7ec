package gateway

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Problem is one thing that is wrong, or doubtful, in a configuration.
type Problem struct {
	File         string
	Line, Column int    // from 1; 0: the whole file
	Path         string // of the key: upstreams.pbx.hops[0]; "" for the file
	Text         string // what is wrong and, after a ';', the cure
}

func (p Problem) String() string {
	s := p.File + ":"
	if p.Line > 0 {
		s += strconv.Itoa(p.Line) + ":"
	}
	if p.Column > 0 {
		s += strconv.Itoa(p.Column) + ":"
	}
	if p.Path != "" {
		s += " " + p.Path + ":"
	}
	return s + " " + p.Text
}

// Problems are all that was found, in the order of the file.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// decoder walks the YAML tree by the tables of config_keys.go. It goes on after a
// problem, so that one run shows all of them.
type decoder struct {
	file     string
	problems Problems
	at       map[string]*token.Position // key path → where its value stands
	anchors  map[string]ast.Node

	users   []pendingUser     // beside Config.Users
	foreign Problems          // lines of the users file that are of no use
	leaf    *x509.Certificate // of tls.cert
}

// keys says how to read the value of each key that an object may have.
type keys map[string]func(path string, n ast.Node)

func (d *decoder) parse(data []byte) ast.Node {
	d.at, d.anchors = map[string]*token.Position{}, map[string]ast.Node{}
	if line := tooDeep(data); line > 0 {
		d.add(&token.Position{Line: line, Column: 1}, "", "brackets are nested too deeply; this is no configuration")
		return nil
	}
	f, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err, data)
		return nil
	}
	if len(f.Docs) > 1 && f.Docs[1].Body != nil {
		d.add(f.Docs[1].Body.GetToken().Position, "", "a second YAML document; one file holds one configuration")
		return nil
	}
	if len(f.Docs) == 0 {
		return nil
	}
	return f.Docs[0].Body
}

// maxDepth bounds nesting: the parser's memory grows with its square.
const maxDepth = 1000

// tooDeep is the line in which more brackets than maxDepth are open, 0 for none. Those in
// texts count too: nobody has so many.
func tooDeep(data []byte) (line int) {
	depth := 0
	line = 1
	for _, c := range data {
		switch c {
		case '\n':
			line++
		case '[', '{':
			if depth++; depth > maxDepth {
				return line
			}
		case ']', '}':
			depth = max(depth-1, 0)
		}
	}
	return 0
}

// syntax reports what the parser could not read. Tabs get a message of their own:
// the parser's does not say what to do.
func (d *decoder) syntax(err error, data []byte) {
	for i, line := range strings.Split(string(data), "\n") {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && strings.TrimSpace(line) != "" {
			d.add(&token.Position{Line: i + 1, Column: tab + 1}, "", "a tab in the indentation; YAML wants spaces")
			return
		}
	}
	var s *yaml.SyntaxError
	if errors.As(err, &s) && s.Token != nil {
		d.add(s.Token.Position, "", "not YAML: "+s.Message)
		return
	}
	d.add(nil, "", "not YAML: "+err.Error())
}

// oneLine keeps a problem on one line whatever the file quotes.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

func (d *decoder) add(pos *token.Position, path, text string) {
	p := Problem{File: d.file, Path: oneLine.Replace(path), Text: oneLine.Replace(text)}
	if pos != nil {
		p.Line, p.Column = pos.Line, pos.Column
	}
	d.problems = append(d.problems, p)
}

func (d *decoder) addf(n ast.Node, path, format string, args ...any) {
	d.add(position(n), path, fmt.Sprintf(format, args...))
}

// problem reports something about a key after decoding; a key that the file does
// not have is placed at the nearest one above it.
func (d *decoder) problem(path, format string, args ...any) {
	d.add(d.where(path), path, fmt.Sprintf(format, args...))
}

func (d *decoder) where(path string) *token.Position {
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if pos := d.at[p]; pos != nil {
			return pos
		}
	}
	return &token.Position{Line: 1, Column: 1}
}

func (d *decoder) sorted() Problems {
	sort.SliceStable(d.problems, func(i, j int) bool {
		a, b := &d.problems[i], &d.problems[j]
		return a.Line < b.Line || a.Line == b.Line && a.Column < b.Column
	})
	return d.problems
}

// position is where a value starts. A block mapping has the ':' of its first
// entry as token, so its key is asked.
func position(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 && !m.IsFlowStyle {
		n = m.Values[0].Key
	}
	if n == nil || n.GetToken() == nil {
		return nil
	}
	return n.GetToken().Position
}

// value follows anchors, aliases and tags to what they stand for; nil for null.
func (d *decoder) value(n ast.Node) ast.Node {
	for {
		switch v := n.(type) {
		case *ast.AnchorNode:
			d.anchors[v.Name.String()] = v.Value
			n = v.Value
		case *ast.AliasNode:
			n = d.anchors[v.Value.String()]
		case *ast.TagNode:
			n = v.Value
		case *ast.NullNode, nil:
			return nil
		default:
			return n
		}
	}
}

// object reads a mapping by a table. A null value leaves the default.
func (d *decoder) object(path string, n ast.Node, table keys) {
	d.each(path, n, func(name, sub string, key, v ast.Node) {
		if read := table[name]; read != nil {
			read(sub, v)
			return
		}
		d.addf(key, path, "unknown key %q%s", name, suggest(name, table))
	})
}

// mapping reads a mapping whose keys the operator chooses, in the order of the file.
func (d *decoder) mapping(path string, n ast.Node, read func(name, path string, v ast.Node)) {
	d.each(path, n, func(name, sub string, key, v ast.Node) {
		if name == "" {
			d.addf(key, path, "a name is empty")
			return
		}
		read(name, sub, v)
	})
}

// each calls read for every entry of a mapping but those given twice; v is never nil
// for an object, but may be for a mapping of names.
func (d *decoder) each(path string, n ast.Node, read func(name, sub string, key, v ast.Node)) {
	if n = d.value(n); n == nil {
		return
	}
	var entries []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		entries = m.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{m}
	default:
		d.addf(n, path, "want a mapping of keys, have %s", kind(n))
		return
	}
	lines := map[string]int{}
	for _, e := range entries {
		name := e.Key.GetToken().Value
		pos := e.Key.GetToken().Position
		if first, twice := lines[name]; twice {
			d.addf(e.Key, path, "key %q again; it stands in line %d already", name, first)
			continue
		}
		lines[name] = pos.Line
		sub := join(path, name)
		v := d.value(e.Value)
		d.at[sub] = pos
		if v != nil {
			d.at[sub] = position(v)
		}
		read(name, sub, e.Key, v)
	}
}

// list reads a sequence.
func (d *decoder) list(path string, n ast.Node, read func(path string, v ast.Node)) {
	if n = d.value(n); n == nil {
		return
	}
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		cure := ""
		if s, ok := n.(ast.ScalarNode); ok {
			cure = "; write [ " + strings.TrimSpace(s.String()) + " ]"
		}
		d.addf(n, path, "want a list, have %s%s", kind(n), cure)
		return
	}
	for i, v := range seq.Values {
		sub := path + "[" + strconv.Itoa(i) + "]"
		if v = d.value(v); v == nil {
			d.addf(seq.Values[i], sub, "is empty")
			continue
		}
		d.at[sub] = position(v)
		read(sub, v)
	}
}

// text is a scalar with ${ENV} expanded; ok is false after a problem, or for null.
func (d *decoder) text(path string, n ast.Node) (s string, ok bool) {
	switch v := d.value(n).(type) {
	case nil:
		return "", false
	case *ast.LiteralNode:
		s = v.Value.GetToken().Value
	case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		s = v.GetToken().Value
	default:
		d.addf(n, path, "want one value, have %s", kind(v))
		return "", false
	}
	expanded, err := expand(s)
	if err != nil {
		d.addf(n, path, "%v", err)
		return "", false
	}
	return expanded, true
}

// expand replaces ${NAME} by the environment's value; $${ stands for itself. It
// runs on values, after YAML has been read, so a value cannot add keys.
func expand(s string) (string, error) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			return out.String(), nil
		}
		if i > 0 && s[i-1] == '$' {
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		name, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed || name == "" {
			return "", errors.New("${ without a name and }; write $${ for the characters themselves")
		}
		value, set := os.LookupEnv(name)
		if !set {
			return "", fmt.Errorf("environment variable %s is not set", name)
		}
		out.WriteString(s[:i] + value)
		s = rest
	}
}

// The readers of single values. Each leaves the default at a problem or null.

func (d *decoder) string(dst *string) func(string, ast.Node) {
	return d.parsed(func(s string) error { *dst = s; return nil })
}

func (d *decoder) bool(dst *bool) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		if s != "true" && s != "false" {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		*dst = s == "true"
		return nil
	})
}

func (d *decoder) count(dst *int) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number from 1 on", s)
		}
		*dst = int(n)
		return nil
	})
}

func (d *decoder) duration(dst *time.Duration) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		v, err := parseDuration(s)
		if err == nil {
			*dst = v
		}
		return err
	})
}

func (d *decoder) size(dst *int) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		v, err := parseSize(s)
		if err == nil {
			*dst = v
		}
		return err
	})
}

func (d *decoder) oneOf(dst *string, words ...string) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%q is none of: %s", s, strings.Join(words, ", "))
		}
		*dst = s
		return nil
	})
}

// parsed makes a reader of a scalar from a function that takes its text.
func (d *decoder) parsed(set func(string) error) func(string, ast.Node) {
	return func(path string, n ast.Node) {
		s, ok := d.text(path, n)
		if !ok {
			return
		}
		if err := set(s); err != nil {
			d.addf(n, path, "%v", err)
		}
	}
}

func parseDuration(s string) (time.Duration, error) {
	v, err := time.ParseDuration(s)
	switch {
	case err != nil && strings.Trim(s, "0123456789") == "" && s != "":
		return 0, fmt.Errorf("%q has no unit; write %ss", s, s)
	case err != nil:
		return 0, fmt.Errorf("%q is no duration; write 500ms, 25s, 2m or 1h", s)
	case v <= 0:
		return 0, fmt.Errorf("%q is not above 0", s)
	}
	return v, nil
}

func parseSize(s string) (int, error) {
	number, shift := s, 0
	for unit, bits := range map[string]int{"KiB": 10, "MiB": 20, "GiB": 30} {
		if n, ok := strings.CutSuffix(s, unit); ok {
			number, shift = strings.TrimSpace(n), bits
		}
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || n == 0 || n<<shift > 1<<30 {
		return 0, fmt.Errorf("%q is no size up to 1GiB; write 65536, 64KiB or 1MiB", s)
	}
	return int(n << shift), nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// kind names what a value is, for messages.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	}
	return "a text"
}

// suggestOnly is suggest without the list.
func suggestOnly[V any](name string, known map[string]V) string {
	if s := suggest(name, known); strings.HasPrefix(s, " (") {
		return s
	}
	return ""
}

// suggest is " (did you mean …?)" for the key nearest to name, or the keys there are.
func suggest[V any](name string, known map[string]V) string {
	names := make([]string, 0, len(known))
	best, least := "", len(name)/3+2
	for k := range known {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, k := range names {
		if n := distance(name, k); n < least {
			best, least = k, n
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf(" (did you mean %q?)", best)
	case len(names) == 0:
		return ""
	}
	return "; there are: " + strings.Join(names, ", ")
}

// distance counts the insertions, deletions, changes and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range b {
		rows[0][j+1] = j + 1
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
