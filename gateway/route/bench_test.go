package route

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/ringway/ringway/sip"
)

// thousand is rules of one kind, of which only the last fits the user that comes with it.
func thousand(kind string) (*Table, *Facts) {
	rules := make([]Rule, 1000)
	f := &Facts{Method: "INVITE", Domain: "example.com", User: "+4930999", Source: Source{Transport: sip.WSS, Addr: netip.MustParseAddr("192.0.2.1")}, Caller: "alice@example.com"}
	for i := range rules {
		m := &rules[i].Match
		rules[i].To = "pbx"
		switch n := i % 3; {
		case kind == "prefixes":
			m.Prefix = fmt.Sprintf("+4930%03d", i)
		case kind == "patterns":
			m.User = fmt.Sprintf(`^\+4930%03d[0-9]*$`, i)
		case kind == "callers":
			m.Caller = fmt.Sprintf("^user%d@", i)
		case kind == "one prefix": // the user tells nothing apart
			m.Prefix, m.Method = "+4930", []string{"MESSAGE"}
		case kind == "one pattern":
			m.User, m.Method = `^\+4930`, []string{fmt.Sprintf("M%d", i%70)}
		case kind == "networks":
			m.Prefix, m.Source = "+4930", []Peer{{Net: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 4), byte(i << 4), 0}), 20+i%8).Masked()}}
		case kind == "nothing": // but headers
			m.Prefix, m.Header = "+4930", []HeaderMatch{{"X-Class", "gold"}}
		case n == 0:
			m.Domain, m.Prefix = fmt.Sprintf("d%d.example.com", i%50), fmt.Sprintf("+49%03d", i)
		case n == 1:
			m.Domain, m.User = "example.com", fmt.Sprintf(`^(\+49|0049|0)%03d[0-9]{2,8}$`, i)
		default:
			m.User, m.Source = fmt.Sprintf(`^\+[1-9][0-9]?%03d`, i), []Peer{{Transport: sip.WS}}
		}
	}
	rules[999].Match = Match{Prefix: "+4930999"}
	if kind == "patterns" {
		rules[999].Match = Match{User: `^\+4930999[0-9]*$`}
	}
	t, _ := Compile(rules)
	return t, f
}

func BenchmarkDecide(b *testing.B) {
	for _, kind := range []string{"prefixes", "patterns", "mixed", "callers", "one prefix", "one pattern", "networks", "nothing"} {
		t, f := thousand(kind)
		b.Run("last of 1000 "+kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r := t.Decide(f); r == nil || r.Index != 999 {
					b.Fatal(r)
				}
			}
		})
	}
	t, f := thousand("mixed")
	f.User = "alice"
	b.Run("none of 1000 mixed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			t.Decide(f)
		}
	})
}

// TestDecideAllocatesNothing: a decision costs no memory, of whatever kind the rules are.
func TestDecideAllocatesNothing(t *testing.T) {
	for _, kind := range []string{"prefixes", "patterns", "mixed", "callers", "one prefix", "one pattern", "networks", "nothing"} {
		table, f := thousand(kind)
		if n := testing.AllocsPerRun(100, func() { table.Decide(f) }); n != 0 {
			t.Errorf("%s: %v allocations", kind, n)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	rules := make([]Rule, 1000)
	for i := range rules {
		rules[i] = Rule{To: "pbx", Match: Match{User: fmt.Sprintf(`^(\+49|0049|0)%03d[0-9]{2,8}$`, i)}}
	}
	b.ReportAllocs()
	for b.Loop() {
		Compile(rules)
	}
}

func BenchmarkRewrite(b *testing.B) {
	r := only(b, Rule{Rewrite: Rewrite{E164: Dialling("49"), From: Party{Domain: "pbx"}, Set: []HeaderLine{{"X-Class", "gold"}}}})
	req := request(b)
	u, _ := sip.ParseURI(req.RequestURI())
	b.ReportAllocs()
	for b.Loop() {
		out := req.Splice()
		out.SetURI(r.RequestURI(&u, "example.com", true))
		c := r.Change(&Request{From: req.Value(sip.From), Identity: "alice@example.com"})
		c.Apply(req, &out)
	}
}
