package locate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/sip"
)

const maxServersFound = 32

// search is one Locate at work: the steps of RFC 3263 §4, and what it has learnt of
// the answer's age on the way.
type search struct {
	ctx  context.Context
	r    *Resolver
	t    Target
	name string // the host with its final dot

	until  time.Time // the first moment at which something used is to be asked again
	stale  bool
	failed bool // some question has no answer at all
	errs   []error
}

func newSearch(ctx context.Context, r *Resolver, t Target) *search {
	return &search{ctx: ctx, r: r, t: t, until: time.Now().Add(r.cfg.MaxTTL)}
}

// use notes that the outcome rests on k.
func (s *search) use(k known) {
	if k.until.Before(s.until) {
		s.until = k.until
	}
	switch {
	case k.answer == nil:
		s.failed = true
	case k.err != nil:
		s.stale = true
	}
	if k.err != nil {
		s.fail(k.err)
	}
}

func (s *search) fail(err error) {
	if len(s.errs) < 4 {
		s.errs = append(s.errs, err)
	}
}

func (s *search) err() error { return errors.Join(s.errs...) }

// servers walks RFC 3263 §4.1 and §4.2.
func (s *search) servers() []Server {
	transport, err := s.transport()
	if err != nil {
		s.fail(err)
		return nil
	}
	if addr, ok := literal(s.t.Host); ok {
		if !reachable(addr) {
			s.fail(fmt.Errorf("%s is no address of a server", addr))
			return nil
		}
		return s.plain(strings.Trim(s.t.Host, "[]"), []netip.Addr{addr}, transport)
	}
	var ok bool
	if s.name, ok = hostName(s.t.Host); !ok {
		s.fail(fmt.Errorf("%q is neither a host name nor an IP address", s.t.Host))
		return nil
	}
	if addrs, local := s.local(s.name); local {
		out := s.plainOrNone(addrs, transport) // the operator's own word: no DNS is asked
		for i := range out {
			out[i].Local = true
		}
		return out
	}
	if s.t.Port == 0 {
		if offers, found := s.offers(transport); found {
			return s.offered(offers)
		}
	}
	return s.plainOrNone(s.searched(), transport)
}

// transport is what the Target pins: TLS for a sips URI (RFC 3263 §4.1).
func (s *search) transport() (sip.Transport, error) {
	switch t := s.t.Transport; {
	case t.WebSocket() || t > sip.WSS:
		return 0, errors.New("a server is reached by udp, tcp or tls")
	case s.t.Secure && t == sip.UDP:
		return 0, errors.New("sips and transport=udp contradict each other")
	case s.t.Secure:
		return sip.TLS, nil
	default:
		return t, nil
	}
}

// local is what this machine says of a name, without DNS.
func (s *search) local(name string) (addrs []netip.Addr, known bool) {
	if addrs = s.r.hosts.lookup(name); len(addrs) == 0 {
		if addrs, known = specialUse(name); !known {
			return nil, false
		}
	}
	if soon := time.Now().Add(fileTTL); soon.Before(s.until) {
		s.until = soon
	}
	return addrs, true
}

// plain makes servers of a host's addresses (RFC 3263 §4.2, no SRV).
func (s *search) plain(name string, addrs []netip.Addr, transport sip.Transport) []Server {
	port := s.t.Port
	if port == 0 {
		port = 5060
		if transport == sip.TLS {
			port = 5061
		}
	}
	out := make([]Server, 0, min(len(addrs), maxServersFound))
	for _, a := range addrs[:min(len(addrs), maxServersFound)] {
		out = append(out, Server{Addr: netip.AddrPortFrom(a, port), Transport: transport, Name: name})
	}
	return out
}

func (s *search) plainOrNone(addrs []netip.Addr, transport sip.Transport) []Server {
	name := strings.TrimSuffix(s.name, ".")
	if len(addrs) == 0 && len(s.errs) == 0 {
		s.fail(fmt.Errorf("%s: %w", name, ErrNone))
	}
	return s.plain(name, addrs, transport)
}

// searched is the addresses of the host itself, by the search list of the machine.
func (s *search) searched() []netip.Addr {
	for _, name := range s.r.ask.servers.candidates(s.t.Host, s.name) {
		if addrs := s.addresses(name)[name]; len(addrs) > 0 {
			return addrs
		}
	}
	return nil
}

// addresses asks for A and AAAA of all names at once. IPv4 comes first: a PBX that
// has both is likelier to listen there.
func (s *search) addresses(names ...string) map[string][]netip.Addr {
	out := make(map[string][]netip.Addr, len(names))
	var qs []question
	for _, n := range names {
		if addrs, local := s.local(n); local {
			out[n] = addrs
			continue
		}
		qs = append(qs, question{n, dns.TypeA}, question{n, dns.TypeAAAA})
	}
	got := s.r.cache.answers(s.ctx, qs...)
	for i := 0; i < len(got); i += 2 {
		v4, v6 := got[i], got[i+1]
		var addrs []netip.Addr
		for _, k := range []*known{&v4, &v6} {
			if k.answer != nil {
				addrs = append(addrs, k.addrs...)
			}
		}
		if len(addrs) > 0 { // a server that chokes on AAAA must not look like an outage
			forgive(&v4)
			forgive(&v6)
		}
		s.use(v4)
		s.use(v6)
		out[qs[i].name] = addrs
	}
	return out
}

// forgive drops the failure of a question that has brought no address so far; it is asked
// again all the same.
func forgive(k *known) {
	if k.answer == nil || k.none {
		k.answer, k.err = &answer{none: true}, nil
	}
}

// offered makes servers of SRV records (RFC 3263 §4.2, RFC 2782).
func (s *search) offered(offers []offer) []Server {
	var names []string
	for _, o := range offers {
		for _, r := range o.srvs {
			if r.target != "" && !slices.Contains(names, r.target) && len(names) < maxSRVs {
				names = append(names, r.target)
			}
		}
	}
	if len(names) == 0 {
		s.fail(fmt.Errorf("%s: %w", strings.TrimSuffix(s.name, "."), ErrNotOffered))
		return nil
	}
	out := rank(offers, s.addresses(names...))
	if len(out) == 0 && len(s.errs) == 0 {
		s.fail(fmt.Errorf("%s: no SRV target has an address: %w", strings.TrimSuffix(s.name, "."), ErrNone))
	}
	return out
}
