//go:build linux

package gateway_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// passes is the configuration by which every name that is no user's goes to a FreeSWITCH.
func passes(hops, more string) string {
	return fmt.Sprintf("upstreams: { pbx: { hops: [ %s ], health: off%s } }\nroutes: [ { match: \"^([0-9]|respond-|cause-)\", to: pbx } ]\n", hops, more)
}

// timed is what JsSIP says of session timers (RFC 4028); FreeSWITCH's least interval is 120 s.
var timed = []string{"Supported: timer,ice,replaces,outbound", "Session-Expires: 90"}

// voice is a session description that FreeSWITCH takes; direction "" is both ways.
func (l *live) voice(host, version int, direction string) string {
	if direction == "" {
		direction = "sendrecv"
	}
	return fmt.Sprintf("v=0\r\no=- 1 %d IN IP4 %[2]s\r\ns=-\r\nc=IN IP4 %[2]s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=%[3]s\r\n", version, l.addr(host), direction)
}

// dials calls a number as JsSIP does.
func (p *phone) dials(l *live, number string) {
	p.Request("INVITE", number, append([]string{body(l.voice(90, 1, ""))}, timed...)...)
}

// Ringway keeps the users; to FreeSWITCH it is one user, who is known by a password (its address proves nothing there).
// FreeSWITCH is as it comes: each first call of an untouched JsSIP would be answered 422.
func TestFreeSWITCHTrunk(t *testing.T) {
	freeswitchBinary(t)
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		f := l.freeswitch(l.sip.String() + ";transport=" + transport)
		l.start(passes(`"`+hop(f.at, transport)+`"`, ", login: { user: ringway, password: trunk-secret }"))
		alice, bob := l.browser("alice"), l.browser("bob")
		for _, c := range []struct {
			name string
			run  func(t *testing.T, l *live, f *freeswitch, alice, bob *phone)
		}{
			{"echo", fsEcho}, {"refused", fsRefused}, {"cancelled", fsCancelled}, {"early media", fsEarlyMedia},
			{"hold by re-INVITE", fsHold}, {"REFER", fsRefer}, {"302", fsRedirects}, {"BYE from FreeSWITCH", fsHangsUp},
			{"through FreeSWITCH to a user", fsBridges}, {"MESSAGE", fsMessage},
		} {
			t.Run(c.name, func(t *testing.T) {
				l, alice, bob := l.as(t), alice.as(t), bob.as(t)
				c.run(t, l, f, alice, bob)
				l.over()
				f.quiet(l)
				alice.quiet()
				bob.quiet()
			})
		}
	})
}

// as is the same phone for a part of the test.
func (p *phone) as(t testing.TB) *phone { p.t = t; return p }

// as is the same gateway for a part of the test.
func (l *live) as(t testing.TB) *live { m := *l; m.t = t; return &m }

func fsEcho(t *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	for n := range 2 {
		alice.dials(l, "9196")
		m := alice.want("200 INVITE")
		if got := m.Named("Session-Expires"); !strings.HasPrefix(got, "120") {
			t.Errorf("Session-Expires is %q: who refreshes by less hears 422 again", got)
		}
		alice.InDialog("ACK")
		alice.InDialog("INVITE", append([]string{body(l.voice(90, 2, ""))}, timed...)...)
		alice.want("200 INVITE") // JsSIP would ask for 120 s now; even if not, it is no error
		alice.InDialog("ACK")
		alice.hangsUp()
		if raised := l.event("timer_raised"); raised != 1 {
			t.Errorf("%d INVITEs went again for their timers after %d calls, want only the first", raised, n+1)
		}
	}
}

// What FreeSWITCH says of a failure reaches the browser with its cause (RFC 3326).
func fsRefused(t *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	for _, c := range []struct{ number, want, cause string }{
		{"respond-486", "486 INVITE", ""},
		{"cause-USER_BUSY", "486 INVITE", "Q.850;cause=17"},
		{"cause-CALL_REJECTED", "603 INVITE", "Q.850;cause=21"},
		{"cause-NO_ANSWER", "480 INVITE", "Q.850;cause=19"},
		{"cause-NUMBER_CHANGED", "410 INVITE", "Q.850;cause=22"},
		{"cause-UNALLOCATED_NUMBER", "404 INVITE", "Q.850;cause=1"},
		{"999", "404 INVITE", ""},
		{"respond-503", "503 INVITE", ""},
	} {
		alice.dials(l, c.number)
		if m := alice.want(c.want); !strings.HasPrefix(m.Value(sip.Reason), c.cause) {
			t.Errorf("%s: Reason is %q, want %q", c.number, m.Value(sip.Reason), c.cause)
		}
	}
}

func fsCancelled(_ *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.dials(l, "611")
	alice.want("180 INVITE")
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
}

func fsEarlyMedia(t *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.dials(l, "610")
	if m := alice.want("183 INVITE"); !strings.Contains(m.Body(), "m=audio") {
		t.Errorf("no media in 183:\n%s", m)
	}
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.hangsUp()
}

func fsHold(t *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.dials(l, "607")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	if m := alice.want("INVITE"); !strings.Contains(m.Body(), "a=sendonly") {
		t.Errorf("the hold does not say so:\n%s", m.Body())
	}
	alice.Reply(200, "", "INVITE", offers, body(l.voice(90, 2, "recvonly")))
	alice.want("ACK")
	if m := alice.want("INVITE"); strings.Contains(m.Body(), "a=sendonly") {
		t.Errorf("the call is still held:\n%s", m.Body())
	}
	alice.Reply(200, "", "INVITE", offers, body(l.voice(90, 3, "")))
	alice.want("ACK")
	alice.hangsUp()
}

// RFC 3515: FreeSWITCH transfers the browser, which then calls an address of FreeSWITCH's.
func fsRefer(t *testing.T, l *live, f *freeswitch, alice, _ *phone) {
	alice.dials(l, "608")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	refer := alice.want("REFER")
	to, err := sip.ParseNameAddr(refer.Value(sip.ReferTo))
	if err != nil || to.URI != "sip:9196@"+f.at.String() {
		t.Fatalf("Refer-To is %q (%v)", refer.Value(sip.ReferTo), err)
	}
	alice.Reply(202, "", "REFER")
	alice.InDialog("NOTIFY", "Event: refer", "Subscription-State: terminated;reason=noresource", "Content-Type: message/sipfrag", body("SIP/2.0 200 OK\r\n"))
	alice.want("200 NOTIFY")
	alice.isHungUp()
	alice.dials(l, to.URI)
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.hangsUp()
}

func fsRedirects(t *testing.T, l *live, f *freeswitch, alice, _ *phone) {
	alice.dials(l, "6080")
	if m := alice.want("302 INVITE"); !strings.Contains(m.Value(sip.Contact), "sip:9196@"+f.at.String()) {
		t.Errorf("Contact is %q", m.Value(sip.Contact))
	}
}

func fsHangsUp(t *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.dials(l, "613")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	if m := alice.want("BYE"); !strings.Contains(m.Value(sip.Reason), "Q.850;cause=16") {
		t.Errorf("Reason is %q", m.Value(sip.Reason))
	}
	alice.Reply(200, "", "BYE")
}

// A call that FreeSWITCH makes to a user of the gateway's: it comes in over another socket of FreeSWITCH's.
func fsBridges(_ *testing.T, l *live, _ *freeswitch, alice, bob *phone) {
	alice.dials(l, "705-bob")
	bob.want("INVITE")
	bob.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	bob.Reply(200, "", "INVITE", offers, body(l.voice(91, 1, "")))
	bob.want("ACK")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	bob.hangsUp()
	alice.isHungUp()
}

func fsMessage(_ *testing.T, _ *live, _ *freeswitch, alice, _ *phone) {
	alice.Request("MESSAGE", "1000", "Content-Type: text/plain", body("hello"))
	alice.want("202 MESSAGE")
}

// A trunk without passwords. Credentials that were for the gateway would draw 407 there, though nobody asks for
// any; and OPTIONS that the gateway challenged would end FreeSWITCH's pings for good.
func TestFreeSWITCHOpenTrunk(t *testing.T) {
	freeswitchBinary(t)
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		f := l.freeswitch(l.sip.String() + ";transport=" + transport)
		l.start(passes(`"`+hop(f.open, transport)+`"`, ""))
		left := `Proxy-Authorization: Digest username="alice", realm="example.com", nonce="n", uri="sip:9196@example.com", response="00000000000000000000000000000000"`

		at := l.free(81)
		direct := l.play("direct", siptest.UAOptions{Transport: sip.UDP, AOR: "x@" + at.String()}, &udpWire{l.udpSocket(at).c, f.open}, at)
		direct.Request("INVITE", "sip:9196@"+f.open.String(), left, body(l.voice(81, 1, "")))
		direct.want("407 INVITE") // the trap is there

		alice := l.browser("alice")
		alice.Request("INVITE", "9196", append([]string{left, body(l.voice(90, 1, ""))}, timed...)...)
		if m := alice.want("200 INVITE"); !strings.HasPrefix(m.Named("Session-Expires"), "120") {
			t.Errorf("Session-Expires is %q", m.Named("Session-Expires"))
		}
		alice.InDialog("ACK")
		alice.hangsUp()
		alice.Request("MESSAGE", "1000", left, "Content-Type: text/plain", body("hello"))
		alice.want("202 MESSAGE")

		l.until("FreeSWITCH has pinged the gateway twice", func() bool { return l.g.Snapshot().Requests["OPTIONS"] >= 2 })
		if state := f.api("sofia status gateway ringway"); !strings.Contains(state, "Status  \tUP") {
			t.Errorf("FreeSWITCH says of the gateway:\n%s", state)
		}
		l.over()
		f.quiet(l)
		alice.quiet()
	})
}

// While it stops FreeSWITCH answers 410 to all that is new: no verdict on the callee, the other server is asked.
func TestFreeSWITCHStops(t *testing.T) {
	freeswitchBinary(t)
	l := newNet(t)
	first, second := l.freeswitch(l.sip.String()), l.freeswitch(l.sip.String())
	l.start(passes(`"`+hop(first.open, "udp")+`", "`+hop(second.open, "udp")+`"`, ""))
	alice, bob := l.browser("alice"), l.browser("bob")
	bob.dials(l, "9196") // a call that it has to end first
	bob.want("200 INVITE")
	bob.InDialog("ACK")
	_ = syscall.Kill(first.cmd.Process.Pid, syscall.SIGTERM)
	at := l.free(81)
	direct := l.play("direct", siptest.UAOptions{Transport: sip.UDP, AOR: "x@" + at.String()}, &udpWire{l.udpSocket(at).c, first.open}, at)
	l.until("the first says 410", func() bool {
		direct.Request("OPTIONS", "sip:"+first.open.String())
		return direct.next("an answer to OPTIONS").Status() == 410
	})
	for range 3 {
		alice.dials(l, "9196")
		alice.want("200 INVITE")
		alice.InDialog("ACK")
		alice.hangsUp()
	}
	if n := l.event("failover"); n == 0 {
		t.Error("no call was first offered to the server that stops")
	}
}
