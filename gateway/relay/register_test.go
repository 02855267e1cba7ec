package relay

import (
	"testing"

	"github.com/ringway/ringway/sip"
)

// Failed logins count by the user of the credentials; tokens (RFC 8898) name none, and an office's expire at once: they count by the
// user in To.
func TestWhoseLogin(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", ""},
		{`Authorization: Digest username="al", realm="example.com", nonce="n"`, "al"},
		{`Proxy-Authorization: Digest username="al"`, "al"},
		{"Authorization: Bearer abc", "\x00alice@example.com"},
		{"Authorization: Digest broken", "\x00alice@example.com"},
	} {
		line := c.line
		if line != "" {
			line += "\r\n"
		}
		req, err := sip.Parse(registerText("alice", "<sip:a@a.invalid>", line), sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		if got := loginOf(req, "alice@example.com"); got != c.want {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
}
