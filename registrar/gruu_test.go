package registrar_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

const gruu = "Supported: gruu"

// gruus are the pub-gruu and temp-gruu of a reply's first Contact.
func gruus(t *testing.T, r *sip.Reply) (public, temporary *sip.URI) {
	t.Helper()
	a, err := sip.ParseNameAddr(values(r, "Contact")[0])
	if err != nil {
		t.Fatal(err)
	}
	parse := func(name string) *sip.URI {
		v, _ := a.Params.Value(name)
		u, err := sip.ParseURI(v)
		if err != nil {
			t.Fatalf("%s %q: %v", name, v, err)
		}
		return &u
	}
	return parse("pub-gruu"), parse("temp-gruu")
}

func (w *world) gruu(u *sip.URI) ([]registrar.Binding, error) {
	aor, list, err := w.reg.LookupGRUU(w.t.Context(), u)
	if err == nil && aor != alice {
		w.t.Errorf("GRUU %s is of %q", u, aor)
	}
	return list, err
}

func (w *world) wantGRUU(u *sip.URI, contact string) {
	w.t.Helper()
	list, err := w.gruu(u)
	if err != nil || len(list) != 1 || list[0].Contact != contact {
		w.t.Errorf("GRUU %s leads to %+v, %v; want %s", u, list, err, contact)
	}
}

// RFC 5627 §5.3: given to those that list "gruu", for Contacts with an instance.
func TestGRUUOnlyWhenAsked(t *testing.T) {
	w := newWorld(t)
	for _, lines := range [][]string{
		{"Contact: <sip:a@a.invalid>" + urn1},
		{gruu, "Contact: <sip:b@a.invalid>"},
	} {
		r := w.ok(w.ws(), lines...)
		w.ok(w.ws(), "Contact: *", "Expires: 0")
		if got := strings.Join(r.Headers, "\n"); strings.Contains(got, "gruu=") {
			t.Errorf("unasked GRUU in %q", got)
		}
	}
	r := w.ok(w.ws(), gruu, "To: <sips:alice@example.com>", "Contact: <sips:a@a.invalid>"+urn1)
	if public, temporary := gruus(t, r); !public.Secure() || !temporary.Secure() {
		t.Errorf("GRUUs of a SIPS AOR: %s, %s", public, temporary)
	}
}

// RFC 5627 §3.1.1, §5.4: the public GRUU follows its instance.
func TestPublicGRUU(t *testing.T) {
	w := newWorld(t)
	r := w.ok(w.ws(), gruu, "Contact: <sip:a@a.invalid>"+urn1)
	public, _ := gruus(t, r)
	if got := public.String(); got != "sip:alice@example.com;gr=urn:uuid:00000000-0000-1000-8000-000000000001" {
		t.Errorf("pub-gruu %s", got)
	}
	w.ok(w.ws(), gruu, "Contact: <sip:b@a.invalid>"+urn2)
	w.wantGRUU(public, "sip:a@a.invalid")
	w.ok(w.ws(), gruu, "Contact: <sip:a@a.invalid>;expires=0"+urn1)
	if list, err := w.gruu(public); err != nil || len(list) != 0 {
		t.Errorf("GRUU of an instance that is gone: %v, %v; want no binding", list, err) // 480
	}
}

func TestInstanceIsEscapedInGRUU(t *testing.T) {
	w := newWorld(t)
	r := w.ok(w.ws(), gruu, `Contact: <sip:a@a.invalid>;+sip.instance="<urn:x;y=\"z\"%41 >"`)
	public, _ := gruus(t, r)
	if got := public.String(); got != "sip:alice@example.com;gr=urn:x%3By%3D%22z%22%2541%20" {
		t.Errorf("pub-gruu %s", got)
	}
	w.wantGRUU(public, "sip:a@a.invalid")
}

// RFC 5627 §5.4: without Outbound the newest Contact of the instance; with it all flows in order.
func TestGRUUOfSeveralBindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.ok(w.ws(), gruu, "Contact: <sip:a@a.invalid>"+urn1)
		public, _ := gruus(t, r)
		time.Sleep(time.Second)
		w.ok(w.ws(), gruu, "Contact: <sip:b@a.invalid>"+urn1)
		w.wantGRUU(public, "sip:b@a.invalid")

		w.ok(w.ws(), "Contact: *", "Expires: 0")
		for _, id := range []string{"2", "1", "3"} {
			w.ok(w.ws(), outbound, "Contact: <sip:a@a.invalid>;reg-id="+id+urn1)
			time.Sleep(time.Second)
		}
		list, err := w.gruu(public)
		if err != nil || len(list) != 3 || list[0].RegID != 1 || list[1].RegID != 2 || list[2].RegID != 3 {
			t.Errorf("flows %+v, %v", list, err)
		}
	})
}

// RFC 5627 §5.4: each registration gives a new temporary GRUU; all work until the
// instance is gone or its Call-ID changes.
func TestTemporaryGRUU(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	lines := []string{gruu, "Contact: <sip:a@a.invalid>" + urn1}
	_, first := gruus(t, w.ok(f, lines...))
	_, second := gruus(t, w.ok(f, lines...))
	if first.User == second.User || strings.Contains(first.User, "alice") {
		t.Errorf("temporary GRUUs %s, %s", first, second)
	}
	if first.Host != "example.com" || string(first.Params) != ";gr" {
		t.Errorf("temporary GRUU %s", first)
	}
	w.wantGRUU(first, "sip:a@a.invalid")
	w.wantGRUU(second, "sip:a@a.invalid")

	_, third := gruus(t, w.ok(w.ws(), append(lines, "Call-ID: after-restart")...))
	w.wantGRUU(third, "sip:a@a.invalid")
	for _, u := range []*sip.URI{first, second} {
		if _, err := w.gruu(u); !errors.Is(err, registrar.ErrNoGRUU) {
			t.Errorf("temporary GRUU of another Call-ID: %v", err)
		}
	}
	w.ok(f, "Contact: *", "Expires: 0")
	if _, err := w.gruu(third); !errors.Is(err, registrar.ErrNoGRUU) {
		t.Errorf("temporary GRUU of no registration: %v", err)
	}
}

func TestForgedGRUU(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	lines := []string{gruu, "Contact: <sip:a@a.invalid>" + urn1}
	_, good := gruus(t, w.ok(w.ws(), lines...))
	_, foreign := gruus(t, other.ok(other.ws(), lines...))
	for i := range good.User {
		bad := *good
		c := byte('A')
		if good.User[i] == 'A' {
			c = 'B'
		}
		bad.User = good.User[:i] + string(c) + good.User[i+1:]
		if i == len(good.User)-1 {
			continue // may differ in unused bits alone
		}
		if _, err := w.gruu(&bad); !errors.Is(err, registrar.ErrNoGRUU) {
			t.Fatalf("character %d changed: %v", i, err)
		}
	}
	for _, s := range []string{
		foreign.String(), "sip:alice@example.com", "sip:alice@example.com;gr", "sip:example.com;gr", "tel:123",
		"sip:" + strings.Repeat("A", 5000) + "@example.com;gr",
	} {
		u, err := sip.ParseURI(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.gruu(&u); !errors.Is(err, registrar.ErrNoGRUU) {
			t.Errorf("%.60s: %v", s, err)
		}
	}
}

// A key that is kept lets temporary GRUUs outlive a restart.
func TestGRUUKeyIsKept(t *testing.T) {
	key := []byte("0123456789abcdef")
	with := func(c *registrar.Config) { c.Key = key }
	before, after := newWorld(t, with), newWorld(t, with)
	lines := []string{gruu, "Contact: <sip:a@a.invalid>" + urn1}
	_, u := gruus(t, before.ok(before.ws(), lines...))
	after.ok(after.ws(), lines...)
	after.wantGRUU(u, "sip:a@a.invalid")
}

func TestLongAORInGRUU(t *testing.T) {
	w := newWorld(t)
	aor := strings.Repeat("u", 700) + "@example.com"
	r := w.okAs(aor, w.ws(), gruu, "Contact: <sip:a@a.invalid>"+urn1)
	_, u := gruus(t, r)
	got, list, err := w.reg.LookupGRUU(t.Context(), u)
	if err != nil || got != aor || len(list) != 1 {
		t.Errorf("%d bindings of %.20s…, %v", len(list), got, err)
	}
}

func TestIsGRUU(t *testing.T) {
	for s, want := range map[string]bool{
		"sip:a@h;gr": true, "sips:a@h;GR=x": true, "sip:a@h": false, "tel:1;gr": false, "sip:a@h;x=gr": false,
	} {
		u, err := sip.ParseURI(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := registrar.IsGRUU(&u); got != want {
			t.Errorf("IsGRUU(%s) = %v", s, got)
		}
	}
}

// An attended transfer names a browser by its registered .invalid Contact.
func TestLookupContact(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	w.ok(f, "Contact: <sip:x@h.invalid;transport=ws>, <sip:y@h.invalid>")
	find := func(uri string) []registrar.Binding {
		t.Helper()
		list, err := w.reg.LookupContact(t.Context(), uri)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for uri, want := range map[string]int{
		"sip:x@h.invalid;transport=ws": 1, "sip:%78@H.invalid;transport=WS": 1, "sip:x@h.invalid": 0,
		"sip:z@h.invalid": 0, "tel:12": 0, "junk": 0,
	} {
		if list := find(uri); len(list) != want || want == 1 && list[0].Flow != f.ID {
			t.Errorf("%s: %+v, want %d", uri, list, want)
		}
	}
	w.okAs("bob@example.com", f, "Contact: <sip:y@h.invalid>") // same user agent, second account
	if n := len(find("sip:y@h.invalid")); n != 2 {
		t.Errorf("two accounts of one flow: %d bindings", n)
	}
	w.ok(w.ws(), outbound, "Contact: <sip:o@h.invalid>;reg-id=1"+urn1)
	w.ok(w.ws(), outbound, "Contact: <sip:o@h.invalid>;reg-id=2"+urn1)
	if n := len(find("sip:o@h.invalid")); n != 2 {
		t.Errorf("two flows of one instance: %d bindings", n)
	}
	w.ok(w.ws(), outbound, "Contact: <sip:o@h.invalid>;reg-id=1"+urn2)
	if n := len(find("sip:o@h.invalid")); n != 0 {
		t.Errorf("two instances: %d bindings", n)
	}
	w.ok(f, "Contact: *", "Expires: 0")
	if n := len(find("sip:x@h.invalid;transport=ws")); n != 0 {
		t.Errorf("after removal: %d bindings", n)
	}
}

// A PBX that registers many users at one Contact is not one user agent of one user.
func TestLookupContactOfMany(t *testing.T) {
	w := newWorld(t)
	f := w.open(sip.TCP, "203.0.113.5:5060")
	for i := range 17 {
		w.okAs("u"+strconv.Itoa(i)+"@example.com", f, "Contact: <sip:pbx@10.0.0.5>")
	}
	if list, _ := w.reg.LookupContact(t.Context(), "sip:pbx@10.0.0.5"); len(list) != 0 {
		t.Errorf("%d bindings", len(list))
	}
}

// IPv6 hosts are compared as addresses (RFC 5954 §4.1).
func TestLookupContactIPv6(t *testing.T) {
	w := newWorld(t)
	w.ok(w.ws(), "Contact: <sip:x@[2001:db8::1]:5070>")
	if list, _ := w.reg.LookupContact(t.Context(), "sip:x@[2001:DB8:0::1]:5070"); len(list) != 1 {
		t.Errorf("%d bindings", len(list))
	}
}

func TestTarget(t *testing.T) { // RFC 3261 §19.1.1: no headers in a Request-URI
	for contact, want := range map[string]string{
		"sip:a@h.invalid;x=y":       "sip:a@h.invalid;x=y",
		"sip:a@h;x?Subject=hi":      "sip:a@h;x",
		"sip:what?@h;x=y?Route=%3c": "sip:what?@h;x=y",
		"sip:h?a=b":                 "sip:h",
	} {
		b := registrar.Binding{Contact: contact}
		if got := b.Target(); got != want {
			t.Errorf("Target of %s = %s, want %s", contact, got, want)
		}
	}
}

var _ flow.Watcher = (*registrar.Registrar)(nil)
