package proxy

import (
	"slices"
	"strings"

	"github.com/ringway/ringway/sip"
)

// Tokens say which call a request belongs to by its Call-ID; its tags are for the parties to compare. Not all do: some
// take an INVITE with a To tag that they don't know as a call of its own, which no rule has seen.

var errNoSuchDialog = sip.Refuse(481, "Call/Transaction Does Not Exist: no side of the call has this To tag")

// unlinkTwinLocked takes c out of the dialogs of its Call-ID.
func (t *callTable) unlinkTwinLocked(c *call) {
	id := t.hash(t.seeds[0], c.CallID)
	if t.byID[id] == c {
		if t.byID[id] = c.twin; c.twin == nil {
			delete(t.byID, id)
		}
		return
	}
	for o := t.byID[id]; o != nil; o = o.twin {
		if o.twin == c {
			o.twin = c.twin
			return
		}
	}
}

// alsoAnswered notes the tag of a further 2xx to the INVITE of a call.
func (t *callTable) alsoAnswered(m *sip.Message) {
	tag := m.ToTag()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := t.byID[t.hash(t.seeds[0], m.CallID())]; c != nil; c = c.twin {
		if c.FromTag == m.FromTag() && c.ToTag != tag && !slices.Contains(c.others, tag) && len(c.others) < maxOthers {
			c.others = append(c.others, strings.Clone(tag))
		}
	}
}

// maxOthers is more than a call that forks has branches by default.
const maxOthers = 64

// contradicts reports whether a request has a To tag that nobody has, of a call that is known (RFC 3261 §12.2.2). What may
// belong to a dialog that is not entered is let through: of a branch that lost, or of a subscription.
func (t *callTable) contradicts(req *sip.Message) bool {
	switch req.Method() {
	case "BYE", "PRACK", "UPDATE", "NOTIFY":
		return false
	}
	tag := req.ToTag()
	t.mu.Lock()
	defer t.mu.Unlock()
	known := false
	for c := t.byID[t.hash(t.seeds[0], req.CallID())]; c != nil; c = c.twin {
		if c.ToTag == "" || c.ToTag == tag || c.FromTag == tag || len(c.others) == maxOthers || slices.Contains(c.others, tag) {
			return false
		}
		known = true
	}
	return known
}
