package sip

import "iter"

// Params are ;name=value pairs as they stand, from the first ';' on, or empty.
type Params string

// Value is the value of a parameter (name in any case), quotes and quoted pairs
// removed; ok tells "absent" from "without value".
func (p Params) Value(name string) (value string, ok bool) { panic("stub") }

// All yields name and raw value (quotes kept) of each parameter.
func (p Params) All() iter.Seq2[string, string] { panic("stub") }

// URI is a SIP or SIPS URI; other schemes have Scheme and Opaque only.
type URI struct {
	Scheme  string // as written: sip, sips, tel, …
	User    string // with escapes, without password
	Pass    string
	Host    string // IPv6 with its brackets
	Port    uint16 // 0: none
	Params  Params
	Headers string // after '?'
	Opaque  string // what follows "scheme:" in a URI that is not SIP
}

// ParseURI reads a URI (RFC 3261 §25.1); the strings of the result are parts of s.
func ParseURI(s string) (URI, error) { panic("stub") }

// Equal compares by RFC 3261 §19.1.4.
func (u *URI) Equal(v *URI) bool { panic("stub") }

// AOR is the canonical address-of-record: "user@host", escapes of unreserved
// characters undone, host in lower case, port and parameters dropped (RFC 3261
// §10.3 step 5). "" for a URI that is neither SIP nor SIPS.
func (u *URI) AOR() string { panic("stub") }

// String writes the URI back.
func (u *URI) String() string { panic("stub") }

// NameAddr is the value of From, To, Contact, Route, Record-Route, Path, Refer-To …
type NameAddr struct {
	Display string // as it stands, quotes kept
	URI     string
	Params  Params // header parameters
}

// ParseNameAddr reads a name-addr or addr-spec with its header parameters. In
// the addr-spec form parameters belong to the header (RFC 3261 §20.10).
func ParseNameAddr(s string) (NameAddr, error) { panic("stub") }

// Tag is the tag parameter.
func (a *NameAddr) Tag() string { v, _ := a.Params.Value("tag"); return v }

// ViaValue is one Via value (RFC 3261 §20.42).
type ViaValue struct {
	Transport string // as written
	Host      string
	Port      uint16 // 0: none
	Branch    string
	Params    Params
}

// ParseVia reads one Via value, LWS anywhere the grammar allows it.
func ParseVia(s string) (ViaValue, error) { panic("stub") }
