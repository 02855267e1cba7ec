package relay

import (
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
