package proxy

import "strconv"

// Why branches are cancelled and late answers ended (RFC 3326 §2): a phone keeps its list of missed calls by it.
var (
	elsewhere    = reason(200, "Call completed elsewhere")
	tooLate      = reason(480, "Caller is gone")
	noVia        = reason(502, "Answer without the caller's Via")
	noAnswer     = reason(408, "No answer")
	noProgress   = reason(408, "No progress")
	nextHop      = reason(408, "Another server is tried")
	lostFlow     = reason(480, "Connection lost")
	unregistered = reason(480, "Unregistered")
	stopping     = reason(503, "Restarting")
)

func reason(cause int, text string) []string {
	return []string{`Reason: SIP;cause=` + strconv.Itoa(cause) + `;text="` + text + `"`}
}

// ghostReason says why an answer that came too late is ended.
func (rc *responseContext) ghostReason() []string {
	if rc.final < 300 {
		return elsewhere
	}
	return tooLate
}
