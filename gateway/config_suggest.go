package gateway

import (
	"fmt"
	"sort"
	"strings"
)

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
