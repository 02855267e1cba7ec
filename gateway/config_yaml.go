package gateway

import (
	"bytes"
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
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
	file     string   // that is being read
	files    []string // the main one, then those it includes
	problems Problems
	at       map[string]*place   // key path → where its value stands
	entries  map[string]int      // path of a list → how many entries the files had so far
	anchors  map[string]ast.Node // of this file

	users   []pendingUser // beside Config.Users
	auths   []upstreamAuth
	doubts  []doubt           // warnings found on the way
	foreign Problems          // lines of the users file that are of no use
	leaf    *x509.Certificate // of tls.cert
	leaves  []leaf            // of it and of hops
}

// place is where the value of a key stands.
type place struct {
	file string
	pos  *token.Position
	kind string
}

// keys says how to read the value of each key that an object may have.
type keys map[string]func(path string, n ast.Node)

func (d *decoder) parse(data []byte) ast.Node {
	d.anchors = map[string]ast.Node{}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // as some editors write
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
	d.addAt(&place{file: d.file, pos: pos}, path, text)
}

func (d *decoder) addAt(at *place, path, text string) {
	p := Problem{File: at.file, Path: oneLine.Replace(path), Text: oneLine.Replace(text)}
	if at.pos != nil {
		p.Line, p.Column = at.pos.Line, at.pos.Column
	}
	d.problems = append(d.problems, p)
}

func (d *decoder) addf(n ast.Node, path, format string, args ...any) {
	d.add(position(n), path, fmt.Sprintf(format, args...))
}

// problem reports something about a key after decoding; a key that the file does
// not have is placed at the nearest one above it.
func (d *decoder) problem(path, format string, args ...any) {
	d.addAt(d.where(path), path, fmt.Sprintf(format, args...))
}

func (d *decoder) where(path string) *place {
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if at := d.at[p]; at != nil {
			return at
		}
	}
	return &place{file: d.files[0], pos: &token.Position{Line: 1, Column: 1}}
}

// sorted is all problems, file by file in the order of reading.
func (d *decoder) sorted() Problems {
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(d.rank(a.File), d.rank(b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.problems
}

// rank puts files that are no configuration, such as users_file, last.
func (d *decoder) rank(file string) int {
	if i := slices.Index(d.files, file); i >= 0 {
		return i
	}
	return len(d.files)
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
		if !d.place(sub, e.Key, v) {
			continue
		}
		read(name, sub, e.Key, v)
	}
}

// place notes where the value of a key stands; false when another file has that key and
// the two are not parts of one list or mapping.
func (d *decoder) place(path string, key, v ast.Node) bool {
	at := &place{d.file, key.GetToken().Position, kind(v)}
	if v != nil {
		at.pos = position(v)
	}
	other := d.at[path]
	if other == nil {
		d.at[path] = at
		return true
	}
	if apart := strings.ContainsAny(path, ".["); !apart && other.kind == at.kind && (at.kind == aList || at.kind == aMapping) {
		return true
	}
	d.addf(key, path, "stands in %s:%d already", other.file, other.pos.Line)
	return false
}

// list reads a sequence. Entries of several files are numbered through.
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
	base := d.entries[path]
	d.entries[path] += len(seq.Values)
	for i, v := range seq.Values {
		sub := path + "[" + strconv.Itoa(base+i) + "]"
		if v = d.value(v); v == nil {
			d.addf(seq.Values[i], sub, "is empty")
			continue
		}
		d.at[sub] = &place{d.file, position(v), kind(v)}
		read(sub, v)
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

const (
	aMapping = "a mapping"
	aList    = "a list"
)

// kind names what a value is, for messages.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return aMapping
	case *ast.SequenceNode:
		return aList
	case *ast.IntegerNode, *ast.FloatNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	}
	return "a text"
}
