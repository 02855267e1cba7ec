package ua

import (
	"slices"
	"testing"

	"github.com/ringway/ringway/sip"
)

func bye() Request {
	return Request{
		Method: "BYE", URI: "sip:x@abc.invalid;transport=ws;ob", Via: "SIP/2.0/WS gw.example.com;branch=z9hG4bK1",
		Routes: []string{"<sip:p1.example.com;lr>", "<sip:p2.example.com;lr>"},
		From:   `"Doe, J" <sip:bob@example.com>;tag=b`, To: "<sip:alice@example.com>;tag=a",
		CallID: "c1", CSeq: 7, Headers: []string{`Reason: SIP;cause=480;text="Peer is gone"`},
	}
}

func TestBuild(t *testing.T) { // RFC 3261 §12.2.1.1: a request within a dialog
	r := bye()
	m, err := r.Build()
	if err != nil {
		t.Fatal(err)
	}
	n, method := m.CSeq()
	if m.RequestURI() != r.URI || n != 7 || method != "BYE" || m.FromTag() != "b" || m.ToTag() != "a" || m.CallID() != "c1" ||
		m.Value(sip.From) != r.From || m.MaxForwards() != 70 || m.ViaCount() != 1 || m.Value(sip.Reason) == "" {
		t.Errorf("built\n%s", m)
	}
	if got := slices.Collect(m.Values(sip.Route)); !slices.Equal(got, r.Routes) {
		t.Errorf("Route %q, want %q", got, r.Routes)
	}
}

// A peer's words must not become lines of ours.
func TestBuildRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*Request){
		"URI of another scheme": func(r *Request) { r.URI = "http://example.com/" },
		"URI with a blank":      func(r *Request) { r.URI = "sip:a b@example.com" },
		"URI with a line":       func(r *Request) { r.URI = "sip:a@b SIP/2.0\r\nX: y" },
		"bare LF in From":       func(r *Request) { r.From = "<sip:a@b>;tag=1\nX: y" },
		"no host":               func(r *Request) { r.URI = "sip:" },
		"no Call-ID":            func(r *Request) { r.CallID = "" },
	} {
		r := bye()
		spoil(&r)
		if m, err := r.Build(); err == nil {
			t.Errorf("%s: built\n%s", name, m)
		}
	}
}
