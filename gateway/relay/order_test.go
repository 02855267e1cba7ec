package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// sent is a REGISTER that has gone to the registrar.
type sent struct {
	r   *rig
	t   testing.TB
	x   *Registration
	req *sip.Message
}

func (r *rig) sends(t testing.TB, f *flow.Flow, callID string, cseq int, contact string) *sent {
	t.Helper()
	text := strings.Replace(registerText("alice", contact), "CSeq: 7", fmt.Sprint("CSeq: ", cseq), 1)
	req, err := sip.Parse(strings.Replace(text, "reg-alice", callID, 1), sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	x, err := r.Read(req, f, "alice@example.com")
	if err != nil {
		t.Fatal(err)
	}
	out := req.Splice()
	if err := x.Leaves(req, &out, r.hop); err != nil {
		t.Fatal(err)
	}
	if req, err = sip.Parse(string(out.Append(nil)), sip.Frame); err != nil {
		t.Fatal(err)
	}
	return &sent{r, t, x, req}
}

// granted: the registrar answers, and lists what it was sent.
func (s *sent) granted() {
	var lines []string
	if c := s.req.Value(sip.Contact); c != "*" && !strings.Contains(c, "expires=0") {
		lines = append(lines, "Contact: "+c)
	}
	s.x.Answers(s.r.answer(s.t, s.req, 200, lines...), s.r.hop)
}

const (
	tab  = `<sip:a@a.invalid>;+sip.instance="<urn:uuid:1>";expires=60`
	gone = `<sip:a@a.invalid>;+sip.instance="<urn:uuid:1>";expires=0`
)

// RFC 3261 §10.3 step 7: of REGISTERs with one Call-ID the higher CSeq holds, whatever order they are answered in.
func TestLateAnswersChangeNothing(t *testing.T) {
	for _, c := range []struct {
		name       string
		oldCall    string
		old        string
		newCall    string
		newest     string
		swap, live bool // swap: the later CSeq came first
	}{
		{"ended since", "c", tab, "c", gone, false, false},
		{"all ended since", "c", tab, "c", "*", false, false},
		{"ended since, in another call", "c", tab, "d", gone, false, false},
		{"registered since", "c", gone, "c", tab, false, true},
		{"registered since all were ended", "c", "*", "c", tab, false, true},
		{"registered since, after a reload", "c", gone, "d", tab, false, true},
		{"overtaken on the way here", "c", tab, "c", gone, true, false},
	} {
		r := newRig(t, Upstream{Name: "pbx"})
		f := r.page()
		if !c.live {
			r.sends(t, f, c.oldCall, 1, tab).granted()
		}
		var old, newest *sent
		if c.swap {
			newest = r.sends(t, f, c.newCall, 9, c.newest)
		}
		old = r.sends(t, f, c.oldCall, 8, c.old)
		if !c.swap {
			newest = r.sends(t, f, c.newCall, 9, c.newest)
		}
		newest.granted()
		old.granted()
		if live := r.Len() == 1; live != c.live || f.Is("alice@example.com") != c.live || r.Counters[Outdated].Load() != 1 {
			t.Errorf("%s: live %v, speaks for her %v, %d outdated", c.name, live, f.Is("alice@example.com"), r.Counters[Outdated].Load())
		}
		r.sends(t, f, c.newCall, 10, tab).granted()
		if r.Len() != 1 {
			t.Errorf("%s: she cannot register again", c.name)
		}
	}
}

// A page that is loaded again may register with the Call-ID that it had, and its CSeq from the start.
func TestCSeqBeginsAnew(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx"})
	f := r.page()
	r.sends(t, f, "c", 5, tab).granted()
	r.sends(t, f, "c", 6, gone).granted()
	f = r.page()
	r.sends(t, f, "c", 1, tab).granted()
	if r.Len() != 1 || !f.Is("alice@example.com") {
		t.Error("her registrar has her, the relay has not")
	}
}

// The 2xx of a connection that is gone does not take a binding away from the one that she is back on.
func TestLateAnswerOfADeadConnection(t *testing.T) {
	for _, callID := range []string{"c", "d"} {
		r := newRig(t, Upstream{Name: "pbx"})
		one, two := r.page(), r.page()
		r.sends(t, one, "c", 1, tab).granted()
		old := r.sends(t, one, "c", 2, tab)
		back := r.sends(t, two, callID, 3, tab)
		r.flows.Closed(one, sip.CloseLost)
		back.granted()
		late := r.sends(t, one, callID, 4, tab) // was read from the socket before it closed
		old.granted()
		late.granted()
		b, ok := r.ByName(r.NameOf("alice@example.com", "urn:uuid:1", 0, ""))
		if !ok || b.Flow != two || !two.Is("alice@example.com") || r.flows.ByName(b.Name) != two || r.Counters[Outdated].Load() != 2 {
			t.Errorf("Call-ID %s: %v, over flow %d of %d, speaks for her %v, %d outdated", callID, ok, b.Flow.ID, two.ID, two.Is("alice@example.com"), r.Counters[Outdated].Load())
		}
	}
}

// attack: who has been put out of a full AOR keeps nothing of it: no refresh would take it from him, nor the registrar's 403.
func TestEvictedSpeaksForNobody(t *testing.T) {
	r := newRig(t, Upstream{Name: "pbx", Unregister: true})
	var ended []string
	r.Unregister = func(b Binding) { ended = append(ended, b.Contact) }
	pages := make([]*flow.Flow, 11)
	for i := range pages {
		pages[i] = r.page()
		r.register(t, pages[i], "alice", fmt.Sprintf("<sip:a@%d.invalid>;expires=%d", i, 60+i), nil)
	}
	name := r.NameOf("alice@example.com", "", 0, "sip:a@0.invalid")
	if f := pages[0]; f.Is("alice@example.com") || f.SpeaksFor(name) || r.flows.ByName(name) != nil {
		t.Error("the evicted page still speaks for her")
	}
	if len(ended) != 1 || ended[0] != "sip:a@0.invalid" {
		t.Errorf("the registrar was told of %v", ended)
	}
	for _, f := range pages[1:] {
		if !f.Is("alice@example.com") {
			t.Error("a page that is registered does not")
		}
	}
}
