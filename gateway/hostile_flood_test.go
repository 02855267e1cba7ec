package gateway_test

import (
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// TestHostileFloods: a connection that proves nothing and goes on gets 503, then its end,
// whatever it floods with; everybody else goes on calling.
func TestHostileFloods(t *testing.T) {
	for _, c := range []struct {
		name    string
		text    func(p *hostilePeer) string
		refused bool // with 503 before the end
	}{
		{"OPTIONS", func(p *hostilePeer) string { return p.out("OPTIONS", "sip:example.com", aliceURI, bobURI).String() }, true},
		{"REGISTER", func(p *hostilePeer) string { return p.registration("alice").String() }, true},
		{"INVITE", func(p *hostilePeer) string { return p.out("INVITE", bobURI, aliceURI, bobURI).String() }, true},
		{"requests in dialogs", func(p *hostilePeer) string {
			o := p.out("BYE", bobURI, aliceURI, bobURI)
			o.toTag = "x"
			return o.String()
		}, true},
		{"ACK", func(p *hostilePeer) string { return p.out("ACK", bobURI, aliceURI, bobURI).String() }, false},
		{"CANCEL", func(p *hostilePeer) string { return p.out("CANCEL", bobURI, aliceURI, bobURI).String() }, false},
		{"responses", func(p *hostilePeer) string {
			return strings.Replace(p.out("INVITE", bobURI, aliceURI, bobURI).String(), "INVITE "+bobURI+" SIP/2.0", "SIP/2.0 200 OK", 1)
		}, false},
		{"what is refused", func(p *hostilePeer) string { return p.out("OPTIONS", "http://x", aliceURI, bobURI).String() }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newHostileRig(t, "")
			for _, kind := range []sip.Transport{sip.WS, sip.TCP} {
				p := r.open(kind).on(t)
				for range 2000 {
					if p.write(c.text(p)) != nil {
						break
					}
				}
				refused := false
				for {
					it := p.item("the end")
					refused = refused || strings.HasPrefix(it.text, "SIP/2.0 503 ") && strings.Contains(it.text, "Retry-After: ")
					if !it.end {
						continue
					}
					if kind == sip.WS && it.code != 1008 && it.code != 1006 { // a reset can overtake the close frame
						t.Errorf("closed with %d", it.code)
					}
					break
				}
				if refused != c.refused {
					t.Errorf("%v: 503 %v", kind, refused)
				}
				r.alive(t)
			}
			r.until(t, "two flows were closed for flooding", func() bool { return r.g.Snapshot().FlowsClosed["flood"] == 2 })
		})
	}
}

// TestHostileWaste: a user who sends thousands of messages that serve nobody is closed with 1008; nobody answers those,
// so no limit of pending requests holds them back (RFC 3261 §17.1.1.2, §17.2.3).
func TestHostileWaste(t *testing.T) {
	for name, text := range map[string]func(p *hostilePeer) string{
		"ACK": func(p *hostilePeer) string { return p.out("ACK", bobURI, aliceURI, bobURI).String() },
		"responses": func(p *hostilePeer) string {
			return strings.Replace(p.out("INVITE", bobURI, aliceURI, bobURI).String(), "INVITE "+bobURI+" SIP/2.0", "SIP/2.0 200 OK", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHostileRig(t, "")
			for _, kind := range []sip.Transport{sip.WS, sip.TCP} {
				p := r.open(kind).on(t).register("mallory")
				for range 20_000 {
					if p.write(text(p)) != nil {
						break
					}
				}
				for {
					it := p.item("the end")
					if it.end && kind == sip.WS && it.code != 1008 && it.code != 1006 { // a reset can overtake the close frame
						t.Errorf("closed with %d", it.code)
					}
					if it.end {
						break
					}
				}
				r.alive(t)
			}
			r.until(t, "two flows were closed for flooding", func() bool { return r.g.Snapshot().FlowsClosed["flood"] == 2 })
		})
	}
}

// TestHostileStateless: before somebody has proved who he is nothing is kept of what he
// sends: no transaction, no call, no goroutine, no memory to speak of.
func TestHostileStateless(t *testing.T) {
	r := newHostileRig(t, "")
	runtime.GC()
	goroutines := runtime.NumGoroutine()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20 {
		u := r.udpFrom(attackerHost, 0)
		for i := range 100 {
			method := []string{"INVITE", "REGISTER", "OPTIONS", "MESSAGE"}[i%4]
			u.send(u.out(method, bobURI, aliceURI, bobURI).String())
		}
		u.quietAfter(100)
		u.close()
	}
	r.until(t, "no transaction is left", func() bool {
		s := r.g.Snapshot()
		return s.ServerTransactions == 0 && s.ClientTransactions == 0 && s.Calls == 0
	})
	r.until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d KiB are left of a storm of refusals", grown>>10)
	}
	r.alive(t)
}

// quietAfter takes n answers, some of which UDP may lose.
func (p *hostilePeer) quietAfter(n int) {
	p.t.Helper()
	o := p.out("OPTIONS", "sip:example.com", "sip:mark@example.com", "sip:mark@example.com")
	p.send(o.String())
	for range n + 1 {
		if p.next("an answer").CallID() == o.callID {
			return
		}
	}
}

// TestHostileStorm: connections that come, talk and are cut leave nothing behind.
func TestHostileStorm(t *testing.T) {
	r := newHostileRig(t, "")
	r.alive(t)
	runtime.GC()
	goroutines := runtime.NumGoroutine()
	for i := range 150 {
		p := r.open([]sip.Transport{sip.WS, sip.TCP}[i%2])
		if i%3 == 0 {
			p.send("INVITE sip:bob@example.com SIP/2.0\r\nVia: ") // and no more
		} else {
			p.send(p.out("INVITE", bobURI, aliceURI, bobURI).String())
		}
		p.close()
	}
	r.until(t, "the flows are gone", func() bool {
		f := r.g.Snapshot().Flows
		return f["ws"] == 2 && f["tcp"] == 0
	})
	r.until(t, "the goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	r.alive(t)
}

// TestHostileAmplification: over UDP, where the source may be forged, what is refused is
// answered with little more than came (factor 2.5), once, and without retransmissions.
func TestHostileAmplification(t *testing.T) {
	r := newHostileRig(t, "")
	u := r.udpFrom(attackerHost, 0)
	smallest := func(method, uri, to string, lines ...string) string {
		return method + " " + uri + " SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bK" + hostileID("") + "\r\nf:<" + aliceURI + ">;tag=1\r\nt:<" + to +
			">\r\ni:" + hostileID("") + "\r\nCSeq:1 " + method + "\r\n" + strings.Join(lines, "") + "\r\n"
	}
	for name, text := range map[string]string{
		"INVITE":              smallest("INVITE", bobURI, bobURI),
		"REGISTER":            smallest("REGISTER", "sip:example.com", aliceURI),
		"OPTIONS":             smallest("OPTIONS", "sip:example.com", bobURI),
		"MESSAGE":             smallest("MESSAGE", bobURI, bobURI),
		"a foreign user":      strings.Replace(smallest("MESSAGE", bobURI, bobURI), "alice@example.com", "a@b", 1),
		"a request in dialog": strings.Replace(smallest("BYE", bobURI, bobURI), "t:<"+bobURI+">", "t:<"+bobURI+">;tag=2", 1),
		"CANCEL":              smallest("CANCEL", bobURI, bobURI),
		"a bad request":       smallest("OPTIONS", bobURI, bobURI, "X Y:\r\n"),
		"a bad scheme":        smallest("OPTIONS", "http:x", bobURI),
		"another version":     strings.Replace(smallest("OPTIONS", bobURI, bobURI), " SIP/2.0\r\nv", " SIP/7.0\r\nv", 1),
		"much that is wrong":  smallest("OPTIONS", bobURI, bobURI, strings.Repeat("X:\r\n", 300)),
		"70 Via to be copied": smallest("OPTIONS", bobURI, bobURI, strings.Repeat("v:SIP/2.0/UDP h\r\n", 69)),
		"500 blanks in a Via": strings.Replace(smallest("OPTIONS", bobURI, bobURI), "UDP h", "UDP"+strings.Repeat(" ", 500)+"h", 1),
		"compact To and From": smallest("SUBSCRIBE", bobURI, bobURI),
		"a Timestamp":         smallest("OPTIONS", bobURI, bobURI, "Timestamp:1\r\n"),
		"Record-Routes":       smallest("OPTIONS", bobURI, bobURI, strings.Repeat("Record-Route:<sip:h;lr>\r\n", 60)),
		"the shortest": "MESSAGE sip:a@example.com SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bK" + hostileID("") +
			"\r\nf:<" + aliceURI + ">;tag=1\r\nt:<" + bobURI + ">\r\ni:" + hostileID("") + "\r\nCSeq:1 MESSAGE\r\n\r\n",
		"the shortest REGISTER":  "REGISTER sip:example.com SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<" + aliceURI + ">;tag=1\r\nt:<" + aliceURI + ">\r\ni:a\r\nCSeq:1 REGISTER\r\n\r\n",
		"the shortest at all":    "A sip:a SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<sip:a>;tag=1\r\nt:<sip:a>\r\ni:a\r\nCSeq:1 A\r\n\r\n",
		"the shortest of a user": "A sip:a SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<sip:a@example.com>;tag=1\r\nt:<sip:a>\r\ni:a\r\nCSeq:1 A\r\n\r\n", // silence
		"nothing but a line":     "A sip:a SIP/2.0\r\nv:SIP/2.0/UDP h\r\n\r\n",
		"a stray CANCEL":         "CANCEL sip:a SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<sip:a>;tag=1\r\nt:<sip:a>\r\ni:a\r\nCSeq:1 CANCEL\r\n\r\n",
		"an unknown extension":   smallest("REGISTER", "sip:example.com", aliceURI, "Require:a\r\n"),
		"malformed credentials":  smallest("REGISTER", "sip:example.com", aliceURI, "Authorization:Digest realm=\"example.com\"\r\n"),
		"a foreign nonce":        smallest("REGISTER", "sip:example.com", aliceURI, "Authorization:Digest username=a,realm=\"example.com\",nonce=a,uri=\"sip:example.com\",response="+md5hex("a")+",qop=auth,nc=00000001,cnonce=a\r\n"),
		"a dialog of others":     "BYE sip:a SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<sip:a>;tag=1\r\nt:<sip:a>;tag=2\r\ni:a\r\nCSeq:1 BYE\r\n\r\n",
		"a Route of others":      "BYE sip:a SIP/2.0\r\nv:SIP/2.0/UDP h\r\nf:<sip:a>;tag=1\r\nt:<sip:a>\r\ni:a\r\nRoute:<sip:h;lr>\r\nCSeq:1 BYE\r\n\r\n",
		"a STUN request":         "\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijkl",
		"a Require of unknown":   smallest("REGISTER", "sip:example.com", aliceURI, "Require:"+strings.Repeat("a,", 200)+"a\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			n, answer := u.on(t).reflected(text)
			if f := float64(n) / float64(len(text)); f > 2.5 {
				t.Errorf("%d octets are answered with %d: factor %.2f\n%s", len(text), n, f, answer)
			}
		})
	}
	for name, text := range map[string]string{ // as a phone sends them: no challenge is missing, no reason
		"Proxy-Authenticate": u.out("INVITE", bobURI, aliceURI, bobURI).String(), "WWW-Authenticate": u.registration("alice").String(),
	} {
		if _, answer := u.on(t).reflected(text); strings.Count(answer, name+": Digest ") != 2 {
			t.Errorf("a request of %d octets is answered\n%s", len(text), answer)
		}
	}
	if r.g.Snapshot().Drops["amplifying"] == 0 {
		t.Error("no silence is counted")
	}
	for name, text := range map[string]string{"blanks": "\r\n\r\n", "NULs": "\x00\x00\x00\x00", "an octet": "x", "a response": "SIP/2.0 200 OK\r\n\r\n",
		"an ACK": smallest("ACK", bobURI, bobURI), "STUN cut short": "\x00\x01\x00\x08\x21\x12\xa4\x42abcdefghijkl"} {
		t.Run(name, func(t *testing.T) {
			u.on(t).send(text)
			u.quiet()
		})
	}
	r.alive(t)
}

// reflected is how much came back for text, and what.
func (p *hostilePeer) reflected(text string) (octets int, answer string) {
	p.t.Helper()
	p.send(text)
	mark := p.out("OPTIONS", "sip:example.com", "sip:mark@example.com", "sip:mark@example.com")
	p.send(mark.String())
	for {
		it := p.item("the answer to the mark")
		if strings.Contains(it.text, mark.callID) {
			return octets, answer
		}
		octets, answer = octets+len(it.text), answer+it.text
	}
}

// TestHostilePending: a user's INVITEs that nobody answers and ACKs nobody sends are bounded.
func TestHostilePending(t *testing.T) {
	r := newHostileRig(t, "limits: { flow_transactions: 50 }\n")
	p := r.wsFrom(attackerHost).register("mallory")
	e := r.wsFrom(otherHost).register("eve")
	for range 200 {
		p.send(p.out("INVITE", "sip:eve@example.com", malloryURI, "sip:eve@example.com").String())
	}
	refused := 0
	for refused < 150 {
		m := p.next("503")
		if m.Status() != 503 || !m.Has(sip.RetryAfter) {
			t.Fatalf("got\n%s", m)
		}
		refused++
	}
	r.alive(t)
	var ringing []*sip.Message
	for range 50 {
		ringing = append(ringing, e.request("INVITE"))
	}
	for _, m := range ringing { // and no ACK
		e.send(hostileReply(m, 486, "t"))
		e.request("ACK")
		p.status(486)
	}
	p.send(p.out("MESSAGE", bobURI, malloryURI, bobURI).String())
	if s := p.next("503").Status(); s != 503 {
		t.Errorf("while 50 ACKs are missing: %d", s)
	}
	r.alive(t)
}

// TestHostileSlowReader: who does not read is cut, with what waits for it bounded, and
// those who send to it are told.
func TestHostileSlowReader(t *testing.T) {
	r := newHostileRig(t, "")
	w := r.rawWS(t, "")
	w.c.(*net.TCPConn).SetReadBuffer(4 << 10)
	p := &hostilePeer{t: t, r: r, kind: sip.WS, user: "slow", local: r.alice.local}
	p.contact = "sip:slow@slow.invalid;transport=ws"
	o := p.registration("mallory")
	ask := func(o *hostileRequest) *sip.Message {
		w.c.Write(frameOf{head: 0x81, payload: o.String()}.bytes())
		_, text := w.next()
		m, err := sip.Parse(text, sip.Frame)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := ask(o.login(ask(o), "mallory", "pw-mallory", nil)); m.Status() != 200 {
		t.Fatalf("got\n%s", m)
	}
	fill := strings.Repeat("x", 30000)
	closed := func() bool { return r.g.Snapshot().FlowsClosed["slow_reader"] == 1 }
	for i := 0; i < 3000 && !closed(); i++ {
		m := r.alice.out("MESSAGE", malloryURI, aliceURI, malloryURI)
		m.body = fill
		r.alice.send(m.String())
		if i%100 == 99 {
			r.alive2(t)
		}
	}
	r.until(t, "the slow reader is cut", closed)
	r.until(t, "its bindings are gone", func() bool { return r.g.Snapshot().Bindings == 2 })
}

// alive2 is a call of others while alice is busy.
func (r *hostileRig) alive2(t *testing.T) {
	t.Helper()
	o := r.bob.out("MESSAGE", bobURI, bobURI, bobURI)
	r.bob.on(t).send(o.String())
	r.bob.send(hostileReply(r.bob.request("MESSAGE"), 200, "t"))
	r.bob.status(200)
}

// TestHostileStream: TCP peers that send an octet at a time or many messages at once, and
// streams whose framing is lost.
func TestHostileStream(t *testing.T) {
	r := newHostileRig(t, "")
	p := r.tcpFrom(attackerHost)
	text := p.out("OPTIONS", "sip:example.com", aliceURI, bobURI).String()
	for i := range len(text) {
		p.send(text[i : i+1])
	}
	p.status(407)
	p.send(strings.Repeat(text, 50) + text[:20])
	for range 50 {
		p.status(407)
	}
	p.send(text[20:] + "\r\n\r\n")
	p.status(407)
	for name, bad := range map[string]string{
		"garbage": "\x00\x01\x02\x03", "HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "no Content-Length": strings.Replace(text, "Content-Length: 0\r\n", "", 1),
		"two Content-Length": strings.Replace(text, "Content-Length: 0", "Content-Length: 0\r\nl: 3", 1), "a TLS ClientHello": "\x16\x03\x01\x02\x00\x01",
		"a line without end": "OPTIONS " + strings.Repeat("a", 9000), "a header without end": "OPTIONS sip:a SIP/2.0\r\n" + strings.Repeat("X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 2000),
		"4 GiB announced": strings.Replace(text, "Content-Length: 0", "Content-Length: 4294967295", 1), "300 keep-alives": strings.Repeat("\r\n\r\n", 300),
	} {
		t.Run(name, func(t *testing.T) {
			p := r.tcpFrom(attackerHost).on(t)
			_ = p.write(bad + text + text)
			for n := 0; ; n++ {
				it := p.item("the end")
				if it.end {
					break
				}
				if strings.HasPrefix(it.text, "SIP/2.0 407") {
					t.Error("what stands behind the lost framing was taken for a message")
				}
			}
			r.alive(t)
		})
	}
}

// TestHostileDrain: who stays to the end does not keep the gateway from ending in time:
// everybody is closed with 1012 before the deadline, and new calls are refused until then.
func TestHostileDrain(t *testing.T) {
	r := newHostileRig(t, "")
	call := r.ring(r.alice, r.bob, bobURI).answer()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- r.g.Shutdown(ctx) }()
	if code := r.alice.ended(); code != 1012 {
		t.Errorf("the caller was closed with %d", code)
	}
	if code := call.callee.ended(); code != 1012 {
		t.Errorf("the callee was closed with %d", code)
	}
	if err := <-ended; err != nil {
		t.Errorf("the gateway did not drain: %v", err)
	}
}
