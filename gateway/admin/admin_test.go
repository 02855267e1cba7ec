package admin

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type fixed Snapshot

func (f fixed) Snapshot() Snapshot { return Snapshot(f) }

func get(t *testing.T, h http.Handler, method, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestHealthAndReadiness(t *testing.T) {
	state := "starting"
	h := Handler(Options{Source: fixed{}, Ready: func() string { return state }})
	check := func(path string, code int, body string) {
		t.Helper()
		if c, b := get(t, h, "GET", path); c != code || b != body {
			t.Errorf("%s while %q = %d %q, want %d %q", path, state, c, b, code, body)
		}
	}
	check("/healthz", 200, "ok\n")
	check("/readyz", 503, "starting\n")
	state = ""
	check("/readyz", 200, "ready\n")
	state = "draining"
	check("/readyz", 503, "draining\n")
	check("/healthz", 200, "ok\n")
	if c, _ := get(t, h, "POST", "/readyz"); c != 405 {
		t.Errorf("POST /readyz = %d, want 405", c)
	}
	if c, _ := get(t, h, "GET", "/"); c != 404 {
		t.Errorf("GET / = %d, want 404", c)
	}
}

func TestPprofOnlyWhenAsked(t *testing.T) {
	for _, asked := range []bool{false, true} {
		h := Handler(Options{Source: fixed{}, Ready: func() string { return "" }, Pprof: asked})
		if c, _ := get(t, h, "GET", "/debug/pprof/cmdline"); (c == 200) != asked {
			t.Errorf("pprof asked %v: %d", asked, c)
		}
	}
}

func full() fixed {
	return fixed{
		Flows: map[string]uint64{"ws": 2, "udp": 1}, FlowsOpened: map[string]uint64{"ws": 5}, FlowsClosed: map[string]uint64{"going_away": 3, "lost": 0},
		Bindings: 7, Calls: 1, ServerTransactions: 4, ClientTransactions: 6,
		Requests:  map[string]uint64{"INVITE": 9, "MADE-UP": 1, "X": 2, "OTHER": 4},
		Responses: map[string]uint64{"2xx": 8}, Drops: map[string]uint64{"stray_response": 2},
		Refused: map[string]uint64{"half_open": 14}, Events: map[string]uint64{"failover": 15}, Limited: map[string]uint64{"user_invites": 16},
		Registered: map[string]uint64{"carrier": 1}, Relayed: 24, RelayEvents: map[string]uint64{"registered": 25},
		Upstreams: []Upstream{
			{Name: "pbx", Hop: "10.0.0.1:5060/tcp", Up: true, Calls: 17, Downs: 18, Probe: 20 * time.Millisecond},
			{Name: "pbx", Hop: "10.0.0.2:5060"},
		},
		Transport: map[string]uint64{"dialled": 19}, TimedOut: map[string]uint64{"client_invite": 20}, Repeated: map[string]uint64{"request_sent": 21},
		Pending: 22, Declined: map[string]uint64{"4xx": 23}, Logins: map[string]uint64{"proved": 24},
		CertificateEnds: map[string]uint64{"a.pem": 1_800_000_000}, CertificateFailed: map[string]uint64{"a.pem": 1},
		AuthFailures: 11, Panics: 12, Fragmented: 13,
	}
}

func TestMetrics(t *testing.T) {
	code, body := get(t, Handler(Options{Source: full(), Version: "v1", Ready: func() string { return "" }}), "GET", "/metrics")
	if code != 200 {
		t.Fatalf("GET /metrics = %d %s", code, body)
	}
	for _, line := range []string{
		`ringway_build_info{version="v1"} 1`, `ringway_flows{transport="ws"} 2`, `ringway_flows{transport="udp"} 1`,
		`ringway_flows_opened_total{transport="ws"} 5`, `ringway_flows_closed_total{reason="going_away"} 3`,
		`ringway_flows_closed_total{reason="lost"} 0`, `ringway_bindings 7`, `ringway_calls 1`,
		`ringway_server_transactions 4`, `ringway_client_transactions 6`, `ringway_requests_total{method="INVITE"} 9`,
		`ringway_requests_total{method="OTHER"} 7`, `ringway_responses_total{class="2xx"} 8`,
		`ringway_drops_total{reason="stray_response"} 2`, `ringway_auth_failures_total 11`, `ringway_panics_total 12`,
		`ringway_udp_fragmented_total 13`, `ringway_connections_refused_total{reason="half_open"} 14`,
		`ringway_proxy_events_total{event="failover"} 15`, `ringway_limited_total{limit="user_invites"} 16`,
		`ringway_upstream_up{hop="10.0.0.1:5060/tcp",upstream="pbx"} 1`, `ringway_upstream_up{hop="10.0.0.2:5060",upstream="pbx"} 0`,
		`ringway_upstream_calls{hop="10.0.0.1:5060/tcp",upstream="pbx"} 17`,
		`ringway_upstream_downs_total{hop="10.0.0.1:5060/tcp",upstream="pbx"} 18`,
		`ringway_upstream_probe_seconds{hop="10.0.0.1:5060/tcp",upstream="pbx"} 0.02`,
		`ringway_transport_events_total{event="dialled"} 19`, `ringway_transactions_timed_out_total{kind="client_invite"} 20`,
		`ringway_retransmissions_total{what="request_sent"} 21`, `ringway_requests_pending 22`,
		`ringway_requests_declined_total{class="4xx"} 23`, `ringway_logins_total{result="proved"} 24`,
		`ringway_certificate_not_after_seconds{file="a.pem"} 1.8e+09`, `ringway_certificate_failed{file="a.pem"} 1`,
	} {
		if !strings.Contains(body, "\n"+line+"\n") {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if strings.Contains(body, "MADE-UP") {
		t.Error("a peer's method makes a series of its own")
	}
	if !strings.Contains(body, "\ngo_goroutines ") || !strings.Contains(body, "\nprocess_open_fds ") {
		t.Error("/metrics lacks the figures of the Go runtime and the process")
	}
}

var family = regexp.MustCompile(`(?m)^# TYPE (ringway_\w+) (\w+)$`)

// documented reads the table rows of docs/metrics.md: | `name` | type | labels | meaning |
func documented(text string) map[string]string {
	out := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(ringway_\\w+)` \\| (\\w+) \\| ([`\\w, ]*?) ?\\| \\S").FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2] + " " + strings.NewReplacer("`", "", " ", "").Replace(m[3])
	}
	return out
}

// served are the families of a scrape with type and labels, in the form of documented.
func served(t *testing.T) map[string]string {
	t.Helper()
	_, body := get(t, Handler(Options{Source: full(), Ready: func() string { return "" }}), "GET", "/metrics")
	out := map[string]string{}
	for _, m := range family.FindAllStringSubmatch(body, -1) {
		var labels []string
		if l := regexp.MustCompile(`(?m)^` + m[1] + `\{(.+)\}`).FindStringSubmatch(body); l != nil {
			for _, name := range regexp.MustCompile(`(\w+)="[^"]*"`).FindAllStringSubmatch(l[1], -1) {
				labels = append(labels, name[1])
			}
		}
		out[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	return out
}

func TestEveryMetricIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(served(t), documented(string(text))); diff != "" {
		t.Errorf("docs/metrics.md (-served +documented):\n%s", diff)
	}
	// The check itself: a page that lacks a metric or gives it another type is noticed.
	broken := strings.Replace(strings.Replace(string(text), "ringway_calls", "ringway_cals", 1), "| counter |", "| gauge |", 1)
	if cmp.Equal(served(t), documented(broken)) {
		t.Error("a wrong page passes")
	}
}

// No label may hold who calls whom, or from where; the addresses of upstreams are the
// operator's own and few.
func TestLabelsHaveFewValues(t *testing.T) {
	labels := map[string]bool{}
	for _, kind := range served(t) {
		if _, all, _ := strings.Cut(kind, " "); all != "" {
			for label := range strings.SplitSeq(all, ",") {
				labels[label] = true
			}
		}
	}
	want := []string{"class", "event", "file", "hop", "kind", "limit", "method", "reason", "result", "transport", "upstream", "version", "what"}
	if got := slices.Sorted(maps.Keys(labels)); !slices.Equal(got, want) {
		t.Errorf("labels are %v, want %v", got, want)
	}
}
