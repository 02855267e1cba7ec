package gateway

import (
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/digest"
)

// TestKnownUsersByCanonicalAOR: users stand in the file as people write them, AORs have
// escapes (RFC 3261 §10.3 step 5, §19.1.2).
func TestKnownUsersByCanonicalAOR(t *testing.T) {
	var users []digest.User
	for _, name := range []string{"zoë", "alice", "a/b"} {
		users = append(users, digest.User{Name: name, Realm: "example.com", MD5: digest.HA1(digest.MD5, name, "example.com", "x")})
	}
	table, err := digest.NewTable(users)
	if err != nil {
		t.Fatal(err)
	}
	known := knownOf(table)
	for uri, want := range map[string]bool{
		"sip:zo%c3%ab@example.com": true, "sip:%61lice@example.com": true, "sip:a%2Fb@example.com": true, "sip:a/b@example.com": true,
		"sip:zoe@example.com": false, "sip:alice@example.org": false,
	} {
		u, err := sip.ParseURI(uri)
		if err != nil {
			t.Fatal(err)
		}
		if got := known(u.AOR()); got != want {
			t.Errorf("%s (%s) is known: %v, want %v", uri, u.AOR(), got, want)
		}
	}
}
