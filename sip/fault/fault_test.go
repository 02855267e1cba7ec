package fault

import (
	"strings"
	"testing"
)

func TestCatch(t *testing.T) {
	var told []any
	h := Handler(func(v any, stack []byte) {
		told = append(told, v)
		if !strings.Contains(string(stack), "TestCatch") {
			t.Errorf("the stack does not say where:\n%s", stack)
		}
	})
	func() {
		defer h.Catch()
		panic("one")
	}()
	func() { defer h.Catch() }()
	if len(told) != 1 || told[0] != "one" {
		t.Errorf("told of %v, want one", told)
	}
}

// Without a handler a panic is not swallowed.
func TestNobodyToTell(t *testing.T) {
	for name, run := range map[string]func(){
		"catch": func() { defer Handler(nil).Catch(); panic("on") },
		"pass":  func() { Handler(nil).Pass("on") },
	} {
		func() {
			defer func() {
				if recover() != "on" {
					t.Errorf("%s: the panic is gone", name)
				}
			}()
			run()
		}()
	}
}
