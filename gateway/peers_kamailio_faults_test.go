//go:build linux

package gateway_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/ringway/ringway/sip"
)

// RFC 3608 §5: what Kamailio wants requests to pass is put on them by the gateway, for browsers do not.
func TestKamailioServiceRoute(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		k := l.registry(transport, "\t\tif (!save", "\t\tappend_to_reply(\"Service-Route: <sip:127.0.0.1:5070;lr;of=$tU>\\r\\n\");\n\t\tif (!save",
			"\troute(PROVE);", "\tif ($hdr(Route) != $null) xlog(\"L_ERR\", \"$rm goes by $hdr(Route)\\n\");\n\troute(PROVE);")
		k.relay("")
		alice, bob := k.browser("alice", "alice"), k.page("bob")
		if m := alice.registers(); m.Named("Service-Route") != "<sip:"+k.at.String()+";lr;of=alice>" {
			t.Errorf("Service-Route: %q", m.Named("Service-Route"))
		}
		alice.talks(bob, "bob")
		bob.ends(alice)
		bob.Request("MESSAGE", "alice")
		bob.want("407 MESSAGE")
		alice.want("MESSAGE")
		alice.Reply(200, "", "MESSAGE")
		bob.want("200 MESSAGE")
		for method, user := range map[string]string{"INVITE": "alice", "MESSAGE": "bob"} {
			said := fmt.Sprintf("%s goes by <sip:%s;lr;of=%s>\n", method, k.at, user)
			l.until("Kamailio has seen "+said, func() bool { return strings.Count(k.out.String(), said) == 2 }) // the second with credentials
		}
		l.over()
	})
}

// Kamailio forgets all when it is restarted. Each is reachable again with the next REGISTER, and none has to
// connect anew.
func TestKamailioRestarts(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		k := l.registry(transport).relay("")
		alice, bob := k.page("alice"), k.page("bob")
		alice.talks(bob, "bob")
		k.end()
		k.start()
		alice.InDialog("INVITE") // their call goes on: Kamailio keeps no state of it
		bob.want("INVITE")
		bob.Reply(200, "", "INVITE")
		alice.want("200 INVITE")
		alice.InDialog("ACK")
		bob.want("ACK")
		bob.ends(alice)
		alice.Request("INVITE", "bob") // she is known here as long as she was told
		alice.want("407 INVITE")
		alice.want("480 INVITE")
		bob.registers()
		alice.talks(bob, "bob")
		alice.ends(bob)
		bob.Request("MESSAGE", "alice")
		bob.want("407 MESSAGE")
		bob.want("480 MESSAGE")
		alice.registers()
		bob.talks(alice, "alice")
		bob.ends(alice)
		l.over()
	})
}

// While Kamailio is away, who calls hears so at once; nobody loses his connection.
func TestKamailioIsAway(t *testing.T) {
	l := newNet(t)
	k := l.registry("tcp").relay("health: { interval: 1s, down_interval: 1s, timeout: 1s, up_after: 1 }")
	alice, bob := k.page("alice"), k.page("bob")
	k.end()
	for _, method := range []string{"INVITE", "MESSAGE"} {
		alice.Request(method, "bob")
		if m := alice.next("a refusal"); m.Status() != 503 {
			t.Errorf("while Kamailio is away:\n%s", m)
		}
	}
	alice.Register(600)
	alice.want("503 REGISTER")
	k.start()
	l.until("Kamailio is back", func() bool { return l.g.Snapshot().Upstreams[0].Up })
	alice.registers()
	bob.registers()
	alice.talks(bob, "bob")
	alice.ends(bob)
	l.over()
}

// What is left of a page that was closed rings nowhere, and holds nobody up.
func TestKamailioReachesNoDeadSocket(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		k := l.registry(transport).relay("")
		alice, old := k.page("alice"), k.browser("old", "bob")
		old.registers()
		gone(old)
		l.until("bob's page is forgotten", func() bool { return l.g.Snapshot().Relayed == 1 })
		alice.Request("INVITE", "bob")
		alice.want("407 INVITE")
		alice.want("480 INVITE") // Kamailio had him still, and forgets him now
		bob := k.page("bob")
		alice.rings(bob, "bob")
		bob.Reply(486, "", "INVITE")
		bob.want("ACK")
		alice.want("486 INVITE")

		bob.cut() // and comes back: the same binding, over another connection
		l.reconnect(bob)
		if m := bob.registers(); len(listed(m)) != 1 {
			t.Errorf("Kamailio knows more of bob than this page:\n%s", m)
		}
		again := fmt.Sprintf(`Contact: <sip:another@bob.invalid;transport=ws>;reg-id=1;+sip.instance="<urn:uuid:00000000-0000-4000-8000-%012x>"`, "bob")
		if m := bob.registers(again); len(listed(m)) != 1 { // RFC 5626 §4.2: the same flow of the same instance
			t.Errorf("Kamailio keeps what bob was:\n%s", m)
		}
		alice.talks(bob, "bob")
		bob.cut() // in a call
		alice.InDialog("INVITE")
		l.reconnect(bob)
		bob.Register(600)
		bob.want("401 REGISTER")
		for range 2 { // the INVITE has waited
			if m := bob.next("200 REGISTER and INVITE"); m.IsRequest() {
				bob.Reply(200, "", "INVITE")
			}
		}
		alice.want("200 INVITE")
		alice.InDialog("ACK")
		bob.want("ACK")
		bob.ends(alice)
		l.over()
	})
}

// gone closes a page as a browser does.
func gone(p *phone) {
	_ = p.wire.(*wsWire).c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseGoingAway, ""), time.Now().Add(patience))
	p.cut()
}

// What Kamailio refuses a REGISTER with passes on and is explained; nobody is registered by it.
func TestKamailioRefusesRegister(t *testing.T) {
	for _, c := range []struct {
		name   string
		edits  []string
		send   []string
		status int
		want   func(m *sip.Message) bool
		log    string
	}{
		{"420", []string{`"outbound_mode", 1`, `"outbound_mode", 0`}, []string{"Require: outbound"}, 420,
			func(m *sip.Message) bool { return m.Named("Unsupported") == "outbound" }, "lacks an extension"},
		{"423", []string{`"min_expires", 30)`, "\"min_expires\", 900)\nmodparam(\"registrar\", \"min_expires_mode\", 1)"}, nil, 423,
			func(m *sip.Message) bool { return m.Named("Min-Expires") == "900" }, "wants longer registrations"},
		{"403", []string{"\t\tif (!save", "\t\tsl_send_reply(\"403\", \"Not You\"); exit;\n\t\tif (!save"}, nil, 403,
			func(m *sip.Message) bool { return m.ReasonPhrase() == "Not You" }, "the registrar forbids"},
		{"two Contacts", nil, []string{"Contact: <sip:a@a.invalid;transport=ws>, <sip:b@b.invalid;transport=ws>"}, 400,
			func(m *sip.Message) bool { return strings.Contains(m.ReasonPhrase(), "more than one Contact") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newNet(t)
			k := l.registry("tcp", c.edits...).relay("")
			alice := k.browser("alice", "alice")
			alice.Register(600, c.send...)
			if c.log != "" {
				alice.want("401 REGISTER")
			}
			if m := alice.want(fmt.Sprintf("%d REGISTER", c.status)); !c.want(m) {
				t.Errorf("what Kamailio says does not arrive:\n%s", m)
			}
			if !strings.Contains(l.log.String(), c.log) {
				t.Errorf("nobody explains it:\n%s", l.log)
			}
			alice.Request("INVITE", "bob")
			alice.want("403 INVITE")
		})
	}
}

// What bites with Kamailio as it comes (docs/kamailio.md): it takes no notice of Path, and of no offer larger than 4 KB.
func TestKamailioUntouched(t *testing.T) {
	l := newNet(t)
	k := l.registry("tcp", "modparam(\"registrar\", \"use_path\", 1)", "", "tcp_rd_buf_size=65536", "dns=no\ntcp_rd_buf_size=4096").relay("")
	alice, bob := k.page("alice"), k.page("bob")
	if log := l.log.String(); strings.Count(log, "the registrar returns no Path") != 1 {
		t.Errorf("not warned once:\n%s", log)
	}
	alice.Request("INVITE", "bob")
	alice.want("407 INVITE")
	alice.want("480 INVITE")
	alice.Request("INVITE", "bob", body(sdp("offer", 8000)))
	if m := alice.next("a refusal"); m.Status() < 500 {
		t.Errorf("who offers 8 KB hears\n%s", m)
	}
	bob.quiet()
	l.over()
}

// A hop without transport: what is too large for a packet goes by TCP, the rest by UDP.
func TestKamailioByPacketAndStream(t *testing.T) {
	l := newNet(t)
	k := l.registry("").relay("")
	alice, bob := k.page("alice"), k.page("bob")
	for _, size := range []int{100, 9000} {
		for _, c := range [][2]*phone{{alice, bob}, {bob, alice}} {
			c[0].talks(c[1], c[1].Name, body(sdp("offer", size)))
			c[1].InDialog("INVITE", body(sdp("offer", size)))
			c[0].wantBody("INVITE", sdp("offer", size))
			c[0].Reply(200, "", "INVITE", body(sdp("answer", size)))
			c[1].wantBody("200 INVITE", sdp("answer", size))
			c[1].InDialog("ACK")
			c[0].want("ACK")
			c[0].ends(c[1])
		}
	}
	l.over()
}

// Much that is written for browsers at Kamailio itself marks Contacts with where they came from, which is the gateway.
func TestKamailioMendsContacts(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		k := l.registry(transport, `loadmodule "auth.so"`, "loadmodule \"auth.so\"\nloadmodule \"nathelper.so\"",
			`modparam("auth", "qop", "auth")`, "modparam(\"auth\", \"qop\", \"auth\")\nmodparam(\"nathelper|registrar\", \"received_avp\", \"$avp(RECEIVED)\")",
			"\troute(PROVE);", "\tforce_rport();\n\tif (is_method(\"REGISTER\")) fix_nated_register(); else set_contact_alias();\n\troute(PROVE);",
			"\tif (loose_route()) {", "\tif (loose_route()) {\n\t\thandle_ruri_alias();\n\t\tif (!is_method(\"ACK|BYE\")) set_contact_alias();",
			"\tt_on_branch_failure(\"gone\");", "\tt_on_reply(\"mend\");",
			"event_route[tm:branch-failure:gone] {", "onreply_route[mend] { set_contact_alias(); }\nevent_route[tm:branch-failure:gone] {").relay("")
		alice, bob := k.page("alice"), k.page("bob")
		for _, c := range [][2]*phone{{alice, bob}, {bob, alice}} {
			m := c[0].talks(c[1], c[1].Name)
			if !strings.Contains(m.Value(sip.Contact), ";alias="+l.sip.Addr().String()) {
				t.Errorf("Kamailio marks nothing:\n%s", m)
			}
			for _, who := range [][2]*phone{{c[0], c[1]}, {c[1], c[0]}} {
				who[0].InDialog("INVITE", body(sdp("hold", 900)))
				who[1].wantBody("INVITE", sdp("hold", 900))
				who[1].Reply(200, "", "INVITE")
				who[0].want("200 INVITE")
				who[0].InDialog("ACK")
				who[1].want("ACK")
			}
			c[1].ends(c[0])
		}
		bob.cut()
		l.reconnect(bob)
		bob.registers()
		alice.talks(bob, "bob")
		bob.ends(alice)
		l.over()
	})
}
