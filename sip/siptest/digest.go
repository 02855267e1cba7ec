package siptest

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ringway/ringway/sip"
)

// authorization answers the first MD5 challenge of m, as browsers do (RFC 8760 §2.4); "" when there is none.
func authorization(m *sip.Message, user, password, method, uri string) (header string) {
	challenge, name := sip.WWWAuthenticate, "Authorization"
	if m.Status() == 407 {
		challenge, name = sip.ProxyAuthenticate, "Proxy-Authorization"
	}
	for _, f := range m.Fields() {
		if f.Header != challenge {
			continue
		}
		c := m.FieldValue(f)
		if alg := quoted(c, "algorithm"); !strings.HasPrefix(c, "Digest ") || alg != "" && !strings.EqualFold(alg, "MD5") {
			continue
		}
		realm, nonce := quoted(c, "realm"), quoted(c, "nonce")
		const nc, cnonce = "00000001", "siptest"
		ha1, ha2 := hash(user, realm, password), hash(method, uri)
		v := fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q, algorithm=MD5, response=%q, qop=auth, nc=%s, cnonce=%q`,
			user, realm, nonce, uri, hash(ha1, nonce, nc, cnonce, "auth", ha2), nc, cnonce)
		if opaque := quoted(c, "opaque"); opaque != "" {
			v += fmt.Sprintf(", opaque=%q", opaque)
		}
		return name + ": " + v
	}
	return ""
}

func hash(parts ...string) string {
	sum := md5.Sum([]byte(strings.Join(parts, ":")))
	return hex.EncodeToString(sum[:])
}

// quoted is the value of a parameter of a challenge.
func quoted(challenge, name string) string {
	_, params, _ := strings.Cut(challenge, " ")
	for _, p := range strings.Split(params, ",") {
		if n, v, _ := strings.Cut(strings.TrimSpace(p), "="); strings.EqualFold(n, name) {
			return strings.Trim(v, `"`)
		}
	}
	return ""
}
