package registrar_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// RFC 3261 §10.3 step 6: what a Contact says does not depend on what was bound before. A refresh of a Contact
// that is known is read by what is known of it: it must come to the same.
func TestRefreshReadsWhatItSays(t *testing.T) {
	const (
		a    = "<sip:a@x.invalid;transport=ws>"
		inst = `;+sip.instance="<urn:uuid:1>"`
		ob   = "Supported: path, outbound"
		none = "Supported: path"
	)
	for _, c := range []struct {
		name          string
		first, second []string
	}{
		{"the same", []string{"Contact: " + a + ";expires=600", none}, []string{"Contact: " + a + ";expires=600", none}},
		{"other seconds", []string{"Contact: " + a + ";expires=600", none}, []string{"Contact: " + a + ";expires=300", none}},
		{"too brief", []string{"Contact: " + a + ";expires=600", none}, []string{"Contact: " + a + ";expires=30", none}},
		{"gone", []string{"Contact: " + a + ";expires=600", none}, []string{"Contact: " + a + ";expires=0", none}},
		{"seconds in the middle", []string{"Contact: " + a + ";expires=600;q=0.5" + inst, none}, []string{"Contact: " + a + ";expires=61;q=0.5" + inst, none}},
		{"seconds that are none", []string{"Contact: " + a + ";expires=600;q=0.5", none}, []string{"Contact: " + a + ";expires=6x;q=0.5", none, "Expires: 120"}},
		{"more in the place of seconds", []string{"Contact: " + a + ";expires=600;q=0.5", none}, []string{"Contact: " + a + ";expires=600;m=1;q=0.5", none}},
		{"quoted seconds", []string{"Contact: " + a + `;expires="600"`, none}, []string{"Contact: " + a + `;expires="300"`, none}},
		{"seconds in the header", []string{"Contact: " + a, none, "Expires: 600"}, []string{"Contact: " + a, none, "Expires: 300"}},
		{"seconds no longer in the header", []string{"Contact: " + a, none, "Expires: 600"}, []string{"Contact: " + a, none}},
		{"from header to parameter", []string{"Contact: " + a, none, "Expires: 600"}, []string{"Contact: " + a + ";expires=300", none}},
		{"from parameter to header", []string{"Contact: " + a + ";expires=300", none}, []string{"Contact: " + a, none, "Expires: 600"}},
		{"a parameter without value", []string{"Contact: " + a + ";expires", none}, []string{"Contact: " + a + ";expires", none}},
		{"another q", []string{"Contact: " + a + ";q=0.5;expires=600", none}, []string{"Contact: " + a + ";q=0.7;expires=600", none}},
		{"with Outbound", []string{"Contact: " + a + inst + ";reg-id=1;expires=600", ob}, []string{"Contact: " + a + inst + ";reg-id=1;expires=61", ob}},
		{"Outbound only now", []string{"Contact: " + a + inst + ";reg-id=2;expires=600", none}, []string{"Contact: " + a + inst + ";reg-id=2;expires=600", ob}},
		{"Outbound no more", []string{"Contact: " + a + inst + ";reg-id=2;expires=600", ob}, []string{"Contact: " + a + inst + ";reg-id=2;expires=600", none}},
		{"another reg-id", []string{"Contact: " + a + inst + ";reg-id=2;expires=600", ob}, []string{"Contact: " + a + inst + ";reg-id=3;expires=600", ob}},
		{"another spelling", []string{"Contact: " + a + ";expires=600", none}, []string{"Contact: <sip:a@X.invalid;transport=WS>;expires=600", none}},
		{"another display name", []string{"Contact: " + a + ";expires=600", none}, []string{"Contact: A " + a + ";expires=600", none}},
		{"two", []string{"Contact: " + a + ";expires=600, <sip:b@y.invalid>;expires=60", none}, []string{"Contact: <sip:b@y.invalid>;expires=70, " + a + ";expires=80", none}},
		{"a GRUU echoed", []string{"Contact: " + a + inst + ";expires=600", none}, []string{"Contact: " + a + inst + `;pub-gruu="sip:x";expires=600`, none}},
	} {
		t.Run(c.name, func(t *testing.T) {
			known, fresh := newWorld(t), newWorld(t)
			f := known.ws()
			known.ok(f, c.first...)
			got, gotErr := said(t, known, f, c.second)
			want, wantErr := said(t, fresh, fresh.ws(), c.second)
			if gotErr != wantErr {
				t.Fatalf("refused with %d, a first one with %d", gotErr, wantErr)
			}
			if gotErr == 0 && !covers(got, want) {
				t.Errorf("bound\n%+v\na first one\n%+v", got, want)
			}
		})
	}
}

// said is what a REGISTER binds, without what depends on when and where; else the status that refuses it.
func said(t *testing.T, w *world, f *flow.Flow, lines []string) (list []contactOf, status int) {
	t.Helper()
	var s *sip.StatusError
	if _, err := w.reg.Register(t.Context(), w.request(lines...), f, alice); errors.As(err, &s) {
		return nil, s.Code
	}
	for _, b := range w.lookup(alice) {
		if b.Name != w.keys.NameOf(alice, b.Instance, b.RegID, b.Contact) || len(b.Path) != 1 || b.Flow != f.ID {
			t.Errorf("binding %+v has the name or way of another", b)
		}
		list = append(list, contactOf{b.Contact, b.Head, b.Tail, b.Instance, b.Q, b.RegID, b.Expires.Sub(b.Updated)})
	}
	return list, 0
}

// contactOf is what a binding owes to its Contact value.
type contactOf struct {
	contact, head, tail, instance string
	q                             uint16
	regID                         int
	life                          time.Duration
}

// covers reports whether all of want is in got: a binding of another reg-id stays.
func covers(got, want []contactOf) bool {
	for _, c := range want {
		if !slices.Contains(got, c) {
			return false
		}
	}
	return len(want) > 0 || len(got) == 0
}
