package registrar_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// FuzzRegister: whatever the Contacts, a REGISTER is applied whole or not at all,
// what is answered can be read, and store and index agree.
func FuzzRegister(f *testing.F) {
	for _, c := range []string{
		jssipContact, sipjsContact, "*", "", "sip:a@h.invalid", "<sip:one@h.invalid>;expires=0",
		"<sip:a@h.invalid>;q=0.5, <sip:one@h.invalid>;expires=0, sip:b@[::1]:5062;expires=99999999999",
		`"x, \"y" <sip:%6fne@H.INVALID>;expires="70";pub-gruu="a;expires=1" ; temp-gruu=x`,
		"<sip:a@example.com>", "<tel:1>", "<sip:a@h>;expires=1", `<sip:a@h>;reg-id=1;+sip.instance="<urn:1>",<sip:b@h>;expires=0`,
	} {
		f.Add(c, "600", "path, gruu, outbound", "", uint32(5))
		f.Add(c, "0", "", "<sip:p@h;lr;ob>", uint32(1))
	}
	f.Fuzz(func(t *testing.T, contact, expires, supported, path string, cseq uint32) {
		w := newWorld(t)
		home := w.ws()
		w.ok(home, "Supported: outbound", "CSeq: 3 REGISTER", `Contact: <sip:out@h.invalid>;reg-id=1;+sip.instance="<urn:1>"`)
		w.ok(home, "CSeq: 3 REGISTER", "Contact: <sip:one@h.invalid>, <sip:two@h.invalid>", "Call-ID: call-2")
		before := w.dump()
		m := fuzzed(contact, expires, supported, path, cseq)
		if m == nil {
			return
		}
		r, err := w.reg.Register(t.Context(), m, w.ws(), alice)
		w.checkAgreement()
		if err != nil {
			var s *sip.StatusError
			if !errors.As(err, &s) || s.Code < 400 || s.Code > 599 || strings.ContainsAny(s.Reason+strings.Join(s.Headers, ""), "\r\n") {
				t.Errorf("error %#v", err)
			}
			if after := w.dump(); !slices.Equal(before, after) {
				t.Errorf("refused with %v and changed\n%q to\n%q", err, before, after)
			}
			return
		}
		checkReply(t, w, m, r)
	})
}

// fuzzed is a REGISTER of such parts, nil when they do not make a message.
func fuzzed(contact, expires, supported, path string, cseq uint32) *sip.Message {
	w := strings.NewReplacer("\r", "", "\n", "")
	text := "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/WSS h.invalid;branch=z9hG4bK1\r\n" +
		"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:alice@example.com>\r\nCall-ID: call-1\r\nCSeq: "
	text += string(rune('0'+cseq%10)) + " REGISTER\r\nMax-Forwards: 70\r\n"
	for _, h := range [][2]string{{"Contact", contact}, {"Expires", expires}, {"Supported", supported}, {"Path", path}} {
		if h[1] != "" {
			text += h[0] + ": " + w.Replace(h[1]) + "\r\n"
		}
	}
	m, err := sip.Parse(text+"\r\n", sip.Frame)
	if err != nil {
		return nil
	}
	return m
}

// checkReply: the answer holds each binding, its Contact with a lifetime and the same URI.
func checkReply(t *testing.T, w *world, m *sip.Message, r *sip.Reply) {
	t.Helper()
	text := string(m.AppendReply(nil, r))
	answer, err := sip.Parse(text, sip.Frame)
	if err != nil {
		t.Fatalf("the answer can't be read: %v\n%s", err, text)
	}
	bound, err := w.store.Get(t.Context(), alice)
	if err != nil || len(bound) > 10 {
		t.Fatalf("%d bindings, %v", len(bound), err)
	}
	i := 0
	for value := range answer.Values(sip.Contact) {
		a, err := sip.ParseNameAddr(value)
		if err != nil || i >= len(bound) || a.URI != bound[i].Contact {
			t.Fatalf("Contact %d of the answer: %q, %v", i, value, err)
		}
		v, _ := a.Params.Value("expires")
		if n, err := sip.ParseExpires(v); err != nil || n < 59 || n > 3600 {
			t.Errorf("Contact %q with expires %q", value, v)
		}
		i++
	}
	if i != len(bound) {
		t.Errorf("%d Contacts in the answer, %d bindings", i, len(bound))
	}
}
