package route

import (
	"fmt"
	"hash/fnv"
)

// Mark stands for a rule that changes the header of what leaves by it, in the requests that follow within a dialog; 0: it changes
// nothing. It is the same after a restart, and after any change of the rule but of its name or, where it has none, its conditions.
func (r *Route) Mark() uint32 { return r.mark }

// Marked is the rule of that mark, nil for none.
func (t *Table) Marked(mark uint32) *Route {
	if mark == 0 || t.marks == nil {
		return nil
	}
	return t.marks[mark]
}

func (t *Table) setMarks() {
	for i := range t.routes {
		r := &t.routes[i]
		if !r.Alters() {
			continue
		}
		h := fnv.New32a()
		if r.Name != "" {
			h.Write([]byte(r.Name))
		} else {
			fmt.Fprint(h, r.To, r.From, r.Match)
		}
		if t.marks == nil {
			t.marks = map[uint32]*Route{}
		}
		r.mark = max(h.Sum32(), 1)
		for t.marks[r.mark] != nil {
			r.mark = max(r.mark+1, 1)
		}
		t.marks[r.mark] = r
	}
}

// Within is what the rule does to the header of a request within the dialog of one that left by it: what is hidden stays hidden,
// and the upstream sees one From all along. Nobody is asserted anew; an ACK gets nothing put in (RFC 3325 §9.1).
func (r *Route) Within(req *Request, ack bool) Change {
	req.Identity = ""
	c := r.Change(req)
	if ack {
		c.Add = nil
	}
	return c
}
