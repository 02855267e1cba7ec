package proxy

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/siptest"
	"github.com/ringway/ringway/sip/transaction"
)

// TestFlows plays testdata/*.txt (see testdata/flows/README.md at the top) against a proxy
// with a location service that believes every REGISTER. The command "upstream
// ADDR…" makes the addresses the hops of an upstream, to which all users in digits belong.
func TestFlows(t *testing.T) { siptest.RunScripts(t, "testdata/*.txt", newStage) }

// stage is the rest of a gateway, as small as it can be.
type stage struct {
	rig
	net  *siptest.Net
	upMu sync.Mutex
	up   []Hop
}

func newStage(t *testing.T) siptest.Setup {
	s := &stage{}
	u := &stageUser{s}
	keys, err := flow.OpenKeys("")
	if err != nil {
		t.Fatal(err)
	}
	s.t, s.keys, s.flows, s.aors = t, keys, flow.NewTable(), map[string][]Target{}
	s.table = transaction.NewTable(transaction.Config{User: u})
	s.net = siptest.NewNet(s.table, s.flows)
	s.proxy = New(Config{
		Table: s.table, Wheel: s.table.Wheel(), Flows: s.flows, Keys: keys, Router: s, Network: s, Identity: s, Authenticate: s.authenticate,
	})
	s.flows.Watch(s.proxy)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.table.Run(ctx); close(done) }()
	t.Cleanup(func() { stop(); <-done })
	return siptest.Setup{Net: s.net, Commands: map[string]func([]string) string{"upstream": s.upstream}}
}

func (s *stage) upstream(addrs []string) string {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	s.up = nil
	for _, a := range addrs {
		addr, tr, _ := strings.Cut(a, "/")
		h := Hop{Addr: netip.MustParseAddrPort(addr), Transport: sip.UDP}
		if tr == "tcp" {
			h.Transport = sip.TCP
		}
		s.up = append(s.up, h)
	}
	return ""
}

func (s *stage) hops() []Hop {
	s.upMu.Lock()
	defer s.upMu.Unlock()
	return s.up
}

func (s *stage) mark(f *flow.Flow) {
	for _, h := range s.hops() {
		if h.Addr.Addr() == f.Info().Remote.Addr() {
			f.SetUpstream("pbx")
		}
	}
}

// Targets implements Router.
func (s *stage) Targets(req *sip.Message, from *flow.Flow) ([]Target, error) {
	u, err := sip.ParseURI(req.RequestURI())
	if err == nil && strings.Trim(u.User, "0123456789") == "" {
		return []Target{{Hops: s.hops(), Upstream: "pbx"}}, nil
	}
	return s.rig.Targets(req, from)
}

// Reach implements Network.
func (s *stage) Reach(h Hop, _ int, done func(*flow.Flow, error)) {
	f, err := s.net.Dial(h.Transport, h.Addr)
	if err == nil {
		s.mark(f)
	}
	done(f, err)
}

// Ping implements Network: whoever is asked is dead.
func (s *stage) Ping(_ *flow.Flow, within time.Duration, done func(bool)) {
	s.table.Wheel().After(new(transaction.Timer), within, alarm(func() { done(false) }))
}

// HopOf implements Identity.
func (s *stage) HopOf(_ string, u *sip.URI) (Hop, bool) {
	for _, h := range s.hops() {
		if h.Addr.Addr().String() == u.Host {
			return h, true
		}
	}
	return Hop{}, false
}

// Hops implements Identity.
func (s *stage) Hops(string) []Hop { return s.hops() }

type stageUser struct{ s *stage }

func (u *stageUser) Ack(m *sip.Message, from *flow.Flow) { u.s.mark(from); u.s.proxy.Ack(m, from) }

func (u *stageUser) Request(tx *transaction.Server) {
	u.s.mark(tx.Flow())
	if tx.Method() == "REGISTER" {
		u.s.register(tx)
		return
	}
	u.s.proxy.Request(tx)
}

// register binds the Contact, a flow by its instance and reg-id.
func (s *stage) register(tx *transaction.Server) {
	req, f := tx.Request(), s.flows.Adopt(tx.Flow())
	to, _ := sip.ParseNameAddr(req.Value(sip.To))
	u, _ := sip.ParseURI(to.URI)
	c, _ := sip.ParseNameAddr(req.Value(sip.Contact))
	instance, _ := c.Params.Value("+sip.instance")
	regID, _ := c.Params.Value("reg-id")
	q, _ := c.Params.Value("q")
	tgt := Target{URI: strings.Clone(c.URI), Name: s.keys.NameOf(u.AOR(), instance, len(regID), c.URI), Q: 1000}
	if instance != "" {
		tgt.Name = s.keys.NameOf(u.AOR(), instance+regID, 1, "")
		tgt.Instance = s.keys.NameOf(u.AOR(), instance, 0, "")
	}
	if q == "0.5" {
		tgt.Q = 500
	}
	s.mu.Lock()
	set := s.aors[u.User][:0:0]
	for _, old := range s.aors[u.User] {
		if old.Name != tgt.Name {
			set = append(set, old)
		}
	}
	s.aors[u.User] = append(set, tgt)
	s.mu.Unlock()
	f.AuthenticatedAs(u.AOR())
	s.flows.Bind(f, tgt.Name)
	tx.Reply(&sip.Reply{Status: 200, Headers: []string{"Contact: " + req.Value(sip.Contact) + ";expires=600"}})
}
