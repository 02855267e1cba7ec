package gateway

import (
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/gateway/route"
	"github.com/ringway/ringway/gateway/trunk"
	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// Config is everything an operator can say. Load makes it; nothing changes it after.
type Config struct {
	Domains       []Domain   // the first is the one that names without a domain belong to
	Listen        []Listener // sip.ConnInfo.Listener indexes it
	TLS           TLS
	Origins       []string // scheme://host[:port], host may start with "*."; "*": any; none: pages of the same host
	RequireOrigin bool     // refuse a WebSocket upgrade without Origin
	Users         []User   // of users and users_file
	UsersFile     string
	Admin         string // host:port; "": none
	AdminPprof    bool
	StateDir      string // keys live here; "": in memory, new at each start
	Upstreams     []trunk.Group
	Routes        []route.Rule // in order
	Resolver      Resolver
	Log           Log
	Limits        Limits

	ReconnectGrace time.Duration // a lost WebSocket's binding and ringing branches live on so long
	RelayExpires   time.Duration // registrations that an upstream keeps are refreshed so often
	RingTimeout    time.Duration
	DeadPeerBye    time.Duration // after so long the survivor of a dead peer gets a BYE
	TryTimeout     time.Duration // for upstreams that have none of their own
	Ping           time.Duration // WebSocket pings are 80–100 % of it apart
	Pong           time.Duration // no pong in it: the flow is dead

	// Page is served beside the WebSocket path on ws and wss listeners; nil: 404.
	// No key sets it: the demo does.
	Page http.Handler
	// Version is the build's, for metrics; no key sets it either.
	Version string

	warnings []Problem
}

// Domain is a SIP domain that is ours.
type Domain struct {
	Name      string   // in lower case
	Aliases   []string // names and addresses that mean the same domain
	Registrar string   // "local", or the upstream that keeps its users
}

// Listener is one entry of listen.
type Listener struct {
	URL       string        // as configured
	Transport sip.Transport // WS, WSS, UDP, TCP, TLS
	Addr      netip.Addr    // the zero Addr: every address, IPv4 and IPv6
	Port      uint16
	Path      string // of ws and wss, "/" at least
	Advertise string // "host:port" that peers are told; "": the address facing the peer
}

// bind is URL as it was understood: the scheme, an address or none, the port, and the
// path where it has a meaning.
func (l *Listener) bind() string {
	u := url.URL{Scheme: l.Transport.String(), Host: ":" + strconv.Itoa(int(l.Port)), Path: l.Path}
	if l.Addr.IsValid() {
		u.Host = netip.AddrPortFrom(l.Addr, l.Port).String()
	}
	if u.Scheme = strings.ToLower(u.Scheme); !l.Transport.WebSocket() {
		u.Path = ""
	}
	return u.String()
}

// TLS is the certificate of wss and tls listeners, PEM files. ClientCA has signed the
// certificates that upstreams show us; "" asks nobody for one.
type TLS struct{ Cert, Key, ClientCA string }

// Resolver says where host names are looked up.
type Resolver struct {
	Servers []string // IP:PORT of DNS servers; none: those of the machine
	Timeout time.Duration
}

// User is one user's digest secrets; its realm is its domain. One of the hashes may be "".
type User = digest.User

// Log says what is logged and how.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // auto (console on a terminal, else json), console, json
}

// Limits bound what peers can make us hold or do.
type Limits struct {
	MessageSize        int           // octets of one SIP message
	ContactsPerAOR     int           // bindings of one address-of-record
	MinExpires         time.Duration // shorter registrations are refused (423)
	MaxExpires         time.Duration // longer ones are shortened
	FlowsPerAddress    int           // connections of one IP address
	HalfOpen           int           // handshakes under way of one IP address
	Handshake          time.Duration // TLS and HTTP upgrade
	Unproven           time.Duration // a connection that neither registered nor authenticated ends
	SendQueue          int           // octets waiting for one client; for an upstream 16 times as many
	WriteTimeout       time.Duration // a peer that takes nothing for so long is cut
	FlowTransactions   int           // requests of one flow that wait for their answer
	UserInvites        int           // INVITEs of one user that wait for their answer
	UnprovenRate       int           // requests a second of one unauthenticated flow
	UnprovenBurst      int
	FailedLogins       int           // per user and address and minute
	FailedLoginPenalty time.Duration // then 403 for so long
	NonceTTL           time.Duration
	MaxBreadth         int // RFC 5393
}

// Default is the configuration of an empty file. It lacks what has no default: a
// domain and something to listen on.
var Default = Config{
	Admin: "127.0.0.1:9090",
	Log:   Log{Level: "info", Format: "auto"},
	Limits: Limits{
		MessageSize:        sip.MaxMessage,
		ContactsPerAOR:     10,
		MinExpires:         60 * time.Second,
		MaxExpires:         3600 * time.Second,
		FlowsPerAddress:    20000,
		HalfOpen:           100,
		Handshake:          5 * time.Second,
		Unproven:           30 * time.Second,
		SendQueue:          1 << 20,
		WriteTimeout:       5 * time.Second,
		FlowTransactions:   1024,
		UserInvites:        100,
		UnprovenRate:       20,
		UnprovenBurst:      100,
		FailedLogins:       10,
		FailedLoginPenalty: 60 * time.Second,
		NonceTTL:           120 * time.Second,
		MaxBreadth:         60,
	},
	Resolver:       Resolver{Timeout: 2 * time.Second},
	ReconnectGrace: 5 * time.Second,
	RelayExpires:   120 * time.Second,
	RingTimeout:    120 * time.Second,
	DeadPeerBye:    60 * time.Second,
	TryTimeout:     2 * time.Second,
	Ping:           25 * time.Second,
	Pong:           10 * time.Second,
}

// Load reads, completes and checks a file. An error of what the file says is a
// Problems with every problem that was found.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse is Load on text; name stands in messages. File names, those of includes too, are
// relative to the directory of the file they stand in.
func Parse(name string, data []byte) (*Config, error) {
	d := newDecoder(name)
	c := Default
	d.read(&c, name, data)
	if d.includes(&c); len(d.problems) > 0 {
		return nil, d.sorted()
	}
	c.complete()
	if len(d.problems) == 0 {
		c.validate(d)
	}
	if len(d.problems) > 0 {
		return nil, d.sorted()
	}
	c.warn(d)
	return &c, nil
}

// Warnings is what is allowed but probably not meant.
func (c *Config) Warnings() []Problem { return c.warnings }

// Domain is the domain that host names, itself or by an alias; nil when it is not ours.
func (c *Config) Domain(host string) *Domain {
	host = hostKey(host)
	for i := range c.Domains {
		d := &c.Domains[i]
		if d.Name == host {
			return d
		}
		for _, a := range d.Aliases {
			if a == host {
				return d
			}
		}
	}
	return nil
}

// complete fills in what other keys or the environment say.
func (c *Config) complete() {
	for i := range c.Upstreams {
		if c.Upstreams[i].TryTimeout == 0 {
			c.Upstreams[i].TryTimeout = c.TryTimeout
		}
	}
	if c.StateDir == "" {
		c.StateDir = os.Getenv("STATE_DIRECTORY") // systemd's StateDirectory=
	}
}

// relative resolves a file name against the directory of the file it stands in.
func (d *decoder) relative(name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(d.file), name)
}

// hostKey is the form in which hosts are compared: lower case, no brackets, no final dot.
func hostKey(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func joinHostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}
