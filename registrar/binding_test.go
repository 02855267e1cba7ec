package registrar_test

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/ringway/ringway/registrar"
	"github.com/ringway/ringway/sip"
)

// A binding lives for an hour: nothing in it may keep a message alive.
func TestBindingsHoldNoMessage(t *testing.T) {
	w := newWorld(t)
	f := w.ws()
	extra := []string{"Path: <sip:p1.example.org;lr>, <sip:p2.example.org;lr;ob>"}
	for _, contact := range []string{jssipContact, jssipContact, `"A" <sip:b@h.invalid>;+sip.instance="<urn:x\"y>"`} {
		req := w.request(append(extra, without(jssip(contact), "Via")...)...)
		to, _ := sip.ParseNameAddr(req.Value(sip.To))
		aor := to.URI[len("sip:"):]
		if _, err := w.reg.Register(t.Context(), req, f, aor); err != nil {
			t.Fatal(err)
		}
		_ = w.reg.Each(t.Context(), func(key string, list []registrar.Binding) bool {
			checkOutside(t, req.String(), "key", key)
			for i := range list {
				v := reflect.ValueOf(&list[i]).Elem()
				for j := range v.NumField() {
					checkField(t, req.String(), v.Type().Field(j).Name, v.Field(j))
				}
			}
			return true
		})
	}
}

func checkField(t *testing.T, text, name string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		checkOutside(t, text, name, v.String())
	case reflect.Slice:
		for i := range v.Len() {
			checkField(t, text, name, v.Index(i))
		}
	}
}

func checkOutside(t *testing.T, text, name, s string) {
	t.Helper()
	from := uintptr(unsafe.Pointer(unsafe.StringData(text)))
	at := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	if s != "" && at >= from && at < from+uintptr(len(text)) {
		t.Errorf("%s %q is part of the message", name, s)
	}
}
