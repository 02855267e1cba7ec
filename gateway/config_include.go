package gateway

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

func newDecoder(file string) *decoder {
	return &decoder{file: file, files: []string{file}, at: map[string]*place{}, entries: map[string]int{}}
}

// read takes one file in. Lists and mappings of several files are joined; any other key
// may stand in one of them only.
func (d *decoder) read(c *Config, file string, data []byte) {
	d.file = file
	before := len(d.problems)
	if root := d.parse(data); len(d.problems) == before {
		d.object("", root, c.keys(d))
	}
}

// readInclude reads include: one file name or a list of them; *, ? and [a-z] match
// several, in the order of their names.
func (d *decoder) readInclude(path string, n ast.Node) {
	if d.file != d.files[0] {
		d.addf(n, path, "only the main file includes others")
		return
	}
	add := d.parsed(func(pattern string) error {
		found, err := d.match(pattern)
		for _, name := range found {
			if !slices.Contains(d.files, name) {
				d.files = append(d.files, name)
			}
		}
		return err
	})
	if _, many := n.(*ast.SequenceNode); many {
		d.list(path, n, add)
		return
	}
	add(path, n)
}

// match finds the files of a pattern. None is right for conf.d/*.yaml, wrong for a name.
func (d *decoder) match(pattern string) ([]string, error) {
	if pattern == "" {
		return nil, errors.New("an empty file name")
	}
	found, err := filepath.Glob(d.relative(pattern))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q is no file name pattern; write such as conf.d/*.yaml", pattern)
	case len(found) == 0 && !strings.ContainsAny(pattern, "*?["):
		return nil, fmt.Errorf("no file %s%s", pattern, fileForm)
	}
	slices.Sort(found)
	return found, nil
}

// includes reads the files that the main one names.
func (d *decoder) includes(c *Config) {
	for _, name := range d.files[1:] {
		data, err := readRegular(name, maxInclude)
		if err != nil {
			d.addAt(d.where("include"), "include", err.Error())
			continue
		}
		d.read(c, name, data)
	}
	d.file = d.files[0]
}
