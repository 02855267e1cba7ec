package proxy

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ringway/ringway/sip"
)

// Session timers (RFC 4028) towards upstreams. Browsers offer 90 s and give up at a 422, which an upstream with a
// longer Min-SE answers; FreeSWITCH does as it comes. So a 422 is answered here as §7.4 has it of the caller: the request
// goes once more with the interval that was asked for, a Min-SE of that, and the next CSeq (shifts; with its own it would be
// a merged request, RFC 3261 §8.2.2.2). A short one is remembered for a while, and later requests have it from the start; a long one
// may be what one callee behind the upstream wants, and would leave others' dead calls unnoticed.
// §8.1 does not let a proxy raise an interval; we do where the call would fail otherwise, and nowhere else. The
// caller takes the interval from the 2xx (§7.2), which is passed on as it is, and refreshes by that. So there is
// nothing to mend within a dialog: a 422 there is the caller's.

const (
	maxMinSE  = time.Hour // no upstream makes us ask for more
	maxRaises = 3         // of one request
	maxLearnt = 3 * time.Minute
	learntFor = 10 * time.Minute
)

// minimums are the shortest session intervals that upstreams take.
type minimums struct {
	of sync.Map // upstream → minimum
}

type minimum struct {
	least time.Duration
	until time.Time
}

func (s *minimums) get(upstream string) time.Duration {
	if upstream == "" {
		return 0
	}
	m, ok := s.of.Load(upstream)
	if !ok {
		return 0
	}
	if m := m.(minimum); time.Now().Before(m.until) {
		return m.least
	}
	return 0
}

// raised reports whether a request to upstream has ever been sent once more with a longer interval.
func (s *minimums) raised(upstream string) bool {
	_, ok := s.of.Load(upstream)
	return ok
}

// learn notes what a 422 says; another hop of the upstream may have said more.
func (s *minimums) learn(upstream string, least time.Duration) {
	if least > maxLearnt {
		s.of.LoadOrStore(upstream, minimum{})
		return
	}
	s.of.Store(upstream, minimum{max(least, s.get(upstream)), time.Now().Add(learntFor)})
}

// interval is the seconds that stand at the start of a Session-Expires or Min-SE, 0 where there are none.
func interval(value string) time.Duration {
	value, _, _ = strings.Cut(value, ";")
	n, err := strconv.ParseUint(strings.Trim(value, " \t"), 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// setInterval raises the session interval of a copy that goes to an upstream to the least that it takes.
func (p *Proxy) setInterval(a *act, out *sip.Splice) {
	req := a.req
	if method := req.Method(); method != "INVITE" && method != "UPDATE" {
		return
	}
	least := p.minimums.get(a.w.Upstream)
	if a.try != nil {
		least = max(least, a.try.least)
	}
	if least == 0 {
		return
	}
	asked := req.Named("Session-Expires")
	if d := interval(asked); d == 0 || d >= least {
		return
	}
	text, told := strconv.Itoa(int(least/time.Second)), false
	for _, f := range req.Fields() {
		if f.Header != sip.Other {
			continue
		}
		switch name := req.Name(f); {
		case sip.EqualFold(name, "Session-Expires") || sip.EqualFold(name, "x"):
			_, params, some := strings.Cut(req.FieldValue(f), ";")
			if some {
				params = ";" + params
			}
			out.Replace(f, text+params)
		case sip.EqualFold(name, "Min-SE"):
			told = true
			if interval(req.FieldValue(f)) < least {
				out.Replace(f, text)
			}
		}
	}
	if !told {
		out.Add("Min-SE", text)
	}
}

// tooBriefLocked answers an upstream's 422 to a request that begins a call by sending it once more, as long as it
// asks for what we can do. false: it is an answer like any.
func (rc *responseContext) tooBriefLocked(b *branch, m *sip.Message) bool {
	if m.Status() != 422 || b.w.Upstream == "" || !rc.invite || rc.closedLocked() {
		return false
	}
	least := interval(m.Named("Min-SE"))
	if asked := interval(rc.req.Named("Session-Expires")); asked == 0 || least <= asked || least > maxMinSE {
		return false
	}
	rc.p.minimums.learn(b.w.Upstream, least)
	raises := uint8(0)
	if b.try != nil {
		raises = b.try.raises
	}
	if rc.inDialog || raises == maxRaises {
		return false
	}
	rc.p.Counters.TimersRaised.Add(1)
	rc.againLocked(b, &try{raises: raises + 1, least: least})
	return true
}
