// Package dnstest is a DNS server for tests: its zone is text, and can be changed or
// made to fail while it runs. It asks nobody and answers with authority for every name.
package dnstest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Mode is a way to answer.
type Mode int

// The ways. OK is what the zone says.
const (
	OK        Mode = iota
	ServFail       // SERVFAIL
	Refused        // REFUSED
	NotImp         // NOTIMP, with EDNS0 or without
	NXDomain       // NXDOMAIN without SOA, whatever the zone says
	NoEDNS         // FORMERR to a question with EDNS0, the zone's answer to one without
	Lame           // a referral: no answer, no authority, no recursion
	Silence        // nothing
	Truncate       // over UDP an empty answer with the TC bit, over TCP the zone's
	WrongID        // the zone's answer with another id
	WrongName      // the zone's answer to another question
	Garbage        // the header of the answer, then noise
	HangUp         // over TCP a closed connection, over UDP an answer with the TC bit
)

// Server answers from its zone.
type Server struct {
	t    testing.TB
	addr string
	udp  *dns.Server
	tcp  *dns.Server

	mu    sync.Mutex
	zone  map[key][]dns.RR
	names map[string]bool // owners, and all names above them
	modes map[key]Mode
	asked map[key]int
	craft func(q, a *dns.Msg)
	news  chan struct{} // closed by the next question
}

type key struct {
	name  string // in lower case, with the final dot; "": every name
	qtype uint16 // 0: every type
}

// New makes a server without sockets, for its Exchange.
func New(t testing.TB, zone string) *Server {
	t.Helper()
	s := &Server{t: t, modes: map[key]Mode{}, asked: map[key]int{}, news: make(chan struct{})}
	s.Zone(zone)
	return s
}

// Start makes a server that listens on UDP and TCP at one port of 127.0.0.1 until the
// test ends.
func Start(t testing.TB, zone string) *Server {
	t.Helper()
	s := New(t, zone)
	var l net.Listener
	var p net.PacketConn
	for range 20 { // the port that is free for TCP may be taken for UDP
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if p, err = net.ListenPacket("udp", l.Addr().String()); err == nil {
			break
		}
		l.Close()
	}
	if p == nil {
		t.Fatal("no port is free for both UDP and TCP")
	}
	s.addr = l.Addr().String()
	s.tcp, s.udp = &dns.Server{Listener: l, Handler: s}, &dns.Server{PacketConn: p, Handler: s}
	for _, d := range []*dns.Server{s.tcp, s.udp} {
		up, ended := make(chan struct{}), make(chan struct{})
		d.NotifyStartedFunc = func() { close(up) }
		go func() { _ = d.ActivateAndServe(); close(ended) }()
		<-up
		t.Cleanup(func() { _ = d.Shutdown(); <-ended })
	}
	return s
}

// Addr is where the server listens, "127.0.0.1:port".
func (s *Server) Addr() string { return s.addr }

// Zone replaces all records by those of text, in the form of RFC 1035 §5, each line with
// its owner's name. Its origin is the root, so names may go without the final dot; $TTL is
// 60 unless text says else.
func (s *Server) Zone(text string) {
	s.t.Helper()
	zone, names := map[key][]dns.RR{}, map[string]bool{}
	p := dns.NewZoneParser(strings.NewReader("$TTL 60\n$ORIGIN .\n"+unindent(text)), "", "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		name := strings.ToLower(rr.Header().Name)
		k := key{name, rr.Header().Rrtype}
		zone[k] = append(zone[k], rr)
		for n := name; n != ""; _, n, _ = strings.Cut(n, ".") {
			names[n] = true
		}
	}
	if err := p.Err(); err != nil {
		s.t.Fatalf("zone: %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone, s.names = zone, names
}

// unindent lets a zone be indented as the test around it is: to the parser, a line that
// begins with blanks belongs to the owner before.
func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

// Fail has the server answer in that mode to questions "NAME", "NAME TYPE" or "* TYPE";
// without any, to all. OK undoes it for them. The narrowest counts.
func (s *Server) Fail(m Mode, questions ...string) {
	s.t.Helper()
	if len(questions) == 0 {
		questions = []string{"*"}
	}
	keys := make([]key, len(questions))
	for i, q := range questions {
		keys[i] = s.key(q)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		s.modes[k] = m
	}
}

// Heal has the server answer all questions again.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.modes)
}

// Craft has f change each answer just before it leaves; nil ends that.
func (s *Server) Craft(f func(q, a *dns.Msg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.craft = f
}

// Asked is how often questions "NAME", "NAME TYPE" or "*" came, over UDP and TCP.
func (s *Server) Asked(question string) (n int) {
	s.t.Helper()
	want := s.key(question)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, count := range s.asked {
		if (want.name == "" || want.name == k.name) && (want.qtype == 0 || want.qtype == k.qtype) {
			n += count
		}
	}
	return n
}

func (s *Server) key(question string) key {
	s.t.Helper()
	name, qtype, typed := strings.Cut(question, " ")
	k := key{name: strings.ToLower(dns.Fqdn(name))}
	if name == "*" {
		k.name = ""
	}
	if typed {
		var ok bool
		if k.qtype, ok = dns.StringToType[qtype]; !ok {
			s.t.Fatalf("%q: no type %q", question, qtype)
		}
	}
	return k
}

// Exchange answers q at once and without sockets, as over UDP and then TCP; silence
// lasts until ctx ends. It fits locate.Config, whatever the server's name.
func (s *Server) Exchange(ctx context.Context, _ string, q *dns.Msg) (*dns.Msg, error) {
	for _, stream := range []bool{false, true} {
		a := s.answer(q, stream)
		if a != nil && s.mode(q) == Garbage {
			return nil, dns.ErrBuf
		}
		if a == nil {
			if stream {
				return nil, net.ErrClosed
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		wire, err := a.Pack()
		if err != nil {
			return nil, fmt.Errorf("dnstest: %w", err)
		}
		out := new(dns.Msg)
		if err := out.Unpack(wire); err != nil {
			return nil, err
		}
		if !out.Truncated || stream {
			return out, nil
		}
	}
	panic("not reached")
}

// ServeDNS answers a question that came over a socket.
func (s *Server) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	_, stream := w.RemoteAddr().(*net.TCPAddr)
	a := s.answer(q, stream)
	switch {
	case a == nil && stream:
		_ = w.Close()
	case a == nil:
	case s.mode(q) == Garbage:
		wire, _ := a.Pack()
		_, _ = w.Write(append(wire[:12], "\xff\xff\xff\xff noise"...))
	default:
		_ = w.WriteMsg(a)
	}
}

// mode is that of q's question: the narrowest that is set.
func (s *Server) mode(q *dns.Msg) Mode {
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range []key{{name, qtype}, {name, 0}, {"", qtype}, {"", 0}} {
		if m, set := s.modes[k]; set {
			return m
		}
	}
	return OK
}

// answer is nil for silence.
func (s *Server) answer(q *dns.Msg, stream bool) *dns.Msg {
	mode := s.mode(q)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[key{strings.ToLower(q.Question[0].Name), q.Question[0].Qtype}]++
	close(s.news)
	s.news = make(chan struct{})
	a := new(dns.Msg)
	a.SetReply(q)
	a.Authoritative = true
	if mode == Silence || mode == HangUp && stream {
		return nil
	}
	if code, failed := map[Mode]int{ServFail: dns.RcodeServerFailure, Refused: dns.RcodeRefused, NotImp: dns.RcodeNotImplemented, NXDomain: dns.RcodeNameError}[mode]; failed {
		a.Rcode = code
		return a
	}
	opt := q.IsEdns0()
	switch {
	case mode == NoEDNS && opt != nil:
		a.Rcode = dns.RcodeFormatError
		return a
	case mode == Lame:
		a.Authoritative = false
		return a
	case !stream && (mode == Truncate || mode == HangUp):
		a.Truncated = true
		return a
	}
	s.fillLocked(a, q.Question[0])
	switch mode {
	case WrongID:
		a.Id++
	case WrongName:
		a.Question[0].Name = "other." + a.Question[0].Name
	}
	if s.craft != nil {
		s.craft(q, a)
	}
	size := dns.MinMsgSize
	if opt != nil {
		a.SetEdns0(dns.DefaultMsgSize, false)
		size = max(size, int(opt.UDPSize()))
	}
	if stream {
		size = dns.MaxMsgSize
	}
	a.Truncate(size)
	return a
}

// fillLocked puts the zone's answer into a: aliases and records, or the SOA of the zone
// that has none (RFC 1034 §4.3.2).
func (s *Server) fillLocked(a *dns.Msg, q dns.Question) {
	name := strings.ToLower(q.Name)
	for seen := []string(nil); !slices.Contains(seen, name); {
		seen = append(seen, name)
		if rrs := s.zone[key{name, q.Qtype}]; len(rrs) > 0 {
			for _, rr := range rrs {
				a.Answer = append(a.Answer, dns.Copy(rr)) // Craft may change it
			}
			return
		}
		alias := s.zone[key{name, dns.TypeCNAME}]
		if len(alias) == 0 {
			break
		}
		a.Answer = append(a.Answer, alias...)
		name = strings.ToLower(alias[0].(*dns.CNAME).Target)
	}
	if !s.names[name] {
		a.Rcode = dns.RcodeNameError
	}
	for n := name; n != ""; _, n, _ = strings.Cut(n, ".") {
		if soa := s.zone[key{n, dns.TypeSOA}]; len(soa) > 0 {
			a.Ns = append(a.Ns, soa...)
			return
		}
	}
}

// Await waits until a question has come n times; it fails the test after ten seconds.
func (s *Server) Await(question string, n int) {
	s.t.Helper()
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for {
		s.mu.Lock()
		news := s.news
		s.mu.Unlock()
		if s.Asked(question) >= n {
			return
		}
		select {
		case <-news:
		case <-patience.C:
			s.t.Fatalf("%s was asked %d times, want %d", question, s.Asked(question), n)
		}
	}
}
