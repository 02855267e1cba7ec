//go:build linux

package gateway_test

import (
	"cmp"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/siptest"
)

// registry is a Kamailio that keeps the users of example.com: the shipped one, but for addresses, more users
// and what a test changes.
type registry struct {
	*process
	l         *live
	at        netip.AddrPort
	transport string
	dir       string
}

var registryPasswords = map[string]string{"alice": "change-me-1", "bob": "change-me-2", "carol": "change-me-3", "desk": "change-me-4"}

// registry starts one; edits are pairs of what its configuration says and what it is to say.
func (l *live) registry(transport string, edits ...string) *registry {
	l.t.Helper()
	program(l.t, "kamailio", "kamailio")
	k := &registry{l: l, transport: transport, dir: l.t.TempDir()}
	text, err := os.ReadFile("../configs/peers/kamailio/kamailio.cfg")
	if err != nil {
		l.t.Fatal(err)
	}
	const users = "\t$sht(passwords=>bob)"
	for _, u := range []string{"carol", "desk"} {
		edits = append(edits, users, fmt.Sprintf("\t$sht(passwords=>%s) = %q;\n%s", u, registryPasswords[u], users))
	}
	edits = append(edits, "auto_aliases=no\n", "auto_aliases=no\nlog_stderror=yes\nchildren=1\ntcp_children=1\ntcp_source_ipv4=127.0.0.1\n",
		`loadmodule "pv.so"`, "loadmodule \"pv.so\"\nloadmodule \"xlog.so\"")
	cfg := string(text) + "\nevent_route[core:worker-one-init] { xlog(\"L_ERR\", \"READY\\n\"); }\n"
	for i := 0; i < len(edits); i += 2 {
		if strings.Count(cfg, edits[i]) != 1 {
			l.t.Fatalf("%q is not once in the configuration", edits[i])
		}
		cfg = strings.Replace(cfg, edits[i], edits[i+1], 1)
	}
	for range 5 { // somebody may have the port at all addresses
		k.at = l.free(75)
		here := strings.NewReplacer("127.0.0.1:5070", k.at.String(), "127.0.0.1", k.at.Addr().String()).Replace(cfg)
		if err := os.WriteFile(filepath.Join(k.dir, "kamailio.cfg"), []byte(here), 0o600); err != nil {
			l.t.Fatal(err)
		}
		if k.start(); strings.Contains(k.out.String(), "READY") {
			return k
		}
	}
	l.t.Fatalf("Kamailio does not start:\n%s", &k.out)
	return nil
}

// start runs it until it is ready, or has ended because its port is somebody's.
func (k *registry) start() {
	k.l.t.Helper()
	k.process = run(k.l.t, k.dir, program(k.l.t, "kamailio", "kamailio"), "-DD", "-E", "-f", filepath.Join(k.dir, "kamailio.cfg"),
		"-w", k.dir, "-Y", k.dir, "-P", filepath.Join(k.dir, "pid"), "-m", "32", "-M", "8")
	k.l.until("Kamailio is ready", func() bool {
		select {
		case <-k.done:
			if strings.Contains(k.out.String(), "Address already in use") {
				return true
			}
			k.l.t.Fatalf("Kamailio has ended: %v\n%s", k.err, &k.out)
		default:
		}
		return strings.Contains(k.out.String(), "READY")
	})
}

// relay starts the gateway in front of it, with more about the upstream: "key: value".
func (k *registry) relay(more string) *registry {
	k.l.t.Helper()
	k.l.boot(fmt.Sprintf("admin: off\nlisten: [ \"ws://%s/ws\", \"udp://%[2]s\", \"tcp://%[2]s\" ]\n"+
		"domains: { example.com: { registrar: pbx } }\nupstreams: { pbx: { hops: [ %q ], %s } }\n", k.l.ws, k.l.sip, hop(k.at, k.transport), cmp.Or(more, "health: off")))
	return k
}

func (k *registry) as(t testing.TB) *registry { c := *k; c.l = k.l.as(t); return &c }

// browser is a page of a user's, which has not registered yet. Each has a name of its own.
func (k *registry) browser(name, user string, password ...string) *phone {
	k.l.t.Helper()
	if password == nil {
		password = []string{registryPasswords[user]}
	}
	return k.l.tab(name, user+"@example.com", password[0], "")
}

// page is a browser that is registered.
func (k *registry) page(name string) *phone {
	k.l.t.Helper()
	p := k.browser(name, name)
	p.registers()
	return p
}

// registers proves the user's password to Kamailio, which the gateway does not know.
func (p *phone) registers(headers ...string) *sip.Message {
	p.t.Helper()
	p.Register(600, headers...)
	p.want("401 REGISTER")
	return p.want("200 REGISTER")
}

// leaves is unregistered.
func (p *phone) leaves() {
	p.t.Helper()
	p.Register(0)
	p.want("401 REGISTER")
	p.want("200 REGISTER")
}

// desk is a phone that is registered at Kamailio itself.
func (k *registry) desk() *phone {
	k.l.t.Helper()
	at := k.l.free(76)
	w := k.l.udpSocket(at)
	w.to = k.at
	p := k.l.play("desk", siptest.UAOptions{Transport: sip.UDP, AOR: "desk@example.com", Password: registryPasswords["desk"]}, w, at)
	p.registers()
	return p
}

// rings has a phone call another, who rings.
func (p *phone) rings(other *phone, user string, headers ...string) *sip.Message {
	p.t.Helper()
	p.Request("INVITE", user, headers...)
	p.want("407 INVITE")
	m := other.want("INVITE")
	other.Reply(180, "", "INVITE")
	p.want("180 INVITE")
	return m
}

// talks has them talk.
func (p *phone) talks(other *phone, user string, headers ...string) *sip.Message {
	p.t.Helper()
	p.rings(other, user, headers...)
	other.Reply(200, "", "INVITE", body(sdp("answer", 1200)))
	m := p.want("200 INVITE")
	p.InDialog("ACK")
	other.want("ACK")
	return m
}

// ends has p hang up.
func (p *phone) ends(other *phone) {
	p.t.Helper()
	p.InDialog("BYE")
	other.isHungUp()
	p.want("200 BYE")
}
