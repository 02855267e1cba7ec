package gateway

import (
	"crypto/x509"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

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
