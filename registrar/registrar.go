package registrar

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// Flows is what the registrar needs of *flow.Table.
type Flows interface {
	// Adopt lists the flow of a UDP peer; nil when there is no room.
	Adopt(f *flow.Flow) *flow.Flow
	Bind(f *flow.Flow, name flow.Name)
	Unbind(f *flow.Flow, name flow.Name)
}

// Edge names user agents and the way to them; gateway makes it of *flow.Keys and the listeners.
type Edge interface {
	NameOf(aor, instance string, regID int, contact string) flow.Name
	// AppendPath appends a Path value that leads over f to name: "<sip:TOKEN@host;lr;ob>" (RFC 5626 §5.1).
	AppendPath(dst []byte, name flow.Name, f *flow.Flow) []byte
}

// WhenFull says what a new binding does when its AOR has as many as it may have.
type WhenFull string

const (
	// ReplaceOldest removes the binding that makes the least difference: of those
	// whose flow is dead, else of all, the one not refreshed for the longest time.
	// A page that makes a new +sip.instance with each load therefore pushes out its
	// own past, not the phone on the desk that refreshes.
	ReplaceOldest WhenFull = "replace_oldest"
	// Refuse answers 403 and leaves all as it is.
	Refuse WhenFull = "refuse"
)

// Config sets a Registrar. Store, Flows and Edge are needed; zero values of the
// rest are the defaults in brackets.
type Config struct {
	Store Store
	Flows Flows
	Edge  Edge
	// Own reports whether an address is this server's, domains included: a Contact
	// there would loop. host is in lower case, without brackets or final dot; port is
	// filled in. nil: none is.
	Own func(host string, port uint16) bool
	// OnEvent is told of every change, after it, under no lock. It must not block.
	OnEvent func(Event)
	// Key seals temporary GRUUs, 16 octets or more. Where it is kept on disk they outlive
	// a restart. [random]
	Key []byte

	MinExpires, MaxExpires time.Duration // [60 s, 3600 s]
	DefaultExpires         time.Duration // [3600 s, or what of it lies between the two]
	MaxBindings            int           // per AOR [10]
	WhenFull               WhenFull      // [ReplaceOldest]
	Grace                  time.Duration // reconnect_grace [5 s]
	FlowTimer              time.Duration // told to Outbound clients (RFC 5626 §4.4) [120 s]
}

// Registrar is the registrar and location service of all own domains. All
// methods are safe for concurrent use.
type Registrar struct {
	// Static after construction.
	store          Store
	flows          Flows
	edge           Edge
	own            func(host string, port uint16) bool
	onEvent        func(Event)
	gruu           *sealer
	minExpires     uint32
	maxExpires     uint32
	defaultExpires uint32
	maxBindings    int
	whenFull       WhenFull
	grace          time.Duration
	flowTimer      string // header line
	errBrief       *sip.StatusError

	// Each has locks of its own.
	index     *index
	deadlines *deadlines
	date      dateLine
}

// New checks cfg and makes a Registrar; nothing runs before Run.
func New(cfg Config) (*Registrar, error) {
	if cfg.Store == nil || cfg.Flows == nil || cfg.Edge == nil {
		return nil, errors.New("registrar: Store, Flows and Edge are needed")
	}
	r := &Registrar{
		store: cfg.Store, flows: cfg.Flows, edge: cfg.Edge, own: cfg.Own, onEvent: cfg.OnEvent,
		minExpires:  seconds(cfg.MinExpires, 60),
		maxExpires:  seconds(cfg.MaxExpires, 3600),
		maxBindings: cfg.MaxBindings,
		whenFull:    cfg.WhenFull,
		grace:       cfg.Grace,
		flowTimer:   "Flow-Timer: " + strconv.Itoa(int(seconds(cfg.FlowTimer, 120))),
		index:       newIndex(),
		deadlines:   newDeadlines(),
	}
	r.defaultExpires = seconds(cfg.DefaultExpires, min(max(3600, r.minExpires), r.maxExpires))
	if r.maxBindings == 0 {
		r.maxBindings = 10
	}
	if r.whenFull == "" {
		r.whenFull = ReplaceOldest
	}
	if r.grace == 0 {
		r.grace = 5 * time.Second
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	minimum := strconv.Itoa(int(r.minExpires))
	r.errBrief = &sip.StatusError{Code: 423, Reason: "Interval Too Brief", Headers: []string{"Min-Expires: " + minimum}}
	key := cfg.Key
	if key == nil {
		key = make([]byte, 32)
		rand.Read(key)
	}
	var err error
	r.gruu, err = newSealer(key)
	return r, err
}

func (r *Registrar) check() error {
	if r.minExpires > r.maxExpires || r.defaultExpires < r.minExpires || r.defaultExpires > r.maxExpires {
		return errors.New("registrar: default expires must lie between minimum and maximum")
	}
	if r.maxBindings < 0 || r.grace < 0 {
		return errors.New("registrar: negative limit")
	}
	if r.whenFull != ReplaceOldest && r.whenFull != Refuse {
		return errors.New("registrar: unknown policy for a full AOR: " + string(r.whenFull))
	}
	return nil
}

func seconds(d time.Duration, byDefault uint32) uint32 {
	if d <= 0 {
		return byDefault
	}
	return uint32(d / time.Second)
}

// Each calls fn for each AOR that is registered, in any order, until fn returns false.
func (r *Registrar) Each(ctx context.Context, fn func(aor string, b []Binding) bool) error {
	return r.store.Each(ctx, fn)
}

// Len is how many AORs and bindings this process has registered or loaded.
func (r *Registrar) Len() (aors, bindings int) {
	return int(r.index.aors.Load()), int(r.index.bindings.Load())
}
