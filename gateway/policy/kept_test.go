package policy

import (
	"testing"

	"github.com/ringway/ringway/sip"
	"github.com/ringway/ringway/sip/flow"
)

// keeper keeps the users of example.net; it blocks who is asked for when blocked is set.
type keeper struct{ blocked bool }

func (k *keeper) Keeps(domain string) bool { return domain == "example.net" }

func (k *keeper) MayRegister(*sip.Message, *flow.Flow, string) error {
	if k.blocked {
		return errBlocked
	}
	return nil
}

func (k *keeper) MaySend(from *flow.Flow, aor string) error {
	if from.Is(aor) {
		return nil
	}
	return ErrNoPassword
}

const dora = "<sip:dora@example.net>"

// Users whom an upstream keeps are never challenged here: we have no passwords of theirs, not even where there is one.
func TestKeptUsersAreNotChallenged(t *testing.T) {
	for _, tr := range []sip.Transport{sip.WS, sip.TCP, sip.UDP} {
		r := newRoom(t)
		k := &keeper{}
		r.id.Kept = k
		f, _ := r.open(tr, "198.51.100.1:4000")
		r.want(0, r.request("REGISTER", "", dora, dora), f)
		if f.Proven() {
			t.Fatalf("%v: a REGISTER that nobody has accepted proves somebody", tr)
		}
		r.want(403, r.request("INVITE", "", dora, bob), f)
		f.AuthenticatedAs("dora@example.net") // the registrar's 2xx
		r.want(0, r.request("INVITE", "", dora, bob), f)
		r.want(0, r.request("INVITE", "", `"Anonymous" <sip:anonymous@anonymous.invalid>`, bob), f)
		r.want(403, r.request("INVITE", "", "<sip:eve@example.net>", bob), f)
		f.Forget("dora@example.net") // it expired
		r.want(403, r.request("INVITE", "", dora, bob), f)
		k.blocked = true
		r.want(403, r.request("REGISTER", "", dora, dora), f)
	}
}

func TestProveOfKeptUser(t *testing.T) { // in a dialog, over a new connection
	r := newRoom(t)
	r.id.Kept = &keeper{}
	if e := sip.AsStatus(r.id.Prove(r.request("BYE", "", dora, bob), r.ws())); e.Code != 403 || len(e.Headers) != 0 {
		t.Errorf("%v", e)
	}
	if e := sip.AsStatus(r.id.Prove(r.request("BYE", "", alice, bob), r.ws())); e.Code != 407 {
		t.Errorf("a user of ours: %v", e)
	}
}

// REGISTERs that are passed on unproven make the upstream work: they cost like refused requests.
func TestUnprovenRegistersAreCharged(t *testing.T) {
	r := newRoom(t)
	r.id.Kept = &keeper{}
	f := r.ws()
	passed := 0
	for range 300 {
		if r.admit(r.request("REGISTER", "", dora, dora), f) == nil {
			passed++
		}
	}
	if passed != 100 {
		t.Errorf("%d of 300 were passed on, want the burst of 100", passed)
	}
	g := r.ws()
	g.AuthenticatedAs("dora@example.net")
	for range 300 {
		r.want(0, r.request("REGISTER", "", dora, dora), g)
	}
}
