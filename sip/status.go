package sip

import (
	"errors"
	"strconv"
)

// StatusError is a refusal: what the peer is told, and what the log is told.
type StatusError struct {
	Code   int    // SIP status code, 300–699
	Reason string // reason phrase for the wire; it names what is wrong in the peer's own message, never our internals
	// Headers are whole header lines without CRLF that go into the answer ("Retry-After: 5").
	Headers []string
	Err     error // the cause, for the log; may be nil
}

// Refuse returns a StatusError with a reason phrase and no cause.
func Refuse(code int, reason string) *StatusError { return &StatusError{Code: code, Reason: reason} }

func (e *StatusError) Error() string {
	s := strconv.Itoa(e.Code) + " " + e.Reason
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *StatusError) Unwrap() error { return e.Err }

// AsStatus returns the StatusError in err's chain; any other error becomes a
// 500 whose cause is err, so that no internal text reaches the wire.
func AsStatus(err error) *StatusError {
	var s *StatusError
	if errors.As(err, &s) {
		return s
	}
	return &StatusError{Code: 500, Reason: "Server Internal Error", Err: err}
}
