//go:build linux

package gateway_test

import "testing"

// each runs a case with a PBX over UDP and one over TCP.
func each(t *testing.T, f func(t *testing.T, transport string)) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			f(t, transport)
		})
	}
}

// A browser calls a number at the PBX and hangs up.
func TestSIPpIsCalled(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		pbx := l.sipp(call{scenario: "uas", at: at, transport: transport})
		alice := l.browser("alice")
		alice.Request("INVITE", "200", body(sdp("offer", 600)))
		alice.want("180 INVITE")
		alice.want("200 INVITE")
		alice.InDialog("ACK")
		alice.InDialog("BYE")
		alice.want("200 BYE")
		pbx.succeeds()
		l.over()
		alice.quiet()
	})
}

// The PBX hangs up.
func TestSIPpIsCalledAndHangsUp(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		pbx := l.sipp(call{scenario: "uas-bye", at: at, transport: transport})
		alice := l.browser("alice")
		alice.Request("INVITE", "200", body(sdp("offer", 600)))
		alice.want("200 INVITE")
		alice.InDialog("ACK")
		alice.want("BYE")
		alice.Reply(200, "", "BYE")
		pbx.succeeds()
		l.over()
		alice.quiet()
	})
}

// The PBX calls a browser and hangs up.
func TestSIPpCalls(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		alice := l.browser("alice")
		pbx := l.sipp(call{scenario: "uac", at: at, transport: transport, to: l.sip, user: "alice"})
		alice.want("INVITE")
		alice.Reply(180, "", "INVITE")
		alice.Reply(200, "", "INVITE", body(sdp("answer", 2800)))
		alice.want("ACK")
		alice.want("BYE")
		alice.Reply(200, "", "BYE")
		pbx.succeeds()
		l.over()
		alice.quiet()
	})
}

// The browser hangs up on the PBX.
func TestSIPpCallsAndIsHungUpOn(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		alice := l.browser("alice")
		pbx := l.sipp(call{scenario: "uac-byed", at: at, transport: transport, to: l.sip, user: "alice"})
		alice.want("INVITE")
		alice.Reply(200, "", "INVITE", body(sdp("answer", 2800)))
		alice.want("ACK")
		alice.InDialog("BYE")
		alice.want("200 BYE")
		pbx.succeeds()
		l.over()
		alice.quiet()
	})
}

func TestSIPpIsCancelled(t *testing.T) { // RFC 3261 §9.1
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		pbx := l.sipp(call{scenario: "uas-cancelled", at: at, transport: transport})
		alice := l.browser("alice")
		alice.Request("INVITE", "200")
		alice.want("180 INVITE")
		alice.Cancel()
		alice.want("200 CANCEL")
		alice.want("487 INVITE")
		pbx.succeeds()
		l.over()
		alice.quiet()
	})
}

func TestSIPpCancels(t *testing.T) { // RFC 3261 §9.2
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(pbxes(hop(at, transport)))
		alice := l.browser("alice")
		pbx := l.sipp(call{scenario: "uac-cancel", at: at, transport: transport, to: l.sip, user: "alice"})
		alice.want("INVITE")
		alice.Reply(180, "", "INVITE")
		alice.want("CANCEL")
		alice.Reply(487, "", "INVITE")
		alice.want("ACK")
		pbx.succeeds()
		l.over()
		alice.quiet()
	})
}

// A refusal is passed on as it is; also the 503 of the last hop, since no other way
// leads to that upstream (RFC 3261 §16.7 step 6).
func TestSIPpRefuses(t *testing.T) {
	for status, want := range map[string]string{"486": "486 INVITE", "603": "603 INVITE", "503": "503 INVITE"} {
		t.Run(status, func(t *testing.T) {
			each(t, func(t *testing.T, transport string) {
				l := newNet(t)
				at := l.free(71)
				l.start(pbxes(hop(at, transport)))
				pbx := l.sipp(call{scenario: "uas-reject", at: at, transport: transport, status: status})
				alice := l.browser("alice")
				alice.Request("INVITE", "200")
				alice.want(want)
				pbx.succeeds()
				l.over()
				alice.quiet()
			})
		})
	}
}
