package sip

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// seedMessages gives f the torture messages and some that exercise what they don't.
func seedMessages(f *testing.F) {
	files, err := filepath.Glob(filepath.Join(tortureDir, "*.sip"))
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, name := range files {
		f.Add(torture(f, strings.TrimSuffix(filepath.Base(name), ".sip")), byte(0))
	}
	for i, text := range []string{forwarded, request(), request("Content-Length: 3") + "abcd", request("X: a\nb"), "\r\n\r\n" + request("t:\r\n "),
		request("Route: <sip:a;lr> ,<sip:b>", "Via: SIP/2.0/UDP [::1] ; rport ;received= 1 , SIP/2.0/TCP b")} {
		f.Add(text, byte(i))
	}
}

// FuzzParse: what is admitted survives splice and parse unchanged; what is refused
// has a status, and an answer that is itself a message as far as what it copies is.
func FuzzParse(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, text string, framing byte) {
		m, err := Parse(text, Framing(framing%3))
		if err != nil {
			var s *StatusError
			if !errors.As(err, &s) || s.Code != 400 && s.Code != 416 && s.Code != 505 && s.Code != 513 || strings.ContainsAny(s.Reason, "\r\n\x00") {
				t.Fatalf("refusal %v", err)
			}
			if m != nil {
				reparse(t, "fuzz", m, s)
			}
			return
		}
		if strings.IndexByte(m.text[:m.head], 0) >= 0 || strings.Contains(strings.ReplaceAll(m.text[:m.head], "\r\n", ""), "\n") ||
			strings.Contains(strings.ReplaceAll(m.text[:m.head], "\r\n", ""), "\r") {
			t.Fatal("control character admitted")
		}
		if len(m.text)+len("Content-Length: 65536\r\n") > MaxMessage || len(m.fields) == maxFields {
			return // no room for a Content-Length
		}
		roundTrip(t, m)
		for h := Via; h < headerCount; h++ {
			for v := range m.Values(h) {
				if strings.ContainsAny(v, "\r\n\x00") {
					t.Fatalf("%v has %q", h, v)
				}
			}
		}
	})
}

// FuzzSplice: edits do to the values what they say, and nothing else.
func FuzzSplice(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, text string, ops byte) {
		m, err := Parse(text, Datagram)
		if err != nil || len(m.text) > MaxMessage/2 || len(m.fields) > maxFields-10 || m.vias == maxVias || m.routes > maxRoutes-3 {
			return
		}
		s, want := m.Splice(), valuesOf(m)
		if ops&1 != 0 {
			s.PopVia()
			want.vias = want.vias[1:]
		}
		if ops&2 != 0 {
			s.PopRoutes(1)
			want.routes = want.routes[min(1, len(want.routes)):]
		}
		if ops&4 != 0 {
			s.PopLastRoute()
			want.routes = want.routes[:max(0, len(want.routes)-1)]
		}
		if ops&8 != 0 {
			s.PushRoutes("<sip:p1;lr>", "<sip:p2;lr>")
			want.routes = append([]string{"<sip:p1;lr>", "<sip:p2;lr>"}, want.routes...)
		}
		if ops&16 != 0 {
			s.AppendRoute("<sip:p9;lr>")
			want.routes = append(want.routes[:len(want.routes):len(want.routes)], "<sip:p9;lr>")
		}
		if ops&32 != 0 && m.IsRequest() {
			s.SetURI("sip:x@y")
			want.uri = "sip:x@y"
		}
		if ops&64 != 0 {
			s.SetMaxForwards(7)
			want.maxForwards = 7
		}
		if ops&128 != 0 {
			s.StampVia("2001:db8::77", 4711)
		}
		s.PushVia("SIP/2.0/WS us;branch=z9hG4bKours")
		s.PushRecordRoutes("<sip:r1;lr>", "<sip:r2;lr>")
		want.vias = append([]string{"SIP/2.0/WS us;branch=z9hG4bKours"}, want.vias...)
		want.recordRoutes = append([]string{"<sip:r1;lr>", "<sip:r2;lr>"}, want.recordRoutes...)
		out := string(s.Append(nil))
		again, err := Parse(out, Stream)
		if err != nil {
			t.Fatalf("%v\n%q", err, out)
		}
		got := valuesOf(again)
		if ops&(1|128) == 128 { // the stamped value is the one place that may differ
			checkStamp(t, again, m)
			got.vias[1], want.vias[1] = "", ""
		}
		want.compare(t, got)
		if m.IsRequest() {
			derived(t, &s, m)
		}
	})
}

// values are what FuzzSplice changes, and the rest as one text.
type values struct {
	vias, routes, recordRoutes []string
	uri                        string
	maxForwards                int
	rest                       string
}

func valuesOf(m *Message) (v values) {
	for x := range m.Values(Via) {
		v.vias = append(v.vias, x)
	}
	for x := range m.Values(Route) {
		v.routes = append(v.routes, x)
	}
	for x := range m.Values(RecordRoute) {
		v.recordRoutes = append(v.recordRoutes, x)
	}
	v.uri, v.maxForwards = m.RequestURI(), m.MaxForwards()
	for _, f := range m.Fields() {
		switch f.Header {
		case Via, Route, RecordRoute, MaxForwards, ContentLength:
		default:
			v.rest += m.text[f.start:f.end]
		}
	}
	v.rest += "\r\n" + m.Body()
	return v
}

func (v values) compare(t *testing.T, got values) {
	t.Helper()
	diff(t, "Via", strings.Join(got.vias, "\n"), strings.Join(v.vias, "\n"))
	diff(t, "Route", strings.Join(got.routes, "\n"), strings.Join(v.routes, "\n"))
	diff(t, "Record-Route", strings.Join(got.recordRoutes, "\n"), strings.Join(v.recordRoutes, "\n"))
	diff(t, "Request-URI", got.uri, v.uri)
	diff(t, "the rest", got.rest, v.rest)
	if got.maxForwards != v.maxForwards {
		t.Errorf("Max-Forwards %d, want %d", got.maxForwards, v.maxForwards)
	}
}

// checkStamp looks at the value below ours, which was stamped.
func checkStamp(t *testing.T, got, was *Message) {
	t.Helper()
	i := 0
	for x := range got.Values(Via) {
		if i++; i != 2 {
			continue
		}
		v, err := ParseVia(x)
		if err != nil || v.Branch != was.topVia.Branch || v.Host != was.topVia.Host || v.Transport != was.topVia.Transport {
			t.Fatalf("stamped %q: %v", x, err)
		}
		_, asked := was.topVia.Params.Value("rport")
		received, has := v.Params.Value("received")
		rport, answered := v.Params.Value("rport")
		if asked != answered || asked && (rport != "4711" || !has) || has && received != "2001:db8::77" || !has && !sameAddr(v.Host, "2001:db8::77") {
			t.Errorf("stamped %q", x)
		}
	}
}

// derived reads the CANCEL and the ACK of the spliced request.
func derived(t *testing.T, s *Splice, m *Message) {
	t.Helper()
	for _, text := range []string{string(s.AppendCancel(nil, "Reason: SIP;cause=200")), string(s.AppendAck(nil, m))} {
		d, err := Parse(text, Stream)
		if err != nil {
			t.Fatalf("%v\n%q", err, text)
		}
		dn, _ := d.CSeq()
		n, _ := m.CSeq()
		if d.CallID() != m.CallID() || d.FromTag() != m.FromTag() || dn != n || d.TopVia().Branch != "z9hG4bKours" || d.ViaCount() != 1 {
			t.Errorf("derived %q", text)
		}
	}
}

// FuzzFrame: a stream in pieces has the messages that it has in one, and what Framer
// delimits is what Parse takes for the whole message.
func FuzzFrame(f *testing.F) {
	seedMessages(f)
	f.Add(request("l: 1")+"x"+request("Content-Length\t:\r\n 2 ")+"yz", byte(7))
	f.Fuzz(func(t *testing.T, text string, step byte) {
		b := []byte(text)
		whole, wholeErr := frameLength(b)
		var fr Framer
		n, err := 0, error(nil)
		for end := 0; end < len(b) && n == 0 && err == nil; {
			end = min(len(b), end+1+int(step))
			n, err = fr.Next(b[:end])
		}
		if n != whole || (err == nil) != (wholeErr == nil) || err != nil && err.Error() != wholeErr.Error() {
			t.Fatalf("in pieces %d %v, at once %d %v", n, err, whole, wholeErr)
		}
		if n == 0 || bytes.HasPrefix(b, []byte("\r\n")) {
			return
		}
		m, err := Parse(string(b[:n]), Stream)
		if err == nil && len(m.String()) != n {
			t.Fatalf("Parse takes %d of %d", len(m.String()), n)
		}
		if err != nil && AsStatus(err).Code == 400 && strings.Contains(err.Error(), "Content-Length") {
			t.Fatalf("framed, but: %v", err)
		}
	})
}
