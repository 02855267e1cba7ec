package digest

import "errors"

// ErrUnanswerable is a challenge with an algorithm or qop that is not spoken here.
var ErrUnanswerable = errors.New("digest challenge with unknown algorithm or qop")

// Answerable reports whether Answer can answer the challenge.
func (ch *Challenge) Answerable() bool {
	return ParseAlgorithm(ch.Algorithm) != 0 && (ch.QOP == "" || offersAuth(ch.QOP))
}

// Answer is the client's Authorization value for a challenge: qop auth when it
// is offered, none when the challenge has no qop (RFC 2617 servers). nc is 8
// hexadecimal digits; cnonce should be random.
func Answer(ch *Challenge, user, password, method, uri, nc, cnonce string) (string, error) {
	alg := ParseAlgorithm(ch.Algorithm)
	if !ch.Answerable() {
		return "", ErrUnanswerable
	}
	c := Credentials{User: user, Realm: ch.Realm, Nonce: ch.Nonce, URI: uri, Algorithm: ch.Algorithm, Opaque: ch.Opaque}
	if ch.QOP != "" {
		c.QOP, c.NC, c.CNonce = "auth", nc, cnonce
	}
	ha1 := HA1(alg, user, ch.Realm, password)
	c.Response = string(appendResponse(nil, alg, ha1, method, &c))
	return c.String(), nil
}

// String writes the credentials as a header value.
func (c *Credentials) String() string {
	s := `Digest username="` + c.User + `", realm="` + c.Realm + `", nonce="` + c.Nonce +
		`", uri="` + c.URI + `", response="` + c.Response + `"`
	if c.Algorithm != "" {
		s += ", algorithm=" + c.Algorithm
	}
	if c.QOP != "" {
		s += ", qop=" + c.QOP + ", nc=" + c.NC + `, cnonce="` + c.CNonce + `"`
	}
	if c.Opaque != "" {
		s += `, opaque="` + c.Opaque + `"`
	}
	return s
}
