//go:build linux

package gateway_test

import (
	"path/filepath"
	"strings"
	"testing"
)

// presenceServer is what makes the shipped Kamailio one, all in memory.
var presenceServer = []string{
	`loadmodule "auth.so"`, `loadmodule "auth.so"
loadmodule "presence.so"
loadmodule "presence_xml.so"
loadmodule "presence_dialoginfo.so"`,
	`modparam("auth", "qop", "auth")`, `modparam("auth", "qop", "auth")
modparam("presence", "publ_cache", 2)
modparam("presence", "subs_db_mode", 0)
modparam("presence", "notifier_processes", 0)
modparam("presence", "server_address", "sip:127.0.0.1:5070;transport=TRANSPORT")
modparam("presence_xml", "force_active", 1)`,
	"\tremove_hf(\"Route\");", `	if (is_method("PUBLISH")) {
		t_newtran();
		handle_publish();
		exit;
	}
	if (is_method("SUBSCRIBE")) {
		t_newtran();
		handle_subscribe();
		exit;
	}
	remove_hf("Route");`,
	"\tif (loose_route()) {", `	if (is_method("SUBSCRIBE")) {
		loose_route();
		t_newtran();
		handle_subscribe();
		exit;
	}
	if (loose_route()) {`,
}

// RFC 3903 and RFC 6665 with a server behind the gateway: what one browser publishes lights another's lamp.
func TestKamailioPresence(t *testing.T) {
	if found, _ := filepath.Glob("/usr/lib/*/kamailio/modules/presence.so"); found == nil {
		t.Skip("SKIPPED: kamailio-presence-modules is not installed (apt install kamailio-presence-modules): NOTHING HERE IS TESTED")
	}
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		edits := append([]string(nil), presenceServer...)
		edits[3] = strings.Replace(edits[3], "TRANSPORT", transport, 1)
		k := l.registry(transport, edits...).relay("")
		alice, bob := k.page("alice"), k.page("bob")
		for _, c := range []struct{ event, kind, document string }{
			{"presence", "application/pidf+xml", `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:bob@example.com"><tuple id="t1"><status><basic>STATE</basic></status></tuple></presence>`},
			{"dialog", "application/dialog-info+xml", `<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="1" state="full" entity="sip:bob@example.com"><dialog id="d1"><state>STATE</state></dialog></dialog-info>`},
		} {
			publish := func(state string, more ...string) string {
				t.Helper()
				bob.Request("PUBLISH", "bob", append([]string{"Event: " + c.event, "Expires: 600", "Content-Type: " + c.kind,
					body("<?xml version=\"1.0\"?>" + strings.Replace(c.document, "STATE", state, 1))}, more...)...)
				bob.want("407 PUBLISH")
				return bob.want("200 PUBLISH").Named("SIP-ETag")
			}
			states := []string{"open", "closed"}
			if c.event == "dialog" {
				states = []string{"confirmed", "terminated"}
			}
			etag := publish(states[0])
			alice.Request("SUBSCRIBE", "bob", "Event: "+c.event, "Accept: "+c.kind, "Expires: 600")
			alice.want("407 SUBSCRIBE")
			alice.told("200 SUBSCRIBE", "active", states[0])
			publish(states[1], "SIP-If-Match: "+etag)
			alice.told("", "active", states[1])
			alice.InDialog("SUBSCRIBE", "Event: "+c.event, "Expires: 0")
			alice.told("200 SUBSCRIBE", "terminated", "")
		}
		bob.Request("PUBLISH", "alice", "Event: presence", "Expires: 600") // RFC 3903 §12: nobody speaks for another
		bob.want("407 PUBLISH")
		bob.want("407 PUBLISH")
		alice.quiet()
	})
}

// told takes a NOTIFY of that state, and in any order the answer that is awaited with it.
func (p *phone) told(answer, state, content string) {
	p.t.Helper()
	for notified := false; answer != "" || !notified; {
		m := p.next("NOTIFY " + answer)
		switch {
		case what(m) == answer:
			answer = ""
		case what(m) == "NOTIFY" && strings.HasPrefix(m.Named("Subscription-State"), state) && strings.Contains(m.Body(), content):
			p.Reply(200, "", "NOTIFY")
			notified = true
		case what(m) == "NOTIFY":
			p.t.Logf("another NOTIFY: %s %q", m.Named("Subscription-State"), m.Body())
			p.Reply(200, "", "NOTIFY")
		default:
			p.t.Fatalf("%s got %s", p.Name, m)
		}
	}
}
