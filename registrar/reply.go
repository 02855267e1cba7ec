package registrar

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ringway/ringway/sip"
)

// reply is the 200 (RFC 3261 §10.3 step 8): all bindings of the AOR, each Contact
// byte for byte as it came but for the parameters that are ours.
func (r *Registrar) reply(g *registration) *sip.Reply {
	made := new(struct {
		sip.Reply
		room [6]string
	})
	headers := made.room[:0]
	if len(g.list) > 0 {
		headers = r.contactLines(headers, g)
	}
	if g.supports&pathOption != 0 && len(g.paths) > 0 {
		headers = append(headers, "Path: "+strings.Join(g.paths, ", "))
	}
	headers = append(headers, r.date.at(g.now), supportedLine)
	if g.outbound {
		headers = append(headers, "Require: outbound", r.flowTimer)
	}
	made.Status, made.Headers = 200, headers
	return &made.Reply
}

// contactLines makes one text of all Contact lines and cuts it.
func (r *Registrar) contactLines(headers []string, g *registration) []string {
	text := g.text[:0]
	var room [16]int
	ends := room[:0]
	for i := range g.list {
		b := &g.list[i]
		text = append(append(text, "Contact: "...), b.Head...)
		text = strconv.AppendInt(text, b.remaining(g.now), 10)
		text = append(text, b.Tail...)
		if g.supports&gruuOption != 0 && b.Instance != "" {
			text = r.gruu.appendParams(text, b, g.secure, g.sealed[:])
		}
		ends = append(ends, len(text))
	}
	g.text = text
	all, start := string(text), 0
	for _, end := range ends {
		headers = append(headers, all[start:end])
		start = end
	}
	return headers
}

// dateLine is the Date header line, made once a second.
type dateLine struct{ last atomic.Pointer[datedLine] }

type datedLine struct {
	second int64
	text   string
}

func (d *dateLine) at(now time.Time) string {
	l := d.last.Load()
	if s := now.Unix(); l == nil || l.second != s {
		l = &datedLine{s, "Date: " + now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		d.last.Store(l)
	}
	return l.text
}
