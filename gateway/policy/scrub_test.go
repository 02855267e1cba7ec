package policy

import (
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

func scrubbed(t testing.TB, trusted bool, lines ...string) string {
	m := newRoom(t).request("INVITE", "", alice, bob, lines...)
	s := m.Splice()
	Scrub(m, &s, trusted, false, func(realm string) bool { return realm == "example.org" })
	return string(s.Append(nil))
}

func TestScrub(t *testing.T) { // RFC 3325 §6, RFC 7315 §5
	ours := []string{
		"P-Asserted-Identity: <sip:boss@example.org>", "p-asserted-identity: <tel:+1>", "P-Preferred-Identity: <sip:boss@example.org>",
		"Remote-Party-ID: <sip:boss@example.org>", "P-Charging-Vector: icid-value=1", "p-charging-function-addresses: ccf=x", "X-Internal-Auth: yes",
	}
	credentials := []string{
		`Proxy-Authorization: Digest username="alice", realm="example.org", nonce="n"`, `authorization: digest REALM = "example.org"`,
		"Authorization: Bearer abc", "Proxy-Authorization: Digest broken",
	}
	kept := []string{
		`Proxy-Authorization: Digest username="alice", realm="foreign.example", nonce="n"`, "Authorization: Basic YTpi",
		"P-Access-Network-Info: x", "P-Charging: x", "X-Intern: y", "P: z", "Privacy: id",
	}
	var all []string
	all = append(append(append(all, ours...), credentials...), kept...)
	for _, trusted := range []bool{false, true} {
		got := scrubbed(t, trusted, all...)
		for _, l := range ours {
			if strings.Contains(got, l+"\r\n") != trusted {
				t.Errorf("trusted %v: %s: kept is not %v", trusted, l, trusted)
			}
		}
		for _, l := range credentials {
			if strings.Contains(got, l) {
				t.Errorf("trusted %v: leaked %s", trusted, l)
			}
		}
		for _, l := range kept {
			if !strings.Contains(got, l+"\r\n") {
				t.Errorf("trusted %v: lost %s", trusted, l)
			}
		}
	}
}

// RFC 8898 §2.1.3: a token is for the registrar that asked for it. One of a user whom we keep is for nobody behind us; credentials for
// a realm of ours, or that may be, leave to nobody.
func TestScrubBearer(t *testing.T) {
	for _, keeper := range []bool{false, true} {
		m := newRoom(t).request("REGISTER", "", alice, bob, "Authorization: bearer abc.def", "Proxy-Authorization: Bearer ghi",
			`Proxy-Authorization: Digest username="alice", realm="example.org", nonce="n"`, "Authorization: Digest broken", "Authorization: Other x=y")
		s := m.Splice()
		Scrub(m, &s, false, keeper, func(realm string) bool { return realm == "example.org" })
		got := string(s.Append(nil))
		for line, want := range map[string]bool{"Authorization: bearer abc.def": keeper, "Proxy-Authorization: Bearer ghi": keeper, "example.org\"": false, "broken": false, "Authorization: Other x=y": true} {
			if strings.Contains(got, line) != want {
				t.Errorf("to the keeper %v: %s: left is not %v", keeper, line, want)
			}
		}
	}
}

// attack: a browser's Diversion makes a carrier bill somebody else (RFC 5806 §9.1); nobody but servers may say it.
func TestScrubUser(t *testing.T) {
	cut := []string{
		"Diversion: <sip:+4930@b.example>;reason=unconditional", "diversion: <sip:2@b.example>", "History-Info: <sip:1@b.example>;index=1", "P-Called-Party-ID: <sip:1@b.example>",
		"P-Preferred-Service: urn:urn-7:3gpp-service.x", "P-ASSERTED-SERVICE: urn:urn-7:3gpp-service.x", "Identity: a.b.c", "y: a.b.c", "Identity-Info: <https://x>", "n: <https://x>",
	}
	kept := []string{"Divert: x", "History: x", "P-Called: x", "X-Diversion: x", "Identity-Other: x", "k: replaces", "Referred-By: <sip:a@b.example>"}
	m := newRoom(t).request("INVITE", "", alice, bob, append(append([]string{}, cut...), kept...)...)
	s := m.Splice()
	ScrubUser(m, &s)
	got := string(s.Append(nil))
	for _, l := range cut {
		name, _, _ := strings.Cut(l, ":")
		if strings.Contains(got, "\r\n"+l+"\r\n") || !Withheld(name, true) || Withheld(name, false) {
			t.Errorf("%s: left, or withheld from others than upstreams", l)
		}
	}
	for _, l := range kept {
		name, _, _ := strings.Cut(l, ":")
		if !strings.Contains(got, "\r\n"+l+"\r\n") || Withheld(name, true) {
			t.Errorf("%s: lost", l)
		}
	}
	if !Withheld("p-asserted-identity", false) {
		t.Error("P-Asserted-Identity leaves")
	}
}

func TestScrubNothing(t *testing.T) {
	m := newRoom(t).request("INVITE", "", alice, bob, "Contact: <sip:x@y.invalid>")
	if got := scrubbed(t, false, "Contact: <sip:x@y.invalid>"); got != m.String() {
		t.Errorf("changed to\n%s", got)
	}
}

func TestScrubResponse(t *testing.T) { // RFC 3325 §5: a user's word on who he is goes no further
	resp, err := sip.Parse("SIP/2.0 200 OK\r\nVia: SIP/2.0/WS h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>;tag=2\r\n"+
		"Call-ID: c\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:ceo@h>\r\nremote-party-id : <sip:ceo@h>\r\nX-Internal-A: ceo\r\n"+
		"P-Charging-Vector: ceo\r\nSubject: kept\r\nContent-Length: 0\r\n\r\n", sip.Frame)
	if err != nil {
		t.Fatal(err)
	}
	s := resp.Splice()
	ScrubResponse(resp, &s)
	if got := string(s.Append(nil)); strings.Contains(got, "ceo") || !strings.Contains(got, "Subject: kept") {
		t.Errorf("left:\n%s", got)
	}
}

func TestAssertIdentity(t *testing.T) { // RFC 3325 §9.1
	m := newRoom(t).request("INVITE", "", alice, bob)
	s := m.Splice()
	AssertIdentity(&s, "alice@example.org")
	if got := string(s.Append(nil)); !strings.Contains(got, "\r\nP-Asserted-Identity: <sip:alice@example.org>\r\n") {
		t.Errorf("%s", got)
	}
}

func ourRealm(realm string) bool { return realm == "example.org" }

func BenchmarkScrubNothing(b *testing.B) {
	m := newRoom(b).request("INVITE", "", alice, bob, "Contact: <sip:x@y.invalid>", "Allow: INVITE", "Supported: outbound", "User-Agent: x", "Session-Expires: 90", "Content-Type: application/sdp")
	s := m.Splice()
	b.ReportAllocs()
	for b.Loop() {
		Scrub(m, &s, false, false, ourRealm)
	}
}

func BenchmarkAdmitTrusted(b *testing.B) {
	r := newRoom(b)
	f := r.ws()
	r.register(f, "alice", "example.org")
	m := r.request("INVITE", "", alice, bob)
	b.ReportAllocs()
	for b.Loop() {
		if e := r.admit(m, f); e != nil {
			b.Fatal(e)
		}
	}
}

func BenchmarkAdmitChallenge(b *testing.B) {
	r := newRoom(b)
	f := r.ws()
	r.register(f, "alice", "example.org")
	m := r.request("REGISTER", "", alice, alice)
	b.ReportAllocs()
	for b.Loop() {
		if e := r.admit(m, f); e.Code != 401 {
			b.Fatal(e)
		}
	}
}

func TestWithhold(t *testing.T) { // RFC 3325 §7, RFC 3323 §4.2
	for privacy, gone := range map[string]bool{
		"none": false, "header;session": false, "idle": false, "id": true, "ID": true, "header; id ;critical": true,
	} {
		m := newRoom(t).request("INVITE", "", alice, bob,
			"P-Asserted-Identity: <sip:1@x>", "P-Asserted-Identity: <tel:+1>", "Privacy: "+privacy)
		s := m.Splice()
		Withhold(m, &s)
		if got := !strings.Contains(string(s.Append(nil)), "P-Asserted-Identity"); got != gone {
			t.Errorf("Privacy %q: gone %v, want %v", privacy, got, gone)
		}
	}
}

// RFC 3325 §7 and practice: with Privacy: id a Remote-Party-ID tells no user who calls either, whether or not a
// P-Asserted-Identity stands beside it; its own parameter (draft-ietf-sip-privacy-04 §5.4) does the same.
func TestWithholdRemotePartyID(t *testing.T) {
	for _, c := range []struct {
		lines []string
		left  string
	}{
		{[]string{"Privacy: id", "Remote-Party-ID: <sip:1@x>;party=calling"}, ""},
		{[]string{"Privacy: id", "P-Asserted-Identity: <sip:1@x>", "remote-party-id : <sip:1@x>"}, ""},
		{[]string{"Privacy: none", "P-Asserted-Identity: <sip:1@x>", "Remote-Party-ID: <sip:1@x>"}, "PR"},
		{[]string{"P-Asserted-Identity: <sip:1@x>", "Remote-Party-ID: <sip:1@x>;privacy=off"}, "PR"},
		{[]string{"P-Asserted-Identity: <sip:1@x>", `Remote-Party-ID: "1" <sip:1@x>;party=calling;privacy=full`}, "P"},
		{[]string{`Remote-Party-ID: <sip:1@x>, <sip:2@x>;Privacy="uri"`}, ""},
		{[]string{`Remote-Party-ID: "1`}, ""},
		{[]string{"Remote-Party-ID: <sip:1@x;privacy=full>"}, "R"},
	} {
		m := newRoom(t).request("INVITE", "", alice, bob, c.lines...)
		s := m.Splice()
		Withhold(m, &s)
		out, left := strings.ToLower(string(s.Append(nil))), ""
		for mark, name := range map[string]string{"P": "p-asserted-identity", "R": "remote-party-id"} {
			if strings.Contains(out, name) {
				if left += mark; left == "RP" {
					left = "PR"
				}
			}
		}
		if left != c.left {
			t.Errorf("%q: %q is left, want %q", c.lines, left, c.left)
		}
	}
}
