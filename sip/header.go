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
