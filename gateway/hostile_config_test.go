package gateway_test

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/gateway"
)

// TestHostileConfig: a file that is no configuration is refused before the YAML parser
// spends memory on it (that of its nesting grows with the square).
func TestHostileConfig(t *testing.T) {
	for _, text := range []string{strings.Repeat("[", 5000), "a: 1\n" + strings.Repeat("{a: ", 5000), strings.Repeat("- [\n", 5000)} {
		if _, err := gateway.Parse("x.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "nested too deeply") {
			t.Errorf("%.20q…: %.200v", text, err)
		}
	}
}
