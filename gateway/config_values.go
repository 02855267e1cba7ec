package gateway

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

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

// filename is a string that names a file or directory.
func (d *decoder) filename(dst *string) func(string, ast.Node) {
	return d.parsed(func(s string) error { *dst = d.relative(s); return nil })
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

// number is a count that may be 0.
func (d *decoder) number(dst *int, most int) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		n, err := strconv.ParseUint(s, 10, 31)
		if err != nil || int(n) > most {
			return fmt.Errorf("%q is no number from 0 to %d", s, most)
		}
		*dst = int(n)
		return nil
	})
}

// texts reads a list of texts; a single one may stand without brackets.
func (d *decoder) texts(add func(string) error) func(string, ast.Node) {
	one := d.parsed(add)
	return func(path string, n ast.Node) {
		if _, scalar := n.(ast.ScalarNode); scalar {
			one(path, n)
			return
		}
		d.list(path, n, one)
	}
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

// word reads one of some words into what it stands for.
func word[V any](d *decoder, dst *V, words map[string]V) func(string, ast.Node) {
	return d.parsed(func(s string) error {
		v, ok := words[s]
		if !ok {
			return fmt.Errorf("%q is none of: %s", s, strings.Join(slices.Sorted(maps.Keys(words)), ", "))
		}
		*dst = v
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
