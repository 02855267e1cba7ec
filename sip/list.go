package sip

import (
	"iter"
	"strings"
)

// SplitList yields the values of a comma-separated header value, blanks around
// them cut. Commas inside quoted strings and angle brackets separate nothing. An
// empty element ("a,,b") is yielded as "", which every typed value refuses.
func SplitList(value string) iter.Seq[string] {
	return func(yield func(string) bool) {
		rest := trimBlanks(value)
		for rest != "" {
			var v string
			v, rest = nextValue(rest)
			if !yield(v) {
				return
			}
		}
	}
}

// cutValue cuts the first value off a list, blanks around it cut; more: a comma followed it.
func cutValue(s string) (value, rest string, more bool) {
	end := listComma(s)
	if end < 0 {
		return trimBlanks(s), "", false
	}
	return trimBlanks(s[:end]), s[end+1:], true
}

// nextValue cuts the first value off a comma-separated list: the value without
// blanks around it and what follows its comma and blanks, "" at the end. An
// unclosed quote or bracket takes all the rest into the value.
func nextValue(s string) (value, rest string) {
	value, rest, _ = cutValue(s)
	return value, rest[SkipBlanks(rest, 0):]
}

// listComma is the index of the first comma that separates values, or -1.
func listComma(s string) int {
	if strings.IndexByte(s, ',') < 0 {
		return -1
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return i
		case '"':
			if i = quotedEnd(s, i) - 1; i < 0 {
				return -1
			}
		case '<':
			n := strings.IndexByte(s[i:], '>')
			if n < 0 {
				return -1
			}
			i += n
		}
	}
	return -1
}

// quotedEnd is the index past the quoted string that begins at s[i], or -1.
func quotedEnd(s string, i int) int {
	for i++; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}
