package proxy

import "github.com/ringway/ringway/sip"

// A response whose only Via is ours is for nobody but us, and must not be forwarded
// (§16.7 step 3): its sender lost the caller's. Since the branch says whose it is, the
// caller hears a status all the same, from us.

func viaLost(m *sip.Message) bool { return m.ViaCount() < 2 }

// answerOf is how a final response other than 2xx ends its target.
func (rc *responseContext) answerOf(b *branch, m *sip.Message) answer {
	if !viaLost(m) {
		return answer{msg: m, from: b}
	}
	rc.p.Counters.drop(DropNoVia)
	return answer{err: sip.Refuse(m.Status(), m.ReasonPhrase())}
}

// successLostLocked ends a target whose 2xx cannot reach the caller: the callee,
// who believes to be in a call, is told that it is over.
func (rc *responseContext) successLostLocked(b *branch, m *sip.Message) {
	b.heardLocked()
	rc.p.Counters.drop(DropNoVia)
	if rc.invite {
		n := 0
		if b.ended {
			n = 1
		}
		b.ended = true
		rc.todo(act{kind: actGhost, b: b, resp: m, n: n, lines: noVia})
	}
	if !b.done {
		rc.closeBranchLocked(b)
		rc.endLocked(b.t, answer{err: sip.Refuse(502, "Bad Gateway: the answer came without the caller's Via")})
	}
}
