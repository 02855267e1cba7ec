package locate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/ringway/ringway/gateway/trunk/locate/dnstest"
	"github.com/ringway/ringway/sip"
)

const (
	soa    = "e.com 3600 SOA ns.e.com. root.e.com. 1 1 1 1 20\n"
	pbx1   = soa + "pbx.e.com 60 A 10.0.0.1\n"
	pbx2   = soa + "pbx.e.com 60 A 10.0.0.2\n"
	first  = "0/0 10.0.0.1:5060  pbx.e.com"
	second = "0/0 10.0.0.2:5060  pbx.e.com"
)

var pbx = Target{Host: "pbx.e.com", Port: 5060}

// inBubble runs f with a fake clock, a server and a resolver that asks it.
func inBubble(t *testing.T, zone string, f func(t *testing.T, d *dnstest.Server, r *Resolver)) {
	synctest.Test(t, func(t *testing.T) {
		d := dnstest.New(t, zone)
		f(t, d, over(t, d))
	})
}

func TestChangeIsSeenAfterTheTTL_RFC1035_3_2_1(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		res := expect(t, r, pbx, first)
		if res.Fresh != 20*time.Second { // "no AAAA" holds for the SOA's 20s
			t.Errorf("fresh for %v", res.Fresh)
		}
		d.Zone(pbx2)
		time.Sleep(res.Fresh)
		expect(t, r, pbx, first)
		if n := d.Asked("pbx.e.com A"); n != 1 {
			t.Errorf("A was asked %d times within its TTL", n)
		}
		time.Sleep(40 * time.Second)
		if res = expect(t, r, pbx, second); res.Stale || res.Err != nil {
			t.Errorf("stale %t, err %v", res.Stale, res.Err)
		}
	})
}

func TestTTLsAreClamped(t *testing.T) {
	for _, c := range []struct {
		name, zone string
		want       time.Duration
	}{
		{"0 becomes MinTTL", "pbx.e.com 0 A 10.0.0.1\npbx.e.com 0 AAAA 2001:db8::1", 5 * time.Second},
		{"a week becomes MaxTTL", "pbx.e.com 604800 A 10.0.0.1\npbx.e.com 604800 AAAA 2001:db8::1", time.Hour},
		{"the first bit set is 0 (RFC 2181 8)", "pbx.e.com 4294967295 A 10.0.0.1\npbx.e.com 600 AAAA 2001:db8::1", 5 * time.Second},
		{"the shortest counts", "pbx.e.com 60 A 10.0.0.1\npbx.e.com 70 AAAA 2001:db8::1", time.Minute},
		{"an alias counts", "pbx.e.com 30 CNAME a.e.com\na.e.com 60 A 10.0.0.1\na.e.com 70 AAAA 2001:db8::1", 30 * time.Second},
		{"none without SOA (RFC 2308 5)", "x.e.com A 10.0.0.1", 5 * time.Second},
		{"none by the SOA's minimum (RFC 2308 5)", soa, 20 * time.Second},
		{"none by the SOA's own TTL (RFC 2308 5)", strings.Replace(soa, "3600", "7", 1), 7 * time.Second},
		{"none holds for NegativeTTL at most", strings.Replace(soa, "1 20", "1 3000", 1), time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, c.zone, func(t *testing.T, _ *dnstest.Server, r *Resolver) {
				if res := r.Locate(t.Context(), pbx); res.Fresh != c.want {
					t.Errorf("fresh for %v, want %v (%v)", res.Fresh, c.want, res.Err)
				}
			})
		})
	}
}

func TestMaxTTLBoundsHowLateAChangeIsSeen(t *testing.T) {
	inBubble(t, "pbx.e.com 604800 A 10.0.0.1", func(t *testing.T, d *dnstest.Server, r *Resolver) {
		expect(t, r, pbx, first)
		d.Zone(pbx2)
		time.Sleep(time.Hour)
		expect(t, r, pbx, second)
	})
}

func TestNoneIsRemembered_RFC2308(t *testing.T) {
	inBubble(t, soa, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		for range 3 {
			if res := expect(t, r, pbx, ""); !errors.Is(res.Err, ErrNone) || res.Stale {
				t.Errorf("err %v, stale %t", res.Err, res.Stale)
			}
			time.Sleep(6 * time.Second)
		}
		if n := d.Asked("*"); n != 2 { // A and AAAA
			t.Errorf("%d questions", n)
		}
		d.Zone(pbx1)
		time.Sleep(2 * time.Second)
		expect(t, r, pbx, first)
	})
}

// TestOutage: every way of a server to fail leaves the last answer in force, and the end
// of the outage is seen.
func TestOutageServesTheLastAnswer_RFC8767(t *testing.T) {
	for name, mode := range map[string]dnstest.Mode{
		"SERVFAIL": dnstest.ServFail, "REFUSED": dnstest.Refused, "NOTIMP": dnstest.NotImp, "silence": dnstest.Silence,
		"lame": dnstest.Lame, "other id": dnstest.WrongID, "other name": dnstest.WrongName, "garbage": dnstest.Garbage, "TCP hangs up": dnstest.HangUp,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
				expect(t, r, pbx, first)
				d.Zone(pbx2)
				d.Fail(mode)
				time.Sleep(time.Minute)
				for range 3 {
					res := expect(t, r, pbx, first)
					if !res.Stale || res.Err == nil || res.Fresh <= 0 || res.Fresh > 30*time.Second {
						t.Errorf("stale %t, err %v, fresh %v", res.Stale, res.Err, res.Fresh)
					}
					time.Sleep(res.Fresh)
				}
				d.Heal()
				time.Sleep(30 * time.Second)
				if res := expect(t, r, pbx, second); res.Stale || res.Err != nil {
					t.Errorf("after the outage: stale %t, err %v", res.Stale, res.Err)
				}
			})
		})
	}
}

func TestOutageOfSRVKeepsItsServers(t *testing.T) {
	zone := soa + "_sip._udp.e.com SRV 0 0 5060 pbx.e.com\npbx.e.com 60 A 10.0.0.1\ne.com A 10.0.0.9\n"
	inBubble(t, zone, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		want := "0/0 10.0.0.1:5060 udp pbx.e.com"
		expect(t, r, Target{Host: "e.com"}, want)
		d.Fail(dnstest.ServFail, "_sip._udp.e.com")
		time.Sleep(2 * time.Minute)
		if res := expect(t, r, Target{Host: "e.com"}, want); !res.Stale {
			t.Error("not stale")
		}
		// Now SRV leads to a name that nobody can be asked for.
		d.Heal()
		d.Zone(strings.Replace(zone, "5060 pbx", "5060 new", 1))
		d.Fail(dnstest.ServFail, "new.e.com")
		time.Sleep(2 * time.Minute)
		if res := expect(t, r, Target{Host: "e.com"}, want); !res.Stale || !strings.Contains(fmt.Sprint(res.Err), "new.e.com") {
			t.Errorf("stale %t, err %v", res.Stale, res.Err)
		}
		d.Heal()
		d.Zone(strings.Replace(zone, "5060 pbx", "5061 pbx", 1))
		time.Sleep(2 * time.Minute)
		expect(t, r, Target{Host: "e.com"}, "0/0 10.0.0.1:5061 udp pbx.e.com")
	})
}

func TestStaleEndsAfterMaxStale_RFC8767_5(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		expect(t, r, pbx, first)
		d.Fail(dnstest.ServFail)
		time.Sleep(71 * time.Hour)
		expect(t, r, pbx, first)
		time.Sleep(2 * time.Hour)
		if res := expect(t, r, pbx, ""); res.Err == nil || errors.Is(res.Err, ErrNone) || res.Stale {
			t.Errorf("err %v, stale %t", res.Err, res.Stale)
		}
	})
}

// TestNoneMustBeSaidTwice: one NXDOMAIN over a name that had addresses is doubted until
// its own TTL is over.
func TestNoneMustBeSaidTwice(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		expect(t, r, pbx, first)
		d.Zone(soa)
		time.Sleep(time.Minute)
		res := expect(t, r, pbx, first)
		if !res.Stale || !errors.Is(res.Err, ErrNone) || res.Fresh != 20*time.Second {
			t.Errorf("once: stale %t, err %v, fresh %v", res.Stale, res.Err, res.Fresh)
		}
		d.Fail(dnstest.ServFail) // an outage between the two says nothing
		time.Sleep(20 * time.Second)
		expect(t, r, pbx, first)
		d.Heal()
		time.Sleep(30 * time.Second)
		if res = expect(t, r, pbx, ""); res.Stale || !errors.Is(res.Err, ErrNone) {
			t.Errorf("twice: stale %t, err %v", res.Stale, res.Err)
		}
		d.Zone(pbx2)
		time.Sleep(20 * time.Second)
		expect(t, r, pbx, second)
		d.Zone(soa)
		time.Sleep(time.Minute)
		expect(t, r, pbx, second) // back after a slip, the next slip is doubted again
	})
}

func TestSettle(t *testing.T) {
	cfg := Config{}.withDefaults()
	now := time.Unix(1e6, 0)
	records, none := &answer{ttl: time.Minute}, &answer{none: true, ttl: 10 * time.Second}
	down := errors.New("down")
	for _, c := range []struct {
		name   string
		before known
		got    *answer
		err    error
		want   known
	}{
		{"first records", known{}, records, nil, known{answer: records, until: now.Add(time.Minute), expires: now.Add(time.Minute)}},
		{"first none", known{}, none, nil, known{answer: none, until: now.Add(10 * time.Second), expires: now.Add(10 * time.Second)}},
		{"first failure", known{}, nil, down, known{err: down, failures: 1, until: now.Add(5 * time.Second)}},
		{"second failure waits longer", known{failures: 1}, nil, down, known{err: down, failures: 2, until: now.Add(10 * time.Second)}},
		{"not for ever", known{failures: 1000}, nil, down, known{err: down, failures: 1001, until: now.Add(30 * time.Second)}},
		{"failure over records", known{answer: records, expires: now}, nil, down,
			known{answer: records, expires: now, err: down, failures: 1, until: now.Add(5 * time.Second)}},
		{"failure over none", known{answer: none, expires: now}, nil, down,
			known{answer: none, expires: now, err: down, failures: 1, until: now.Add(5 * time.Second)}},
		{"failure over what is too old", known{answer: records, expires: now.Add(-73 * time.Hour), doubted: true}, nil, down,
			known{expires: now.Add(-73 * time.Hour), err: down, failures: 1, until: now.Add(5 * time.Second)}},
		{"none over records", known{answer: records, expires: now, failures: 3, err: down}, none, nil,
			known{answer: records, expires: now, doubted: true, err: ErrNone, until: now.Add(10 * time.Second)}},
		{"none over doubted records", known{answer: records, expires: now, doubted: true}, none, nil,
			known{answer: none, until: now.Add(10 * time.Second), expires: now.Add(10 * time.Second)}},
		{"records over doubted records", known{answer: none, expires: now, doubted: true, err: down}, records, nil,
			known{answer: records, until: now.Add(time.Minute), expires: now.Add(time.Minute)}},
	} {
		if got := settle(c.before, c.got, c.err, now, &cfg); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestOneQuestionAtATime(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		d.Fail(dnstest.Silence)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { expect(t, r, pbx, first) })
		}
		synctest.Wait()
		if n := d.Asked("*"); n != 2 {
			t.Errorf("%d questions of 100 callers", n)
		}
		d.Heal()
		all.Wait()
		if n := d.Asked("*"); n != 4 {
			t.Errorf("%d questions with the second try", n)
		}
	})
}

// TestCallerDoesNotWaitLongerThanItWants: the look-up goes on for the next caller.
func TestCallerDoesNotWaitLongerThanItWants(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		expect(t, r, pbx, first)
		time.Sleep(time.Minute)
		d.Zone(pbx2)
		d.Fail(dnstest.Silence)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start, kept := time.Now(), r.located[pbx]
		res := r.Locate(ctx, pbx)
		if took := time.Since(start); took != 100*time.Millisecond || show(res.Servers) != first || !res.Stale || !errors.Is(res.Err, context.DeadlineExceeded) {
			t.Errorf("after %v: %s, stale %t, err %v", took, show(res.Servers), res.Stale, res.Err)
		}
		if r.located[pbx] != kept {
			t.Error("a look-up that was given up takes the place of a whole one")
		}
		if res.Fresh < time.Second {
			t.Errorf("asked again after %v", res.Fresh)
		}
		d.Heal()
		time.Sleep(2 * time.Second) // the second try of the same flight
		synctest.Wait()
		asked := d.Asked("*")
		expect(t, r, pbx, second)
		if n := d.Asked("*") - asked; n != 0 {
			t.Errorf("%d questions more", n)
		}
		if res := r.Locate(ctx, Target{Host: "new.e.com", Port: 5060}); !errors.Is(res.Err, context.DeadlineExceeded) {
			t.Errorf("with a context that is over: %v", res.Err)
		}
		synctest.Wait()
		if n := d.Asked("new.e.com"); n != 0 {
			t.Error("a context that is over asks")
		}
	})
}

func TestServersTakeOverAndAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := dnstest.New(t, pbx1), dnstest.New(t, pbx2)
		r := closed(t, Config{Servers: []string{"192.0.2.1", "192.0.2.2:5353"}, HostsFile: "testdata/none",
			Exchange: func(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error) {
				if server == "192.0.2.1:53" {
					return one.Exchange(ctx, server, q)
				}
				return two.Exchange(ctx, server, q)
			}})
		one.Fail(dnstest.Silence)
		start := time.Now()
		expect(t, r, pbx, second)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("the second server was heard after %v", took)
		}
		asked := one.Asked("*")
		expect(t, r, Target{Host: "other.e.com", Port: 5060}, "")
		if one.Asked("*") != asked {
			t.Error("a silent server is asked first again")
		}
		one.Heal()
		time.Sleep(time.Minute)
		expect(t, r, pbx, first)
		one.Fail(dnstest.Refused) // goes on to the next at once, and is no silence
		time.Sleep(time.Minute)
		start = time.Now()
		expect(t, r, pbx, second)
		if took := time.Since(start); took != 0 {
			t.Errorf("REFUSED took %v", took)
		}
		if c := r.Counters(); c.Timeouts == 0 || c.Refusals == 0 || c.Questions == 0 {
			t.Errorf("%+v", c)
		}
	})
}

func TestSilentServerIsAskedLastForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServers(Config{Servers: []string{"192.0.2.1", "192.0.2.2"}})
		expectOrder := func(when, want string) {
			t.Helper()
			if got := strings.Join(s.order(), " "); got != want {
				t.Errorf("%s: %s", when, got)
			}
		}
		a, b := "192.0.2.1:53", "192.0.2.2:53"
		s.lost(a)
		expectOrder("silent", b+" "+a)
		s.heard(a)
		expectOrder("heard again", a+" "+b)
		s.lost(a)
		time.Sleep(lostFor)
		expectOrder("later", a+" "+b)
		s.lost(a)
		s.lost(b)
		expectOrder("both", a+" "+b)
	})
}

// TestRefusalIsNotAskedForAgain: only silence may be a lost datagram.
func TestRefusalIsNotAskedForAgain(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		d.Fail(dnstest.ServFail)
		expect(t, r, pbx, "")
		if n := d.Asked("*"); n != 2 { // A and AAAA
			t.Errorf("%d questions", n)
		}
	})
}

func TestSilenceOfAllEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dnstest.New(t, "")
		d.Fail(dnstest.Silence)
		var list []string
		for i := range 20 {
			list = append(list, fmt.Sprintf("192.0.2.%d", i+1))
		}
		r := closed(t, Config{Servers: list, HostsFile: "testdata/none", Exchange: d.Exchange})
		start := time.Now()
		res := expect(t, r, Target{Host: "e.com"}, "")
		if took := time.Since(start); took > 2*flightTries*2*time.Second || res.Err == nil {
			t.Errorf("after %v: %v", took, res.Err)
		}
		if !strings.Contains(res.Err.Error(), "SRV _sip._udp.e.com.: server 192.0.2.") || !strings.Contains(res.Err.Error(), ":53: no answer in 2s") {
			t.Errorf("err %v", res.Err)
		}
	})
}

func TestMemoryIsBounded(t *testing.T) {
	inBubble(t, soa, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		d.Fail(dnstest.Refused)
		for i := range maxEntries/2 + 100 { // A and AAAA of each
			r.Locate(t.Context(), Target{Host: fmt.Sprintf("h%d.e.com", i), Port: 5060})
		}
		if len(r.located) > maxLocated || len(r.cache.entries) > maxEntries || r.cache.flights != 0 {
			t.Errorf("%d results, %d answers, %d flights", len(r.located), len(r.cache.entries), r.cache.flights)
		}
	})
}

func TestTooManyFlightsAreRefused(t *testing.T) {
	inBubble(t, soa, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		d.Fail(dnstest.Silence)
		var all sync.WaitGroup
		refused := make(chan bool, maxFlights)
		for i := range maxFlights {
			all.Go(func() {
				refused <- errors.Is(r.Locate(t.Context(), Target{Host: fmt.Sprintf("h%d.e.com", i), Port: 5060}).Err, errBusy)
			})
		}
		all.Wait()
		close(refused)
		n := 0
		for yes := range refused {
			if yes {
				n++
			}
		}
		if n < maxFlights/2 || n == maxFlights { // each asks for A and AAAA
			t.Errorf("%d of %d were refused", n, maxFlights)
		}
		if r.cache.flights != 0 {
			t.Errorf("%d flights are left", r.cache.flights)
		}
	})
}

func TestClose(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		expect(t, r, pbx, first)
		d.Fail(dnstest.Silence)
		done := make(chan Result)
		go func() { done <- r.Locate(t.Context(), Target{Host: "other.e.com", Port: 5060}) }()
		synctest.Wait()
		start := time.Now()
		r.Close()
		if res := <-done; res.Err == nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", res.Err, time.Since(start))
		}
		expect(t, r, pbx, first)
		time.Sleep(time.Hour)
		if res := expect(t, r, pbx, first); !res.Stale || !errors.Is(res.Err, ErrClosed) {
			t.Errorf("stale %t, err %v", res.Stale, res.Err)
		}
	})
}

// TestBrokenTypesDoNotHideTheAddress: servers that cannot answer one type are many.
func TestBrokenTypesDoNotHideTheAddress(t *testing.T) {
	inBubble(t, pbx1, func(t *testing.T, d *dnstest.Server, r *Resolver) {
		d.Fail(dnstest.ServFail, "* AAAA")
		if res := expect(t, r, pbx, first); res.Err != nil || res.Stale {
			t.Errorf("without AAAA: err %v, stale %t", res.Err, res.Stale)
		}
		d.Heal()
		time.Sleep(5 * time.Second)
		expect(t, r, pbx, first) // now it is known that there is no AAAA
		d.Fail(dnstest.ServFail, "* AAAA")
		time.Sleep(20 * time.Second)
		if res := expect(t, r, pbx, first); res.Err != nil || res.Stale {
			t.Errorf("AAAA fails again: err %v, stale %t", res.Err, res.Stale)
		}
		d.Fail(dnstest.NotImp, "* NAPTR", "* SRV")
		res := expect(t, r, Target{Host: "pbx.e.com"}, first)
		if res.Err == nil || res.Stale || res.Fresh > 5*time.Second {
			t.Errorf("without SRV: err %v, stale %t, fresh %v", res.Err, res.Stale, res.Fresh)
		}
		d.Heal()
		d.Zone(pbx1 + "_sip._tcp.pbx.e.com SRV 0 0 5070 pbx.e.com")
		time.Sleep(res.Fresh)
		expect(t, r, Target{Host: "pbx.e.com"}, "0/0 10.0.0.1:5070 tcp pbx.e.com")
	})
}

func TestTransportIsPartOfTheQuestion(t *testing.T) {
	inBubble(t, soa+"_sip._udp.e.com SRV 0 0 1 pbx.e.com\n_sip._tcp.e.com SRV 0 0 2 pbx.e.com\npbx.e.com A 10.0.0.1", func(t *testing.T, _ *dnstest.Server, r *Resolver) {
		expect(t, r, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.1:1 udp pbx.e.com")
		expect(t, r, Target{Host: "e.com", Transport: sip.TCP}, "0/0 10.0.0.1:2 tcp pbx.e.com")
		expect(t, r, Target{Host: "e.com", Transport: sip.UDP}, "0/0 10.0.0.1:1 udp pbx.e.com")
	})
}
