package proxy

import (
	"bytes"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// wire is a connection that remembers the last message sent over it.
type wire struct {
	info sip.ConnInfo
	last []byte
	sent int
}

func (w *wire) Send(b []byte) error   { w.last = append(w.last[:0], b...); w.sent++; return nil }
func (w *wire) Info() *sip.ConnInfo   { return &w.info }
func (w *wire) Close(sip.CloseReason) {}

// pattern is a message that is sent again and again with another call number and,
// in a response, the branch of the request it answers.
type pattern struct {
	text   []byte
	ids    []int
	branch int // of our Via, -1 for none
}

const (
	benchID   = "c0000000"
	viaBranch = "branch=z9hG4bK"
)

func newPattern(text string, ours bool) *pattern {
	text = strings.ReplaceAll(text, "\n", "\r\n")
	p := &pattern{text: []byte(text), branch: -1}
	for i := 0; ; {
		j := strings.Index(text[i:], benchID)
		if j < 0 {
			break
		}
		p.ids = append(p.ids, i+j)
		i += j + len(benchID)
	}
	if ours {
		p.branch = strings.Index(text, viaBranch)
	}
	return p
}

// fill is the message of call n; req is what it answers.
func (p *pattern) fill(n int, req []byte) string {
	for _, at := range p.ids {
		for i, v := at+len(benchID)-1, n; i > at; i, v = i-1, v/10 {
			p.text[i] = byte('0' + v%10)
		}
	}
	if p.branch >= 0 {
		at := bytes.Index(req, []byte(viaBranch))
		copy(p.text[p.branch:p.branch+len(viaBranch)+32], req[at:])
	}
	return string(p.text)
}

var benchSDP = "v=0\r\no=- 4611732 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126\r\n" +
	strings.Repeat("a=candidate:1 1 udp 2113937151 b5d8b7a8-0d3c-4b32-9d0c-5fd0a17cbe57.local 51515 typ host generation 0\r\n", 20)

// BenchmarkCall is INVITE, 180, 200, ACK, BYE, 200 between two WebSocket clients,
// from the received text to the text sent: parser, transactions, proxy.
func BenchmarkCall(b *testing.B) {
	r := newRig(b, Config{})
	r.proxy.Finished, r.proxy.Ended = nil, nil
	alice, bob := &wire{}, &wire{}
	fa, fb := benchFlow(r, alice, "alice", 1), benchFlow(r, bob, "bob", 2)
	name := fb.Names()[0]
	path := string(r.keys.Append(nil, flow.Token{Side: flow.Registered, Flow: fb.ID, Name: name}, ""))
	r.aors["bob"] = []Target{{URI: "sip:bob@phone.invalid;transport=ws", Route: []string{"<sip:" + path + "@192.0.2.1;lr;ob>"}, Name: name}}

	const callID = "4d1c0b7ae95f@alice.invalid" // of all calls, as the tokens are for one; tags and branches tell them apart
	caller := string(r.keys.Append(nil, flow.Token{Side: flow.Caller, Flow: fa.ID, Name: fa.Names()[0]}, callID))
	callee := string(r.keys.AppendCallee(nil, flow.Token{Flow: fb.ID, Name: name}, caller, callID))
	rrA, rrB := "<sip:"+caller+"@192.0.2.1:5060;transport=ws;lr>", "<sip:"+callee+"@192.0.2.1:5060;transport=ws;lr>"
	request := func(method, uri, extra, to, branch, body string) *pattern {
		cl := "\nContent-Length: 0\n\n"
		if body != "" {
			cl = "\nContent-Type: application/sdp\nContent-Length: 2212\n\n"
		}
		p := newPattern(method+" "+uri+" SIP/2.0\nVia: SIP/2.0/WS alice.invalid;branch=z9hG4bK"+benchID+branch+"\nMax-Forwards: 69\n"+extra+
			"To: <sip:bob@example.com>"+to+"\nFrom: \"Alice\" <sip:alice@example.com>;tag=a"+benchID+"\nCall-ID: "+callID+"\nCSeq: 1 "+method+
			"\nContact: <sip:alice@alice.invalid;transport=ws;ob>\nAllow: INVITE,ACK,CANCEL,BYE,UPDATE,MESSAGE,OPTIONS,REFER,INFO,NOTIFY\n"+
			"Supported: ice,replaces,outbound\nUser-Agent: JsSIP 3.13.8"+cl, false)
		p.text = append(p.text, body...)
		return p
	}
	response := func(status, method, extra string) *pattern {
		return newPattern("SIP/2.0 "+status+"\nVia: SIP/2.0/WS 192.0.2.1:5060;"+viaBranch+strings.Repeat("0", 32)+
			"\nVia: SIP/2.0/WS alice.invalid;branch=z9hG4bK"+benchID+"i;received=198.51.100.1\n"+extra+
			"From: \"Alice\" <sip:alice@example.com>;tag=a"+benchID+"\nTo: <sip:bob@example.com>;tag=b"+benchID+"\nCall-ID: "+callID+"\nCSeq: 1 "+
			method+"\nContact: <sip:bob@phone.invalid;transport=ws>\nSupported: ice,replaces,outbound\nContent-Length: 0\n\n", true)
	}
	records, routes := "Record-Route: "+rrB+"\nRecord-Route: "+rrA+"\n", "Route: "+rrA+"\nRoute: "+rrB+"\n"
	body := benchSDP + strings.Repeat("x", 2212-len(benchSDP))
	invite := request("INVITE", "sip:bob@example.com", "", "", "i", body)
	ringing, ok := response("180 Ringing", "INVITE", records), response("200 OK", "INVITE", records)
	ack := request("ACK", "sip:bob@phone.invalid;transport=ws", routes, ";tag=b"+benchID, "a", "")
	bye := request("BYE", "sip:bob@phone.invalid;transport=ws", routes, ";tag=b"+benchID, "b", "")
	bye.text = bytes.Replace(bye.text, []byte("CSeq: 1 "), []byte("CSeq: 2 "), 1)
	byeOK := response("200 OK", "BYE", "")
	byeOK.text = bytes.Replace(byeOK.text, []byte("CSeq: 1 "), []byte("CSeq: 2 "), 1)
	in := func(text string, f *flow.Flow) {
		m, err := sip.Parse(text, sip.Frame)
		if err != nil {
			b.Fatalf("%v\n%s", err, text)
		}
		r.table.Receive(m, f)
	}
	b.ReportAllocs()
	n, cpu := 0, cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-cpu)/float64(n), "cpu-ns/op") }() // what counts beside others on the machine
	for b.Loop() {
		n++
		in(invite.fill(n, nil), fa)
		sent := bob.last
		in(ringing.fill(n, sent), fb)
		in(ok.fill(n, sent), fb)
		in(ack.fill(n, nil), fa)
		in(bye.fill(n, nil), fa)
		in(byeOK.fill(n, bob.last), fb)
	}
	if alice.sent != 3*n || bob.sent != 3*n {
		b.Fatalf("%d messages to alice, %d to bob in %d calls, want 3 each", alice.sent, bob.sent, n)
	}
}

// cpuTime is the CPU time that the process has used, in ns.
func cpuTime() int64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func benchFlow(r *rig, w *wire, user string, n byte) *flow.Flow {
	w.info = sip.ConnInfo{
		Transport: sip.WS, Local: netip.MustParseAddrPort("192.0.2.1:5060"),
		Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, n}), 40000), Advertise: "192.0.2.1:5060",
	}
	f := r.flows.Open(w)
	f.AuthenticatedAs(user + "@example.com")
	r.flows.Bind(f, r.keys.NameOf(user+"@example.com", "urn:uuid:"+user, 1, ""))
	return f
}

// BenchmarkRinging is what a ringing call holds: 10,000 of them, each with an INVITE
// of 3 KB and its 180, and no goroutine.
func BenchmarkRinging(b *testing.B) {
	for b.Loop() {
		r := newRig(b, Config{})
		w := &wire{}
		f := benchFlow(r, w, "bob", 2)
		r.aors["bob"] = []Target{{URI: "sip:bob@phone.invalid;transport=ws", Name: f.Names()[0]}}
		var callers []*flow.Flow
		for i := range byte(100) {
			callers = append(callers, benchFlow(r, &wire{}, string(rune('a'+i)), i))
		}
		goroutines, before := runtime.NumGoroutine(), heap()
		const calls = 10_000
		for i := range calls {
			text := "INVITE sip:bob@example.com SIP/2.0\r\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK" + strconv.Itoa(i) +
				"\r\nMax-Forwards: 70\r\nFrom: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.com>\r\nCall-ID: " + strconv.Itoa(i) +
				"\r\nCSeq: 1 INVITE\r\nContact: <sip:a@a.invalid>\r\nContent-Type: application/sdp\r\nContent-Length: " + strconv.Itoa(len(benchSDP)+600) +
				"\r\n\r\n" + benchSDP + strings.Repeat("x", 600)
			m, err := sip.Parse(text, sip.Frame)
			if err != nil {
				b.Fatal(err)
			}
			r.table.Receive(m, callers[i%len(callers)])
			inv, err := sip.Parse(string(w.last), sip.Frame)
			if err != nil {
				b.Fatal(err)
			}
			ringing, _ := sip.Parse(string(inv.AppendReply(nil, &sip.Reply{Status: 180, ToTag: "b"})), sip.Frame)
			r.table.Receive(ringing, f)
		}
		b.ReportMetric(float64(heap()-before)/calls, "B/call")
		if n := runtime.NumGoroutine(); n > goroutines {
			b.Fatalf("%d goroutines more", n-goroutines)
		}
		if n := r.proxy.Counters.Contexts.Load(); n != calls {
			b.Fatalf("%d calls ring, want %d", n, calls)
		}
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// BenchmarkLoopHash is RFC 5393's part of each request.
func BenchmarkLoopHash(b *testing.B) {
	r := newRig(b, Config{})
	m, err := sip.Parse(strings.ReplaceAll("INVITE sip:bob@example.com SIP/2.0\nVia: SIP/2.0/WS a.invalid;branch=z9hG4bK1\nMax-Forwards: 70\n"+
		"To: <sip:bob@example.com>\nFrom: <sip:alice@example.com>;tag=1\nCall-ID: 1\nCSeq: 1 INVITE\nContact: <sip:a@b>\nContent-Length: 0\n\n", "\n", "\r\n"), sip.Frame)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if looped(m, r.proxy.loopHash(m)) {
			b.Fatal("looped")
		}
	}
}
