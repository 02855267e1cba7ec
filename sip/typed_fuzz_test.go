package sip

import (
	"strings"
	"testing"
	"unsafe"
)

// within fails unless part is a substring of s in memory: a copy would cost an
// allocation and, worse, could differ from what stands on the wire.
func within(t *testing.T, s string, parts ...string) {
	t.Helper()
	lo := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	for _, p := range parts {
		at := uintptr(unsafe.Pointer(unsafe.StringData(p)))
		if p != "" && (at < lo || at+uintptr(len(p)) > lo+uintptr(len(s))) {
			t.Errorf("%q is not a part of %q", p, s)
		}
	}
}

// clean fails when what was accepted could end a line.
func clean(t *testing.T, s string) {
	t.Helper()
	if strings.ContainsAny(s, "\r\n") {
		t.Errorf("accepted a line break: %q", s)
	}
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{
		"sip:alice:secret%20word@atlanta.com:5060;transport=tcp;lr?a=b&c=d", "sips:1_u!~(to-be!sure)&isn't+it$/crazy?,/;;*@[2001:db8::1]:1",
		"sip:%61lice@AtLanTa.CoM.", "tel:+1;x=y", "soap.beep://192.0.2.103:3002", "sip:1.2.3.4", "sip:a@h;%6C%72=%zz",
	} {
		f.Add(s, "sip:alice@atlanta.com;x=1?c=d")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		u, err := ParseURI(s)
		if err != nil {
			return
		}
		clean(t, s)
		within(t, s, u.Scheme, u.User, u.Pass, u.Host, string(u.Params), u.Headers, u.Opaque)
		again, err := ParseURI(u.String())
		if err != nil || again != u {
			t.Fatalf("%q written as %q reads %+v, %v, want %+v", s, u.String(), again, err, u)
		}
		if !u.Equal(&again) {
			t.Errorf("%q does not equal itself", s)
		}
		if u.IsSIP() {
			aor := mustURI(t, "sip:"+u.AOR())
			if aor.AOR() != u.AOR() {
				t.Errorf("AOR of %q is not canonical: %q, then %q", s, u.AOR(), aor.AOR())
			}
		}
		u.HostPort()
		if v, err := ParseURI(other); err == nil && u.Equal(&v) != v.Equal(&u) {
			t.Errorf("%q and %q are equal one way only", s, other)
		}
	})
}

func FuzzNameAddr(f *testing.F) {
	for _, s := range []string{
		`"J Rosenberg \\\"" <sip:jdrosen@example.com> ; tag = 98asjd8`, "sip:a@b;tag=x", "A. Bell<sip:a,b@c?x=y>;q=0.5;+sip.instance=\"<urn:x>\"", "<tel:+1>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseNameAddr(s)
		if err != nil {
			return
		}
		clean(t, s)
		within(t, s, a.Display, a.URI, string(a.Params))
		again, err := ParseNameAddr(a.String())
		if err != nil || again != a {
			t.Fatalf("%q written as %q reads %+v, %v, want %+v", s, a.String(), again, err, a)
		}
		if v, rest := nextValue(a.String()); v != a.String() || rest != "" {
			t.Errorf("%q splits at %q", a.String(), v)
		}
	})
}

func FuzzVia(f *testing.F) {
	for _, s := range []string{
		"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK87asdks7;rport", "SIP / 2.0 / UDP first.example.com: 4000;ttl=16 ;branch = x", "sip/2.0/wss [2001:db8::1] : 5;received=::1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseVia(s)
		if err != nil {
			return
		}
		clean(t, s)
		within(t, s, v.Transport, v.Host, string(v.Params))
		again, err := ParseVia(v.String())
		if err != nil || again != v {
			t.Fatalf("%q written as %q reads %+v, %v, want %+v", s, v.String(), again, err, v)
		}
	})
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{`; a ; B = "x;c=\"1\" \\ ";c="" ;d =1;e=`, ";tag", "junk;;=", `;x="`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n := 0
		for name, raw := range Params(s).All() { // any text: no panic, no endless loop
			within(t, s, name, raw)
			if n++; n > len(s) {
				t.Fatalf("%q has no end", s)
			}
		}
		for v := range SplitList(s) {
			within(t, s, v)
		}
		p, err := checkParams(s)
		if err != nil {
			return
		}
		clean(t, s)
		var b strings.Builder
		count := 0
		for name, raw := range p.All() {
			b.WriteString(";" + name + "=" + raw)
			v, ok := p.Value(name)
			if !ok || v != unquote(raw) {
				t.Errorf("Value(%q) of %q = %q, %v, want %q", name, s, v, ok, unquote(raw))
			}
			count++
		}
		again, err := checkParams(b.String())
		if err != nil {
			t.Fatalf("%q written as %q: %v", s, b.String(), err)
		}
		for name, raw := range p.All() {
			if v, ok := again.Value(name); !ok || v != unquote(raw) {
				t.Errorf("%q written as %q has %q = %q", s, b.String(), name, v)
			}
			count--
		}
		if count != 0 {
			t.Errorf("%q reads differently the second time", s)
		}
	})
}
