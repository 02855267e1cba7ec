//go:build linux

package gateway_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

type registryCase struct {
	name string
	run  func(t *testing.T, k *registry, alice, bob *phone)
}

// Kamailio keeps the users and finds them by their Path (RFC 3327).
func TestKamailioKeepsTheUsers(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		k := newNet(t).registry(transport)
		k.relay("")
		alice, bob := k.page("alice"), k.page("bob")
		for _, c := range []registryCase{
			{"registrations", keptRegistrations}, {"calls", keptCalls}, {"CANCEL and refusals", keptRefusals}, {"requests in a dialog", keptDialog},
			{"requests out of dialogs", keptRequests}, {"subscriptions", keptSubscriptions}, {"REFER", keptRefer}, {"two calls joined", keptReplaces}, {"reliable provisional responses", keptReliable}, {"a desk phone", keptDesk},
			{"two tabs", keptTabs}, {"GRUU", keptGRUU}, {"whom nobody knows", keptNobody}, {"wrong password", keptWrong},
		} {
			t.Run(c.name, func(t *testing.T) {
				k, alice, bob := k.as(t), alice.as(t), bob.as(t)
				c.run(t, k, alice, bob)
				k.l.over()
				alice.quiet()
				bob.quiet()
			})
		}
	})
}

// RFC 3327 §5.3, RFC 5627 §4: what the registrar grants comes back as it says it, but for how long.
func keptRegistrations(t *testing.T, k *registry, _, _ *phone) {
	carol := k.browser("carol", "carol")
	m := carol.registers()
	for _, want := range []string{
		"<sip:carol@carol.invalid;transport=ws>", ";expires=120", `;+sip.instance="<urn:uuid:`, ";reg-id=1", `;pub-gruu="sip:carol@example.com;gr=urn:uuid:`, `;temp-gruu="sip:`,
	} {
		if c := m.Value(sip.Contact); !strings.Contains(c, want) {
			t.Errorf("no %s in Contact: %s", want, c)
		}
	}
	if p := m.Value(sip.Path); !strings.HasSuffix(p, "@"+k.l.sip.String()+";transport="+k.transport+";lr;ob>") {
		t.Errorf("the Path is %q", p)
	}
	carol.registers() // a refresh
	fetch := func(want int) {
		t.Helper()
		carol.Register(-1, "Contact: -")
		carol.want("401 REGISTER")
		if m := carol.want("200 REGISTER"); len(listed(m)) != want || k.l.g.Snapshot().Relayed != uint64(2+want) {
			t.Errorf("not %d bindings are listed:\n%s", want, m)
		}
	}
	fetch(1)
	carol.leaves()
	fetch(0)
	carol.Request("INVITE", "bob")
	carol.want("403 INVITE")
	carol.wire.close()
}

func keptCalls(t *testing.T, k *registry, alice, bob *phone) {
	for _, who := range []string{"caller", "callee"} {
		offer := sdp("offer", 2600)
		alice.Request("INVITE", "bob", body(offer))
		alice.want("407 INVITE")
		m := bob.wantBody("INVITE", offer)
		if m.RequestURI() != "sip:bob@bob.invalid;transport=ws" || m.Has(sip.Route) || m.Has(sip.ProxyAuthorization) {
			t.Errorf("bob is called with\n%s", m)
		}
		bob.Reply(180, "", "INVITE")
		alice.want("180 INVITE")
		bob.Reply(200, "", "INVITE", body(sdp("answer", 2600)))
		m = alice.want("200 INVITE")
		if c := m.Value(sip.Contact); c != "<sip:bob@bob.invalid;transport=ws>" {
			t.Errorf("Contact %q", c)
		}
		alice.InDialog("ACK")
		bob.want("ACK")
		if who == "caller" {
			alice.ends(bob)
		} else {
			bob.ends(alice)
		}
	}
}

func keptRefusals(_ *testing.T, _ *registry, alice, bob *phone) {
	alice.rings(bob, "bob")
	alice.Cancel("Reason: SIP;cause=200;text=\"Call completed elsewhere\"")
	alice.want("200 CANCEL")
	bob.want("CANCEL")
	bob.Reply(487, "", "INVITE")
	bob.want("ACK")
	alice.want("487 INVITE")
	for _, status := range []int{486, 603, 488, 302, 480} {
		alice.rings(bob, "bob")
		more := []string{"Reason: Q.850;cause=17", "Contact: <sip:carol@example.com>"}
		bob.Reply(status, "Own Words", "INVITE", more...)
		bob.want("ACK")
		m := alice.want(fmt.Sprintf("%d INVITE", status))
		if m.ReasonPhrase() != "Own Words" || m.Named("Reason") != "Q.850;cause=17" || status == 302 && m.Value(sip.Contact) != "<sip:carol@example.com>" {
			alice.t.Errorf("what bob says of %d does not arrive:\n%s", status, m)
		}
	}
}

// In a dialog all that either sends reaches the other, with nobody asked for a password.
func keptDialog(t *testing.T, _ *registry, alice, bob *phone) {
	alice.talks(bob, "bob")
	for _, who := range [][2]*phone{{alice, bob}, {bob, alice}} {
		p, other := who[0], who[1]
		for _, method := range []string{"INVITE", "UPDATE", "INFO", "MESSAGE", "OPTIONS", "NOTIFY", "HOLO"} {
			text := sdp(method, 1500)
			p.InDialog(method, "Content-Type: application/sdp", "Event: x", body(text))
			if m := other.wantBody(method, text); m.RequestURI() != "sip:"+other.Name+"@"+other.Name+".invalid;transport=ws" {
				t.Errorf("the Request-URI is %s", m.RequestURI())
			}
			other.Reply(200, "", method)
			p.want("200 " + method)
			if method == "INVITE" {
				p.InDialog("ACK")
				other.want("ACK")
			}
		}
		p.InDialog("INVITE")
		other.want("INVITE")
		other.Reply(491, "", "INVITE")
		p.want("491 INVITE")
		other.want("ACK")
	}
	bob.ends(alice)
}

func keptRequests(t *testing.T, _ *registry, alice, bob *phone) {
	for _, method := range []string{"MESSAGE", "INFO", "HOLO"} {
		text := "f\u00fcr \u00d6l \u2603 " + strings.Repeat("x", 1500)
		alice.Request(method, "bob", "Content-Type: text/plain;charset=UTF-8", "Event: presence", body(text))
		alice.want("407 " + method)
		if m := bob.wantBody(method, text); m.RequestURI() != "sip:bob@bob.invalid;transport=ws" || m.Has(sip.ProxyAuthorization) {
			t.Errorf("bob gets\n%s", m)
		}
		bob.Reply(202, "", method)
		alice.want("202 " + method)
	}
	alice.Request("OPTIONS", "bob") // Kamailio's, by his Path: the gateway knows that he is there
	alice.want("407 OPTIONS")
	alice.want("200 OPTIONS")
	bob.quiet()
}

// RFC 6665: from browser to browser, the first NOTIFY as the second.
func keptSubscriptions(_ *testing.T, _ *registry, alice, bob *phone) {
	alice.Request("SUBSCRIBE", "bob", "Event: dialog", "Expires: 60")
	alice.want("407 SUBSCRIBE")
	bob.want("SUBSCRIBE")
	bob.Reply(200, "", "SUBSCRIBE", "Expires: 60")
	alice.want("200 SUBSCRIBE")
	for _, state := range []string{"active;expires=60", "terminated;reason=noresource"} {
		if strings.HasPrefix(state, "terminated") {
			alice.InDialog("SUBSCRIBE", "Event: dialog", "Expires: 0")
			bob.want("SUBSCRIBE")
			bob.Reply(200, "", "SUBSCRIBE", "Expires: 0")
			alice.want("200 SUBSCRIBE")
		}
		bob.InDialog("NOTIFY", "Event: dialog", "Subscription-State: "+state)
		alice.want("NOTIFY")
		alice.Reply(200, "", "NOTIFY")
		bob.want("200 NOTIFY")
	}
}

// A blind transfer in the dialog, and what became of it (RFC 3515).
func keptRefer(t *testing.T, k *registry, alice, bob *phone) {
	carol := k.page("carol")
	alice.talks(bob, "bob")
	alice.InDialog("REFER", "Refer-To: <sip:carol@example.com>", "Referred-By: <sip:alice@example.com>")
	if m := bob.want("REFER"); m.Value(sip.ReferTo) != "<sip:carol@example.com>" {
		t.Errorf("Refer-To %q", m.Value(sip.ReferTo))
	}
	bob.Reply(202, "", "REFER")
	alice.want("202 REFER")
	bob.InDialog("NOTIFY", "Event: refer", "Subscription-State: active;expires=60", "Content-Type: message/sipfrag", body("SIP/2.0 100 Trying\r\n"))
	alice.want("NOTIFY")
	alice.Reply(200, "", "NOTIFY")
	bob.want("200 NOTIFY")
	bob.talks(carol, "carol", "Referred-By: <sip:alice@example.com>")
	bob.ends(carol)
	alice.ends(bob)
	carol.leaves()
}

// RFC 3891, as SIP.js does it: carol's Contact is a host that nobody but the gateway knows.
func keptReplaces(_ *testing.T, k *registry, alice, bob *phone) {
	carol := k.page("carol")
	m := alice.talks(carol, "carol")
	contact := strings.Trim(m.Value(sip.Contact), "<>")
	bob.rings(carol, contact, fmt.Sprintf("Replaces: %s;to-tag=%s;from-tag=%s", m.CallID(), m.ToTag(), m.FromTag()))
	carol.Reply(200, "", "INVITE")
	bob.want("200 INVITE")
	bob.InDialog("ACK")
	carol.want("ACK")
	carol.ends(bob)
	alice.ends(carol)
	carol.leaves()
}

func keptReliable(t *testing.T, _ *registry, alice, bob *phone) { // RFC 3262
	alice.Request("INVITE", "bob", "Supported: 100rel")
	alice.want("407 INVITE")
	bob.want("INVITE")
	bob.Reply(183, "", "INVITE", "Require: 100rel", "RSeq: 4711")
	m := alice.want("183 INVITE")
	n, _ := m.CSeq()
	if m.Named("RSeq") != "4711" || !m.HasOption(sip.Require, "100rel") {
		t.Errorf("not reliable:\n%s", m)
	}
	alice.InDialog("PRACK", fmt.Sprintf("RAck: 4711 %d INVITE", n))
	bob.want("PRACK")
	bob.Reply(200, "", "PRACK")
	alice.want("200 PRACK")
	bob.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	bob.want("ACK")
	bob.ends(alice)
}

// A phone that has never heard of the gateway is called and calls.
func keptDesk(t *testing.T, k *registry, alice, _ *phone) {
	desk := k.desk()
	alice.Request("INVITE", "desk", body(sdp("offer", 900)))
	alice.want("407 INVITE")
	desk.want("INVITE")
	desk.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	desk.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	desk.want("ACK")
	desk.InDialog("INVITE")
	alice.want("INVITE")
	alice.Reply(200, "", "INVITE")
	desk.want("200 INVITE")
	desk.InDialog("ACK")
	alice.want("ACK")
	desk.ends(alice)
	desk.talks(alice, "alice")
	alice.InDialog("UPDATE")
	desk.want("UPDATE")
	desk.Reply(200, "", "UPDATE")
	alice.want("200 UPDATE")
	alice.ends(desk)
	desk.rings(alice, "alice")
	desk.Cancel()
	desk.want("200 CANCEL")
	alice.want("CANCEL")
	alice.Reply(487, "", "INVITE")
	alice.want("ACK")
	desk.want("487 INVITE")
}

// Kamailio forks to both tabs; who is too late is told.
func keptTabs(t *testing.T, k *registry, alice, bob *phone) {
	tab := k.browser("tab", "bob")
	if m := tab.registers(); len(listed(m)) != 2 {
		t.Errorf("bob is not registered twice:\n%s", m)
	}
	alice.Request("INVITE", "bob")
	alice.want("407 INVITE")
	tab.want("INVITE")
	bob.want("INVITE")
	tab.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	bob.Reply(180, "", "INVITE")
	alice.want("180 INVITE")
	tab.Reply(200, "", "INVITE")
	alice.want("200 INVITE")
	alice.InDialog("ACK")
	tab.want("ACK")
	bob.want("CANCEL")
	bob.Reply(487, "", "INVITE")
	bob.want("ACK")
	tab.ends(alice)
	tab.leaves()
}

// RFC 5627: of two tabs the one that the GRUU names.
func keptGRUU(t *testing.T, k *registry, alice, bob *phone) {
	tab := k.browser("tab2", "bob")
	m := tab.registers()
	i := slices.IndexFunc(listed(m), func(c string) bool { return strings.Contains(c, "tab2.invalid") })
	if i < 0 {
		t.Fatalf("not registered:\n%s", m)
	}
	_, temporary, _ := strings.Cut(listed(m)[i], `temp-gruu="`)
	temporary, _, _ = strings.Cut(temporary, `"`)
	alice.rings(tab, temporary)
	tab.Reply(486, "", "INVITE")
	tab.want("ACK")
	alice.want("486 INVITE")
	bob.quiet()
	alice.rings(bob, "sip:bob@example.com;gr=urn:uuid:"+fmt.Sprintf("00000000-0000-4000-8000-%012x", "bob"))
	bob.Reply(486, "", "INVITE")
	bob.want("ACK")
	alice.want("486 INVITE")
	tab.quiet()
	tab.leaves()
}

func keptNobody(_ *testing.T, k *registry, alice, _ *phone) {
	for user, want := range map[string]string{"desk2": "404 INVITE", "carol": "480 INVITE"} {
		alice.Request("INVITE", user)
		alice.want("407 INVITE")
		alice.want(want)
	}
	alice.Request("INVITE", "sip:carol@elsewhere.example")
	alice.want("403 INVITE")
	eve := k.browser("eve", "alice") // alice's, by name
	eve.Request("INVITE", "bob")
	eve.want("403 INVITE")
}

// Kamailio asks again; the gateway lets nobody guess for ever (its address would be banned for all).
func keptWrong(t *testing.T, k *registry, _, _ *phone) {
	eve := k.browser("eve2", "carol", "wrong")
	for n := 0; ; n++ {
		eve.Register(600)
		eve.want("401 REGISTER")
		if m := eve.next("the registrar's answer"); what(m) == "403 REGISTER" && n > 3 {
			break
		} else if what(m) != "401 REGISTER" || n > 30 {
			t.Fatalf("attempt %d ends with\n%s", n, m)
		}
	}
}

func listed(m *sip.Message) (all []string) {
	for v := range m.Values(sip.Contact) {
		all = append(all, v)
	}
	return all
}
