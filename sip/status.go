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
	if s, ok := err.(*StatusError); ok { // nearly always
		return s
	}
	var s *StatusError
	if errors.As(err, &s) {
		return s
	}
	return &StatusError{Code: 500, Reason: "Server Internal Error", Err: err}
}

// StatusText is the standard reason phrase of a status code, its class's for one without.
func StatusText(code int) string {
	for _, p := range phrases {
		if p.code == code {
			return p.text
		}
	}
	if c := code / 100; c >= 1 && c < len(classPhrases) {
		return classPhrases[c]
	}
	return "Unknown"
}

var classPhrases = [...]string{"", "Progress", "OK", "Redirect", "Request Failure", "Server Failure", "Global Failure"}

// phrases are the registered response codes (IANA, SIP Response Codes); those we send most come first.
var phrases = [...]struct {
	code int
	text string
}{
	{100, "Trying"},
	{200, "OK"},
	{401, "Unauthorized"},
	{407, "Proxy Authentication Required"},
	{487, "Request Terminated"},
	{480, "Temporarily Unavailable"},
	{180, "Ringing"},
	{181, "Call Is Being Forwarded"},
	{182, "Queued"},
	{183, "Session Progress"},
	{199, "Early Dialog Terminated"},
	{202, "Accepted"},
	{204, "No Notification"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Moved Temporarily"},
	{305, "Use Proxy"},
	{380, "Alternative Service"},
	{400, "Bad Request"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{412, "Conditional Request Failed"},
	{413, "Request Entity Too Large"},
	{414, "Request-URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Unsupported URI Scheme"},
	{417, "Unknown Resource-Priority"},
	{420, "Bad Extension"},
	{421, "Extension Required"},
	{422, "Session Interval Too Small"},
	{423, "Interval Too Brief"},
	{424, "Bad Location Information"},
	{425, "Bad Alert Message"},
	{428, "Use Identity Header"},
	{429, "Provide Referrer Identity"},
	{430, "Flow Failed"},
	{433, "Anonymity Disallowed"},
	{436, "Bad Identity Info"},
	{437, "Unsupported Credential"},
	{438, "Invalid Identity Header"},
	{439, "First Hop Lacks Outbound Support"},
	{440, "Max-Breadth Exceeded"},
	{469, "Bad Info Package"},
	{470, "Consent Needed"},
	{481, "Call/Transaction Does Not Exist"},
	{482, "Loop Detected"},
	{483, "Too Many Hops"},
	{484, "Address Incomplete"},
	{485, "Ambiguous"},
	{486, "Busy Here"},
	{488, "Not Acceptable Here"},
	{489, "Bad Event"},
	{491, "Request Pending"},
	{493, "Undecipherable"},
	{494, "Security Agreement Required"},
	{500, "Server Internal Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Server Time-out"},
	{505, "Version Not Supported"},
	{513, "Message Too Large"},
	{555, "Push Notification Service Not Supported"},
	{580, "Precondition Failure"},
	{600, "Busy Everywhere"},
	{603, "Decline"},
	{604, "Does Not Exist Anywhere"},
	{606, "Not Acceptable"},
	{607, "Unwanted"},
	{608, "Rejected"},
}
