package policy

import (
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/sdp/v3"

	"github.com/ringway/ringway/sip"
)

// offer is a browser's, made by another implementation of SDP than any client's.
func offer(t *testing.T) []byte {
	t.Helper()
	d, err := sdp.NewJSEPSessionDescription(false)
	if err != nil {
		t.Fatal(err)
	}
	m := sdp.NewJSEPMediaDescription("audio", nil).
		WithCodec(111, "opus", 48000, 2, "minptime=10;useinbandfec=1").
		WithICECredentials("4ZcD", "2/1muCWoOi3uLifh0NuRHlqK").
		WithFingerprint("sha-256", "19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04:BB:05:2F:70:9F:04:A9:0E:05:E9:26:33:E8:70:88:A2")
	text, err := d.WithMedia(m).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestScrubLeavesTheOffer: hygiene is of headers; an offer says the same to its reader as
// to its maker, byte for byte (RFC 3261 §16.6 step 1: a proxy must not change the body).
func TestScrubLeavesTheOffer(t *testing.T) {
	want := offer(t)
	text := "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n" +
		"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n" +
		"P-Asserted-Identity: <sip:ceo@example.com>\r\nProxy-Authorization: Digest username=\"alice\", realm=\"example.com\"\r\n" +
		"Content-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(want)) + "\r\n\r\n" + string(want)
	m, err := sip.Parse(text, sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	out := m.Splice()
	Scrub(m, &out, false, false, func(string) bool { return true })
	got, err := sip.Parse(string(out.Append(nil)), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	if got.Has(sip.PAssertedIdentity) || got.Has(sip.ProxyAuthorization) {
		t.Error("the copy was not scrubbed")
	}
	var read, made sdp.SessionDescription
	if err := read.Unmarshal([]byte(got.Body())); err != nil {
		t.Fatalf("the offer that left: %v", err)
	}
	if err := made.Unmarshal(want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, read, cmp.AllowUnexported(sdp.SessionDescription{}, sdp.MediaDescription{})); diff != "" || got.Body() != string(want) {
		t.Errorf("the offer changed (-made +read):\n%s", diff)
	}
}
