// Package ua builds the requests that the gateway sends in its own name, with
// sipgo's typed model; our client transactions send them from our listeners.
package ua

import (
	"fmt"
	"strconv"
	"strings"

	sipgo "github.com/emiago/sipgo/sip"

	"github.com/ringway/ringway/sip"
)

// Request describes a request of our own. The strings are header values.
type Request struct {
	Method string
	URI    string   // Request-URI, in which escapes stay as they are
	Via    string   // "SIP/2.0/UDP host:port;branch=…", ours
	Routes []string // route set, in order
	From   string   // with our tag
	To     string   // with the peer's tag inside a dialog
	CallID string
	CSeq   uint32
	// Headers are further lines, "Name: value".
	Headers []string
}

// Build makes the message. The result passes the same admission as a received
// one, so nothing that a peer put into a dialog can leave here in another shape.
func (r *Request) Build() (*sip.Message, error) {
	var uri sipgo.Uri
	if err := sipgo.ParseUri(r.URI, &uri); err != nil {
		return nil, fmt.Errorf("own %s: Request-URI %q: %w", r.Method, r.URI, err)
	}
	req := sipgo.NewRequest(sipgo.RequestMethod(r.Method), uri)
	add := func(name, value string) { req.AppendHeader(sipgo.NewHeader(name, value)) }
	add("Via", r.Via)
	add("Max-Forwards", "70")
	for _, route := range r.Routes {
		add("Route", route)
	}
	add("From", r.From)
	add("To", r.To)
	add("Call-ID", r.CallID)
	add("CSeq", strconv.FormatUint(uint64(r.CSeq), 10)+" "+r.Method)
	for _, line := range r.Headers {
		name, value, _ := strings.Cut(line, ":")
		add(name, strings.TrimSpace(value))
	}
	add("Content-Length", "0")
	text := req.String()
	// sipgo writes the Request-URI from its parts, which drops what it does not model.
	_, rest, _ := strings.Cut(text, "\r\n")
	m, err := sip.Parse(r.Method+" "+r.URI+" SIP/2.0\r\n"+rest, sip.Frame)
	if err != nil {
		return nil, fmt.Errorf("own %s: %w", r.Method, err)
	}
	return m, nil
}
