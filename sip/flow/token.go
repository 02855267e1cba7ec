package flow

// Side says which use a token is for.
type Side uint8

// The sides. A request leaves with two Record-Routes: Caller's names whom it
// came from, Callee's whom it went to.
const (
	Caller Side = iota + 1
	Callee
	Registered // in a Path
)

// TokenLen is the length of a token in text.
const TokenLen = 48

// Token is what a verified token says.
type Token struct {
	Node byte
	Side Side
	Flow ID
	Name Name
}

// Keys signs and verifies tokens and hashes names; safe for concurrent use.
type Keys struct{}

// OpenKeys reads the keys kept in dir, making them when there are none; dir ""
// keeps them in memory only.
func OpenKeys(dir string) (*Keys, error) { panic("stub") }

// NameOf hashes what a binding names: instance and regID "" or 0 without Outbound, then contact counts.
func (k *Keys) NameOf(aor, instance string, regID int, contact string) Name { panic("stub") }

// UpstreamName hashes an upstream's name.
func (k *Keys) UpstreamName(upstream string) Name { panic("stub") }

// Append writes the 48 characters of t to dst; pair is the text of the token that t belongs
// with ("" for Caller and Registered; the Caller's token for Callee), covered by t's MAC.
func (k *Keys) Append(dst []byte, t Token, pair string) []byte { panic("stub") }

// Verify checks one token (Caller, Registered) alone.
func (k *Keys) Verify(text string) (Token, bool) { panic("stub") }

// VerifyPair checks the two tokens of a route set in either order and returns them in the order given.
func (k *Keys) VerifyPair(first, second string) (a, b Token, ok bool) { panic("stub") }
