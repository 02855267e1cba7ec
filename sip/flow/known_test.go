package flow

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// Tokens as they stand in route sets of calls that are up: another text for the
// same key would end those calls at the next upgrade.
func TestTokenKnownAnswer(t *testing.T) {
	r := &ring{nameKey: bytes.Repeat([]byte{7}, keyBytes)}
	if err := r.read([]string{"name", hex.EncodeToString(r.nameKey)}); err != nil {
		t.Fatal(err)
	}
	if err := r.read([]string{"token", "9", "1700000000", hex.EncodeToString(bytes.Repeat([]byte{5}, keyBytes))}); err != nil {
		t.Fatal(err)
	}
	k := &Keys{}
	k.ring.Store(r)
	name := k.NameOf("alice@example.com", "urn:uuid:1", 1, "")
	path := string(k.Append(nil, Token{Node: 3, Side: Registered, Flow: 258, Name: name}, ""))
	caller := string(k.Append(nil, Token{Node: 3, Side: Caller, Flow: 258, Name: name}, "a84b4c76e66710@pc33.example.com"))
	callee := string(k.AppendCallee(nil, Token{Node: 3, Flow: 259, Name: name}, caller, "a84b4c76e66710@pc33.example.com"))
	for _, tt := range []struct{ what, got, want string }{
		{"Path", path, "AgkDAwAAAAAAAAECab0cuyHytp_uALN8p-ObL4-O7MkJXPJo"},
		{"caller", caller, "AgkDAQAAAAAAAAECab0cuyHytp_uALN8qc1yyfvmqwXGy8ZN"},
		{"callee", callee, "AgkDAgAAAAAAAAEDab0cuyHytp_uALN8e5HeVo_LcCZvTReu"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, tt.got, tt.want)
		}
	}
}
