package trunk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/transaction"
)

// Registration keeps an address-of-record of a provider's registered to us (RFC 3261 §10.2). It is passive: it is told
// what happens and says what to do; it sends nothing, sets no timers and reads no clock. Not safe for concurrent use.
type Registration struct {
	// Static after construction.
	name    string
	reg     Register
	account *Account // nil: no login
	random  func() float64
	uri     string // Request-URI: the domain of the AOR

	callID, tag string
	cseq        uint32
	expires     time.Duration // to ask for; 423 makes it longer

	state    RegistrationState
	until    time.Time // the end of what was granted
	failures int       // rounds in a row without success
	early    int       // rounds without a hop since the start
	wrong    bool      // Refused: for what we say, not for who is asked
	good     *Target   // who granted it
	leaving  bool

	since time.Time // when it was granted first after it was last lost
	due   time.Time // of the refresh
	losts int       // connections lost that did not live long, in a row

	// One round tries the hops in order.
	sent    bool // a REGISTER waits for its answer
	targets []Target
	at      int
	tried   Tried
	last    string        // credentials of the last REGISTER
	cut     bool          // that is the second, for the first's connection ended
	raised  bool          // 423 was obeyed in this round
	wait    time.Duration // Retry-After of this round
}

// RegistrationState is how a registration stands.
type RegistrationState uint8

// The states.
const (
	NotYet     RegistrationState = iota // no answer so far
	Registered                          // the last REGISTER was granted
	Failing                             // it was not; it may still be registered for a while
	Refused                             // the provider knows us not, or by other credentials
	Left                                // un-registered, for good
)

// String is the word for logs.
func (s RegistrationState) String() string {
	return [...]string{"unregistered", "registered", "failing", "refused", "left"}[s]
}

// Step is what to do next.
type Step struct {
	// Send is a REGISTER to send, nil for none. Answered or Lost is to follow.
	Send *Try
	// Wait is when to call Due: with Send that is how long to wait for an answer. 0: not at all.
	Wait time.Duration
	// Changed says that the state is another now, and Cause why.
	Changed bool
	State   RegistrationState
	Cause   string
	Odd     bool // it is granted, but in a way that may not bring us the provider's calls
}

// Try is one REGISTER.
type Try struct {
	Target      Target
	URI         string // Request-URI
	AOR         string // of From and To
	Tag         string // of From
	CallID      string
	CSeq        uint32
	User        string // of our Contact
	Expires     time.Duration
	Credentials string // header line, "" for none
}

// Bounds of the times between tries (RFC 3261 §10.2.7 leaves them to us).
const (
	backoffFirst   = 30 * time.Second
	backoffLongest = 30 * time.Minute
	// silence is how long one of several hops may take; the last one has timer F.
	silence     = 5 * time.Second
	timerF      = 32 * time.Second
	maxRegister = 24 * time.Hour
	minGranted  = 10 * time.Second
	leastGuess  = 30 * time.Second // of what may be somebody else's
	// settled is how long a connection lives that is lost by no habit of the provider's.
	settled = 2 * time.Minute
)

// NewRegistration is of a group with Register; random is uniform over [0, 1), nil: at random.
func NewRegistration(g *Group, random func() float64) *Registration {
	if random == nil {
		random = rand.Float64
	}
	r := &Registration{name: g.Name, reg: *g.Register, account: NewAccount(g.Login), random: random, expires: g.Register.Expires}
	r.uri = "sip:"
	if u, err := sip.ParseURI(g.Register.AOR); err == nil {
		v := sip.URI{Scheme: u.Scheme, Host: u.Host, Port: u.Port}
		r.uri = v.String()
	}
	r.callID = strconv.FormatUint(rand.Uint64(), 36) + strconv.FormatUint(rand.Uint64(), 36) + "@" + g.Name
	r.tag = strconv.FormatUint(rand.Uint64(), 36)
	return r
}

// State is how it stands.
func (r *Registration) State() RegistrationState { return r.state }

// Registered reports whether calls of the provider can reach us at now.
func (r *Registration) Registered(now time.Time) bool { return now.Before(r.until) }

// First is how long to wait before the first REGISTER, so that not all registrations are sent at once.
func (r *Registration) First() time.Duration {
	return time.Duration(r.random() * float64(2*time.Second))
}

// Due begins a round with the targets given, or gives up the hop that has not answered.
func (r *Registration) Due(now time.Time, targets []Target) Step {
	switch {
	case r.state == Left:
		return Step{}
	case r.sent:
		return r.next(now, "no answer")
	case len(targets) == 0 && r.state == NotYet && r.early < 15: // DNS has yet to answer
		r.early++
		return Step{Wait: 2 * time.Second}
	case len(targets) == 0:
		return r.failed(now, "no hop is up")
	}
	r.targets, r.at, r.wait, r.raised = slices.Clone(targets), 0, 0, false
	if r.good != nil { // where it stands already
		i := slices.IndexFunc(r.targets, func(t Target) bool { return t.Addr == r.good.Addr && t.Transport == r.good.Transport })
		if i > 0 {
			t := r.targets[i]
			r.targets = slices.Insert(slices.Delete(r.targets, i, i+1), 0, t)
		}
	}
	return r.first()
}

// first is the first try at a hop.
func (r *Registration) first() Step {
	r.tried, r.cut = Nothing, false
	line := ""
	if r.account != nil {
		if line = r.account.Known(r.targets[r.at].Addr, "REGISTER", r.uri); line != "" {
			r.tried = Unasked
		}
	}
	return r.send(line)
}

func (r *Registration) send(credentials string) Step {
	r.cseq++
	r.sent, r.last = true, credentials
	t := &Try{
		Target: r.targets[r.at], URI: r.uri, AOR: r.reg.AOR, Tag: r.tag, CallID: r.callID, CSeq: r.cseq, User: r.reg.Contact,
		Expires: r.expires, Credentials: credentials,
	}
	if r.leaving {
		t.Expires = 0
	}
	wait := timerF
	if r.at+1 < len(r.targets) {
		wait = silence
	}
	return Step{Send: t, Wait: wait, State: r.state}
}

// Answered is the final response to the REGISTER with that CSeq, whose Contact was the URI contact.
func (r *Registration) Answered(now time.Time, m *sip.Message, contact string) Step {
	n, _ := m.CSeq()
	if !r.sent || n != r.cseq {
		return Step{State: r.state} // of a hop given up
	}
	r.cut = false
	status := m.Status()
	why := strconv.Itoa(status) + " " + m.ReasonPhrase()
	switch {
	case status < 300:
		return r.granted(now, m, contact)
	case status == 401 || status == 407:
		return r.challenged(now, m)
	case status == 423 && !r.raised && !r.leaving:
		return r.tooBrief(now, m)
	case status == 403 && r.tried >= Answered:
		return r.refused(now, why)
	case status == 403 || status == 404 || status == 604:
		return r.unknown(now, why)
	}
	if m.Has(sip.RetryAfter) {
		r.wait = max(r.wait, retryAfter(m.Value(sip.RetryAfter)))
	}
	return r.next(now, why)
}

// Lost is a REGISTER with that CSeq that gets no answer. Where its connection ended, it is sent once more by a new one: providers
// hang up when idle, and with their challenges (RFC 3261 §18.4).
func (r *Registration) Lost(now time.Time, cseq uint32, err error) Step {
	if !r.sent || cseq != r.cseq {
		return Step{State: r.state}
	}
	if errors.Is(err, transaction.ErrTransport) && !r.cut {
		r.cut = true
		return r.send(r.last)
	}
	return r.next(now, err.Error())
}

// Disconnected: the connection that it was granted over has ended, and with it the way of the provider's calls. It is
// registered anew at once, but ever later at a provider that hangs up each time (RFC 5626 §4.5), and by the time of its
// refresh.
func (r *Registration) Disconnected(now time.Time) Step {
	if r.sent || r.leaving || r.state != Registered {
		return Step{State: r.state}
	}
	if now.Sub(r.since) >= settled {
		r.losts = 0
	}
	wait := time.Duration(r.random() * float64(time.Second))
	if r.losts > 0 {
		wait = min(backoffFirst<<min(r.losts-1, 6), backoffLongest)
		wait = time.Duration((0.5 + 0.5*r.random()) * float64(wait))
	}
	r.losts, r.since = r.losts+1, time.Time{}
	return Step{State: r.state, Wait: max(min(wait, r.due.Sub(now)), time.Millisecond)}
}

// HopUp: an address of the upstream is in use again. The one that granted it may have forgotten it; where nobody has, it may.
func (r *Registration) HopUp(at netip.AddrPort) Step {
	if r.state == Registered && r.good.Addr != at {
		return Step{State: r.state}
	}
	return r.Again()
}

// Again has it registered anew soon. A REGISTER that is on its way will do.
func (r *Registration) Again() Step {
	if r.sent || r.state == Left || r.state == Refused && r.wrong {
		return Step{State: r.state}
	}
	return Step{State: r.state, Wait: time.Second + time.Duration(r.random()*float64(4*time.Second))}
}

// HopDown: an address of the upstream takes no calls any more, and others of it do. Where it is the one that granted it, they may
// not know us.
func (r *Registration) HopDown(at netip.AddrPort) Step {
	if r.state != Registered || r.good.Addr != at {
		return Step{State: r.state}
	}
	return r.Again()
}

// Leave un-registers, where there is something to end.
func (r *Registration) Leave(now time.Time) Step {
	if r.state == Left || r.leaving {
		return Step{State: r.state}
	}
	r.leaving = true
	switch {
	case r.sent: // it may be granted yet
		r.targets, r.at = r.targets[r.at:r.at+1], 0
	case r.good != nil && r.Registered(now):
		r.targets, r.at = []Target{*r.good}, 0
	default:
		return r.to(Left, "shutdown", 0)
	}
	return r.first()
}

// granted is a 2xx (§10.2.4): refreshed in time, whatever the provider makes of what we asked for.
func (r *Registration) granted(now time.Time, m *sip.Message, contact string) Step {
	r.sent = false
	if r.leaving {
		r.until = time.Time{}
		return r.to(Left, "shutdown", 0)
	}
	granted, odd := grantedFor(m, contact, r.expires)
	if granted < minGranted {
		return r.next(now, fmt.Sprintf("registered for %v only", granted))
	}
	r.account.Registered()
	good := r.targets[r.at]
	r.good, r.until, r.failures = &good, now.Add(granted), 0
	if r.since.IsZero() {
		r.since = now
	}
	wait := time.Duration((0.5 + 0.4*r.random()) * float64(granted))
	r.due = now.Add(wait)
	cause := "for " + granted.String() + " at " + good.String()
	if odd != "" {
		cause += "; " + odd
	}
	step := r.to(Registered, cause, wait)
	step.Odd = odd != ""
	return step
}

// grantedFor is how long a 2xx registers contact for, and what is odd about it, "" for nothing. The provider may list others'
// Contacts of the AOR. Some put what they see in the place of our host and port (NAT): then the user tells, and of several the
// shortest time.
func grantedFor(m *sip.Message, contact string, asked time.Duration) (d time.Duration, odd string) {
	if v, ok := deltaSeconds(m.Value(sip.Expires)); ok {
		asked = v
	}
	own, err := sip.ParseURI(contact)
	if err != nil || !m.Has(sip.Contact) {
		return asked, "its 200 lists no Contact; what it says of the time is taken for ours"
	}
	d, odd = asked, "its 200 does not list our Contact"
	for v := range m.Values(sip.Contact) {
		a, err := sip.ParseNameAddr(v)
		if err != nil {
			continue
		}
		u, err := sip.ParseURI(a.URI)
		if err != nil || u.User != own.User {
			continue
		}
		e, _ := a.Params.Value("expires")
		one, ok := deltaSeconds(e)
		if !ok {
			one = asked
		}
		if sip.EqualFold(u.Host, own.Host) && u.Port == own.Port {
			return one, ""
		}
		d, odd = max(min(d, one), leastGuess), "its 200 lists our Contact with another host or port"
	}
	return d, odd
}

func deltaSeconds(s string) (time.Duration, bool) {
	n, err := strconv.ParseUint(strings.Trim(s, " \t\""), 10, 32)
	return min(time.Duration(n)*time.Second, maxRegister), err == nil
}

// retryAfter reads the delta-seconds at the start of a Retry-After.
func retryAfter(value string) time.Duration {
	end := strings.IndexFunc(value, func(c rune) bool { return c < '0' || c > '9' })
	if end >= 0 {
		value = value[:end]
	}
	d, _ := deltaSeconds(value)
	return d
}

func (r *Registration) challenged(now time.Time, m *sip.Message) Step {
	if r.account == nil {
		return r.refused(now, "it asks for a password; add login")
	}
	line, next, err := r.account.Answer(r.targets[r.at].Addr, m, r.tried, "REGISTER", r.uri)
	if err != nil {
		if !errors.Is(err, ErrRefused) {
			return r.refused(now, err.Error())
		}
		return r.refused(now, strconv.Itoa(m.Status())+" "+m.ReasonPhrase()+": "+err.Error())
	}
	r.tried = next
	return r.send(line)
}

// tooBrief is 423 (§10.2.8).
func (r *Registration) tooBrief(now time.Time, m *sip.Message) Step {
	d, ok := deltaSeconds(m.Value(sip.MinExpires))
	if !ok || d <= r.expires {
		return r.next(now, "423 without a Min-Expires that is longer")
	}
	r.expires, r.raised = d, true
	return r.first()
}

// next goes on with the next hop, or ends the round.
func (r *Registration) next(now time.Time, why string) Step {
	r.sent = false
	why = r.targets[r.at].String() + ": " + why
	switch {
	case r.leaving:
		return r.to(Left, why, 0)
	case r.at+1 < len(r.targets):
		r.at++
		return r.first()
	}
	return r.failed(now, why)
}

// failed: nobody grants it; later, less and less often (30 s to 30 min).
func (r *Registration) failed(_ time.Time, why string) Step { return r.to(Failing, why, r.backoff()) }

func (r *Registration) backoff() time.Duration {
	r.failures++
	wait := backoffFirst << min(r.failures-1, 6)
	wait = time.Duration(float64(min(wait, backoffLongest*2/3)) * (1 + 0.5*r.random()))
	return min(max(wait, r.wait), backoffLongest)
}

// unknown is 403, 404 and 604 to no password of ours: a hop that is starting, or has lost its users, says so, and others know us.
func (r *Registration) unknown(now time.Time, why string) Step {
	switch {
	case r.leaving || r.at+1 < len(r.targets):
		return r.next(now, why)
	case r.state == Registered:
		return r.failedAt(now, why)
	}
	r.sent, r.wrong = false, false
	return r.to(Refused, r.targets[r.at].String()+": "+why, r.backoff())
}

// refused: trying again soon would only lock the account. But one that was granted last time is tried once more first: providers lose
// nonces and databases, too.
func (r *Registration) refused(now time.Time, why string) Step {
	if r.state == Registered && !r.leaving {
		return r.failedAt(now, why)
	}
	r.sent = false
	why = r.targets[r.at].String() + ": " + why
	if r.leaving {
		return r.to(Left, why, 0)
	}
	r.failures++
	r.wrong = true
	return r.to(Refused, why, time.Duration((0.75+0.25*r.random())*float64(backoffLongest)))
}

// failedAt is failed where a hop has said so, and no other is asked.
func (r *Registration) failedAt(now time.Time, why string) Step {
	r.sent = false
	return r.failed(now, r.targets[r.at].String()+": "+why)
}

func (r *Registration) to(s RegistrationState, cause string, wait time.Duration) Step {
	step := Step{Wait: wait, State: s, Changed: s != r.state, Cause: cause}
	r.state = s
	return step
}
