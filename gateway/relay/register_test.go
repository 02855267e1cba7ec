package relay

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// A failed login counts by every name in the credentials, whatever line the registrar takes (RFC 3261 §22.3); tokens (RFC 8898) name
// nobody, and what is for a realm of ours the registrar never gets.
func TestWhoseLogin(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	for _, c := range []struct {
		lines       []string
		want        string
		only        string
		tried, more bool
	}{
		{nil, "", "", false, false},
		{[]string{`Authorization: Digest username="al", realm="example.com", nonce="n"`}, "al", "al", true, false},
		{[]string{`Proxy-Authorization: Digest username="al"`}, "al", "al", true, false},
		{[]string{`Authorization: Digest username="al", realm="x"`, `Proxy-Authorization: Digest username="al", realm="y"`}, "al", "al", true, false},
		{[]string{`Authorization: Digest username="z", realm="x"`, `Authorization: Digest username="al", realm="y"`}, "z al", "", true, false},
		{[]string{`Authorization: Digest username="al", realm="ours"`}, "", "", false, false},
		{[]string{"Authorization: Bearer abc"}, "", "", true, false},
		{[]string{"Authorization: Bearer abc", `Authorization: Digest username="al", realm="y"`}, "al", "", true, false},
		{[]string{"Authorization: Digest broken"}, "", "", true, false},
		{[]string{`Authorization: Digest username="1"`, `Authorization: Digest username="2"`, `Authorization: Digest username="3"`,
			`Authorization: Digest username="4"`, `Authorization: Digest username="5"`}, "1 2 3 4", "", true, true},
	} {
		text := ""
		for _, line := range c.lines {
			text += line + "\r\n"
		}
		req, err := sip.Parse(registerText("alice", "<sip:a@a.invalid>", text), sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		l := r.loginOf(req, r.page())
		if got := strings.Join(l.names[:l.n], " "); got != c.want || l.only() != c.only || l.tried != c.tried || l.more != c.more {
			t.Errorf("%q: %q, only %q, tried %v, more %v", c.lines, got, l.only(), l.tried, l.more)
		}
	}
}
