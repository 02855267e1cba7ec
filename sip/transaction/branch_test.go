package transaction

import (
	"math"
	"strings"
	"testing"
)

func TestBranchRoundTrip(t *testing.T) {
	for _, n := range []uint64{0, 1, 0xdeadbeef, math.MaxUint64} {
		b := string(AppendBranch(nil, n, ^n))
		id, loop, ok := ParseBranch(b)
		if id != n || loop != ^n || !ok {
			t.Errorf("ParseBranch(%q) = %x, %x, %v", b, id, loop, ok)
		}
		if _, _, ok := ParseBranch(strings.ToUpper(b)); !ok { // a token's case does not count (RFC 3261 §7.3.1)
			t.Errorf("%q is not read in capitals", b)
		}
	}
}

func TestForeignBranches(t *testing.T) {
	ours := string(AppendBranch(nil, 1, 2))
	for _, b := range []string{"", "z9hG4bK", "z9hG4bK1", ours + "0", ours[:len(ours)-1], "x" + ours[1:], strings.Replace(ours, "0", "g", 1), strings.Repeat("0", len(ours))} {
		if _, _, ok := ParseBranch(b); ok {
			t.Errorf("ParseBranch(%q) takes it for ours", b)
		}
	}
}

func TestCookie(t *testing.T) {
	for b, want := range map[string]bool{"z9hG4bK1": true, "Z9HG4BKx": true, "z9hG4bK": false, "": false, "z9hG4b": false, "1234567890": false} {
		if got := hasCookie(b); got != want {
			t.Errorf("hasCookie(%q) = %v, want %v", b, got, want)
		}
	}
}

func TestLabels(t *testing.T) {
	seen := make(map[string]bool)
	for _, d := range Drops() {
		if d.String() == "" || seen[d.String()] {
			t.Errorf("drop %d: label %q is empty or used twice", d, d)
		}
		seen[d.String()] = true
	}
	for _, k := range Kinds() {
		if k.String() == "" {
			t.Errorf("kind %d has no label", k)
		}
	}
}
