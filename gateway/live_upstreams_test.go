//go:build linux

package gateway_test

import (
	"net"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/ringway/ringway/gateway/admin"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// What the tests of upstreams have in common: groups with health, servers that answer
// probes, and what an operator sees of them.

// quick is a group's health with short times; the counts are the defaults.
const quick = "health: { interval: 1s, down_interval: 1s, timeout: 1s }"

// group is configuration: hops of which more is said, and who dials numbers gets there.
func group(more string, hops ...string) string {
	return "upstreams: { pbx: { hops: [ \"" + strings.Join(hops, `", "`) + "\" ], try_timeout: 500ms, " + more + " } }\n" +
		"routes: [ { match: \"^[0-9]+$\", to: pbx } ]\n"
}

// server is a SIPp that answers probes and calls for as long as the test lasts.
func (l *live) server(scenario, status, transport string, at netip.AddrPort, more ...string) *sipp {
	l.t.Helper()
	return l.sipp(call{
		scenario: scenario, status: status, at: at, transport: transport,
		more: append([]string{"-m", "1000000", "-timeout", "300s", "-trace_logs", "-log_file", "calls"}, more...),
	})
}

// kill ends a process as a crash does.
func (p *process) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// logged are the Call-IDs in the lines that a scenario wrote with a word before them. A server
// writes INVITE, without retransmissions.
func (s *sipp) logged(word string) (ids []string) {
	for line := range strings.Lines(s.file("calls")) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), word+" "); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// metrics is what /metrics says.
func (l *live) metrics() string {
	w := httptest.NewRecorder()
	admin.Handler(admin.Options{Source: l.g, Ready: func() string { return "" }}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// up tells whether /metrics shows an address of the upstream as in use; what is not shown is not.
func (l *live) up(at netip.AddrPort) bool {
	return strings.HasPrefix(l.metric("ringway_upstream_up", at), "1")
}

// metric is the value of a family for an address, "" for none.
func (l *live) metric(family string, at netip.AddrPort) string {
	for line := range strings.Lines(l.metrics()) {
		if strings.HasPrefix(line, family+"{") && strings.Contains(line, `hop="`+at.String()) {
			return strings.TrimSpace(line[strings.LastIndexByte(line, ' '):])
		}
	}
	return ""
}

// probed waits until an address has answered a probe.
func (l *live) probed(at netip.AddrPort) {
	l.t.Helper()
	l.until(at.String()+" has answered a probe", func() bool { v := l.metric("ringway_upstream_probe_seconds", at); return v != "" && v != "0" })
}

// talk has a phone call a number, and hang up. It returns who answered, by its Contact.
func (l *live) talk(alice *phone) netip.AddrPort {
	l.t.Helper()
	return l.hangUp(alice, l.pickedUp(alice))
}

// dial has a phone call a number that nobody has called yet: what one callee refuses says little of a server.
func (l *live) dial(alice *phone) {
	l.dialled++
	alice.Request("INVITE", strconv.Itoa(200+l.dialled), body(sdp("offer", 600)))
}

// pickedUp has a phone call a number, another one each time, and returns who answered.
func (l *live) pickedUp(alice *phone) netip.AddrPort {
	l.t.Helper()
	l.dial(alice)
	m := alice.next("200 INVITE")
	for what(m) == "180 INVITE" {
		m = alice.next("200 INVITE")
	}
	if what(m) != "200 INVITE" {
		l.t.Fatalf("%s got %s instead of 200:\n%s", alice.Name, what(m), m)
	}
	alice.InDialog("ACK")
	c, err := sip.ParseNameAddr(m.Value(sip.Contact))
	if err != nil {
		l.t.Fatalf("Contact of\n%s: %v", m, err)
	}
	u, err := sip.ParseURI(c.URI)
	if err != nil {
		l.t.Fatal(err)
	}
	host, port := u.HostPort()
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if err != nil {
		l.t.Fatal(err)
	}
	return netip.AddrPortFrom(addr, port)
}

func (l *live) hangUp(alice *phone, at netip.AddrPort) netip.AddrPort {
	l.t.Helper()
	alice.InDialog("BYE")
	alice.want("200 BYE")
	return at
}

// alive is a wire whose end answers OPTIONS by itself, so that a test sees calls only.
type alive struct {
	wire
	probes atomic.Int32
	dead   atomic.Bool // says nothing to anything
	status atomic.Int32
}

func (a *alive) read() (string, error) {
	for {
		text, err := a.wire.read()
		switch {
		case err != nil:
			return "", err
		case a.dead.Load():
			continue
		case !strings.HasPrefix(text, "OPTIONS "):
			return text, nil
		}
		m, err := sip.Parse(text, a.Framing())
		if err != nil {
			return text, nil
		}
		a.probes.Add(1)
		status := 200
		if s := a.status.Load(); s != 0 {
			status = int(s)
		}
		a.Write(string(m.AppendReply(nil, &sip.Reply{Status: status, ToTag: "alive"})))
	}
}

// udpHop is a scripted server at an address that answers probes.
func (l *live) udpHop(name string, at netip.AddrPort) (*phone, *alive) {
	l.t.Helper()
	a := &alive{wire: l.udpSocket(at)}
	return l.play(name, siptest.UAOptions{Transport: sip.UDP, AOR: "pbx@" + at.String()}, a, at), a
}

// tcpHop is a scripted server that the gateway connects to, once.
func (l *live) tcpHop(name string, at netip.AddrPort) (*phone, *alive) {
	l.t.Helper()
	a := &alive{wire: l.tcpListener(at)}
	return l.play(name, siptest.UAOptions{Transport: sip.TCP, AOR: "pbx@" + at.String()}, a, at), a
}

// resetting is a TCP server that takes connections and, once something has come, resets them.
func (l *live) resetting(host int) netip.AddrPort {
	l.t.Helper()
	listener, err := net.Listen("tcp", netip.AddrPortFrom(l.addr(host), 0).String())
	if err != nil {
		l.t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_ = c.(*net.TCPConn).SetLinger(0)
			_, _ = c.Read(make([]byte, 1))
			c.Close()
		}
	})
	l.t.Cleanup(func() { listener.Close(); serving.Wait() })
	return listener.Addr().(*net.TCPAddr).AddrPort()
}
