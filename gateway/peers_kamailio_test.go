//go:build linux

package gateway_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
)

// kamailio runs the proxy of testdata/kamailio between the gateway, which it reaches
// by the transport, and a PBX.
func (l *live) kamailio(at, pbx netip.AddrPort, transport string, more ...string) *process {
	l.t.Helper()
	path := program(l.t, "kamailio", "kamailio")
	cfg, err := filepath.Abs("../testdata/kamailio/proxy.cfg")
	if err != nil {
		l.t.Fatal(err)
	}
	dir := l.t.TempDir()
	quote := func(s string) string { return `"` + s + `"` }
	args := []string{
		"-DD", "-E", "-f", cfg, "-w", dir, "-Y", dir, "-P", filepath.Join(dir, "pid"), "-m", "32", "-M", "4",
		"-A", "LISTEN_IP=" + at.Addr().String(), "-A", "LISTEN_UDP=udp:" + at.String(), "-A", "LISTEN_TCP=tcp:" + at.String(),
		"-A", "RINGWAY_IP=" + quote(l.sip.Addr().String()), "-A", "RINGWAY=" + quote(hop(l.sip, transport)),
		"-A", "PBX=" + quote(hop(pbx, transport)), "-A", "DOMAIN=" + quote("example.com"),
	}
	p := run(l.t, dir, path, append(args, more...)...)
	l.until("Kamailio is ready", func() bool {
		select {
		case <-p.done:
			l.t.Fatalf("Kamailio has ended: %v\n%s", p.err, &p.out)
		default:
		}
		return strings.Contains(p.out.String(), "READY")
	})
	return p
}

// A call by way of a record-routing proxy: its Record-Route stands beside ours, and
// both sides' requests find through (RFC 3261 §16.12).
func TestCallThroughKamailio(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		for _, who := range []string{"caller", "callee"} {
			t.Run(who+" hangs up", func(t *testing.T) {
				t.Parallel()
				l := newNet(t)
				at, pbx := l.free(71), l.free(72)
				l.start(pbxes(hop(at, transport)))
				l.kamailio(at, pbx, transport)
				scenario := map[string]string{"caller": "uas", "callee": "uas-bye"}[who]
				callee := l.sipp(call{scenario: scenario, at: pbx, transport: transport})
				alice := l.browser("alice")
				alice.Request("INVITE", "200", body(sdp("offer", 600)))
				if who == "caller" {
					alice.want("180 INVITE")
				}
				m := alice.want("200 INVITE")
				if n := len(slices.Collect(m.Values(sip.RecordRoute))); n != 3 {
					t.Errorf("%d Record-Route values, want ours twice and Kamailio's:\n%s", n, m)
				}
				alice.InDialog("ACK")
				if who == "caller" {
					alice.InDialog("BYE")
					alice.want("200 BYE")
				} else {
					alice.want("BYE")
					alice.Reply(200, "", "BYE")
				}
				callee.succeeds()
				l.over()
				alice.quiet()
			})
		}
	})
}

func TestCallFromBehindKamailio(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		for _, who := range []string{"caller", "callee"} {
			t.Run(who+" hangs up", func(t *testing.T) {
				t.Parallel()
				l := newNet(t)
				at, pbx := l.free(71), l.free(72)
				l.start(pbxes(hop(at, transport)))
				l.kamailio(at, pbx, transport)
				alice := l.browser("alice")
				scenario := map[string]string{"caller": "uac", "callee": "uac-byed"}[who]
				caller := l.sipp(call{scenario: scenario, at: pbx, transport: transport, to: at, user: "alice"})
				alice.want("INVITE")
				alice.Reply(180, "", "INVITE")
				alice.Reply(200, "", "INVITE", body(sdp("answer", 2800)))
				alice.want("ACK")
				if who == "callee" {
					alice.InDialog("BYE")
					alice.want("200 BYE")
				} else {
					alice.want("BYE")
					alice.Reply(200, "", "BYE")
				}
				caller.succeeds()
				l.over()
				alice.quiet()
			})
		}
	})
}

func TestCancelThroughKamailio(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at, pbx := l.free(71), l.free(72)
		l.start(pbxes(hop(at, transport)))
		l.kamailio(at, pbx, transport)
		alice := l.browser("alice")

		callee := l.sipp(call{scenario: "uas-cancelled", at: pbx, transport: transport})
		alice.Request("INVITE", "200")
		alice.want("180 INVITE")
		alice.Cancel()
		alice.want("200 CANCEL")
		alice.want("487 INVITE")
		callee.succeeds()

		caller := l.sipp(call{scenario: "uac-cancel", at: l.free(73), transport: transport, to: at, user: "alice"})
		alice.want("INVITE")
		alice.Reply(180, "", "INVITE")
		alice.want("CANCEL")
		alice.Reply(487, "", "INVITE")
		alice.want("ACK")
		caller.succeeds()
		l.over()
		alice.quiet()
	})
}

// RFC 5393 §4.2.2: a partner that sends our calls straight back hears 482 at the first return.
func TestLoopPartner(t *testing.T) {
	each(t, func(t *testing.T, transport string) {
		l := newNet(t)
		at := l.free(71)
		l.start(strings.Replace(pbxes(hop(at, transport)), "^[0-9]+$", ".*", 1))
		k := l.kamailio(at, at, transport, "-A", "LOOP")
		alice := l.browser("alice")
		for i, c := range []struct{ to, want string }{{"200", "482 INVITE"}, {"carol", "482 INVITE"}} {
			alice.Request("INVITE", c.to)
			alice.want(c.want)
			alice.quiet()
			if n := strings.Count(k.out.String(), "CALL "); n != i+1 {
				t.Errorf("%d calls went to the partner, want %d", n, i+1)
			}
			if n := l.g.Snapshot().Requests["INVITE"]; n != uint64(2*i+2) {
				t.Errorf("%d INVITEs reached us, want each caller's and the one that came back: %d", n, 2*i+2)
			}
		}
	})
}
