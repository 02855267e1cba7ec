package sip

import (
	"strconv"
	"strings"
	"testing"
)

func TestFraming(t *testing.T) { // RFC 3261 §18.3, §20.14, RFC 7118 §5.3
	for _, c := range []struct {
		name    string
		framing Framing
		length  string // Content-Length line
		body    string
		want    string // body of the message, or what the refusal holds
	}{
		{"datagram without Content-Length: all of it", Datagram, "", "12345", "12345"},
		{"datagram: surplus is cut", Datagram, "Content-Length: 3", "12345", "123"},
		{"datagram: exact", Datagram, "l: 5", "12345", "12345"},
		{"datagram: too short", Datagram, "Content-Length: 6", "12345", "400 Bad Request: body shorter than Content-Length"},
		{"stream: required", Stream, "", "", "400 Bad Request: no Content-Length"},
		{"stream: exact", Stream, "Content-Length : 5", "12345", "12345"},
		{"stream: too short", Stream, "Content-Length: 6", "12345", "400 Bad Request: body shorter"},
		{"stream: announced too large", Stream, "Content-Length: 65536", "12345", "513 Message Too Large: over 64 KiB"},
		{"stream: announced absurdly large", Stream, "Content-Length: 99999999999999999999", "", "513 Message Too Large: over 64 KiB"},
		{"frame without Content-Length", Frame, "", "12345", "12345"},
		{"frame: exact", Frame, "Content-Length:\r\n 5", "12345", "12345"},
		{"frame: too short", Frame, "Content-Length: 6", "12345", "400 Bad Request: body shorter"},
		{"frame: too long", Frame, "Content-Length: 4", "12345", "400 Bad Request: body longer than Content-Length"},
	} {
		text := request() + c.body
		if c.length != "" {
			text = request(c.length) + c.body
		}
		m, err := Parse(text, c.framing)
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case err == nil && m.Body() != c.want:
			t.Errorf("%s: body %q, want %q", c.name, m.Body(), c.want)
		case m == nil:
			t.Errorf("%s: not answerable", c.name)
		}
	}
}

func TestDatagramSurplusBeyondLimit(t *testing.T) { // 64 KiB is the message, not what follows it
	m, err := Parse(request("Content-Length: 1")+strings.Repeat("x", 70000), Datagram)
	if err != nil || m.Body() != "x" {
		t.Error(err)
	}
}

// feed gives text to a Framer octet by octet and returns the lengths of the messages.
func feed(t *testing.T, text string) (lengths []int, err error) {
	t.Helper()
	var f Framer
	begin, b := 0, []byte(text)
	for end := 1; end <= len(b); end++ {
		n, err := f.Next(b[begin:end])
		if err != nil {
			return lengths, err
		}
		if n > 0 {
			lengths = append(lengths, n)
			begin += n
		}
	}
	return lengths, nil
}

func TestFramer(t *testing.T) { // RFC 3261 §18.3
	one := request("Content-Length: 5") + "12345"
	folded := request("Subject: a\r\n b:\r\n\tc", "l\t:\r\n 2\r\n ") + "\r\n"
	none := request("Content-Length: 0000")
	got, err := feed(t, one+folded+none+one[:len(one)-1])
	if err != nil || len(got) != 3 || got[0] != len(one) || got[1] != len(folded) || got[2] != len(none) {
		t.Errorf("lengths %v %v, want %d %d %d", got, err, len(one), len(folded), len(none))
	}
	if n, err := frameLength([]byte(one + folded)); n != len(one) || err != nil {
		t.Error(n, err)
	}
}

func TestFramerRefuses(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"§20.14 no Content-Length", request(), "400 Bad Request: no Content-Length"},
		{"two Content-Length", request("Content-Length: 1", "l: 1"), "400 Bad Request: two Content-Length"},
		{"Content-Length of another kind", request("Content-Length: 0x1"), "400 Bad Request: malformed Content-Length"},
		{"a name that only looks like it", request("Content-Length\x0b: 1"), "400 Bad Request: no Content-Length"},
		{"LF alone", strings.ReplaceAll(request(), "\r\n", "\n"), "400 Bad Request: LF without CR"},
		{"no start line", "\r\n", "400 Bad Request: no start line"},
		{"TLS hello to a TCP port", "\x16\x03\x01\x02", "400 Bad Request: start line"},
		{"long start line", strings.Repeat("A", 4097), "513 Message Too Large: start line over 4 KiB"},
		{"long line", "A\r\nX: " + strings.Repeat("A", 8190), "513 Message Too Large: header line over 8 KiB"},
		{"long folded line", "A\r\nX: " + strings.Repeat("A\r\n ", 2048), "513 Message Too Large: header line over 8 KiB"},
		{"long header", "A\r\n" + strings.Repeat("X: "+strings.Repeat("A", 8000)+"\r\n", 9), "513 Message Too Large: header over 64 KiB"},
		{"many fields", "A\r\n" + strings.Repeat("X:\r\n", 258), "513 Message Too Large: more than 256 header fields"},
		{"announced too large", request("l: 65536"), "513 Message Too Large: over 64 KiB"},
		{"announced absurdly large", request("l: 18446744073709551617"), "513 Message Too Large: over 64 KiB"},
	} {
		if _, err := frameLength([]byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: at once: %v, want %q", c.name, err, c.want)
		}
		if _, err := feed(t, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: in bits: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestFramerMax: a lower limit counts for header and body together, for each message anew.
func TestFramerMax(t *testing.T) {
	one := request("Content-Length: 5") + "12345"
	for _, c := range []struct {
		name string
		max  int
		want string
	}{
		{"exactly", len(one), ""},
		{"body", len(one) - 1, "513 Message Too Large: over " + strconv.Itoa(len(one)-1) + " octets"},
		{"header", 20, "513 Message Too Large: header over 20 octets"},
		{"above what can be", 1 << 20, ""},
	} {
		f := Framer{Max: c.max}
		for range 2 {
			n, err := f.Next([]byte(one + one))
			if c.want == "" && (n != len(one) || err != nil) || c.want != "" && (err == nil || err.Error() != c.want) {
				t.Errorf("%s: %d, %v, want %q", c.name, n, err, c.want)
			}
		}
	}
}

// A message refused for its length can be answered from its header (RFC 3261 §21.5.7).
func TestStreamRefusalIsAnswerable(t *testing.T) {
	for _, line := range []string{"Content-Length: 70000", "Content-Length: x", "X: y"} {
		text := request(line)
		if _, err := frameLength([]byte(text)); err == nil {
			t.Errorf("%s: framed", line)
		}
		if m, err := Parse(text, Stream); m == nil || err == nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// frameLength is the length of the message that b begins with.
func frameLength(b []byte) (n int, err error) {
	var f Framer
	return f.Next(b)
}
