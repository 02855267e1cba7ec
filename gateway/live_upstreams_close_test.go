//go:build linux

package gateway_test

import (
	"net/netip"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// hangsUp is a server over TCP that closes its first connection and takes another.
type hangsUp struct {
	l     *live
	at    netip.AddrPort
	first *tcpWire
	*phone
}

func (l *live) hangsUp(at netip.AddrPort) *hangsUp {
	w := l.tcpListener(at)
	return &hangsUp{l, at, w, l.play("one", siptest.UAOptions{Transport: sip.TCP, AOR: "pbx@" + at.String()}, w, at)}
}

// hangUp closes the connection and is the server on the next.
func (c *hangsUp) hangUp() *phone {
	next := c.l.play("again", siptest.UAOptions{Transport: sip.TCP, AOR: "pbx@" + c.at.String()},
		&tcpWire{listener: c.first.listener, opened: make(chan struct{})}, c.at)
	<-c.first.opened
	c.first.c.Close()
	return next
}

// A hop closes its connection after 180 and the caller cancels: the caller hears 487 at once, the hop CANCEL over a new
// connection.
func TestCancelAfterHopHasClosed(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	at := l.free(71)
	one := l.hangsUp(at)
	l.start(group("health: off", hop(at, "tcp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	invite := one.want("INVITE")
	one.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	again := one.hangUp()
	l.until("its connection is closed", func() bool { return l.g.Snapshot().Flows["tcp"] == 0 })
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	cancel := again.want("CANCEL")
	if cancel.TopVia().Branch != invite.TopVia().Branch {
		t.Errorf("the CANCEL has another branch:\n%s", cancel)
	}
	again.wire.Write(string(invite.AppendReply(nil, &sip.Reply{Status: 487, ToTag: "one-1"})))
	again.want("ACK")
	l.over()
	alice.quiet()
}

// The same with nobody there any more.
func TestCancelAfterHopHasDied(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	at := l.free(71)
	one := l.tcpPeer("one", at)
	l.start(group("health: off", hop(at, "tcp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	one.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	one.wire.close()
	l.until("its connection is closed", func() bool { return l.g.Snapshot().Flows["tcp"] == 0 })
	alice.Cancel()
	alice.want("200 CANCEL")
	alice.want("487 INVITE")
	l.over()
	alice.quiet()
}

// RFC 3261 §18.4: BYE meets a connection that the hop is just closing, and goes once more over a new one.
func TestBYEMeetsAClosingConnection(t *testing.T) {
	t.Parallel()
	l := newNet(t)
	at := l.free(71)
	one := l.hangsUp(at)
	l.start(group("health: off", hop(at, "tcp")))
	alice := l.browser("alice")
	alice.Request("INVITE", "200")
	one.want("INVITE")
	one.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	one.want("ACK")
	alice.InDialog("BYE")
	one.want("BYE")
	again := one.hangUp()
	again.want("BYE")
	again.Reply(200, "", "BYE")
	alice.want("200 BYE")
	l.over()
	alice.quiet()
}
