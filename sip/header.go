package sip

// Header identifies a header field that the gateway knows; compact forms share
// the id of their long form. Everything else is Other.
type Header uint8

// Known header fields.
const (
	Other Header = iota
	Via
	From
	To
	CallID
	CSeq
	MaxForwards
	Route
	RecordRoute
	Contact
	ContentLength
	ContentType
	Expires
	MinExpires
	Path
	Supported
	Require
	ProxyRequire
	Unsupported
	Allow
	Authorization
	ProxyAuthorization
	WWWAuthenticate
	ProxyAuthenticate
	Reason
	RetryAfter
	Timestamp
	MaxBreadth
	Event
	ReferTo
	ReferredBy
	Privacy
	PAssertedIdentity
	PPreferredIdentity
	RemotePartyID
	FlowTimer
	RAck
	RSeq
	Warning
	UserAgent
	ContentEncoding
	headerCount // keep last
)

// headerNames are the canonical long forms.
var headerNames = [headerCount]string{
	Via: "Via", From: "From", To: "To", CallID: "Call-ID", CSeq: "CSeq", MaxForwards: "Max-Forwards",
	Route: "Route", RecordRoute: "Record-Route", Contact: "Contact", ContentLength: "Content-Length",
	ContentType: "Content-Type", Expires: "Expires", MinExpires: "Min-Expires", Path: "Path",
	Supported: "Supported", Require: "Require", ProxyRequire: "Proxy-Require", Unsupported: "Unsupported",
	Allow: "Allow", Authorization: "Authorization", ProxyAuthorization: "Proxy-Authorization",
	WWWAuthenticate: "WWW-Authenticate", ProxyAuthenticate: "Proxy-Authenticate", Reason: "Reason",
	RetryAfter: "Retry-After", Timestamp: "Timestamp", MaxBreadth: "Max-Breadth", Event: "Event",
	ReferTo: "Refer-To", ReferredBy: "Referred-By", Privacy: "Privacy",
	PAssertedIdentity: "P-Asserted-Identity", PPreferredIdentity: "P-Preferred-Identity",
	RemotePartyID: "Remote-Party-ID", FlowTimer: "Flow-Timer", RAck: "RAck", RSeq: "RSeq",
	Warning: "Warning", UserAgent: "User-Agent", ContentEncoding: "Content-Encoding",
}

// String is the canonical long name, "" for Other.
func (h Header) String() string { return headerNames[h] }

// compactForms are the registered one-letter names (IANA, SIP Header Fields).
var compactForms = ['z' + 1]string{
	'a': "Accept-Contact", 'b': "Referred-By", 'c': "Content-Type",
	'd': "Request-Disposition", 'e': "Content-Encoding", 'f': "From",
	'i': "Call-ID", 'j': "Reject-Contact", 'k': "Supported", 'l': "Content-Length",
	'm': "Contact", 'n': "Identity-Info", 'o': "Event", 'r': "Refer-To",
	's': "Subject", 't': "To", 'u': "Allow-Events", 'v': "Via",
	'x': "Session-Expires", 'y': "Identity",
}

// headerIndex finds a known name by its hash; collisions go to the next slot.
var headerIndex [256]Header

func init() {
	for h := Other + 1; h < headerCount; h++ {
		i := nameHash(headerNames[h])
		for headerIndex[i] != Other {
			i++
		}
		headerIndex[i] = h
	}
}

func nameHash(name string) uint8 {
	n := len(name)
	return uint8(n)*31 + (name[0]|0x20)*7 + (name[n-1]|0x20)*3 + (name[n/2] | 0x20)
}

// HeaderNamed is the id of a header field name, long or compact, in any case.
func HeaderNamed(name string) Header {
	if len(name) == 0 {
		return Other
	}
	if len(name) == 1 {
		name = longForm(name)
	}
	for i := nameHash(name); headerIndex[i] != Other; i++ {
		if h := headerIndex[i]; headerNames[h] == name || EqualFold(headerNames[h], name) {
			return h
		}
	}
	return Other
}

// longForm is the long name of a compact form, and any other name itself.
func longForm(name string) string {
	if len(name) == 1 {
		if c := Lower(name[0]); c <= 'z' && compactForms[c] != "" {
			return compactForms[c]
		}
	}
	return name
}

// headerSet is a set of known header fields.
type headerSet uint64

func setOf(hs ...Header) (s headerSet) {
	for _, h := range hs {
		s |= 1 << h
	}
	return s
}

func (s headerSet) has(h Header) bool { return s>>h&1 != 0 }

var (
	// mandatory header fields of every message (RFC 3261 §8.1.1; Max-Forwards may be missing, §16.3 step 3).
	mandatory = setOf(Via, From, To, CallID, CSeq)
	// single are fields of which a second line makes the message ambiguous (RFC 3261 §7.3.1).
	single = setOf(From, To, CallID, CSeq, MaxForwards, ContentLength, ContentType, Expires, MinExpires,
		Timestamp, MaxBreadth, Event, ReferTo, ReferredBy, RetryAfter, RAck, RSeq, FlowTimer)
	// structured are fields whose values carry parameters.
	structured = setOf(Via, From, To, Route, RecordRoute, Contact, ContentType, Path, Reason, RetryAfter, Event,
		ReferTo, ReferredBy, Privacy, PAssertedIdentity, PPreferredIdentity, RemotePartyID)
)
