package route

import (
	"testing"
)

// A rule's mark outlives a restart and a change of what it rewrites; rules that change no header have none, and no two have the same.
func TestMarks(t *testing.T) {
	hide := Rewrite{Privacy: PrivacyID}
	rules := []Rule{
		{To: "pbx"}, {To: "pbx", Match: Match{Prefix: "1"}, Rewrite: hide}, {To: "pbx", Match: Match{Prefix: "2"}, Rewrite: hide},
		{Name: "named", To: "pbx", Match: Match{Prefix: "3"}, Rewrite: hide}, {To: "pbx", Match: Match{Prefix: "2"}, Rewrite: hide}, {To: "pbx", Rewrite: Rewrite{Strip: 1}},
	}
	table, _ := Compile(rules)
	seen := map[uint32]bool{0: true}
	for _, i := range []int{1, 2, 3, 4} {
		m := table.routes[i].Mark()
		if seen[m] || table.Marked(m) != &table.routes[i] {
			t.Errorf("rule %d has mark %x", i, m)
		}
		seen[m] = true
	}
	if table.routes[0].Mark()|table.routes[5].Mark() != 0 || table.Marked(0) != nil || table.Marked(1) != nil {
		t.Error("what changes no header has a mark, or a mark no rule")
	}
	rules[1].Line, rules[1].Rewrite.Remove = 7, []string{"Subject"}
	rules[3].Match.Prefix = "30"
	again, _ := Compile(append([]Rule{{To: "pbx", Match: Match{Prefix: "9"}, Rewrite: hide}}, rules...))
	for _, i := range []int{1, 2, 3} {
		if was, is := table.routes[i].Mark(), again.routes[i+1].Mark(); was != is {
			t.Errorf("rule %d: mark %x becomes %x", i, was, is)
		}
	}
}
