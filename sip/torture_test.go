package sip

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tortureDir = "../testdata/torture"

type expectation struct{ name, parse, proxy, why string }

// expectations reads the table that says what each torture message must meet with.
func expectations(t testing.TB) (all []expectation) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tortureDir, "expectations.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		c := strings.Split(line, " | ")
		if len(c) != 4 {
			t.Fatalf("expectations.txt: %q has %d columns, want 4", line, len(c))
		}
		all = append(all, expectation{c[0], c[1], c[2], c[3]})
	}
	return all
}

func torture(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tortureDir, name+".sip"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestTorture(t *testing.T) { // RFC 4475, RFC 5118
	for _, e := range expectations(t) {
		t.Run(e.name, func(t *testing.T) {
			text := torture(t, e.name)
			m, err := Parse(text, Datagram)
			want, dropped := strings.CutPrefix(e.parse, "nil ")
			switch {
			case want == "ok":
				if err != nil {
					t.Fatalf("%v, want ok: %s", err, e.why)
				}
				roundTrip(t, m)
			case err == nil:
				t.Fatalf("admitted, want %q: %s", want, e.why)
			default:
				code, fragment, _ := strings.Cut(want, " ")
				if got := err.Error(); !strings.HasPrefix(got, code+" ") || !strings.Contains(got, fragment) {
					t.Errorf("%v, want %q: %s", err, want, e.why)
				}
				if (m == nil) != dropped {
					t.Errorf("answerable %v, want %v", m != nil, !dropped)
				}
				if m != nil {
					reparse(t, e.name, m, AsStatus(err))
				}
				if dropped != (e.proxy == "drop") || !dropped && e.proxy != code {
					t.Errorf("proxy column is %q for %q", e.proxy, e.parse)
				}
			}
		})
	}
}

func TestTortureIsComplete(t *testing.T) {
	listed := map[string]bool{}
	for _, e := range expectations(t) {
		if listed[e.name] {
			t.Errorf("%s is there twice", e.name)
		}
		listed[e.name] = true
	}
	files, err := filepath.Glob(filepath.Join(tortureDir, "*.sip"))
	if err != nil || len(files) < 61 {
		t.Fatalf("%d messages %v", len(files), err)
	}
	for _, f := range files {
		if name := strings.TrimSuffix(filepath.Base(f), ".sip"); !listed[name] {
			t.Errorf("%s has no expectation", name)
		}
	}
}

// roundTrip holds a splice without edits against its message: the same text, and
// where Content-Length was missing, the same with it.
func roundTrip(t testing.TB, m *Message) {
	t.Helper()
	s := m.Splice()
	got := string(s.Append(nil))
	if m.Has(ContentLength) && got != m.String() {
		t.Errorf("splice without edits: %q, want %q", got, m.String())
	}
	again, err := Parse(got, Stream)
	if err != nil {
		t.Fatalf("splice does not parse: %v\n%q", err, got)
	}
	if !m.Has(ContentLength) && got != m.text[:m.head-2]+"Content-Length: "+again.Value(ContentLength)+"\r\n\r\n"+m.Body() {
		t.Errorf("splice without edits and Content-Length: %q, want %q", got, m.String())
	}
	sameValues(t, again, m)
}

// sameValues compares all that accessors tell, Content-Length apart.
func sameValues(t testing.TB, got, want *Message) {
	t.Helper()
	gn, gm := got.CSeq()
	wn, wm := want.CSeq()
	if got.Method() != want.Method() || got.RequestURI() != want.RequestURI() || got.Status() != want.Status() ||
		got.ReasonPhrase() != want.ReasonPhrase() || got.CallID() != want.CallID() || gn != wn || gm != wm ||
		got.FromTag() != want.FromTag() || got.ToTag() != want.ToTag() || got.MaxForwards() != want.MaxForwards() ||
		*got.TopVia() != *want.TopVia() || got.ViaCount() != want.ViaCount() || got.Body() != want.Body() {
		t.Errorf("values differ:\n got %q\nwant %q", got.String(), want.String())
	}
	for i, f := range want.Fields() {
		if i >= len(got.Fields()) || got.Name(got.Fields()[i]) != want.Name(f) || got.FieldValue(got.Fields()[i]) != want.FieldValue(f) {
			t.Errorf("field %d is not %s: %s", i, want.Name(f), want.FieldValue(f))
			return
		}
	}
}
