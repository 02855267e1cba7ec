package sip

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// diff says where got leaves want.
func diff(t *testing.T, name, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %q\nwant %q", name, got, want)
	}
}

const forwarded = "INVITE sip:bob@example.org SIP/2.0\r\n" +
	"Max-Forwards : 70\r\n" +
	"v: SIP/2.0/UDP a ;branch=1 , SIP/2.0/UDP b\r\n" +
	"Via:\r\n SIP/2.0/TCP c;rport\r\n" +
	"X-Odd:   kept  \r\n" +
	"Record-Route: <sip:r1;lr>\r\n" +
	"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\" <sip:p3;lr>\r\n" +
	"ROUTE:\r\n <sip:p4;lr>\r\n" +
	"f: <sip:alice@example.org>;tag=a1\r\n" +
	"t: <sip:bob@example.org>\r\n" +
	"i: call-1\r\n" +
	"CSeq: 0007\r\n INVITE\r\n" +
	"Subject: folded\r\n\there\r\n" +
	"l: 0004\r\n" +
	"\r\nbody"

func TestSplice(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(s *Splice)
		// pairs of what becomes what
		changes []string
	}{
		{"nothing", func(s *Splice) {}, nil},
		{"§16.6 step 2 Request-URI", func(s *Splice) { s.SetURI("sip:x@h"); s.SetURI("sip:bob@192.0.2.1") },
			[]string{"sip:bob@example.org SIP", "sip:bob@192.0.2.1 SIP"}},
		{"§16.6 step 3 Max-Forwards", func(s *Splice) { s.SetMaxForwards(68); s.SetMaxForwards(69) },
			[]string{"Max-Forwards : 70", "Max-Forwards : 69"}},
		{"§16.6 step 8 Via", func(s *Splice) { s.PushVia("SIP/2.0/TCP us"); s.PushVia("SIP/2.0/UDP us") },
			[]string{"v: SIP", "Via: SIP/2.0/UDP us\r\nv: SIP"}},
		{"§16.7 step 3 first of a combined Via", func(s *Splice) { s.PopVia() },
			[]string{"v: SIP/2.0/UDP a ;branch=1 , SIP/2.0/UDP b", "v: SIP/2.0/UDP b"}},
		{"two Via of one line", func(s *Splice) { s.PopVia(); s.PopVia() },
			[]string{"v: SIP/2.0/UDP a ;branch=1 , SIP/2.0/UDP b\r\n", ""}},
		{"more Via than there are", func(s *Splice) { s.PopVia(); s.PopVia(); s.PopVia(); s.PopVia() },
			[]string{"v: SIP/2.0/UDP a ;branch=1 , SIP/2.0/UDP b\r\nVia:\r\n SIP/2.0/TCP c;rport\r\n", ""}},
		{"pop and push", func(s *Splice) { s.PopVia(); s.PushVia("x") },
			[]string{"v: SIP/2.0/UDP a ;branch=1 , SIP/2.0/UDP b", "Via: x\r\nv: SIP/2.0/UDP b"}},
		{"§16.4 one Route", func(s *Splice) { s.PopRoutes(1) },
			[]string{"Route: <sip:p1;lr>,<sip:p2;lr>", "Route: <sip:p2;lr>"}},
		{"two Route, one by one", func(s *Splice) { s.PopRoutes(1); s.PopRoutes(1) },
			[]string{"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\"", "Route: \"x,y\""}},
		{"three Route", func(s *Splice) { s.PopRoutes(3) },
			[]string{"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\" <sip:p3;lr>\r\n", ""}},
		{"all Route and more", func(s *Splice) { s.PopRoutes(9); s.PopRoutes(1); s.PopLastRoute() },
			[]string{"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\" <sip:p3;lr>\r\nROUTE:\r\n <sip:p4;lr>\r\n", ""}},
		{"no Route", func(s *Splice) { s.PopRoutes(0); s.PopRoutes(-1) }, nil},
		{"§16.4 last Route", func(s *Splice) { s.PopLastRoute() }, []string{"ROUTE:\r\n <sip:p4;lr>\r\n", ""}},
		{"last two Route", func(s *Splice) { s.PopLastRoute(); s.PopLastRoute() },
			[]string{" , \"x,y\" <sip:p3;lr>\r\nROUTE:\r\n <sip:p4;lr>\r\n", "\r\n"}},
		{"Route from both ends", func(s *Splice) { s.PopRoutes(1); s.PopLastRoute(); s.PopLastRoute() },
			[]string{"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\" <sip:p3;lr>\r\nROUTE:\r\n <sip:p4;lr>\r\n", "Route: <sip:p2;lr>\r\n"}},
		{"§16.6 step 6 Route put in and behind", func(s *Splice) {
			s.PushRoutes("<a>", "<b>")
			s.PushRoutes("<0>")
			s.AppendRoute("<y>")
			s.AppendRoute("<z>")
		},
			[]string{"Route: <sip:p1", "Route: <0>\r\nRoute: <a>\r\nRoute: <b>\r\nRoute: <sip:p1", "<sip:p4;lr>\r\n", "<sip:p4;lr>\r\nRoute: <y>\r\nRoute: <z>\r\n"}},
		{"Route put in for all popped", func(s *Splice) { s.PushRoutes("<a>"); s.PopRoutes(4); s.AppendRoute("<z>") },
			[]string{"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\" <sip:p3;lr>\r\nROUTE:\r\n <sip:p4;lr>\r\n", "Route: <a>\r\nRoute: <z>\r\n"}},
		{"§16.6 step 4 Record-Route", func(s *Splice) { s.PushRecordRoutes("<2>", "<1>") },
			[]string{"Record-Route: <sip:r1", "Record-Route: <2>\r\nRecord-Route: <1>\r\nRecord-Route: <sip:r1"}},
		{"field out, field changed, field behind", func(s *Splice) {
			s.RemoveAll(From)
			s.Remove(s.msg.Fields()[3])
			s.Replace(s.msg.Fields()[11], "new")
			s.Add("X-One", "1")
			s.Add("X-Two", "2")
		}, []string{"X-Odd:   kept  \r\n", "", "f: <sip:alice@example.org>;tag=a1\r\n", "", "Subject: folded\r\n\there", "Subject: new",
			"l: 0004\r\n", "l: 0004\r\nX-One: 1\r\nX-Two: 2\r\n"}},
		{"§20.14 Content-Length cannot be touched", func(s *Splice) {
			s.RemoveAll(ContentLength)
			s.Replace(s.msg.Fields()[12], "7")
			s.Add("l", "7")
		}, nil},
		{"replaced, then removed", func(s *Splice) { s.Replace(s.msg.Fields()[3], "x"); s.Remove(s.msg.Fields()[3]) },
			[]string{"X-Odd:   kept  \r\n", ""}},
		{"popped, then removed", func(s *Splice) { s.PopVia(); s.PopRoutes(1); s.RemoveAll(Via); s.RemoveAll(Route); s.PushVia("x") },
			[]string{"v: SIP/2.0/UDP a ;branch=1 , SIP/2.0/UDP b\r\nVia:\r\n SIP/2.0/TCP c;rport\r\n", "Via: x\r\n",
				"Route: <sip:p1;lr>,<sip:p2;lr> , \"x,y\" <sip:p3;lr>\r\nROUTE:\r\n <sip:p4;lr>\r\n", ""}},
	} {
		m := mustParse(t, forwarded)
		s := m.Splice()
		c.edit(&s)
		diff(t, c.name, string(s.Append(nil)), strings.NewReplacer(c.changes...).Replace(forwarded))
		diff(t, c.name+", again", string(s.Append([]byte("x"))), "x"+strings.NewReplacer(c.changes...).Replace(forwarded))
	}
}

func TestSpliceWithoutFields(t *testing.T) { // what is put in goes behind the Via lines
	text := request("Max-Forwards", "VIA: SIP/2.0/UDP b") // the second Via stands apart
	m := mustParse(t, text+"12345")
	s := m.Splice()
	s.SetMaxForwards(70)
	s.AppendRoute("<p9>")
	s.PushRoutes("<p1>", "<p2>")
	s.PushRecordRoutes("<r1>", "<r2>")
	s.Add("X", "y")
	s.PushVia("us")
	want := strings.NewReplacer("Via: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1\r\n", "Via: us\r\nVia: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1\r\n"+
		"Record-Route: <r1>\r\nRecord-Route: <r2>\r\nRoute: <p1>\r\nRoute: <p2>\r\nRoute: <p9>\r\nMax-Forwards: 70\r\n",
		"\r\n\r\n", "\r\nX: y\r\nContent-Length: 5\r\n\r\n").Replace(text)
	diff(t, "without fields", string(s.Append(nil)), want+"12345")
}

func TestSpliceManyEdits(t *testing.T) { // more edits than fit without allocation
	text := strings.TrimSuffix(request(), "\r\n") + strings.Repeat("X-A: 1\r\nX-B: 2\r\n", 40) + "Content-Length: 0\r\n\r\n"
	m := mustParse(t, text)
	s := m.Splice()
	for _, f := range slices.Backward(m.Fields()) {
		if m.Name(f) == "X-A" {
			s.Remove(f)
		} else if m.Name(f) == "X-B" {
			s.Replace(f, "3")
		}
	}
	s.PushVia("us")
	s.PushVia("us2")
	s.PopVia()
	s.PopRoutes(1)
	want := strings.NewReplacer("X-A: 1\r\n", "", "X-B: 2", "X-B: 3", "Via: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1", "Via: us2").Replace(text)
	diff(t, "many", string(s.Append(nil)), want)
}

func TestStampVia(t *testing.T) { // RFC 3261 §18.2.1, RFC 3581 §4
	for _, c := range []struct{ name, via, addr, want string }{
		{"host is the source", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1", "192.0.2.1", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1"},
		{"host is another", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", "192.0.2.1", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=192.0.2.1"},
		{"host is a name", "SIP/2.0/TCP feed.example.org", "192.0.2.1", "SIP/2.0/TCP feed.example.org;received=192.0.2.1"},
		{"host is a name that ends in digits", "SIP/2.0/TCP ab1", "192.0.2.1", "SIP/2.0/TCP ab1;received=192.0.2.1"},
		{"WebSocket", "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK1;rport", "2001:db8::9", "SIP/2.0/WSS df7jal23ls0d.invalid;branch=z9hG4bK1;received=2001:db8::9;rport=4711"},
		{"rport asked for, same host", "SIP/2.0/UDP 192.0.2.1;rport;branch=z9hG4bK1", "192.0.2.1", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.1;rport=4711"},
		{"names in any case", "SIP/2.0/UDP 192.0.2.1;RPort;Branch=z9hG4bK1;ReceiveD=10.9.9.9", "192.0.2.1", "SIP/2.0/UDP 192.0.2.1;Branch=z9hG4bK1;received=192.0.2.1;rport=4711"},
		{"forged", "SIP/2.0/UDP 192.0.2.1;received=10.9.9.9;branch=z9hG4bK1;rport=1", "192.0.2.1", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1;received=192.0.2.1;rport=4711"},
		{"forged received alone", "SIP/2.0/UDP 192.0.2.1;received=10.9.9.9;branch=z9hG4bK1", "192.0.2.1", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"},
		{"IPv6 in another spelling", "SIP/2.0/UDP [2001:DB8:0::9]:5060;branch=z9hG4bK1", "2001:db8::9", "SIP/2.0/UDP [2001:DB8:0::9]:5060;branch=z9hG4bK1"},
		{"IPv4 mapped into IPv6", "SIP/2.0/UDP [::ffff:192.0.2.1];branch=z9hG4bK1", "192.0.2.1", "SIP/2.0/UDP [::ffff:192.0.2.1];branch=z9hG4bK1"},
		{"IPv6 with zone", "SIP/2.0/UDP [fe80::1];rport", "fe80::1%eth0", "SIP/2.0/UDP [fe80::1];received=fe80::1;rport=4711"},
		{"first of two", "SIP/2.0/UDP 10.0.0.1;rport , SIP/2.0/UDP b;rport;received=1.1.1.1", "192.0.2.1", "SIP/2.0/UDP 10.0.0.1;received=192.0.2.1;rport=4711 , SIP/2.0/UDP b;rport;received=1.1.1.1"},
		{"quoted and folded", "SIP/2.0/UDP 10.0.0.1\r\n ;x=\";rport;\\\",\" ;\r\n rport\r\n ;y", "192.0.2.1", "SIP/2.0/UDP 10.0.0.1\r\n ;x=\";rport;\\\",\" ;y;received=192.0.2.1;rport=4711"},
	} {
		m := mustParse(t, request("Via: "+c.via, "Content-Length: 0"))
		s := m.Splice()
		s.StampVia("203.0.113.1", 9)
		s.StampVia(c.addr, 4711)
		want := request("Via: "+c.want, "Content-Length: 0")
		diff(t, c.name, string(s.Append(nil)), want)
		reply := string(m.AppendReply(nil, &Reply{Status: 100, Source: netip.AddrPortFrom(netip.MustParseAddr(c.addr), 4711)}))
		diff(t, c.name+", reply", strings.SplitAfter(reply, "Via: ")[1][:len(c.want)], c.want)
		again := mustParse(t, want)
		s = again.Splice()
		s.StampVia(c.addr, 4711)
		diff(t, c.name+", stamped twice", string(s.Append(nil)), want)
		s.PopVia()
		if strings.Contains(string(s.Append(nil)), "4711") {
			t.Errorf("%s: stamp stays when its value goes", c.name)
		}
	}
}

func TestAppendAck(t *testing.T) { // RFC 3261 §17.1.1.3
	m := mustParse(t, forwarded)
	s := m.Splice()
	s.PushVia("SIP/2.0/UDP us;branch=z9hG4bKours")
	s.PushVia("SIP/2.0/TCP us;branch=z9hG4bKours")
	s.SetURI("sip:bob@192.0.2.1")
	s.PopRoutes(1)
	s.PopLastRoute()
	s.PushRoutes("<sip:edge;lr>")
	s.AppendRoute("<sip:end>")
	s.PushRecordRoutes("<sip:us;lr>")
	s.SetMaxForwards(3)
	s.Replace(*m.first(From), "<sip:anonymous@anonymous.invalid>;tag=a1")
	resp := mustParse(t, lines("SIP/2.0 486 Busy Here", "Via: SIP/2.0/TCP us;branch=z9hG4bKours", "From: x:y;tag=a1",
		"To: <sip:bob@example.org>;tag=b1", "Call-ID: call-1", "CSeq: 7 INVITE"))
	diff(t, "ACK", string(s.AppendAck(nil, resp)), lines("ACK sip:bob@192.0.2.1 SIP/2.0", "Via: SIP/2.0/TCP us;branch=z9hG4bKours", "Max-Forwards: 70",
		"Route: <sip:edge;lr>", "Route: <sip:p2;lr> , \"x,y\" <sip:p3;lr>", "Route: <sip:end>",
		"f: <sip:anonymous@anonymous.invalid>;tag=a1", "i: call-1", "CSeq: 7 ACK", "To: <sip:bob@example.org>;tag=b1", "Content-Length: 0"))
	mustParse(t, string(s.AppendAck(nil, resp)))
	diff(t, "CANCEL", string(s.AppendCancel(nil, "Reason: SIP;cause=200")), lines("CANCEL sip:bob@192.0.2.1 SIP/2.0", "Via: SIP/2.0/TCP us;branch=z9hG4bKours", "Max-Forwards: 70", // §9.1
		"Route: <sip:edge;lr>", "Route: <sip:p2;lr> , \"x,y\" <sip:p3;lr>", "Route: <sip:end>",
		"f: <sip:anonymous@anonymous.invalid>;tag=a1", "i: call-1", "CSeq: 7 CANCEL", "t: <sip:bob@example.org>", "Reason: SIP;cause=200", "Content-Length: 0"))
}

// A request made by us carries its own Via.
func TestAppendCancelOfOwnRequest(t *testing.T) {
	m := mustParse(t, request("Via: SIP/2.0/UDP us;branch=1, SIP/2.0/UDP b"))
	s := m.Splice()
	diff(t, "CANCEL", string(s.AppendCancel(nil)), lines("CANCEL sip:bob@example.org SIP/2.0", "Via: SIP/2.0/UDP us;branch=1", "Max-Forwards: 70",
		"From: <sip:alice@example.org>;tag=a1", "Call-ID: call-1", "CSeq: 7 CANCEL", "To: <sip:bob@example.org>", "Content-Length: 0"))
}

func TestAppendReply(t *testing.T) { // RFC 3261 §8.2.6
	m := mustParse(t, request("v: SIP/2.0/UDP b,SIP/2.0/UDP c", "Timestamp: 54.2", "Record-Route: <sip:p;lr>"))
	diff(t, "100 has the Timestamp and no tag (§8.2.6.1)", string(m.AppendReply(nil, &Reply{Status: 100, ToTag: "b1"})),
		lines("SIP/2.0 100 Trying", "Via: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1", "v: SIP/2.0/UDP b,SIP/2.0/UDP c", "From: <sip:alice@example.org>;tag=a1",
			"To: <sip:bob@example.org>", "Call-ID: call-1", "CSeq: 7 INVITE", "Timestamp: 54.2", "Content-Length: 0"))
	diff(t, "401", string(m.AppendReply([]byte("x"), &Reply{Status: 401, ToTag: "b1", Headers: []string{"A: 1", "B: 2"}, Body: "body"})),
		"x"+lines("SIP/2.0 401 Unauthorized", "Via: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1", "v: SIP/2.0/UDP b,SIP/2.0/UDP c", "From: <sip:alice@example.org>;tag=a1",
			"To: <sip:bob@example.org>;tag=b1", "Call-ID: call-1", "CSeq: 7 INVITE", "A: 1", "B: 2", "Content-Length: 4")+"body")
	tagged := mustParse(t, request("To: sip:bob@example.org ;tag=mine"))
	diff(t, "a To tag stays (§8.2.6.2)", string(tagged.AppendReply(nil, &Reply{Status: 481, Reason: "No", ToTag: "b1"})),
		lines("SIP/2.0 481 No", "Via: SIP/2.0/WS ws1.invalid;branch=z9hG4bK1", "From: <sip:alice@example.org>;tag=a1",
			"To: sip:bob@example.org ;tag=mine", "Call-ID: call-1", "CSeq: 7 INVITE", "Content-Length: 0"))
}

func TestReplyToUnreadableTo(t *testing.T) { // a tag put behind it could land anywhere
	text := request("To: \"Bob <sip:bob@example.org>")
	m, err := Parse(text, Frame)
	if err == nil || m == nil {
		t.Fatal(m, err)
	}
	if got := string(m.AppendReply(nil, &Reply{Status: 400, ToTag: "b1"})); !strings.Contains(got, "\r\nTo: \"Bob <sip:bob@example.org>\r\n") {
		t.Errorf("%q", got)
	}
}

func TestStatusText(t *testing.T) { // RFC 3261 §21
	for code, want := range map[int]string{100: "Trying", 606: "Not Acceptable", 480: "Temporarily Unavailable", 299: "OK",
		499: "Request Failure", 599: "Server Failure", 699: "Global Failure", 399: "Redirect", 198: "Progress", 0: "Unknown", 700: "Unknown"} {
		if got := StatusText(code); got != want {
			t.Errorf("%d %q, want %q", code, got, want)
		}
	}
}

// RFC 3261 §17.1.1.3, §9.1: ACK and CANCEL have the number that the request left with.
func TestSpliceCSeq(t *testing.T) {
	m, err := Parse(forwarded, Frame)
	if err != nil {
		t.Fatal(err)
	}
	s := m.Splice()
	s.PushVia("SIP/2.0/UDP us")
	s.SetCSeq(8)
	s.SetCSeq(9)
	for what, text := range map[string]string{"request": string(s.Append(nil)), "ACK": string(s.AppendAck(nil, m)), "CANCEL": string(s.AppendCancel(nil))} {
		got, err := Parse(text, Frame)
		if err != nil {
			t.Fatalf("%s: %v\n%s", what, err, text)
		}
		if n, _ := got.CSeq(); n != 9 {
			t.Errorf("%s has CSeq %d:\n%s", what, n, text)
		}
	}
	if m.Splice().cseq != 0 {
		t.Error("another copy has it too")
	}
}

// A response with another status and without its body says so everywhere.
func TestSpliceStatusAndBody(t *testing.T) {
	const head = "SIP/2.0 183 Session Progress\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n"
	for name, text := range map[string]string{
		"long names":  head + "Content-Type: application/sdp\r\nContent-Disposition: session\r\nContent-Length: 4\r\n\r\nv=0\n",
		"short names": head + "c: application/sdp\r\ne: gzip\r\nl: 4\r\n\r\nv=0\n",
		"no length":   head + "Content-Type: application/sdp\r\n\r\nv=0\n",
		"no reason":   strings.Replace(head, " Session Progress", "", 1) + "c: application/sdp\r\nl: 4\r\n\r\nv=0\n",
	} {
		m, err := Parse(text, Frame)
		if err != nil {
			t.Fatal(err)
		}
		s := m.Splice()
		s.SetStatus(180, "Ringing")
		s.DropBody()
		got, err := Parse(string(s.Append(nil)), Stream)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, s.Append(nil))
			continue
		}
		if got.Status() != 180 || got.ReasonPhrase() != "Ringing" || got.Body() != "" || got.Value(ContentLength) != "0" ||
			got.Has(ContentType) || got.Has(ContentEncoding) || got.Named("Content-Disposition") != "" || got.ToTag() != "2" {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}
