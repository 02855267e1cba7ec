// Package relay follows the users whom a registrar behind us keeps (edge proxy mode,
// docs/architecture.md): it prepares their REGISTERs to be passed on, learns from the 2xx who is
// reachable over which flow and for how long, and says from then on what such a user may
// do, how the registrar's requests reach him, and what of his is hidden behind an alias.
//
// RFC 3327 (Path), RFC 3608 (Service-Route), RFC 5626 (Outbound). It holds no password and
// sends nothing: the proxy passes the messages on, and asks here what is to change in them.
package relay

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
	"github.com/ringway/ringway/sip/transaction"
)

// Upstream is a registrar behind us.
type Upstream struct {
	Name string
	// Alias: it gets a Contact of ours in place of the user agent's, and no Path. Such a registrar
	// needs no Path, no route set and no way to an .invalid host to reach a browser.
	Alias bool
	// Unregister: it takes a REGISTER of ours that ends a dead binding, unchallenged.
	Unregister bool

	ledger ledger
}

// Flows is what the relay needs of *flow.Table.
type Flows interface {
	Adopt(f *flow.Flow) *flow.Flow
	Bind(f *flow.Flow, name flow.Name)
	Unbind(f *flow.Flow, name flow.Name)
}

// Edge names user agents and the way to them.
type Edge interface {
	NameOf(aor, instance string, regID int, contact string) flow.Name
	// PathOver is a Path value that leads over f to name, as one sees it to whom facing leads.
	PathOver(name flow.Name, f *flow.Flow, facing *sip.ConnInfo) string
}

// Logins bounds failed logins by user, realm (here: any text that keeps two kinds apart) and address.
type Logins interface {
	Blocked(user, realm string, from netip.Addr) bool
	Failed(user, realm string, from netip.Addr)
}

// Hosts says what URIs lead to.
type Hosts interface {
	// Own reports whether host:port (0: none) is one of our domains or addresses.
	Own(host string, port uint16) bool
	// AOR is the address-of-record of a URI in a domain of ours.
	AOR(u *sip.URI) (aor string, ok bool)
	// Leads reports whether u is a server of the upstream.
	Leads(upstream string, u *sip.URI) bool
	// Realm reports whether credentials for a realm are for us.
	Realm(realm string) bool
}

// Config sets a Relay; every field but the optional ones is required.
type Config struct {
	Domains map[string]Upstream // by domain
	Flows   Flows
	Edge    Edge
	Hosts   Hosts
	Logins  Logins // of one user or name at one address
	Totals  Logins // of one address; a higher limit
	Wheel   *transaction.Wheel
	Key     []byte // of the aliases; while it stays the same, so do they

	MaxExpires  time.Duration // a user agent has to refresh after so long, whatever the registrar grants [120 s]
	Grace       time.Duration // reconnect_grace [5 s]
	MaxBindings int           // of one AOR; one more puts out the oldest [10]

	OnEvent    func(Event)   // told of every change to a binding, under no lock. Optional.
	Unregister func(Binding) // ends a dead binding at a registrar that wants it. Optional.
	Notice     func(Notice)  // told what an operator should know, each thing once a minute at most. Optional.
}

// Relay is the table of relayed bindings. All methods are safe for concurrent use.
type Relay struct {
	Config
	Counters Counters

	aliases sync.Pool // of *aliasHash
	table   table
	sticky  sticky
	notices notices
	nonces  nonces
	serial  atomic.Uint64        // of REGISTERs
	groups  map[string]*Upstream // by name
	floors  floors
	pending pending
}

// New makes a Relay; add it to the flow table's watchers.
func New(cfg Config) *Relay {
	r := &Relay{Config: cfg, groups: map[string]*Upstream{}, floors: floors{}}
	if r.MaxExpires <= 0 {
		r.MaxExpires = 120 * time.Second
	}
	if r.Grace <= 0 {
		r.Grace = 5 * time.Second
	}
	if r.MaxBindings <= 0 {
		r.MaxBindings = 10
	}
	for _, up := range cfg.Domains {
		u := up
		u.ledger = newLedger(u.Name)
		r.groups[up.Name] = &u
		r.floors[up.Name] = new(atomic.Uint32)
	}
	r.aliases.New = func() any { return &aliasHash{h: hmac.New(sha256.New, cfg.Key)} }
	r.table.init()
	r.sticky.init()
	r.notices.init()
	r.pending.init()
	r.nonces.init()
	return r
}

// Registrar is the upstream that keeps the users of a domain, "" where it is us.
func (r *Relay) Registrar(domain string) string { return r.Domains[domain].Name }

// Keeps reports whether an upstream keeps the users of a domain.
func (r *Relay) Keeps(domain string) bool { _, ok := r.Domains[domain]; return ok }

// KeepsUser is Keeps for the domain of an AOR.
func (r *Relay) KeepsUser(aor string) bool { return r.Keeps(domainOf(aor)) }

// IsRegistrar reports whether an upstream keeps the users of some domain.
func (r *Relay) IsRegistrar(upstream string) bool { return r.groups[upstream] != nil }

// domainOf is what follows the '@' of an AOR.
func domainOf(aor string) string { return aor[strings.LastIndexByte(aor, '@')+1:] }

// aliasLen is the length of an alias: base64url of 15 octets, without padding or escapes, as some
// registrars keep contacts URL-encoded.
const aliasLen = 20

type aliasHash struct {
	h   hash.Hash
	out [sha256.Size]byte
}

// alias is what a user agent of an upstream is called in Contact: the same as long as the name.
func (r *Relay) alias(name flow.Name) string {
	a := r.aliases.Get().(*aliasHash)
	a.h.Reset()
	a.h.Write(name[:])
	text := base64.RawURLEncoding.EncodeToString(a.h.Sum(a.out[:0])[:15])
	r.aliases.Put(a)
	return text
}

// aliasURI is the alias as a Contact has it for whom facing leads to.
func aliasURI(alias string, facing *sip.ConnInfo) string {
	uri := "sip:" + alias + "@" + facing.Advertise
	if facing.Transport != sip.UDP {
		uri += ";transport=" + facing.Transport.Param()
	}
	return uri
}
