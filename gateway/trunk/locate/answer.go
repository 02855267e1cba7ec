package locate

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// What is kept of one answer, and how many aliases are followed to it.
const (
	maxAddrs  = 32
	maxSRVs   = 16
	maxNAPTRs = 16
	maxChain  = 8
)

var (
	errLoop    = errors.New("aliases without an end")
	errLame    = errors.New("server knows nothing of it and refers elsewhere")
	errForeign = errors.New("answer to another question")
)

// answer is what a server said to a question, checked and cut to the limits above.
type answer struct {
	none   bool // there is no such name, or no such record
	addrs  []netip.Addr
	srvs   []srv
	naptrs []naptr
	ttl    time.Duration // the shortest of the records that led here
	alias  string        // where to go on asking; all else is empty then
}

// srv is a usable SRV record; target "" is the "." of RFC 2782.
type srv struct {
	target           string
	port             uint16
	priority, weight uint16
}

// naptr is a NAPTR record that leads to SRV records (RFC 3263 §4.1).
type naptr struct {
	order, preference uint16
	service           string // in upper case
	replacement       string
}

// answersTo reports whether a is a reply to q: id, direction, opcode and question.
func answersTo(q, a *dns.Msg) bool {
	if a == nil || a.Id != q.Id || !a.Response || a.Opcode != q.Opcode {
		return false
	}
	// A server that cannot read a question may leave it out (RFC 1035 §4.1.1).
	if len(a.Question) == 0 && a.Rcode == dns.RcodeFormatError {
		return true
	}
	return len(a.Question) == 1 && a.Question[0].Qtype == q.Question[0].Qtype &&
		a.Question[0].Qclass == q.Question[0].Qclass && strings.EqualFold(a.Question[0].Name, q.Question[0].Name)
}

// read takes from a's answer section what belongs to name and the aliases that start
// there; the additional section and records of other names are not looked at.
func read(a *dns.Msg, name string, qtype uint16) (*answer, error) {
	out := &answer{ttl: 1 << 31 * time.Second}
	for range maxChain {
		alias := ""
		for _, rr := range a.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, name) {
				continue
			}
			switch {
			case h.Rrtype == qtype:
				out.add(rr)
			case h.Rrtype == dns.TypeCNAME && alias == "":
				if c, ok := rr.(*dns.CNAME); ok {
					alias = strings.ToLower(c.Target)
					out.ttl = min(out.ttl, ttl(h))
				}
			}
		}
		switch {
		case out.found():
			out.trim()
			return out, nil
		case alias == "":
			return out.without(a, name)
		}
		name = alias
	}
	return nil, errLoop
}

// without is the answer when the answer section has no records for name.
func (out *answer) without(a *dns.Msg, name string) (*answer, error) {
	soa := negativeTTL(a)
	switch {
	case a.Rcode == dns.RcodeNameError || soa >= 0:
	case !strings.EqualFold(name, a.Question[0].Name):
		return &answer{alias: name, ttl: out.ttl}, nil // the server left the end of the chain to us
	case !a.Authoritative && !a.RecursionAvailable:
		return nil, errLame
	}
	// Without SOA there is no word on how long (RFC 2308 §5): 0 becomes MinTTL.
	return &answer{none: true, ttl: max(0, min(soa, out.ttl))}, nil
}

// negativeTTL is that of RFC 2308 §5, or -1 when a has no SOA record.
func negativeTTL(a *dns.Msg) time.Duration {
	for _, rr := range a.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(ttl(&soa.Hdr), time.Duration(soa.Minttl)*time.Second)
		}
	}
	return -1
}

// ttl treats one with its first bit set as 0 (RFC 2181 §8).
func ttl(h *dns.RR_Header) time.Duration {
	if h.Ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(h.Ttl) * time.Second
}

func (out *answer) found() bool { return len(out.addrs)+len(out.srvs)+len(out.naptrs) > 0 }

// add takes a record of the right name and type, if it is one that can be used.
func (out *answer) add(rr dns.RR) {
	kept := len(out.addrs) + len(out.srvs) + len(out.naptrs)
	switch rr := rr.(type) {
	case *dns.A:
		out.addAddr(rr.A)
	case *dns.AAAA:
		out.addAddr(rr.AAAA)
	case *dns.SRV:
		s := srv{port: rr.Port, priority: rr.Priority, weight: rr.Weight}
		if rr.Target != "." {
			var ok bool
			if s.target, ok = hostName(rr.Target); !ok || rr.Port == 0 {
				return
			}
		}
		out.srvs = append(out.srvs, s)
	case *dns.NAPTR:
		target, ok := hostName(rr.Replacement)
		if !ok || rr.Regexp != "" || !strings.EqualFold(rr.Flags, "s") {
			return
		}
		out.naptrs = append(out.naptrs, naptr{rr.Order, rr.Preference, strings.ToUpper(rr.Service), target})
	}
	if len(out.addrs)+len(out.srvs)+len(out.naptrs) > kept {
		out.ttl = min(out.ttl, ttl(rr.Header()))
	}
}

func (out *answer) addAddr(ip []byte) {
	a, ok := netip.AddrFromSlice(ip)
	if a = a.Unmap(); ok && reachable(a) {
		out.addrs = append(out.addrs, a)
	}
}

// trim sorts, so that one answer in another order is the same answer, and cuts to what
// is tried first.
func (out *answer) trim() {
	slices.SortFunc(out.addrs, netip.Addr.Compare)
	out.addrs = slices.Compact(out.addrs)
	slices.SortFunc(out.srvs, func(a, b srv) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(b.weight, a.weight),
			cmp.Compare(a.target, b.target), cmp.Compare(a.port, b.port))
	})
	out.srvs = slices.CompactFunc(out.srvs, func(a, b srv) bool {
		return a.priority == b.priority && a.target == b.target && a.port == b.port
	})
	slices.SortFunc(out.naptrs, func(a, b naptr) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.preference, b.preference),
			cmp.Compare(a.service, b.service), cmp.Compare(a.replacement, b.replacement))
	})
	out.naptrs = slices.Compact(out.naptrs)
	out.addrs = slices.Clip(out.addrs[:min(len(out.addrs), maxAddrs)])
	out.srvs = slices.Clip(out.srvs[:min(len(out.srvs), maxSRVs)])
	out.naptrs = slices.Clip(out.naptrs[:min(len(out.naptrs), maxNAPTRs)])
}
