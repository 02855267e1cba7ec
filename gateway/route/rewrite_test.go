package route

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// only compiles one rule that is to be right.
func only(t testing.TB, r Rule) *Route {
	t.Helper()
	if r.To == "" {
		r.To = "pbx"
	}
	table, found := Compile([]Rule{r})
	for _, f := range found {
		if f.Severity == Error {
			t.Fatalf("%+v: %s: %s", r, f.Key, f.Text)
		}
	}
	return &table.routes[0]
}

func TestRewriteUser(t *testing.T) {
	for _, c := range []struct {
		name       string
		match      string
		w          Rewrite
		user, want string
	}{
		{"nothing", "", Rewrite{}, "alice", "alice"},
		{"strip", "", Rewrite{Strip: 1}, "0123", "123"},
		{"strip all but one", "", Rewrite{Strip: 3}, "0123", "3"},
		{"strip leaves somebody", "", Rewrite{Strip: 4}, "0123", "0123"},
		{"prefix", "", Rewrite{Prefix: "00"}, "49", "0049"},
		{"strip, then prefix", "", Rewrite{Strip: 1, Prefix: "0049"}, "030", "004930"},
		{"strip, then E.164", "", Rewrite{Strip: 1, E164: Dialling("49")}, "9030123", "+4930123"},
		{"E.164, then a technical prefix", "", Rewrite{E164: Dialling("49"), Prefix: "77#"}, "030123", "77#+4930123"},
		{"replace what fits", "^00", Rewrite{Replace: "+"}, "004930", "+4930"},
		{"replace with a group", "^0([1-9][0-9]*)$", Rewrite{Replace: "+49$1"}, "030", "+4930"},
		{"replace with a named group", "^9(?P<rest>.*)$", Rewrite{Replace: "${rest}-out"}, "9123", "123-out"},
		{"replace with a group and a digit", "^(..)", Rewrite{Replace: "${1}0"}, "1234", "12034"},
		{"replace in the middle", "-sales", Rewrite{Replace: "-desk"}, "de-sales-1", "de-desk-1"},
		{"nothing is left", "^.*$", Rewrite{Replace: "$$"}, "x", "$"},
	} {
		r := only(t, Rule{Match: Match{User: c.match}, Rewrite: c.w})
		if got := r.RewriteUser(c.user); got != c.want {
			t.Errorf("%s: %q becomes %q, want %q", c.name, c.user, got, c.want)
		}
	}
}

// RFC 3261 §16.6 step 2 with §19.1.1 (what stays in a Request-URI), §19.1.6 and RFC 3966 §5.1.5.
func TestRequestURI(t *testing.T) {
	plus := Rewrite{Strip: 2, Prefix: "+"}
	for _, c := range []struct {
		name string
		w    Rewrite
		hop  bool
		uri  string
		want string // "": stays
	}{
		{"kept byte for byte", Rewrite{}, false, "sip:%61lice@Example.com:5070;transport=ws?a=b", ""},
		{"kept when rewriting changes nothing", Rewrite{E164: Dialling("49")}, true, "sip:%2B49@example.com;user=phone", ""},
		{"user only", plus, false, "sip:0049@Example.com:5070;transport=ws;x=1", "sip:+49@Example.com:5070;transport=ws;x=1"},
		{"an escaped user", plus, false, "sip:%30049@h", "sip:+49@h"},
		{"a password stays", plus, false, "sip:0049:x@h", "sip:+49:x@h"},
		{"the way to us goes", Rewrite{}, true, "sip:1@h;transport=ws;user=phone;maddr=10.0.0.1;TTL=1;lr", "sip:1@h;user=phone;lr"},
		{"escaped, too", Rewrite{}, true, "sip:1@h;%74ransport=ws", "sip:1@h"},
		{"so do headers", Rewrite{}, true, "sip:1@h?Subject=x", "sip:1@h"},
		{"sips stays sips", plus, true, "sips:0049@h;transport=tcp", "sips:+49@h"},
		{"characters that need escapes", Rewrite{Prefix: "a b#@:"}, false, "sip:1@h", "sip:a%20b%23%40%3A1@h"},
		{"parameters of a number stay", plus, false, "sip:0049-30;ext=5@h;user=phone", "sip:+4930;ext=5@h;user=phone"},
		{"a global number has no context", plus, false, "sip:0049;phone-context=+1;ext=5@h;user=phone", "sip:+49;ext=5@h;user=phone"},
		{"a local one keeps it", Rewrite{Strip: 1}, false, "sip:90;phone-context=a.b@h;user=phone", "sip:0;phone-context=a.b@h;user=phone"},
		{"tel", Rewrite{}, false, "tel:+49-30-123", "sip:+4930123@example.com;user=phone"},
		{"tel with parameters", Rewrite{}, true, "tel:7042;phone-context=+49-30;ext=1", "sip:7042;phone-context=+49-30;ext=1@example.com;user=phone"},
		{"tel made global", Rewrite{E164: Dialling("49")}, true, "tel:030-123;phone-context=+49", "sip:+4930123@example.com;user=phone"},
		{"tel parameters are escaped", Rewrite{}, false, "tel:1;x=[a]:b", "sip:1;x=%5Ba%5D%3Ab@example.com;user=phone"},
	} {
		r := only(t, Rule{Rewrite: c.w})
		got := r.RequestURI(uri(t, c.uri), "example.com", c.hop)
		if got != c.want {
			t.Errorf("%s: %s leaves as %q, want %q", c.name, c.uri, got, c.want)
		}
		if got != "" {
			uri(t, got)
		}
	}
}

func TestToward(t *testing.T) {
	for _, c := range []struct{ uri, host, want string }{
		{"sip:1@example.com:5070;user=phone", "10.0.0.5:5080", "sip:1@10.0.0.5:5080;user=phone"},
		{"sips:1@example.com", "[2001:db8::5]", "sips:1@[2001:db8::5]"}, {"sip:example.com", "pbx", "sip:pbx"}, {"tel:+49", "pbx", "tel:+49"}, {"nonsense", "pbx", "nonsense"},
	} {
		if got := Toward(c.uri, c.host); got != c.want {
			t.Errorf("%s toward %s is %s, want %s", c.uri, c.host, got, c.want)
		}
	}
}

// RFC 3261 §20.20 (From), RFC 3323 §4.1.1.3 and RFC 3325 §9.
func TestRewriteFrom(t *testing.T) {
	const alice = `"Alice" <sip:alice@example.com;x=1>;tag=a1;y="b;c"`
	for _, c := range []struct {
		name       string
		w          Rewrite
		from, want string
	}{
		{"kept", Rewrite{Set: []HeaderLine{{"X-A", "1"}}}, alice, ""},
		{"display", Rewrite{From: Party{Display: `A "B" \ C`}}, alice, `"A \"B\" \\ C" <sip:alice@example.com;x=1>;tag=a1;y="b;c"`},
		{"user", Rewrite{From: Party{User: "+49 30"}}, alice, `"Alice" <sip:+49%2030@example.com;x=1>;tag=a1;y="b;c"`},
		{"domain", Rewrite{From: Party{Domain: "pbx.example.net:5070"}}, alice, `"Alice" <sip:alice@pbx.example.net:5070;x=1>;tag=a1;y="b;c"`},
		{"addr-spec: parameters are the header's", Rewrite{From: Party{Domain: "h"}}, "sip:alice@example.com;tag=a1", "<sip:alice@h>;tag=a1"},
		{"a tel URI gets a domain", Rewrite{From: Party{Domain: "h"}}, "<tel:+49-30>;tag=1", "<sip:+4930@h;user=phone>;tag=1"},
		{"a tel URI has no user", Rewrite{From: Party{User: "x", Display: "d"}}, "<tel:+49-30>;tag=1", `"d" <tel:+49-30>;tag=1`},
		{"anonymous", Rewrite{Privacy: PrivacyID}, alice, `"Anonymous" <sip:anonymous@anonymous.invalid>;tag=a1;y="b;c"`},
		{"nonsense stays", Rewrite{Privacy: PrivacyID}, "<<", ""},
	} {
		r := only(t, Rule{Rewrite: c.w})
		if got := r.Change(&Request{From: c.from}).From; got != c.want {
			t.Errorf("%s: %s becomes\n%s, want\n%s", c.name, c.from, got, c.want)
		}
	}
}

// RFC 3323 §4.2: values are set off by ";", none stands alone; RFC 3325 §9.3: id.
func TestPrivacyHeader(t *testing.T) {
	for _, c := range []struct {
		p     Privacy
		asked []string
		want  string // "": stays
	}{
		{PrivacyKeep, nil, ""}, {PrivacyKeep, []string{"id"}, ""},
		{PrivacyID, nil, "id"}, {PrivacyID, []string{"id"}, ""}, {PrivacyID, []string{"Header ; ID"}, ""}, {PrivacyID, []string{"none"}, "id"},
		{PrivacyID, []string{"header;session", "critical"}, "header;session;critical;id"}, {PrivacyID, []string{"user"}, "user;id"},
		{PrivacyNone, nil, "none"}, {PrivacyNone, []string{"none"}, ""}, {PrivacyNone, []string{"id"}, ""}, {PrivacyNone, []string{""}, "none"},
	} {
		if got := c.p.value(c.asked); got != c.want {
			t.Errorf("%q with privacy %d becomes %q, want %q", c.asked, c.p, got, c.want)
		}
	}
}

// RFC 3325 §5 and §9.1: one SIP URI, the authenticated user's unless the rule says more.
func TestAsserted(t *testing.T) {
	r := only(t, Rule{Rewrite: Rewrite{Asserted: Party{Display: "Desk", User: "+4930", Domain: "h"}}})
	c := r.Change(&Request{From: "<sip:a@b>", Identity: "alice@example.com"})
	if want := (HeaderLine{"P-Asserted-Identity", `"Desk" <sip:+4930@h>`}); len(c.Add) != 1 || c.Add[0] != want {
		t.Errorf("adds %q, want %q", c.Add, want)
	}
	if c := r.Change(&Request{From: "<sip:a@b>"}); len(c.Add) != 0 {
		t.Errorf("without an identity %q is added", c.Add)
	}
}

func request(t testing.TB, lines ...string) *sip.Message {
	t.Helper()
	m, err := sip.Parse("INVITE sip:0049@example.com SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"+
		"f: Alice <sip:alice@example.com>;tag=a1\r\nTo: <sip:0049@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n"+
		strings.Join(append(lines, ""), "\r\n")+"\r\nbody", sip.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// RFC 3261 §7.3.1 and §7.3.3: names in any case, long or compact.
func TestChangeIsApplied(t *testing.T) {
	r := only(t, Rule{Rewrite: Rewrite{
		From: Party{Domain: "h"}, Remove: []string{"subject", "X-Gone"}, Set: []HeaderLine{{"X-Class", "gold"}, {"User-Agent", "Ringway"}},
		Add: []HeaderLine{{"X-Class", "more"}},
	}})
	req := request(t, "s: hello", "x-gone : 1", "X-GONE: 2", "x-class: tin", "X-Class: lead", "X-Classy: stays", "User-Agent: JsSIP", "Content-Length: 4")
	out := req.Splice()
	c := r.Change(&Request{From: req.Value(sip.From)})
	c.Apply(req, &out)
	want := "INVITE sip:0049@example.com SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n" +
		"f: Alice <sip:alice@h>;tag=a1\r\nTo: <sip:0049@example.com>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n" +
		"X-Classy: stays\r\nContent-Length: 4\r\nX-Class: gold\r\nUser-Agent: Ringway\r\nX-Class: more\r\n\r\nbody"
	if got := string(out.Append(nil)); got != want {
		t.Errorf("leaves as\n%s\nwant\n%s", got, want)
	}
	if again := r.Change(&Request{From: req.Value(sip.From)}); len(again.Remove) != len(c.Remove) || len(r.Rewrite.Remove) != 2 {
		t.Errorf("a change leaves traces in its rule: %q", r.Rewrite.Remove)
	}
}

// FuzzRewrite: whatever a request is addressed to, what leaves is a SIP URI, and From keeps its tag.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{"sip:0049@h;transport=ws", "tel:+49-30;ext=1", "sip:a%20b@h?x=y", "sip:+49;phone-context=a@[::1]:5;user=phone", "sips:1:p@h;a;b=c"} {
		f.Add(s, `"A \" B" <sip:alice@h>;tag=1`)
	}
	rules := []*Route{
		only(f, Rule{Rewrite: Rewrite{Strip: 1, Prefix: "+ é", From: Party{Display: `\"`, User: "a b", Domain: "[::1]:5"}}}),
		only(f, Rule{Rewrite: Rewrite{E164: Dialling("49"), Privacy: PrivacyID}}),
		only(f, Rule{Match: Match{User: "(.*)"}, Rewrite: Rewrite{Replace: "x$1"}}),
	}
	f.Fuzz(func(t *testing.T, text, from string) {
		u, err := sip.ParseURI(text)
		if err != nil || UserOf(&u) == "" {
			return
		}
		a, fromErr := sip.ParseNameAddr(from)
		for _, r := range rules {
			uri := r.RequestURI(&u, "example.com", true)
			if uri == "" {
				uri = text
			}
			v, err := sip.ParseURI(uri)
			if err != nil || !v.IsSIP() || v.Headers != "" {
				t.Fatalf("%q leaves as %q (%v)", text, uri, err)
			}
			if got, want := UserOf(&v), r.RewriteUser(UserOf(&u)); bare(got) != bare(want) && !phone(&v) {
				t.Errorf("%q leaves as %q: its user is %q, want %q", text, uri, got, want)
			}
			if fromErr != nil {
				continue
			}
			c := r.Change(&Request{From: from})
			b, err := sip.ParseNameAddr(c.From)
			if c.From != "" && (err != nil || b.Params != a.Params) {
				t.Errorf("From %q becomes %q (%v)", from, c.From, err)
			}
		}
	})
}
