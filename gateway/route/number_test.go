package route

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

func uri(t testing.TB, s string) *sip.URI {
	t.Helper()
	u, err := sip.ParseURI(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return &u
}

// RFC 3261 §19.1.2 (escapes), §19.1.6 (user=phone), RFC 3966 §3 and §5.1.1 (numbers).
func TestUserOf(t *testing.T) {
	for _, c := range []struct{ uri, want string }{
		{"sip:alice@example.com", "alice"}, {"sip:Alice@example.com", "Alice"}, {"sip:example.com", ""},
		{"sip:%2B4930123@example.com", "+4930123"}, {"sip:%2b49@example.com", "+49"}, {"sip:%61lice@example.com", "alice"},
		{"sip:%252B49@example.com", "%2B49"}, // once
		{"sip:+49-30-123@example.com", "+4930123"}, {"sip:0-9%2D00@example.com", "0900"}, {"sip:0900;x@example.com", "0900"}, {"sip:a-1.b@example.com", "a-1.b"}, {"sip:alice;x@example.com", "alice;x"}, {"sip:+49-(30)-1.23@example.com;user=phone", "+4930123"},
		{"sip:+4930;ext=5@example.com", "+4930"}, {"sip:+49-30;ext=5@example.com;user=phone", "+4930"},
		{"sip:7042;phone-context=example.com@example.com;user=PHONE", "7042"}, {"sip:al-ice@example.com;user=phone", "al-ice"},
		{"sip:*21%23@example.com", "*21#"}, {"sip:alice:secret@example.com", "alice"},
		{"tel:+49-30-123", "+4930123"}, {"tel:7042;phone-context=+4930", "7042"}, {"TEL:(030)123", "030123"}, {"tel:%2B49", "+49"},
		{"mailto:alice@example.com", ""},
	} {
		if got := UserOf(uri(t, c.uri)); got != c.want {
			t.Errorf("the user of %s is %q, want %q", c.uri, got, c.want)
		}
	}
}

func TestCallerOf(t *testing.T) {
	for _, c := range []struct{ from, want string }{
		{`"Alice" <sip:alice@EXAMPLE.com:5070;transport=ws>;tag=1`, "alice@example.com"}, {"sip:Alice@example.com;tag=1", "Alice@example.com"},
		{"<tel:+49-30-1>;tag=1", "+49301"}, {"<sip:%61l%40ice@example.com>", "al%40ice@example.com"}, {"", ""}, {"<>", ""}, {"<http://a>;tag=1", ""},
	} {
		if got := CallerOf(c.from); got != c.want {
			t.Errorf("the caller of %q is %q, want %q", c.from, got, c.want)
		}
	}
}

// ITU-T E.164 §6 and the dialling plans of some countries.
func TestE164(t *testing.T) {
	de := Dialling("49")
	us := E164{Country: "1", International: "011", National: "1"}
	ru := E164{Country: "7", International: "810", National: "8"}
	dk := E164{Country: "45", International: "00"}
	for _, c := range []struct {
		name       string
		plan       E164
		user, want string
	}{
		{"national", de, "030123456", "+4930123456"},
		{"international", de, "00441632960", "+441632960"},
		{"international is already", de, "+4930123456", "+4930123456"},
		{"separators", de, "(030) 12", "(030) 12"}, // a blank is no separator of RFC 3966
		{"separators", de, "(030)123-456", "+4930123456"},
		{"separators behind +", de, "+49-30-1234", "+49301234"},
		{"neither", de, "123", "123"}, {"name", de, "alice", "alice"}, {"letters", de, "0alice", "0alice"},
		{"service code", de, "*21#", "*21#"}, {"service code behind 0", de, "0*21", "0*21"},
		{"prefix alone", de, "0", "0"}, {"international prefix alone", de, "00", "00"}, {"no country begins with 0", de, "000123", "000123"},
		{"fifteen digits", de, "00123456789012345", "+123456789012345"}, {"sixteen", de, "001234567890123456", "001234567890123456"},
		{"plus alone", de, "+", "+"}, {"plus and separators", de, "+-", "+-"}, {"plus within", de, "0+49", "0+49"}, {"+0", de, "+049", "+049"},
		{"north america", us, "12125550100", "+12125550100"}, {"north america", us, "011441632960", "+441632960"}, {"local", us, "5550100", "5550100"},
		{"the longer prefix", ru, "8104930123", "+4930123"}, {"the shorter", ru, "84951234567", "+74951234567"},
		{"no trunk prefix", dk, "33123456", "+4533123456"}, {"no trunk prefix", dk, "004930123", "+4930123"},
		{"empty", de, "", ""},
	} {
		if got := c.plan.apply(c.user); got != c.want {
			t.Errorf("%s: %q becomes %q, want %q", c.name, c.user, got, c.want)
		}
	}
}

// FuzzUser: a user part survives writing and reading, and is one of RFC 3261 §25.1.
func FuzzUser(f *testing.F) {
	for _, s := range []string{"alice", "+49", "a b", "%2B", "é", "\x00", "*21#", "a;b=c", "a:b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" {
			return
		}
		u, err := sip.ParseURI("sip:" + escape(s) + "@h")
		if err != nil {
			t.Fatalf("%q as user part %q: %v", s, escape(s), err)
		}
		want := s
		if digits, _, _ := strings.Cut(s, ";"); number(digits) {
			want = bare(digits)
		}
		if got := UserOf(&u); got != want {
			t.Errorf("%q comes back as %q", s, got)
		}
		once := Dialling("49")
		if n := once.apply(s); n != once.apply(n) {
			t.Errorf("%q becomes %q, and that %q", s, n, once.apply(n))
		} else if n != s && (n[0] != '+' || strings.Trim(n[1:], "0123456789") != "" || len(n) > 16) {
			t.Errorf("%q becomes %q, which is no E.164 number", s, n)
		}
	})
}
