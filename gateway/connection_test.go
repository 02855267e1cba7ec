package gateway_test

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

// What becomes of the TCP connections that an upstream opens, with real sockets.

// RFC 5626 §5.3, RFC 5923 §5: a PBX that connects to us and refuses connections back gets the requests of
// its dialogs over the connection that it opened: the callee's BYE, and ours for a callee who is gone.
func TestTCPUpstreamThatRefusesConnections(t *testing.T) {
	for _, sentBy := range []string{"", "SIP/2.0/TCP pbx.invalid:5080"} {
		r := newHostileRig(t, "dead_peer_bye: 1s\n")
		pbx := r.tcpFrom(pbxHost)
		pbx.user, pbx.contact = "200", fmt.Sprintf("sip:200@%s:5080;transport=tcp", r.addr(pbxHost))
		if sentBy == "" {
			sentBy = fmt.Sprintf("SIP/2.0/TCP %s:5080", r.addr(pbxHost))
		}
		ring := func(callee *hostilePeer) *hostileCall {
			c := &hostileCall{caller: pbx, callee: callee, toTag: hostileID("t")}
			c.invite = pbx.out("INVITE", "sip:"+callee.user+"@example.com", "sip:200@example.com", "sip:"+callee.user+"@example.com")
			c.invite.via = sentBy
			pbx.send(c.invite.String())
			c.arrived = callee.request("INVITE")
			return c.answer()
		}
		c := ring(r.alice)
		bye := r.alice.out("BYE", pbx.contact, c.invite.to, c.invite.from)
		bye.fromTag, bye.toTag, bye.callID = c.toTag, c.invite.fromTag, c.invite.callID
		for _, v := range c.calleeRoutes {
			bye.add("Route: " + v)
		}
		r.alice.send(bye.String())
		pbx.send(hostileReply(pbx.request("BYE"), 200, ""))
		r.alice.status(200)
		ring(r.bob)
		r.bob.close()
		pbx.request("BYE")
	}
}

// RFC 3261 §18.2.2: the upstream's connection closes while the phone rings; the answer comes over one that
// we open to the port of its Via. A stranger's phone makes us connect nowhere.
func TestAnswerOverANewConnection(t *testing.T) {
	r := newHostileRig(t, "")
	for _, host := range []byte{pbxHost, attackerHost} {
		ln, err := net.Listen("tcp", netip.AddrPortFrom(r.addr(host), 0).String())
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		p := r.tcpFrom(host)
		p.user = "mallory"
		if host == attackerHost {
			p.register("mallory")
		}
		o := p.out("INVITE", aliceURI, "sip:"+p.user+"@example.com", aliceURI)
		o.via = "SIP/2.0/TCP " + ln.Addr().String()
		p.send(o.String())
		inv := r.alice.request("INVITE")
		flows := r.g.Snapshot().Flows["tcp"]
		p.close()
		r.until(t, "the connection is closed", func() bool { return r.g.Snapshot().Flows["tcp"] < flows })
		r.alice.send(hostileReply(inv, 200, "t", "Contact: <"+r.alice.contactURI()+">"))
		if host == attackerHost {
			r.alive(t) // what we would have begun has begun
			ln.(*net.TCPListener).SetDeadline(time.Now())
			if _, err := ln.Accept(); err == nil {
				t.Error("a stranger's Via made us connect")
			}
			continue
		}
		ln.(*net.TCPListener).SetDeadline(time.Now().Add(hostilePatience))
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text, err := readStreamed(bufio.NewReader(c))
		if m, bad := sip.Parse(text, sip.Stream); err != nil || bad != nil || m.Status() != 200 || !strings.Contains(text, o.branch) {
			t.Errorf("%v %v\n%s", err, bad, text)
		}
	}
}
