//go:build linux

package main

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

// ring has alice's call ring at bob.
func ring(alice, bob *client) {
	alice.t.Helper()
	alice.Request("INVITE", "sip:bob@example.com")
	bob.want("INVITE ")
	bob.Reply(180, "Ringing", "INVITE")
	alice.want("SIP/2.0 180")
}

// A call that goes on ringing does not keep the gateway from ending in its time: its
// callee is told CANCEL, its caller when to come again (RFC 3261 §21.5.4).
func TestSIGTERMWhileRinging(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := gatewayAt(t, addr, 3*time.Second)
	alice, bob := newClient(t, addr, "alice"), newClient(t, addr, "bob")
	ring(alice, bob)
	p.signal(syscall.SIGTERM)
	p.told("STOPPING=1")
	if refusal := alice.want("SIP/2.0 503"); !strings.Contains(refusal, "Retry-After: ") {
		t.Errorf("no Retry-After in %q", refusal)
	}
	bob.want("CANCEL ")
	alice.want("closed 1012") // RFC 6455's registry: service restart
	bob.want("closed 1012")
	if code := p.code(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// Within the time there is, a call that is being set up comes up.
func TestSIGTERMLetsARingingCallBeAnswered(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := gatewayAt(t, addr, 10*time.Second)
	alice, bob := newClient(t, addr, "alice"), newClient(t, addr, "bob")
	ring(alice, bob)
	p.signal(syscall.SIGTERM)
	p.told("STOPPING=1")
	bob.Reply(200, "OK", "INVITE")
	alice.want("SIP/2.0 200")
	alice.InDialog("ACK")
	bob.want("ACK ")
	alice.want("closed 1012")
	bob.want("closed 1012")
	if code := p.code(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// The second signal ends the process at once, whatever is under way.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := gatewayAt(t, addr, time.Hour)
	alice, bob := newClient(t, addr, "alice"), newClient(t, addr, "bob")
	ring(alice, bob)
	p.signal(syscall.SIGTERM)
	p.told("STOPPING=1")
	p.signal(syscall.SIGTERM)
	if code := p.code(); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(p.stderr.String(), "a second signal ends at once") {
		t.Error("nobody was told of the second signal")
	}
	alice.want("closed 1006") // RFC 6455 §7.1.5: without a close frame
}

func TestSIGINTWithoutCalls(t *testing.T) {
	t.Parallel()
	addr := freeAddr(t)
	p := gatewayAt(t, addr, 2*time.Second)
	alice := newClient(t, addr, "alice")
	p.signal(syscall.SIGINT)
	alice.want("closed 1012")
	if code := p.code(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
