//go:build linux

package gateway_test

import (
	"crypto/md5"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
	"github.com/ringway/ringway/sip/siptest"
)

// configs/kamailio.yaml and configs/peers/kamailio as they are shipped, but for the addresses: users register at
// Kamailio and call each other, and nobody calls unproven.
func TestShippedKamailio(t *testing.T) {
	l := newNet(t)
	k := l.registry("tcp")
	yaml, err := os.ReadFile("../configs/kamailio.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(yaml), "\n"); n > 15 {
		t.Errorf("%d lines", n)
	}
	l.boot("admin: off\n" + strings.NewReplacer("127.0.0.1:5070", k.at.String(), "127.0.0.1:5060", l.sip.String(), "127.0.0.1:8080", l.ws.String()).Replace(string(yaml)))
	alice, bob := k.page("alice"), k.page("bob")
	offer := chromium(t)
	alice.Request("INVITE", "bob", body(offer))
	alice.want("407 INVITE")
	if m := bob.wantBody("INVITE", offer); m.RequestURI() != "sip:bob@bob.invalid;transport=ws" {
		t.Errorf("bob is called %s", m.RequestURI())
	}
	bob.Reply(200, "", "INVITE", body(accepts(t)))
	alice.wantBody("200 INVITE", accepts(t))
	alice.InDialog("ACK")
	bob.want("ACK")
	bob.ends(alice)

	for target, want := range map[string]string{"bob": "403 INVITE", "600": "403 INVITE"} {
		mallory := k.browser("mallory", "alice")
		mallory.Request("INVITE", target, body(offer))
		mallory.want(want)
	}
	l.over()
}

// Kamailio as shipped, asked past the gateway: nobody calls or registers with somebody else's password, an unknown
// user's empty one, or none; and a nonce that is too old is no wrong password.
func TestShippedKamailioAsksForPasswords(t *testing.T) {
	l := newNet(t)
	k := l.registry("udp", `modparam("auth", "qop", "auth")`, "modparam(\"auth\", \"qop\", \"auth\")\nmodparam(\"auth\", \"nonce_expire\", 1)")
	desk := k.desk()
	for _, as := range []string{"alice", "desk2"} {
		desk.Request("INVITE", "desk", "From: <sip:"+as+"@example.com>;tag=x")
		desk.want("407 INVITE")
		desk.want("407 INVITE")
		desk.Register(600, "From: <sip:"+as+"@example.com>;tag=x", "To: <sip:"+as+"@example.com>")
		desk.want("401 REGISTER")
		desk.want("401 REGISTER")
	}
	desk.Request("INVITE", "desk", "From: <sip:desk@elsewhere.example>;tag=x")
	desk.want("403 INVITE")
	desk.Request("INVITE", "sip:bob@elsewhere.example")
	desk.want("407 INVITE")
	desk.want("403 INVITE")

	at := l.free(77)
	w := l.udpSocket(at)
	w.to = k.at
	nobody := l.play("nobody", siptest.UAOptions{Transport: sip.UDP, AOR: "nobody@example.com", Manual: true}, w, at)
	nonce := func(m *sip.Message) string {
		c, err := digest.ParseChallenge(m.Value(sip.WWWAuthenticate))
		if err != nil {
			t.Fatal(err)
		}
		return c.Nonce
	}
	prove := func(user, password, nonce string) *sip.Message {
		t.Helper()
		hash := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
		response := hash(hash(user+":example.com:"+password) + ":" + nonce + ":00000001:c:auth:" + hash("REGISTER:sip:example.com"))
		nobody.Register(60, fmt.Sprintf("From: <sip:%s@example.com>;tag=x", user), fmt.Sprintf("To: <sip:%s@example.com>", user),
			fmt.Sprintf(`Authorization: Digest username=%q, realm="example.com", nonce=%q, uri="sip:example.com", qop=auth, nc=00000001, cnonce="c", response=%q`, user, nonce, response))
		return nobody.next("an answer")
	}
	nobody.Register(60)
	first := nonce(nobody.want("401 REGISTER"))
	if m := prove("nobody", "", first); m.Status() != 401 {
		t.Errorf("who does not exist is let in:\n%s", m)
	}
	var m *sip.Message
	l.until("the nonce is too old", func() bool {
		m = prove("alice", registryPasswords["alice"], first)
		return m.Status() == 401
	})
	if !strings.Contains(m.Value(sip.WWWAuthenticate), "stale=true") {
		t.Errorf("a nonce that is too old counts as a wrong password:\n%s", m)
	}
	if m := prove("alice", "wrong", nonce(m)); strings.Contains(m.Value(sip.WWWAuthenticate), "stale") {
		t.Errorf("a wrong password counts as a nonce that is too old:\n%s", m)
	}
}
