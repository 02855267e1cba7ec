//go:build linux

package gateway_test

import (
	"fmt"
	"strings"
)

// keptUsers is configuration of Asterisk's: users alice0, bob0, carol0, and so on, whom it keeps.
func keptUsers(n int) string {
	var b strings.Builder
	for i := range n {
		for _, role := range []string{"alice", "bob", "carol"} {
			b.WriteString(keptUser(fmt.Sprint(role, i), ""))
		}
	}
	return b.String()
}

// keptUser is one of them, with more about where it is.
func keptUser(name, aor string) string {
	return fmt.Sprintf("[%[1]s](user)\nauth = %[1]s\naors = %[1]s\n[%[1]s](phones)\n%[2]s[%[1]s](password)\nusername = %[1]s\n", name, aor)
}
