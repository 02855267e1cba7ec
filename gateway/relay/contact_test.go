package relay

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

func TestWithExpires(t *testing.T) { // RFC 3261 §20.10: all but the seconds stays byte for byte
	for _, c := range []struct{ value, want string }{
		{`<sip:a@b>;expires=600`, `<sip:a@b>;expires=120`},
		{`<sip:a@b>`, `<sip:a@b>;expires=120`},
		{`sip:a@b`, `sip:a@b;expires=120`},
		{`<sip:a@b;expires=9>`, `<sip:a@b;expires=9>;expires=120`},
		{`"x;expires=5" <sip:a@b> ; EXPIRES = 600 ;q=1`, `"x;expires=5" <sip:a@b> ; EXPIRES = 120 ;q=1`},
		{`<sip:a@b>;x="\";expires=1";expires=600;ob`, `<sip:a@b>;x="\";expires=1";expires=120;ob`},
		{`<sip:a@b>;expires`, `<sip:a@b>;expires;expires=120`},
		{`<sip:a@b>;expires="600"`, `<sip:a@b>;expires=120`},
	} {
		a, err := sip.ParseNameAddr(c.value)
		if err != nil {
			t.Fatal(c.value, err)
		}
		if got := withExpires(c.value, a.Params, 120); got != c.want {
			t.Errorf("%s\nbecame %s\nwant   %s", c.value, got, c.want)
		}
	}
}

func TestWithURI(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{`<sip:a@b>`, `<sip:NEW>`},
		{`sip:a@b;q=1`, `<sip:NEW>;q=1`},
		{`"A \"<b>\" C" <sip:a@b;ob?x=y>;p="<z>" ;q=1`, `"A \"<b>\" C" <sip:NEW>;p="<z>" ;q=1`},
		{`Al  <sip:a@b>`, `Al  <sip:NEW>`},
	} {
		a, err := sip.ParseNameAddr(c.value)
		if err != nil {
			t.Fatal(c.value, err)
		}
		if got := withURI(c.value, &a, "sip:NEW"); got != c.want {
			t.Errorf("%s\nbecame %s\nwant   %s", c.value, got, c.want)
		}
	}
}

// response is a 2xx to REGISTER with these Contact lines.
func response(t *testing.T, contacts ...string) *sip.Message {
	t.Helper()
	text := "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP gw;branch=z9hG4bK1\r\nFrom: <sip:a@example.com>;tag=1\r\n" +
		"To: <sip:a@example.com>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n"
	for _, c := range contacts {
		text += "Contact: " + c + "\r\n"
	}
	m, err := sip.Parse(text+"Content-Length: 0\r\n\r\n", sip.Datagram)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestFind(t *testing.T) { // RFC 3261 §10.3 step 8 as registrars do it
	const sent = "sip:k3j2@q9f8.invalid;transport=ws"
	own := func(host string, _ uint16) bool { return host == "192.0.2.1" }
	for _, c := range []struct {
		name     string
		contacts []string
		want     int
	}{
		{"as sent", []string{"<sip:x@y>;expires=1", "<" + sent + ">;expires=1"}, 1},
		{"equal", []string{"<SIP:k3j2@Q9F8.invalid;transport=WS;ob>"}, 0},
		{"on one line", []string{"<sip:x@y>, <" + sent + ">"}, 1},
		{"its transport lost", []string{"<sip:k3j2@q9f8.invalid>"}, 0},
		{"our address in place of its host", []string{"<sip:k3j2@192.0.2.1:5060;x-ast-orig-host=q9f8.invalid:0>"}, 0},
		{"another tab's of the same user part", []string{"<sip:k3j2@other.invalid;transport=ws>"}, -1},
		{"a desk phone's of the same user part", []string{"<sip:k3j2@203.0.113.9>"}, -1},
		{"two that could be it", []string{"<sip:k3j2@q9f8.invalid>", "<sip:k3j2@192.0.2.1>"}, -1},
		{"two, one of the instance", []string{"<sip:k3j2@192.0.2.1>", `<sip:k3j2@q9f8.invalid>;+sip.instance="<urn:uuid:1>"`}, 1},
		{"of another instance", []string{`<sip:k3j2@q9f8.invalid>;+sip.instance="<urn:uuid:2>"`}, -1},
		{"none", nil, -1},
		{"nonsense", []string{"<sip:>", "<tel:1>", "*"}, -1},
	} {
		u, _ := sip.ParseURI(sent)
		list := contactsOf(response(t, c.contacts...), nil)
		if got := find(list, &u, sent, "urn:uuid:1", own); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestSpliceContacts(t *testing.T) {
	m := response(t, `"a,b" <sip:a@b>;x=",",<sip:c@d> ,  <sip:a@b>`, `<sip:e@f>`)
	list := contactsOf(m, nil)
	if len(list) != 4 {
		t.Fatalf("%d values", len(list))
	}
	list[1].now, list[2].now = "<sip:NEW>", "<sip:OTHER>;q=1"
	out := m.Splice()
	spliceContacts(m, &out, list)
	got, _ := sip.Parse(string(out.Append(nil)), sip.Datagram)
	if want := strings.Replace(strings.Replace(m.String(), "<sip:c@d>", "<sip:NEW>", 1), " <sip:a@b>\r\n", " <sip:OTHER>;q=1\r\n", 1); got.String() != want {
		t.Errorf("became\n%s\nwant\n%s", got, want)
	}
}

func FuzzContacts(f *testing.F) {
	f.Add(`"x" <sip:a@b;ob>;expires=5;+sip.instance="<u>", sip:c@d;q=1`, uint32(7))
	f.Add(`,,<sip:a@b>;;expires=`, uint32(0))
	f.Fuzz(func(t *testing.T, value string, seconds uint32) {
		m, err := sip.Parse("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP gw;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\n"+
			"CSeq: 1 REGISTER\r\nContact: "+value+"\r\nContent-Length: 0\r\n\r\n", sip.Datagram)
		if err != nil {
			return
		}
		list := contactsOf(m, nil)
		for i := range list {
			l := &list[i]
			if l.bad {
				continue
			}
			l.now = withExpires(withURI(l.value, &l.addr, "sip:new@host"), l.addr.Params, seconds)
			a, err := sip.ParseNameAddr(l.now)
			if err != nil || a.URI != "sip:new@host" || a.Display != l.addr.Display {
				t.Fatalf("%q became %q: %v", l.value, l.now, err)
			}
			if v, _ := a.Params.Value("expires"); v != decimal(seconds) {
				if old, had := l.addr.Params.Value("expires"); !had || old != "" {
					t.Fatalf("%q became %q", l.value, l.now)
				}
			}
		}
		out := m.Splice()
		spliceContacts(m, &out, list)
		if _, err := sip.Parse(string(out.Append(nil)), sip.Datagram); err != nil {
			t.Fatalf("%q: %v", value, err)
		}
	})
}
