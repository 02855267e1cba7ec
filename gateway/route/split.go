package route

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/ringway/ringway/sip"
)

// Long lists of rules that fit the same user are told apart by who sends and by the method: a rule is in one list for each pair
// of what it asks for, and a request looks at the lists of what it is.

const (
	splitOver  = 16             // rules of a list that is split
	maxSources = 12             // sources that one request is: any, its transport, its upstream, and networks
	maxOfSplit = 2 * maxSources // lists that a request looks at in the place of one
	anySource  = 0
	anyMethod  = 0
)

// kinds are the sources and methods that rules name, by number.
type kinds struct {
	methods    map[string]uint32
	upstreams  map[string]uint32
	transports [16]uint32 // 0: no rule names it
	nets       map[network]uint32
	lengths    [2][]int // of the networks, IPv4 and IPv6
	n          uint32
}

type kind struct{ source, method uint32 }

// split is the rules of a list by kind, each list ascending.
type split map[kind][]int32

func newKinds(conds []*condition) *kinds {
	k := &kinds{methods: map[string]uint32{}, upstreams: map[string]uint32{}, nets: map[network]uint32{}}
	number := func(n *uint32) {
		if *n == 0 {
			k.n++
			*n = k.n
		}
	}
	for _, c := range conds {
		for _, m := range c.methods {
			n := k.methods[m]
			number(&n)
			k.methods[m] = n
		}
		for i := range c.source {
			switch p := &c.source[i]; {
			case p.Upstream != "":
				n := k.upstreams[p.Upstream]
				number(&n)
				k.upstreams[p.Upstream] = n
			case p.Transport != 0:
				number(&k.transports[p.Transport])
			case p.Net.IsValid():
				net := networkOf(p.Net.Addr(), p.Net.Bits())
				n := k.nets[net]
				number(&n)
				k.nets[net] = n
				of := &k.lengths[family(p.Net.Addr())]
				if !slices.Contains(*of, p.Net.Bits()) {
					*of = append(*of, p.Net.Bits())
				}
			}
		}
	}
	return k
}

// network is a prefix in a form that is found fast.
type network struct{ high, low, bits uint64 }

func networkOf(a netip.Addr, bits int) network {
	b := a.As16()
	n := network{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), uint64(bits)}
	if a.Is4() {
		bits += 96
		n.bits += 256
	}
	if bits <= 64 {
		n.high, n.low = n.high>>(64-bits)<<(64-bits), 0
	} else {
		n.low = n.low >> (128 - bits) << (128 - bits)
	}
	return n
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// of is the source that a condition names.
func (k *kinds) of(p *Peer) uint32 {
	switch {
	case p.Upstream != "":
		return k.upstreams[p.Upstream]
	case p.Transport != 0:
		return k.transports[p.Transport]
	}
	return k.nets[networkOf(p.Net.Addr(), p.Net.Bits())]
}

// split puts the rules of a list into those of their kinds; nil where that tells hardly any apart.
func (k *kinds) split(rules []int32, conds []*condition) split {
	s := split{}
	for _, i := range rules {
		c := conds[i]
		sources, methods := []uint32{anySource}, []uint32{anyMethod}
		if len(c.source) > 0 {
			sources = sources[:0]
			for j := range c.source {
				sources = append(sources, k.of(&c.source[j]))
			}
		}
		if len(c.methods) > 0 {
			methods = methods[:0]
			for _, m := range c.methods {
				methods = append(methods, k.methods[m])
			}
		}
		for _, source := range sources {
			for _, method := range methods {
				at := kind{source, method}
				if of := s[at]; len(of) == 0 || of[len(of)-1] != i {
					s[at] = append(of, i)
				}
			}
		}
	}
	if len(s[kind{anySource, anyMethod}]) > len(rules)*3/4 {
		return nil
	}
	return s
}

// asked is the kinds that one request is of.
type asked struct {
	sources [maxSources]uint32
	n       int // 0: not looked for yet; -1: too many
	methods [2]uint32
}

// find looks for them, once.
func (a *asked) find(k *kinds, f *Facts) bool {
	if a.n != 0 {
		return a.n > 0
	}
	a.n = 1 // any source
	a.methods[1] = k.methods[f.Method]
	a.add(k.upstreams[f.Source.Upstream])
	if t := f.Source.Transport; int(t) < len(k.transports) {
		a.add(k.transports[t])
		if t == sip.WSS {
			a.add(k.transports[sip.WS])
		}
	}
	if addr := f.Source.Addr.Unmap().WithZone(""); addr.IsValid() {
		for _, bits := range k.lengths[family(addr)] {
			a.add(k.nets[networkOf(addr, bits)])
		}
	}
	return a.n > 0
}

func (a *asked) add(source uint32) {
	switch {
	case source == 0 || a.n < 0:
	case a.n == maxSources:
		a.n = -1
	default:
		a.sources[a.n] = source
		a.n++
	}
}
