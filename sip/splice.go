package sip

// Splice is a copy of a Message in the making: the message's own text with
// pieces cut, replaced and put in. What no method names stays byte for byte.
// It is kept with a branch to make the request again (retransmission, another
// transport), its ACK and its CANCEL.
type Splice struct {
	msg *Message
}

// Splice returns a splice of m without changes.
func (m *Message) Splice() Splice { return Splice{msg: m} }

// SetURI replaces the Request-URI.
func (s *Splice) SetURI(uri string) { panic("stub") }

// PushVia puts a Via line of ours before the first (RFC 3261 §16.6 step 8); calling
// it again replaces the value, as a change of transport needs. value is all after "Via: ".
func (s *Splice) PushVia(value string) { panic("stub") }

// StampVia adds received and rport (RFC 3261 §18.2.1, RFC 3581 §4) to the
// received request's topmost Via value: received always when the Via host is not addr's
// address or rport was asked for; rport filled in only when asked for.
func (s *Splice) StampVia(addr string, port uint16) { panic("stub") }

// PopVia removes the first Via value, and its line only when nothing else is on it (RFC 3261 §16.7 step 3).
func (s *Splice) PopVia() { panic("stub") }

// SetMaxForwards replaces or adds Max-Forwards.
func (s *Splice) SetMaxForwards(n int) { panic("stub") }

// PopRoutes removes the first n Route values.
func (s *Splice) PopRoutes(n int) { panic("stub") }

// PopLastRoute removes the last Route value (RFC 3261 §16.4: strict router before us).
func (s *Splice) PopLastRoute() { panic("stub") }

// PushRoutes puts Route lines before what remains of the route set; AppendRoute after it (§16.6 step 6).
func (s *Splice) PushRoutes(values ...string) { panic("stub") }

// AppendRoute puts a Route value behind the last.
func (s *Splice) AppendRoute(value string) { panic("stub") }

// PushRecordRoutes puts Record-Route lines before the first, in the order given.
func (s *Splice) PushRecordRoutes(values ...string) { panic("stub") }

// Remove cuts one header line.
func (s *Splice) Remove(f Field) { panic("stub") }

// RemoveAll cuts all h lines.
func (s *Splice) RemoveAll(h Header) { panic("stub") }

// Replace gives one header line another value; the name stays as written.
func (s *Splice) Replace(f Field, value string) { panic("stub") }

// Add puts a header line at the end of the header.
func (s *Splice) Add(name, value string) { panic("stub") }

// Append writes the copy with an exact Content-Length to dst. It may be called
// many times; it does not allocate when dst has room.
func (s *Splice) Append(dst []byte) []byte { panic("stub") }

// AppendAck writes the ACK to a non-2xx final response (RFC 3261 §17.1.1.3):
// Request-URI, our one Via, Route, From, Call-ID, CSeq number of the spliced request, To of resp.
func (s *Splice) AppendAck(dst []byte, resp *Message) []byte { panic("stub") }

// AppendCancel writes the CANCEL of the spliced request (RFC 3261 §9.1); extra are
// whole header lines without CRLF, such as Reason (RFC 3326).
func (s *Splice) AppendCancel(dst []byte, extra ...string) []byte { panic("stub") }

// Reply is a response made by us.
type Reply struct {
	Status int
	Reason string // "" = the standard phrase
	ToTag  string // put into To when it has none and Status > 100
	// Source is where the request came from: received/rport of the top Via (RFC 3581 §4); zero value: leave it.
	SourceAddr string
	SourcePort uint16
	Headers    []string // whole lines without CRLF
	Body       string
}

// AppendReply writes r as the answer to request m: its Via lines, From, To,
// Call-ID, CSeq, for 100 its Timestamp, then r's headers and an exact Content-Length (RFC 3261 §8.2.6).
func (m *Message) AppendReply(dst []byte, r *Reply) []byte { panic("stub") }
