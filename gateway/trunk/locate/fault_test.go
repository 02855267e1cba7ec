package locate

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// A panic over what a DNS server says is told of, fails that question and leaves nobody waiting; the next one is asked as ever.
func TestPanicOverAnAnswer(t *testing.T) {
	var told atomic.Int32
	breaks := true
	r := closed(t, Config{
		Servers: []string{"192.0.2.53"}, HostsFile: "testdata/none", Retry: 1,
		Panicked: func(any, []byte) { told.Add(1) },
		Exchange: func(_ context.Context, _ string, q *dns.Msg) (*dns.Msg, error) {
			if breaks {
				panic("malformed")
			}
			m := new(dns.Msg)
			m.SetReply(q)
			if q.Question[0].Qtype == dns.TypeA {
				rr, err := dns.NewRR(q.Question[0].Name + " 60 IN A 203.0.113.7")
				if err != nil {
					t.Error(err)
				}
				m.Answer = append(m.Answer, rr)
			}
			return m, nil
		},
	})
	want := Target{Host: "pbx.example.com", Port: 5060}
	if got := r.Locate(t.Context(), want); got.Err == nil || len(got.Servers) != 0 {
		t.Errorf("found %+v", got)
	}
	if told.Load() == 0 {
		t.Error("nobody was told")
	}
	breaks = false
	if got := r.Locate(t.Context(), want); len(got.Servers) != 1 {
		t.Errorf("then found %+v", got)
	}
}
