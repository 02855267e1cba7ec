//go:build linux

package gateway_test

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// relayed runs a gateway in front of a FreeSWITCH that keeps the users of pbx.example.
func (l *live) relayed(f *freeswitch, transport, contact string) *live {
	return l.relays("pbx.example", hop(f.at, transport), "contact: "+contact+", ")
}

// kept is a browser of a user whom FreeSWITCH keeps; it has not registered yet.
func (l *live) kept(name, user, password string) *phone {
	l.t.Helper()
	return l.tab(name, user+"@pbx.example", password, "")
}

// signsIn registers with FreeSWITCH, which knows the password; the gateway does not.
func (p *phone) signsIn() {
	p.t.Helper()
	p.Register(600)
	p.want("401 REGISTER")
	m := p.want("200 REGISTER")
	if c := m.Value(sip.Contact); !strings.HasPrefix(c, "<sip:"+p.Name+"@"+p.Name+".invalid;transport=ws>") || !strings.Contains(c, "expires=120") {
		p.t.Errorf("Contact is %q, want the browser's, for 120 s", c)
	}
}

// idle is quiet, for a user whose domain it is.
func (p *phone) idle() {
	p.t.Helper()
	p.Request("OPTIONS", "sip:pbx.example")
	p.want("200 OPTIONS")
}

// calls dials as JsSIP does, and answers FreeSWITCH's challenge.
func (p *phone) calls(l *live, number string) {
	p.t.Helper()
	p.dials(l, number)
	p.want("407 INVITE")
}

func TestFreeSWITCHKeepsTheUsers(t *testing.T) {
	freeswitchBinary(t)
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		f := l.freeswitch(l.sip.String() + ";transport=" + transport)
		l.relayed(f, transport, "alias")
		alice, bob := l.kept("1000", "1000", "secret"), l.kept("1001", "1001", "secret")
		alice.signsIn()
		bob.signsIn()
		for _, c := range []struct {
			name string
			run  func(t *testing.T, l *live, f *freeswitch, alice, bob *phone)
		}{
			{"calls", fsKeptCalls}, {"hold by re-INVITE", fsKeptHold}, {"REFER", fsKeptRefer}, {"BYE from FreeSWITCH", fsKeptBye},
			{"user to user", fsKeptUsers}, {"OPTIONS", fsKeptOptions}, {"a dead socket", fsKeptDead}, {"wrong password", fsKeptWrong},
		} {
			t.Run(c.name, func(t *testing.T) {
				l, alice, bob := l.as(t), alice.as(t), bob.as(t)
				c.run(t, l, f, alice, bob)
				l.over()
				f.quiet(l)
				alice.idle()
			})
		}
	})
}

func fsKeptCalls(t *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.calls(l, "9196")
	if m := alice.want("200 INVITE"); !strings.HasPrefix(m.Named("Session-Expires"), "120") {
		t.Errorf("Session-Expires is %q", m.Named("Session-Expires"))
	}
	alice.InDialog("ACK")
	alice.hangsUp()
	for number, want := range map[string]string{"cause-USER_BUSY": "486 INVITE", "cause-CALL_REJECTED": "603 INVITE", "999": "404 INVITE", "6080": "302 INVITE"} {
		alice.calls(l, number)
		alice.want(want)
	}
	alice.calls(l, "611")
	alice.want("180 INVITE")
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	alice.calls(l, "610")
	alice.want("183 INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.hangsUp()
}

func fsKeptHold(_ *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.calls(l, "607")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.want("INVITE")
	alice.Reply(200, "", "INVITE", offers, body(l.voice(90, 2, "recvonly")))
	alice.want("ACK")
	alice.want("INVITE")
	alice.Reply(200, "", "INVITE", offers, body(l.voice(90, 3, "")))
	alice.want("ACK")
	alice.hangsUp()
}

func fsKeptRefer(t *testing.T, l *live, f *freeswitch, alice, _ *phone) {
	alice.calls(l, "608")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	if m := alice.want("REFER"); !strings.Contains(m.Value(sip.ReferTo), "sip:9196@"+f.at.String()) {
		t.Errorf("Refer-To is %q", m.Value(sip.ReferTo))
	}
	alice.Reply(202, "", "REFER")
	alice.InDialog("NOTIFY", "Event: refer", "Subscription-State: terminated;reason=noresource", "Content-Type: message/sipfrag", body("SIP/2.0 200 OK\r\n"))
	alice.want("200 NOTIFY")
	alice.isHungUp()
	alice.calls(l, "sip:9196@"+f.at.String())
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.hangsUp()
}

func fsKeptBye(_ *testing.T, l *live, _ *freeswitch, alice, _ *phone) {
	alice.calls(l, "613")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	alice.isHungUp()
}

// FreeSWITCH finds the browser by the alias that it was given for its Contact.
func fsKeptUsers(t *testing.T, l *live, _ *freeswitch, alice, bob *phone) {
	alice.calls(l, "1001")
	if m := bob.want("INVITE"); m.RequestURI() != "sip:1001@1001.invalid;transport=ws" {
		t.Errorf("the Request-URI is %s, want what the browser registered", m.RequestURI())
	}
	bob.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	bob.Reply(200, "", "INVITE", offers, body(l.voice(91, 1, "")))
	bob.want("ACK")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	bob.hangsUp()
	alice.isHungUp()
}

// FreeSWITCH asks after its registered users; the gateway knows, and a sleeping tab is not woken.
func fsKeptOptions(t *testing.T, l *live, f *freeswitch, _, bob *phone) {
	n := l.g.Snapshot().Requests["OPTIONS"]
	l.until("FreeSWITCH has asked four times", func() bool { return l.g.Snapshot().Requests["OPTIONS"] >= n+4 })
	if all := f.api("sofia status profile users reg"); strings.Count(all, "Ping-Status:\tReachable") != 2 {
		t.Errorf("FreeSWITCH says:\n%s", all)
	}
	bob.idle()
}

// A browser that comes back replaces what it was: nothing rings along. One that does not is 480 at once.
func fsKeptDead(t *testing.T, l *live, f *freeswitch, alice, bob *phone) {
	bob.cut()
	l.reconnect(bob)
	bob.signsIn()
	if all := f.api("sofia status profile users reg"); strings.Count(all, "Auth-User:  \t1001") != 1 {
		t.Errorf("FreeSWITCH knows more than one of 1001:\n%s", all)
	}
	alice.calls(l, "1001")
	bob.want("INVITE")
	bob.Reply(486, "", "INVITE")
	bob.want("ACK")
	alice.want("486 INVITE")
	bob.idle()
	bob.cut()
	l.until("bob is forgotten", func() bool { return l.g.Snapshot().Flows["ws"] == 1 })
	alice.calls(l, "1001")
	if m := alice.next("a refusal"); m.Status() != 480 {
		t.Errorf("who calls a browser that is gone hears\n%s", m)
	}
}

// The gateway would be what FreeSWITCH's fail2ban bans.
func fsKeptWrong(_ *testing.T, l *live, _ *freeswitch, _, _ *phone) {
	eve := l.kept("eve", "1000", "wrong")
	eve.Register(600)
	eve.want("401 REGISTER")
	eve.want("403 REGISTER")
}

// Behind a Path FreeSWITCH would answer 202 and send nothing. It sends a MESSAGE more than once at times, and may answer 500
// to one that it delivers; neither is of ours to mend.
func TestFreeSWITCHPassesMessages(t *testing.T) {
	freeswitchBinary(t)
	l := newNet(t)
	f := l.freeswitch(l.sip.String())
	l.relayed(f, "udp", "alias")
	alice, bob := l.kept("1000", "1000", "secret"), l.kept("1001", "1001", "secret")
	alice.signsIn()
	bob.signsIn()
	alice.Request("MESSAGE", "1001", "Content-Type: text/plain", body("hello"))
	alice.want("407 MESSAGE")
	if m := bob.wantBody("MESSAGE", "hello"); m.RequestURI() != "sip:1001@1001.invalid;transport=ws" {
		t.Errorf("the Request-URI is %s, want what the browser registered", m.RequestURI())
	}
	bob.Reply(200, "", "MESSAGE")
}

// By its Path FreeSWITCH finds a browser, too, and offers it what browsers want.
func TestFreeSWITCHFollowsPath(t *testing.T) {
	freeswitchBinary(t)
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		f := l.freeswitch(l.sip.String() + ";transport=" + transport)
		l.relayed(f, transport, "path")
		alice, bob := l.kept("1000", "1000", "secret"), l.kept("1001", "1001", "secret")
		alice.signsIn()
		bob.signsIn()
		alice.calls(l, "1001")
		if m := bob.want("INVITE"); m.RequestURI() != "sip:1001@1001.invalid;transport=ws" || !strings.Contains(m.Body(), "RTP/SAVPF") {
			t.Errorf("FreeSWITCH offers\n%s", m)
		}
		bob.Reply(486, "", "INVITE")
		bob.want("ACK")
		alice.want("486 INVITE")
		l.over()
		f.quiet(l)
		alice.idle()
		bob.idle()
	})
}
