//go:build linux

package gateway_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ringway/ringway/sip"
)

// answer makes the phone take every call at once until the test ends.
func (p *phone) answer() {
	end := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, s := range p.Seen() {
				if m, err := sip.Parse(s.Text, p.wire.Framing()); err == nil && m.IsRequest() {
					p.take(m)
				}
			}
			select {
			case <-p.came:
			case <-end:
				return
			}
		}
	}()
	p.t.Cleanup(func() { close(end); <-done })
}

func (p *phone) take(m *sip.Message) {
	reply := func(status int, body string, headers ...string) {
		p.wire.Write(string(m.AppendReply(nil, &sip.Reply{Status: status, ToTag: "of-" + p.Name, Headers: headers, Body: body})))
	}
	switch m.Method() {
	case "INVITE":
		dialog := []string{"Contact: <sip:" + p.Name + "@" + p.Name + ".invalid;transport=ws>"}
		for _, v := range slices.Collect(m.Values(sip.RecordRoute)) {
			dialog = append(dialog, "Record-Route: "+v)
		}
		reply(180, "", dialog...)
		reply(200, sdp("answer", 2800), append(dialog, offers)...)
	case "BYE":
		reply(200, "")
	}
}

// 50 calls a second for 5 seconds to browsers: none fails.
func TestManyCalls(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} { // one after the other: it is the load that counts
		t.Run(transport, func(t *testing.T) {
			l := newNet(t)
			at := l.free(71)
			l.start(pbxes(hop(at, transport)))
			for _, user := range []string{"alice", "bob", "carol"} {
				l.browser(user).answer()
			}
			users := filepath.Join(t.TempDir(), "users.csv")
			if err := os.WriteFile(users, []byte("SEQUENTIAL\nalice\nbob\ncarol\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			l.sipp(call{
				scenario: "uac", at: at, transport: transport, to: l.sip, user: "[field0]",
				more: []string{"-m", "250", "-r", "50", "-l", "200", "-inf", users},
			}).succeeds()
			l.over()
			if n := l.g.Snapshot().Responses["2xx"]; n != 500 {
				t.Errorf("%d requests were answered with 2xx, want an INVITE and a BYE for each of 250 calls", n)
			}
		})
	}
}
