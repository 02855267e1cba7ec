package relay

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// A Contact that is a URI's equal (RFC 3261 §19.1.4) leads to the AOR at the registrar that has it, and nowhere else.
func TestContactStandsForItsAOR(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	f := r.page()
	r.register(t, f, "bob", "<sip:b%31@q9f8.invalid;transport=ws>;expires=60", nil)
	r.register(t, f, "odd", "<sip:o@q9f8.invalid?Subject=hi>;expires=60", nil)
	r.register(t, f, "old", "<sip:one@old.invalid>;+sip.instance=\"<urn:uuid:o>\";expires=60", nil)
	r.register(t, f, "old", "<sip:two@old.invalid>;+sip.instance=\"<urn:uuid:o>\";expires=60", nil)
	r.register(t, f, "gone", "<sip:g@gone.invalid>;expires=60", nil)
	r.register(t, f, "gone", "<sip:g@gone.invalid>;expires=0", nil)
	r.register(t, f, "one", "<sip:both@b.invalid>;expires=60", nil)
	r.register(t, f, "other", "<sip:both@B.invalid>;expires=60", nil)
	for _, c := range []struct{ registrar, uri, want string }{
		{"pbx", "sip:b1@q9f8.invalid;transport=ws", "sip:bob@example.com"},
		{"pbx", "sip:%62%31@Q9F8.INVALID;ob;transport=WS", "sip:bob@example.com"},
		{"pbx", "sip:b1@q9f8.invalid;transport=tcp", "403"}, // differs where both have it
		{"pbx", "sip:b1@q9f8.invalid;transport=ws;user=phone", "403"},
		{"pbx", "sip:B1@q9f8.invalid;transport=ws", "403"}, // the user part has case
		{"pbx", "sip:b1@q9f8.invalid:5060;transport=ws", "403"},
		{"pbx", "sips:b1@q9f8.invalid;transport=ws", "403"},
		{"other", "sip:b1@q9f8.invalid;transport=ws", "403"},
		{"pbx", "sip:o@q9f8.invalid", "sip:odd@example.com"}, // headers are no part of a Request-URI (§19.1.1)
		{"pbx", "sip:one@old.invalid", "403"},
		{"pbx", "sip:two@old.invalid", "sip:old@example.com"},
		{"pbx", "sip:g@gone.invalid", "403"},
		{"pbx", "sip:both@b.invalid", "403"}, // anybody could be meant
		{"pbx", "sip:bob@example.com", ""},
		{"pbx", "sip:bob@example.com;gr=urn:uuid:b", ""}, // RFC 5627: its registrar knows it
		{"pbx", "sip:600@203.0.113.1", ""},
		{"pbx", "sip:600@203.0.113.2", "403"},
	} {
		u, err := sip.ParseURI(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		before := r.Counters[Elsewhere].Load()
		got, err := r.Callee(c.registrar, &u)
		if err != nil {
			got = "403"
		}
		if counted := r.Counters[Elsewhere].Load() > before; got != c.want || counted != (err != nil) {
			t.Errorf("%s at %s: %q, counted %v; want %q", c.uri, c.registrar, got, counted, c.want)
		}
	}
}

// alias: several user agents on one connection (RFC 5626 §3.2: of one softphone, of one proxy) have each its own; a wrong one would have the
// registrar ring somebody else, or send a BYE where nobody knows the call (RFC 3261 §12.2.1.1: the remote target is the Contact).
func TestSpeaker(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx", Alias: true})
	f := r.page()
	r.register(t, f, "alice", "<sip:aa@x.invalid>;expires=60", nil)
	r.register(t, f, "bob", "<sip:b%62@x.invalid>;expires=60", nil)
	r.register(t, f, "carol", "<sip:c1@x.invalid>;expires=60", nil)
	r.register(t, f, "carol", "<sip:c2@x.invalid>;expires=70", nil)
	r.register(t, f, "carol", "<sip:c3@x.invalid>;expires=80", nil)
	r.register(t, f, "carol", "<sip:c3@x.invalid>;expires=0", nil)
	alias := map[string]string{}
	for _, c := range []string{"alice/aa", "bob/b%62", "carol/c1", "carol/c2", "carol/c3"} {
		user, contact, _ := strings.Cut(c, "/")
		alias[r.alias(r.NameOf(user+"@example.com", "", 0, "sip:"+contact+"@x.invalid"))] = contact
	}
	aliasOf := func(contact string) string {
		for a, c := range alias {
			if c == contact {
				return a
			}
		}
		return ""
	}
	for _, c := range []struct{ start, from, to, contact, want string }{
		{"INVITE", "bob@example.com", "600@example.com", "bb", "b%62"},
		{"INVITE", "bob@example.com", "alice@example.com", "bb", "b%62"},
		{"INVITE", "alice@example.com", "bob@example.com", "aa", "aa"},
		{"INVITE", "bob@example.com", "600@example.com", "aa", "b%62"}, // two accounts with one Contact, or nonsense
		{"INVITE", "carol@example.com", "600@example.com", "c1", "c1"},
		{"INVITE", "carol@example.com", "600@example.com", "c2", "c2"},
		{"INVITE", "carol@example.com", "600@example.com", "c3", "c3"}, // it ended that one, and still calls by it
		{"INVITE", "carol@example.com", "600@example.com", "per-call", "c2"},
		{"INVITE", "anonymous@anonymous.invalid", "alice@example.com", "bb", "b%62"},
		{"UPDATE", "bob@example.com", "alice@example.com;tag=1", "bb", "b%62"},
		{"UPDATE", "alice@example.com", "bob@example.com;tag=1", "aa", "aa"},
		{"UPDATE", aliasOf("aa") + "@192.0.2.1", "bob@example.com;tag=1", "per-call", "aa"},
		{"UPDATE", "bob@example.com", "600@example.com;tag=1", "aa", "aa"}, // bob's calls go to her: From is whom the caller called
		{"200", "bob@example.com", "alice@example.com;tag=1", "aa", "aa"},
		{"200", "bob@example.com", "alice@example.com;tag=1", "per-call", "aa"},
		{"200", "alice@example.com", "bob@example.com;tag=1", "per-call", "b%62"},
		{"200", "600@example.com", "bob@example.com;tag=1", "aa", "aa"},
		{"200", "bob@example.com", aliasOf("aa") + "@192.0.2.1;tag=1", "per-call", "aa"},
	} {
		start, from, to := c.start+" sip:x@203.0.113.1 SIP/2.0", c.from, c.to
		method := c.start
		if c.start == "200" {
			start, method = "SIP/2.0 200 OK", "INVITE"
		}
		to, tag, _ := strings.Cut(to, ";")
		if tag != "" {
			tag = ";" + tag
		}
		m, err := sip.Parse(start+"\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKs\r\nFrom: <sip:"+from+">;tag=f\r\nTo: <sip:"+to+">"+tag+
			"\r\nCall-ID: s\r\nCSeq: 1 "+method+"\r\nContact: <sip:"+c.contact+"@x.invalid;ob>\r\nContent-Length: 0\r\n\r\n", sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		out := m.Splice()
		r.Outward("pbx", f, m, &out, r.hop.Info())
		got, err := sip.Parse(string(out.Append(nil)), sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := uriIn(got.Value(sip.Contact))
		if alias[u.User] != c.want {
			t.Errorf("%s from %s to %s, Contact %s: the alias of %q, want that of %q", c.start, c.from, c.to, c.contact, alias[u.User], c.want)
		}
	}
}

// A call's Record-Route names the user agent that is there to be found when its connection is another (RFC 5626 §5.3).
func TestNames(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	f := r.page()
	for _, c := range []string{"<sip:1@x.invalid>;expires=0", "<sip:2@x.invalid>;expires=60", "<sip:3@x.invalid>;expires=70", "<sip:1@x.invalid>;expires=90", "<sip:1@x.invalid>;expires=0"} {
		r.register(t, f, "carol", c, nil)
	}
	got := r.Names("carol@example.com", f)
	for i, want := range []string{"3", "2", "1"} {
		if len(got) != 3 || got[i] != r.NameOf("carol@example.com", "", 0, "sip:"+want+"@x.invalid") {
			t.Fatalf("not in order, or not 3: %d", len(got))
		}
	}
	if b, ok := r.On(f, "carol@example.com"); !ok || b.Contact != "sip:3@x.invalid" {
		t.Errorf("on the connection: %s", b.Contact)
	}
}

// RFC 3261 §19.1.4: registrars write a user part in normal form, and call by it.
func TestEscapedContact(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	f := r.page()
	got := r.register(t, f, "alice", "<sip:%61lice@x.invalid;transport=ws>;expires=60", func(string) string {
		return "Contact: <sip:alice@x.invalid>;expires=60"
	})
	if got != "<sip:%61lice@x.invalid;transport=ws>;expires=60" || r.Len() != 1 {
		t.Errorf("%s, %d bindings", got, r.Len())
	}
	name := r.NameOf("alice@example.com", "", 0, "sip:%61lice@x.invalid;transport=ws")
	for uri, ok := range map[string]bool{"sip:alice@x.invalid": true, "sip:al%69ce@X.invalid": true, "sip:Alice@x.invalid": false, "sip:alice@y.invalid": false} {
		if known, err := r.ByPath("pbx", name, f.ID, uri); !known || (err == nil) != ok {
			t.Errorf("%s: %v, %v", uri, known, err)
		}
	}
}

// A registrar stores the Path of each REGISTER (RFC 3327 §5.3): one that calls by an older, too, would ring the user agent
// twice. One that shows in its 2xx that it has kept the older has no other.
func TestOlderPath(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	before, now := r.page(), r.page()
	const contact, uri = "<sip:a1@x.invalid>;expires=60", "sip:a1@x.invalid"
	name := r.NameOf("alice@example.com", "", 0, uri)
	kept := func(string) string { return "Contact: " + contact + "\r\nPath: <sip:older@192.0.2.1;lr>" }
	r.register(t, before, "alice", contact, nil)
	for _, c := range []struct {
		answer func(string) string
		older  bool // it leads to her
	}{{nil, false}, {kept, true}, {nil, false}} {
		r.register(t, now, "alice", contact, c.answer)
		if _, err := r.ByPath("pbx", name, now.ID, uri); err != nil {
			t.Errorf("by its Path: %v", err)
		}
		if _, err := r.ByPath("pbx", name, before.ID, uri); (err == nil) != c.older {
			t.Errorf("by the older: %v", err)
		}
	}
}
