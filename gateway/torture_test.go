package gateway

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

const tortureDir = "../testdata/torture/"

// torture is one line of testdata/torture/expectations.txt.
type torture struct{ name, parse, verdict, text string }

func tortures(t *testing.T) (all []torture) {
	t.Helper()
	table, err := os.ReadFile(tortureDir + "expectations.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		c := strings.Split(strings.TrimSpace(line), " | ")
		if len(c) != 4 || c[0][0] == '#' {
			continue
		}
		text, err := os.ReadFile(tortureDir + c[0] + ".sip")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, torture{c[0], c[1], c[2], string(text)})
	}
	if len(all) < 60 {
		t.Fatalf("%d messages", len(all))
	}
	return all
}

// TestTortureFromUpstream plays RFC 4475's and RFC 5118's messages as datagrams of a
// trusted neighbour, where nothing but RFC 3261 §16.3 and the router judges them.
func TestTortureFromUpstream(t *testing.T) {
	for _, m := range tortures(t) {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTheatre(t)
				t.Cleanup(s.leavesNothing)
				c := s.net.Connect(sip.UDP, netip.MustParseAddrPort("203.0.113.1:5060"))
				m.meets(t, s, c, m.verdict)
			})
		})
	}
}

// TestTortureFromBrowser plays them as WebSocket messages of a client that has authenticated
// as whoever stands in From, or nobody where that is no user of ours.
func TestTortureFromBrowser(t *testing.T) {
	for _, m := range tortures(t) {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTheatre(t)
				t.Cleanup(s.leavesNothing)
				c := s.net.Connect(sip.WS, netip.MustParseAddrPort("198.51.100.1:40000"))
				m.login(s, c)
				verdict := m.verdict
				if v, ok := asFrame[m.name]; ok {
					verdict = v
				}
				m.meets(t, s, c, verdict)
				if c.Closed() {
					t.Error("it cost the connection")
				}
			})
		})
	}
}

// asFrame are the messages that meet with something else when they are a WebSocket message:
// that has no octets behind its body (RFC 7118 §5).
var asFrame = map[string]string{"dblreq": "400"}

func (m *torture) login(s *theatre, c *siptest.Conn) {
	parsed, _ := sip.Parse(m.text, sip.Datagram)
	if parsed == nil || !parsed.IsRequest() {
		return
	}
	a, err := sip.ParseNameAddr(parsed.Value(sip.From))
	if err != nil {
		return
	}
	if u, err := sip.ParseURI(a.URI); err == nil {
		if aor, ok := s.gw.core.own.AOR(&u); ok {
			c.Flow().AuthenticatedAs(aor)
		}
	}
}

func (m *torture) meets(t *testing.T, s *theatre, c *siptest.Conn, verdict string) {
	t.Helper()
	c.Write(m.text)
	synctest.Wait()
	status, reason := 0, ""
	for _, a := range c.Take() {
		_, rest, _ := strings.Cut(a.Text, " ")
		line, _, _ := strings.Cut(rest, "\r\n")
		code, phrase, _ := strings.Cut(line, " ")
		if status, _ = strconv.Atoi(code); status >= 200 {
			reason = phrase
			break
		}
	}
	got := strconv.Itoa(status)
	switch {
	case status == 0:
		got = "drop"
	case verdict != "forward":
	case status == 403 || status == 404 || status == 480: // the router knows no such user, or domain
		got = verdict
	case status == 200 && strings.HasPrefix(m.text, "OPTIONS sip:["): // to the server itself
		got = verdict
	}
	if got != verdict {
		t.Errorf("%s (%d %s), want %s: %s", got, status, reason, verdict, m.parse)
	}
}
