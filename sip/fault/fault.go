// Package fault keeps a panic from ending more than what it happened in.
package fault

import "runtime/debug"

// Handler is told of a panic that was caught, and where it happened. It may be nil: then nothing is
// caught, as suits a test.
type Handler func(v any, stack []byte)

// Catch is deferred by whatever starts a goroutine, runs on a timer, or calls one of several who do
// not know of each other: a panic goes to h and no further.
func (h Handler) Catch() {
	if h == nil {
		return
	}
	if v := recover(); v != nil {
		h(v, debug.Stack())
	}
}

// Pass hands on what the caller has recovered: to h, or where there is none up the stack.
func (h Handler) Pass(v any) {
	if h == nil {
		panic(v)
	}
	h(v, debug.Stack())
}
