package flow

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringway/ringway/sip"
)

func keys(t testing.TB, dir string) *Keys {
	t.Helper()
	k, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pair(k *Keys, from, to Token) (string, string) { return pairOf(k, from, to, "call") }

func pairOf(k *Keys, from, to Token, callID string) (string, string) {
	from.Side = Caller
	a := string(k.Append(nil, from, callID))
	return a, string(k.AppendCallee(nil, to, a, callID))
}

func TestTokenRoundTrip(t *testing.T) { // RFC 5626 §5.2: a flow token that only we can have made
	k := keys(t, "")
	want := Token{Node: 3, Side: Registered, Flow: 1 << 60, Name: k.NameOf("alice@example.com", "<urn:uuid:1>", 1, "")}
	text := string(k.Append(nil, want, ""))
	if len(text) != TokenLen {
		t.Fatalf("%d characters, want %d", len(text), TokenLen)
	}
	if got, ok := k.Verify(text); !ok || got != want {
		t.Fatalf("Verify = %v %v, want %v", got, ok, want)
	}
	for i := range text {
		b := []byte(text)
		b[i] ^= 1
		if _, ok := k.Verify(string(b)); ok {
			t.Errorf("a token with character %d changed verifies", i)
		}
	}
	for _, bad := range []string{"", text[:47], text + "A", text + text} {
		if _, ok := k.Verify(bad); ok {
			t.Errorf("%q verifies", bad)
		}
	}
	if _, ok := keys(t, "").Verify(text); ok {
		t.Error("another gateway's token verifies")
	}
}

func TestTokensOfDifferentCallsDoNotCombine(t *testing.T) {
	k := keys(t, "")
	a1, b1 := pair(k, Token{Flow: 1}, Token{Flow: 2})
	a2, b2 := pair(k, Token{Flow: 3}, Token{Flow: 4})
	if a, b, ok := k.VerifyPair(a1, b1, "call"); !ok || a.Flow != 1 || b.Flow != 2 {
		t.Errorf("caller first: %v %v %v", a, b, ok)
	}
	if a, b, ok := k.VerifyPair(b1, a1, "call"); !ok || a.Flow != 2 || b.Flow != 1 {
		t.Errorf("callee first: %v %v %v", a, b, ok)
	}
	for _, p := range [][2]string{{a1, b2}, {b2, a1}, {a2, b1}, {a1, a1}, {b1, b1}, {a1, a2}, {a1, ""}, {"", b1}} {
		if _, _, ok := k.VerifyPair(p[0], p[1], "call"); ok {
			t.Errorf("%q and %q combine", p[0], p[1])
		}
	}
	if _, ok := k.Verify(b1); ok {
		t.Error("a callee's token verifies without its pair")
	}
	path := string(k.Append(nil, Token{Side: Registered}, ""))
	if _, _, ok := k.VerifyPair(path, b1, "call"); ok {
		t.Error("a Path token serves as a caller's")
	}
	if _, _, ok := k.VerifyPair(a1, b1, "another call"); ok {
		t.Error("tokens of one call serve in another")
	}
	if _, ok := k.Verify(a1); ok {
		t.Error("a caller's token serves as a Path's")
	}
}

func TestNamesTellPartsApart(t *testing.T) {
	k := keys(t, "")
	names := map[Name]string{}
	for _, p := range []struct {
		what, aor, instance string
		reg                 int
		contact             string
	}{
		{"plain", "a@x", "<urn:uuid:1>", 1, ""},
		{"reg-id", "a@x", "<urn:uuid:1>", 2, ""},
		{"instance", "a@x", "<urn:uuid:2>", 1, ""},
		{"aor", "b@x", "<urn:uuid:1>", 1, ""},
		{"contact", "a@x", "", 0, "sip:1@x"},
		{"shifted", "a@xs", "", 0, "ip:1@x"},
	} {
		n := k.NameOf(p.aor, p.instance, p.reg, p.contact)
		if other, ok := names[n]; ok {
			t.Errorf("%s has the name of %s", p.what, other)
		}
		names[n] = p.what
	}
	if k.NameOf("a@x", "<urn:uuid:1>", 1, "sip:1@x") != k.NameOf("a@x", "<urn:uuid:1>", 1, "sip:2@x") {
		t.Error("with an instance the Contact counts")
	}
}

func TestKeysOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	k := keys(t, dir)
	text := string(k.Append(nil, Token{Side: Registered, Flow: 7}, ""))
	again := keys(t, dir)
	if got, ok := again.Verify(text); !ok || got.Flow != 7 {
		t.Error("a token from before the restart does not verify")
	}
	if k.NameOf("a@x", "i", 1, "") != again.NameOf("a@x", "i", 1, "") {
		t.Error("names change over a restart")
	}
	if st, err := os.Stat(filepath.Join(dir, keysName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v, want mode 0600", st.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, keysName), []byte("token 1 x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeys(dir); err == nil {
		t.Error("a damaged key file is taken")
	}
}

func TestOldKeysVerifyForADay(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	k := keys(t, dir)
	text := string(k.Append(nil, Token{Side: Registered, Flow: 7}, ""))
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{23 * time.Hour, true}, {25 * time.Hour, true}, {48 * time.Hour, true}, {50 * time.Hour, false}} {
		if err := k.Rotate(now.Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if _, ok := k.Verify(text); ok != step.want {
			t.Errorf("after %v: verifies = %v, want %v", step.after, ok, step.want)
		}
		if _, ok := keys(t, dir).Verify(text); ok != step.want {
			t.Errorf("after %v and a restart: verifies = %v, want %v", step.after, ok, step.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := keys(f, "")
	a, b := pair(k, Token{Flow: 1}, Token{Flow: 2})
	f.Add(a, b)
	f.Add(b, a)
	f.Add("", a[:20])
	f.Fuzz(func(t *testing.T, x, y string) {
		if tok, ok := k.Verify(x); ok && string(k.Append(nil, tok, "")) != x {
			t.Errorf("%q verifies but is not what we write", x)
		}
		if _, _, ok := k.VerifyPair(x, y, "call"); ok && !(x == a && y == b || x == b && y == a) {
			t.Errorf("%q %q combine", x, y)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add("AgkDAgAAAAAAAAEDab0cuyHytp_uALN817x2Tyb3oueLPrer")
	f.Add("AgkDAgAAAAAAAAEDab0cuyHytp/uALN817x2Tyb3oueLPrer")
	f.Add("AgkDAgAAAAAAAAEDab0cuyHytp_uALN817x2Tyb3oueLPre=")
	f.Add("AgkDAgAAAAAAAAEDab0cuyHytp_uALN817x2Tyb3oueLP\r\nr")
	f.Fuzz(func(t *testing.T, text string) {
		var raw rawToken
		ok := raw.decode(text)
		want, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if good := err == nil && len(text) == TokenLen && len(want) == rawLen; ok != good {
			t.Fatalf("%q: %v, want %v", text, ok, good)
		}
		if ok && !bytes.Equal(raw[:], want) {
			t.Fatalf("%q: %x, want %x", text, raw, want)
		}
	})
}

// BenchmarkRoutePair is what each in-dialog request pays to find its way: both
// tokens checked and the flow found.
func BenchmarkRoutePair(b *testing.B) {
	k, tab := keys(b, ""), NewTable()
	var flows []*Flow
	for range 10_000 {
		flows = append(flows, tab.Open(ws()))
	}
	const callID = "a84b4c76-e667-10ab-8f3e-2b6d1c9f0e57"
	x, y := pairOf(k, Token{Flow: flows[1].ID}, Token{Flow: flows[5000].ID}, callID)
	b.ReportAllocs()
	for b.Loop() {
		_, to, ok := k.VerifyPair(x, y, callID)
		if !ok || tab.ByID(to.Flow) == nil {
			b.Fatal("not found")
		}
	}
}

// BenchmarkToken is one token (a Path) checked and its flow found.
func BenchmarkToken(b *testing.B) {
	k, tab := keys(b, ""), NewTable()
	f := tab.Open(&conn{sip.ConnInfo{Transport: sip.WS}})
	text := string(k.Append(nil, Token{Side: Registered, Flow: f.ID}, ""))
	b.ReportAllocs()
	for b.Loop() {
		tok, ok := k.Verify(text)
		if !ok || tab.ByID(tok.Flow) != f {
			b.Fatal("not found")
		}
	}
}
