package registrar_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
)

const (
	jssipContact = `<sip:7vq3kl0d@df7jal23ls0d.invalid;transport=ws>;+sip.ice;reg-id=1;+sip.instance="<urn:uuid:8c2a8f3b-31b0-4a42-9f4c-6f6f1b3f8f01>";expires=600`
	jssipURI     = "sip:7vq3kl0d@df7jal23ls0d.invalid;transport=ws"
	sipjsContact = `<sip:j2v5o1pq@192.0.2.146.invalid;transport=ws>;+sip.instance="<urn:uuid:0b7ad2a0-64e4-4d7c-8a64-7e43c3f83ad2>";expires=600`
)

// jssip is a REGISTER's lines as JsSIP 3.13 sends them.
func jssip(contact string) []string {
	return []string{
		"Via: SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK9543211",
		"Max-Forwards: 69",
		"To: <sip:alice@example.com>",
		"From: \"Alice\" <sip:alice@example.com>;tag=l0j1vvp0mq",
		"Call-ID: 8h2n9g8v7k4b1f6d3s5a0q",
		"Contact: " + contact,
		"Expires: 600",
		"Allow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY",
		"Supported: path,gruu,outbound",
		"User-Agent: JsSIP 3.13.8",
	}
}

// sipjs is a REGISTER's lines as SIP.js 0.21 sends them.
func sipjs(contact string) []string {
	return []string{
		"Via: SIP/2.0/WSS 192.0.2.146.invalid;branch=z9hG4bK6021842",
		"To: <sip:alice@example.com>",
		"From: \"Alice\" <sip:alice@example.com>;tag=nc9r6u2u3n",
		"Call-ID: mk0c2fd5dgk1o6n6ig4b",
		"Contact: " + contact,
		"Allow: ACK,CANCEL,INVITE,MESSAGE,BYE,OPTIONS,INFO,NOTIFY,REFER",
		"Supported: outbound, path, gruu",
		"User-Agent: SIP.js/0.21.2",
	}
}

func TestRegisterJsSIP(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	r := w.ok(f, jssip(jssipContact)...)
	got := values(r, "Contact")
	if len(got) != 1 || !strings.HasPrefix(got[0], jssipContact+`;pub-gruu="sip:alice@example.com;gr=urn:uuid:8c2a8f3b-31b0-4a42-9f4c-6f6f1b3f8f01";temp-gruu="sip:`) {
		t.Errorf("Contact: %q", got)
	}
	wantValues(t, r, "Require", "outbound")
	wantValues(t, r, "Flow-Timer", "120")
	wantValues(t, r, "Supported", "path, outbound, gruu")
	if d := values(r, "Date"); len(d) != 1 {
		t.Errorf("Date: %q", d)
	} else if _, err := http.ParseTime(d[0]); err != nil {
		t.Errorf("Date: %v", err)
	}
	b := w.lookup(alice)[0]
	if b.Contact != jssipURI || b.Instance != "urn:uuid:8c2a8f3b-31b0-4a42-9f4c-6f6f1b3f8f01" || b.RegID != 1 ||
		b.Flow != f.ID || b.UserAgent != "JsSIP 3.13.8" || b.Q != 1000 || b.Transport != sip.WSS {
		t.Errorf("binding %+v", b)
	}
	if w.table.ByName(b.Name) != f {
		t.Error("the flow does not speak for the binding's name")
	}
	w.wantChanges(registrar.Registered)
}

func TestRegisterSIPJS(t *testing.T) {
	w := newWorld(t)
	r := w.ok(w.ws(), sipjs(sipjsContact)...)
	got := values(r, "Contact")
	if len(got) != 1 || !strings.HasPrefix(got[0], sipjsContact+";pub-gruu=") {
		t.Errorf("Contact: %q", got)
	}
	wantValues(t, r, "Require") // no reg-id: no Outbound
}

// RFC 3261 §10.3 step 8: what is not ours comes back byte for byte.
func TestContactEchoedByteForByte(t *testing.T) {
	for _, c := range []struct{ sent, want string }{
		{`<sip:a@h.invalid>`, `<sip:a@h.invalid>;expires=3600`},
		{`sip:a@h.invalid`, `sip:a@h.invalid;expires=3600`},
		{`sip:a@h.invalid;expires=70`, `sip:a@h.invalid;expires=70`},
		{`"A, \"B\" ;expires=9" <sip:a@h.invalid;x=y> ;expires=70;q=0.5`, `"A, \"B\" ;expires=9" <sip:a@h.invalid;x=y> ;expires=70;q=0.5`},
		{`<sip:a@h.invalid> ; EXPIRES = 99999 ; +sip.ice`, `<sip:a@h.invalid> ; EXPIRES = 3600 ; +sip.ice`},
		{`<sip:a@h.invalid>;expires=soon;b`, `<sip:a@h.invalid>;expires=3600;b`},
		{`<sip:a@h.invalid>;expires;b`, `<sip:a@h.invalid>;expires=3600;b`},
		{`<sip:a@h.invalid>;expires="80";b`, `<sip:a@h.invalid>;expires=80;b`},
		{`<sip:a@h.invalid>;pub-gruu="sip:x;gr=1;expires=2";expires=80;temp-gruu="sip:y;gr";b="\";expires=1"`, `<sip:a@h.invalid>;expires=80;b="\";expires=1"`},
		{`<sip:a@h.invalid>;Temp-GRUU="sip:y;gr"`, `<sip:a@h.invalid>;expires=3600`},
		{`<sip:a@h.invalid?Subject=hi>;expires=80`, `<sip:a@h.invalid?Subject=hi>;expires=80`},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			r := w.ok(w.ws(), "Contact: "+c.sent)
			wantValues(t, r, "Contact", c.want)
			wantValues(t, w.ok(w.ws()), "Contact", c.want) // a fetch says the same
		})
	}
}

// RFC 3261 §10.3 step 6: parameter, then header, then default; bounds 60 to 3600.
func TestExpires(t *testing.T) {
	for _, c := range []struct{ param, header, want string }{
		{"", "", "3600"},
		{"", "Expires: 120", "120"},
		{";expires=90", "Expires: 120", "90"},
		{";expires=60", "Expires: 1", "60"},
		{";expires=3601", "", "3600"},
		{";expires=4294967296", "", "3600"},
		{";expires=99999999999999999999999999", "", "3600"},
		{"", "Expires: 18446744073709551617", "3600"},
		{";expires=-1", "Expires: 120", "3600"}, // §20.10: malformed is 3600
		{"", "Expires: later", "3600"},
	} {
		w := newWorld(t)
		lines := []string{"Contact: <sip:a@h.invalid>" + c.param}
		if c.header != "" {
			lines = append(lines, c.header)
		}
		r := w.ok(w.ws(), lines...)
		wantValues(t, r, "Contact", "<sip:a@h.invalid>;expires="+c.want)
	}
}

// RFC 3261 §10.3 step 6: too short is refused with Min-Expires.
func TestIntervalTooBrief(t *testing.T) {
	w := newWorld(t)
	for _, lines := range [][]string{
		{"Contact: <sip:a@h.invalid>;expires=59"},
		{"Contact: <sip:a@h.invalid>", "Expires: 1"},
		{"Contact: <sip:a@h.invalid>;expires=600, <sip:b@h.invalid>;expires=5"},
	} {
		s := w.refused(423, "Interval Too Brief", w.ws(), lines...)
		if !slices.Equal(s.Headers, []string{"Min-Expires: 60"}) {
			t.Errorf("headers %q", s.Headers)
		}
	}
}

func TestSeveralContactsAndQ(t *testing.T) {
	w := newWorld(t)
	r := w.ok(w.ws(), `Contact: <sip:a@h.invalid>;q=0.5, "B, b" <sip:b@h.invalid>;q=0.75`, `m: <sip:c@h.invalid>;expires=120`)
	wantValues(t, r, "Contact", `<sip:a@h.invalid>;q=0.5;expires=3600`, `"B, b" <sip:b@h.invalid>;q=0.75;expires=3600`, `<sip:c@h.invalid>;expires=120`)
	var got []string
	for _, b := range w.lookup(alice) {
		got = append(got, b.Contact+" "+strconv.Itoa(int(b.Q)))
	}
	if want := []string{"sip:c@h.invalid 1000", "sip:b@h.invalid 750", "sip:a@h.invalid 500"}; !slices.Equal(got, want) {
		t.Errorf("by q: %q, want %q", got, want)
	}
}

// Of equal q the newest comes first.
func TestLookupNewestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, u := range []string{"a", "b", "c", "b"} {
			w.ok(w.ws(), "Contact: <sip:"+u+"@h.invalid>")
			time.Sleep(time.Second)
		}
		if b := w.lookup(alice)[0]; b.Contact != "sip:b@h.invalid" {
			t.Errorf("first is %s, want the one refreshed last", b.Contact)
		}
	})
}

// RFC 3261 §10.3 step 8: a fetch tells what is left of each.
func TestFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if r := w.ok(w.ws()); len(values(r, "Contact")) != 0 {
			t.Errorf("fetch of nothing: %q", r.Headers)
		}
		w.ok(w.ws(), "Contact: <sip:a@h.invalid>;expires=100")
		w.ok(w.ws(), "Contact: <sip:b@h.invalid>;expires=200")
		time.Sleep(40*time.Second + 500*time.Millisecond)
		wantValues(t, w.ok(w.ws()), "Contact", "<sip:a@h.invalid>;expires=59", "<sip:b@h.invalid>;expires=159")
		time.Sleep(59*time.Second + 400*time.Millisecond)
		wantValues(t, w.ok(w.ws()), "Contact", "<sip:a@h.invalid>;expires=1", "<sip:b@h.invalid>;expires=100")
		time.Sleep(time.Second)
		wantValues(t, w.ok(w.ws()), "Contact", "<sip:b@h.invalid>;expires=99") // without Run
	})
}

// RFC 3261 §10.2.2: * with Expires: 0, alone.
func TestRemoveAll(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, "Contact: <sip:a@h.invalid>, <sip:b@h.invalid>")
	for _, lines := range [][]string{
		{"Contact: *"},
		{"Contact: *", "Expires: 1"},
		{"Contact: *", "Expires: 00x"},
		{"Contact: *, <sip:a@h.invalid>", "Expires: 0"},
		{"Contact: <sip:a@h.invalid>", "Contact: *", "Expires: 0"},
	} {
		w.refused(400, "Contact *", f, lines...)
	}
	w.changes()
	r := w.ok(f, "Contact: *", "Expires: 0")
	wantValues(t, r, "Contact")
	w.wantContacts(alice)
	w.wantChanges(registrar.Unregistered, registrar.Unregistered)
	if aors, n := w.reg.Len(); aors != 0 || n != 0 {
		t.Errorf("Len = %d, %d", aors, n)
	}
}

func TestRemoveOne(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, "Contact: <sip:a@h.invalid>, <sip:b@h.invalid>")
	name := w.lookup(alice)[0].Name
	w.ok(f, "Contact: <sip:%61@H.invalid>;expires=0", "Expires: 600") // an equal URI, §19.1.4
	w.wantContacts(alice, "sip:b@h.invalid")
	w.ok(f, "Contact: <sip:nobody@h.invalid>", "Expires: 0")
	w.wantContacts(alice, "sip:b@h.invalid")
	if w.table.ByName(name) != nil {
		t.Error("the flow still speaks for the removed binding")
	}
	w.wantChanges(registrar.Registered, registrar.Registered, registrar.Unregistered)
}

// RFC 3261 §10.3 step 7: the URI decides, by the rules of §19.1.4.
func TestRefreshByEqualURI(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, "Contact: <sip:a@h.invalid;transport=ws>;expires=100")
	r := w.ok(f, "Contact: <sip:%61@H.INVALID;transport=WS>;expires=200;x")
	wantValues(t, r, "Contact", "<sip:%61@H.INVALID;transport=WS>;expires=200;x")
	w.ok(f, "Contact: <sip:a@h.invalid>") // transport makes another URI
	w.wantContacts(alice, "sip:%61@H.INVALID;transport=WS", "sip:a@h.invalid")
	w.wantChanges(registrar.Registered, registrar.Refreshed, registrar.Registered)
}

// Values of one REGISTER are taken in order; the last of equal ones stays.
func TestEqualContactsInOneRegister(t *testing.T) {
	w := newWorld(t)
	r := w.ok(w.ws(), "Contact: <sip:a@h.invalid>;q=0.1, <sip:%61@h.invalid>;q=0.2, <sip:b@h.invalid>;expires=0, <sip:b@h.invalid>")
	wantValues(t, r, "Contact", "<sip:%61@h.invalid>;q=0.2;expires=3600", "<sip:b@h.invalid>;expires=3600")
	w.checkAgreement()
	w.ok(w.ws(), "Contact: *", "Expires: 0")
	w.okAs("bob@example.com", w.open(sip.WSS, "203.0.113.9:40000"), "Contact: <sip:a@h.invalid>") // nobody's any more
}

func TestCreatedAndUpdated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		start := time.Now()
		w.ok(w.ws(), "Contact: <sip:a@h.invalid>")
		time.Sleep(time.Minute)
		w.ok(w.ws(), "Contact: <sip:a@h.invalid>")
		if b := w.lookup(alice)[0]; !b.Created.Equal(start) || b.Updated.Sub(start) != time.Minute {
			t.Errorf("created %v, updated %v after the start", b.Created.Sub(start), b.Updated.Sub(start))
		}
	})
}

// RFC 3261 §10.3 step 7: an older CSeq of the same Call-ID aborts the whole request.
func TestCSeqOrder(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, "Contact: <sip:a@h.invalid>", "CSeq: 10 REGISTER")
	w.refused(500, "CSeq", f, "Contact: <sip:a@h.invalid>", "CSeq: 10 REGISTER")
	w.refused(500, "CSeq", f, "Contact: <sip:a@h.invalid>;expires=0", "CSeq: 9 REGISTER")
	w.refused(500, "CSeq", f, "Contact: <sip:new@h.invalid>, <sip:a@h.invalid>", "CSeq: 9 REGISTER")
	w.refused(500, "CSeq", f, "Contact: *", "Expires: 0", "CSeq: 9 REGISTER")
	w.ok(f, "Contact: <sip:b@h.invalid>", "CSeq: 9 REGISTER") // touches nothing newer
	w.ok(f, "Contact: <sip:a@h.invalid>", "CSeq: 1 REGISTER", "Call-ID: another")
	w.ok(f, "Contact: <sip:a@h.invalid>", "CSeq: 2 REGISTER", "Call-ID: another")
	w.ok(f) // a fetch has no order
}

// RFC 3261 §10.3 step 7, "all or nothing": one bad contact refuses all, and the reason names what is wrong.
func TestAllOrNothing(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, "Contact: <sip:a@h.invalid>")
	for _, c := range []struct {
		code      int
		text, bad string
	}{
		{400, "Bad Contact: ", "<sip:>"},
		{400, "Bad Contact: ", "<sip:b@h.invalid"},
		{400, "Bad Contact: ", "<sip:b@h.invalid>;expires=60;expires=70"},
		{400, "Bad Contact: ", "sip:b@h.invalid?Subject=hi"}, // RFC 4475 §3.1.2.13
		{400, "Not a SIP URI", "<tel:+4930123456>"},
		{400, "Not a SIP URI", "<mailto:alice@example.com>"},
		{400, "q in", "<sip:b@h.invalid>;q=1.5"},
		{400, "q in", "<sip:b@h.invalid>;q=high"},
		{400, "reg-id", `<sip:b@h.invalid>;reg-id=0;+sip.instance="<urn:x:1>"`},
		{400, "reg-id", `<sip:b@h.invalid>;reg-id=2147483648;+sip.instance="<urn:x:1>"`},
		{400, "+sip.instance", `<sip:b@h.invalid>;+sip.instance="<>"`},
		{400, "+sip.instance", `<sip:b@h.invalid>;+sip.instance="<` + strings.Repeat("x", 300) + `>"`},
		{400, "2048", `<sip:b@h.invalid>;x=` + strings.Repeat("x", 2048)},
		{403, "This Server", "<sip:b@example.com>"},
		{403, "This Server", "<sips:b@EXAMPLE.com:9999>"},
		{403, "This Server", "<sip:b@192.0.2.1>"},
		{403, "This Server", "<sip:alice@example.com;gr=urn:uuid:1>"}, // RFC 5627 §5.1: our own GRUU
	} {
		w.refused(c.code, c.text, f, "Contact: <sip:ok1@h.invalid>, "+c.bad)
		w.refused(c.code, c.text, f, "Contact: <sip:a@h.invalid>;expires=0", "Contact: "+c.bad+", <sip:ok2@h.invalid>")
	}
	w.refused(400, "Bad Contact", f, "Contact: ")
	w.ok(f, "Contact: <sip:b@192.0.2.1:5062>") // another program on our address
}

func TestAtMost20Contacts(t *testing.T) {
	w := newWorld(t, func(c *registrar.Config) { c.MaxBindings = 30 })
	many := func(n int) string {
		var s []string
		for i := range n {
			s = append(s, "<sip:u"+strconv.Itoa(i)+"@h.invalid>")
		}
		return "Contact: " + strings.Join(s, ", ")
	}
	w.refused(400, "20 Contacts", w.ws(), many(21))
	w.ok(w.ws(), many(20))
}

func TestUnknownRequire(t *testing.T) { // RFC 3261 §8.2.2.3
	w := newWorld(t)
	s := w.refused(420, "Bad Extension", w.ws(), "Contact: <sip:a@h.invalid>", "Require: path, foo", "Require: gruu, bar")
	if !slices.Equal(s.Headers, []string{"Unsupported: foo, bar"}) {
		t.Errorf("headers %q", s.Headers)
	}
	w.ok(w.ws(), "Contact: <sip:a@h.invalid>", "Require: Path, outbound, gruu")
}

// An AOR holds 10 bindings. A dead flow's goes first, then the one that was not
// refreshed for the longest time.
func TestFullReplacesOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dead := w.ws()
		for i := range 10 {
			f := w.ws()
			if i == 5 {
				f = dead
			}
			w.ok(f, "Contact: <sip:u"+strconv.Itoa(i)+"@h.invalid>")
			time.Sleep(time.Second)
		}
		w.ok(w.ws(), "Contact: <sip:u0@h.invalid>") // the oldest, but refreshed
		time.Sleep(time.Second)
		w.table.Closed(dead, sip.CloseLost)
		w.changes()
		w.ok(w.ws(), "Contact: <sip:new1@h.invalid>")
		w.ok(w.ws(), "Contact: <sip:new2@h.invalid>")
		w.wantChanges(registrar.Registered, registrar.Evicted, registrar.Registered, registrar.Evicted)
		w.wantContacts(alice, "sip:u0@h.invalid", "sip:u2@h.invalid", "sip:u3@h.invalid", "sip:u4@h.invalid",
			"sip:u6@h.invalid", "sip:u7@h.invalid", "sip:u8@h.invalid", "sip:u9@h.invalid",
			"sip:new1@h.invalid", "sip:new2@h.invalid")
	})
}

func TestFullRefuses(t *testing.T) {
	w := newWorld(t, func(c *registrar.Config) { c.WhenFull, c.MaxBindings = registrar.Refuse, 2 })
	w.ok(w.ws(), "Contact: <sip:a@h.invalid>, <sip:b@h.invalid>")
	w.refused(403, "Too Many Contacts", w.ws(), "Contact: <sip:c@h.invalid>")
	w.ok(w.ws(), "Contact: <sip:a@h.invalid>") // a refresh is none more
	w.ok(w.ws(), "Contact: <sip:c@h.invalid>, <sip:b@h.invalid>;expires=0")
}

// A REGISTER never pushes out its own contacts.
func TestMoreThanFitInOneRegister(t *testing.T) {
	w := newWorld(t, func(c *registrar.Config) { c.MaxBindings = 2 })
	w.refused(403, "Too Many Contacts", w.ws(), "Contact: <sip:a@h.invalid>, <sip:b@h.invalid>, <sip:c@h.invalid>")
}

// A Contact that another AOR has bound from another flow or address.
func TestContactOfAnotherUser(t *testing.T) {
	const contact = "Contact: <sip:x@h.invalid;transport=ws>"
	const bob = "bob@example.com"
	w := newWorld(t)
	f := w.ws()
	w.ok(f, contact)
	w.refusedAs(bob, 403, "Another User", w.ws(), contact)
	w.refusedAs(bob, 403, "Another User", w.ws(), "Contact: <sip:free@h.invalid>, <sip:%78@H.INVALID;transport=WS>")
	w.okAs(bob, w.ws(), "Contact: <sip:free@h.invalid>") // the refused one left no claim
	w.okAs(bob, f, contact)                              // a second account of the same user agent
	w.ok(f, contact+";expires=0")
	w.refused(403, "Another User", w.ws(), contact)

	w.okAs(bob, f, contact+";expires=0")
	w.ok(w.ws(), contact) // free again
}

func TestContactOfAnotherUserUDP(t *testing.T) {
	const contact = "Contact: <sip:phone@10.0.0.5>"
	w := newWorld(t)
	w.ok(w.udp("198.51.100.7:5060"), contact)
	w.refusedAs("bob@example.com", 403, "Another User", w.udp("203.0.113.9:5060"), contact)
	w.okAs("bob@example.com", w.udp("198.51.100.7:1024"), contact) // one phone, two lines, the NAT moved it
}

// The old connection is gone: the same address may have the Contact, another not.
func TestContactOfAnotherUserAfterClose(t *testing.T) {
	const contact = "Contact: <sip:phone@10.0.0.5>"
	w := newWorld(t)
	f := w.open(sip.TCP, "198.51.100.7:40000")
	w.ok(f, contact)
	w.refusedAs("bob@example.com", 403, "Another User", w.open(sip.TCP, "198.51.100.7:40001"), contact)
	w.table.Closed(f, sip.CloseLost)
	w.refusedAs("bob@example.com", 403, "Another User", w.open(sip.TCP, "203.0.113.9:40001"), contact)
	w.okAs("bob@example.com", w.open(sip.TCP, "198.51.100.7:40001"), contact)
}

// Where the operator wants shorter or longer registrations, the default follows.
func TestDefaultExpiresFollowsTheBounds(t *testing.T) {
	for _, c := range []struct {
		least, most time.Duration
		want        string
	}{{0, 10 * time.Minute, "600"}, {2 * time.Hour, 3 * time.Hour, "7200"}, {time.Minute, 2 * time.Hour, "3600"}} {
		w := newWorld(t, func(cfg *registrar.Config) { cfg.MinExpires, cfg.MaxExpires = c.least, c.most })
		wantValues(t, w.ok(w.ws(), "Contact: <sip:a@h.invalid>"), "Contact", "<sip:a@h.invalid>;expires="+c.want)
	}
}

func TestNewChecksConfig(t *testing.T) {
	good := registrar.Config{Store: registrar.NewMemory(), Flows: newWorld(t).table, Edge: edge{}}
	if _, err := registrar.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*registrar.Config){
		"no store":        func(c *registrar.Config) { c.Store = nil },
		"minimum":         func(c *registrar.Config) { c.MinExpires = 2 * time.Hour },
		"default too low": func(c *registrar.Config) { c.DefaultExpires = time.Second },
		"grace":           func(c *registrar.Config) { c.Grace = -1 },
		"policy":          func(c *registrar.Config) { c.WhenFull = "ask" },
	} {
		c := good
		spoil(&c)
		if _, err := registrar.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
