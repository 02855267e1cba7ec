package proxy

import (
	"github.com/ringway/ringway/sip"
)

// answer is how one target ended: with a response, or locally with err.
type answer struct {
	msg  *sip.Message
	from *branch // whose msg it is
	err  *sip.StatusError
}

func (a *answer) status() int {
	switch {
	case a.msg != nil:
		return a.msg.Status()
	case a.err != nil:
		return a.err.Code
	}
	return 0
}

// bestResponse gathers the failures of a response context and picks one (§16.7 step 6).
type bestResponse struct {
	top        answer
	rank       int
	n          int
	challenges []*sip.Message // 401 and 407, for §16.7 step 7
}

// add counts one more ended target; of equals the first stays.
func (b *bestResponse) add(a answer, cancelled bool) {
	b.n++
	if a.msg != nil && (a.status() == 401 || a.status() == 407) {
		b.challenges = append(b.challenges, a.msg)
	}
	if r := rank(a.status(), cancelled); b.n == 1 || r < b.rank {
		b.top, b.rank = a, r
	}
}

// rank orders final responses, the best first: 6xx; then the lowest class; within
// 4xx what the caller can repair, then what tells most of the callee, last what only says that
// nobody answered. After the caller's CANCEL its 487 comes before all but 6xx; without
// one a 487 says nothing.
func rank(status int, cancelled bool) int {
	switch {
	case status >= 600:
		return 0
	case status == 487 && cancelled:
		return 1
	case status < 400:
		return 2
	}
	switch status {
	case 401, 407:
		return 3
	case 484:
		return 4
	case 413, 414, 415, 416, 420, 421, 422, 423, 424, 428, 429, 433, 436, 437, 438, 469, 494:
		return 5
	case 486, 488:
		return 6
	case 480, 430:
		return 8
	case 404, 410:
		return 9
	case 482, 483, 487:
		return 11
	case 408:
		return 12
	case 503:
		return 14
	}
	if status >= 500 {
		return 13
	}
	return 7
}

// choose is what the caller is told; a.msg is to be forwarded, a.err to be made by us.
func (b *bestResponse) choose() answer {
	a := b.top
	if a.status() == 503 && a.msg != nil {
		if _, method := a.msg.CSeq(); method == "REGISTER" {
			return answer{err: registrar503(a.msg)}
		}
		// One server's state says nothing of ours, and the caller would leave us for it (§16.7 step 6).
		return answer{err: sip.Refuse(500, "Server Internal Error: the callee is not available")}
	}
	if a.msg == nil && a.err == nil {
		return answer{err: errAway}
	}
	return a
}

// registrar503 is the same of the server that keeps a user: what it says is of that user, and when to come again.
func registrar503(m *sip.Message) *sip.StatusError {
	e := sip.Refuse(500, m.ReasonPhrase())
	if m.Has(sip.RetryAfter) {
		e.Headers = []string{"Retry-After: " + m.Value(sip.RetryAfter)}
	}
	return e
}

// addChallenges is §16.7 step 7: the chosen 401 or 407 carries what the others asked for too.
func (b *bestResponse) addChallenges(chosen *sip.Message, out *sip.Splice) {
	if s := chosen.Status(); s != 401 && s != 407 {
		return
	}
	for _, m := range b.challenges {
		if m == chosen {
			continue
		}
		for _, f := range m.Fields() {
			if f.Header == sip.WWWAuthenticate || f.Header == sip.ProxyAuthenticate {
				out.Add(m.Name(f), m.FieldValue(f))
			}
		}
	}
}
