package locate

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/sip"
)

// service is a name to ask for SRV records and the transport they are for.
type service struct {
	transport sip.Transport
	name      string
}

// offer is what the SRV records of one service say.
type offer struct {
	transport sip.Transport
	srvs      []srv // in the order of priority
}

// offers finds the SRV records of the host: those that NAPTR names or, failing that, the
// default ones (RFC 3263 §4.1). found: there is at least one, be it ".".
func (s *search) offers(pinned sip.Transport) (list []offer, found bool) {
	defaults := defaultServices(s.name, pinned)
	var qs []question
	if s.t.Transport == 0 {
		qs = append(qs, question{s.name, dns.TypeNAPTR})
	}
	for _, d := range defaults {
		qs = append(qs, question{d.name, dns.TypeSRV}) // asked along, to save a round trip
	}
	got := s.r.cache.answers(s.ctx, qs...)
	if s.t.Transport == 0 {
		s.use(got[0])
		if got[0].answer != nil {
			if list, found = s.records(choose(got[0].naptrs, pinned)); found {
				return list, true
			}
		}
	}
	return s.records(defaults)
}

// records asks for the SRV records of services.
func (s *search) records(services []service) (list []offer, found bool) {
	qs := make([]question, len(services))
	for i, v := range services {
		qs[i] = question{v.name, dns.TypeSRV}
	}
	for i, k := range s.r.cache.answers(s.ctx, qs...) {
		s.use(k)
		if k.answer != nil && len(k.srvs) > 0 {
			list, found = append(list, offer{services[i].transport, k.srvs}), true
		}
	}
	return list, found
}

// defaultServices are the SRV names of RFC 3263 §4.1 without NAPTR, in the order that
// SIP prefers transports where nobody else does.
func defaultServices(host string, pinned sip.Transport) []service {
	all := []service{{sip.UDP, "_sip._udp." + host}, {sip.TCP, "_sip._tcp." + host}, {sip.TLS, "_sips._tcp." + host}}
	all = slices.DeleteFunc(all, func(v service) bool {
		return pinned != 0 && v.transport != pinned || len(v.name) > 254
	})
	return all
}

// choose picks the services that NAPTR records offer and we speak: those of the lowest
// order that has one, by preference (RFC 3263 §4.1, RFC 3403 §4.1). naptrs are sorted.
func choose(naptrs []naptr, pinned sip.Transport) []service {
	var out []service
	var order uint16
	for _, n := range naptrs {
		t := naptrTransport(n.service)
		if t == 0 || pinned != 0 && t != pinned {
			continue
		}
		if len(out) > 0 && n.order != order {
			break
		}
		order = n.order
		if v := (service{t, n.replacement}); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func naptrTransport(service string) sip.Transport {
	switch service {
	case "SIP+D2U":
		return sip.UDP
	case "SIP+D2T":
		return sip.TCP
	case "SIPS+D2T":
		return sip.TLS
	}
	return 0
}

// rank puts the addresses of all offers into one list: offer by offer, priority by
// priority. A target without addresses is passed over; the space is shared, so that one
// target's many addresses do not crowd out the others.
func rank(offers []offer, addrs map[string][]netip.Addr) []Server {
	records := 0
	for _, o := range offers {
		records += len(o.srvs)
	}
	each := max(2, maxServersFound/max(records, 1))
	var out []Server
	level := uint16(0)
	for _, o := range offers {
		for j, r := range o.srvs {
			if j == 0 || r.priority != o.srvs[j-1].priority {
				level++
			}
			out = place(out, o.transport, r, addrs[r.target][:min(each, len(addrs[r.target]))], level)
		}
	}
	return dense(out[:min(len(out), maxServersFound)])
}

// place adds one record's addresses. An address that UDP has already and TCP has as
// well is one server, whose transport goes by size (RFC 3261 §18.1.1).
func place(out []Server, t sip.Transport, r srv, addrs []netip.Addr, level uint16) []Server {
	for _, a := range addrs {
		n := Server{Addr: netip.AddrPortFrom(a, r.port), Transport: t, Priority: level, Weight: r.weight, Name: strings.TrimSuffix(r.target, ".")}
		at := slices.IndexFunc(out, func(o Server) bool {
			return o.Addr == n.Addr && (o.Transport == t || o.Transport == 0 && t != sip.TLS || o.Transport == sip.UDP && t == sip.TCP)
		})
		switch {
		case at < 0:
			out = append(out, n)
		case out[at].Transport != t:
			out[at].Transport = 0
		}
	}
	return out
}

// dense makes ranks of priorities: 0, 1, 2.
func dense(s []Server) []Server {
	rank, last := uint16(0), uint16(0)
	for i := range s {
		if i > 0 && s[i].Priority != last {
			rank++
		}
		last, s[i].Priority = s[i].Priority, rank
	}
	return s
}
