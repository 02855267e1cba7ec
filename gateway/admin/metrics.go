package admin

import (
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Source is where the figures come from; each scrape asks once.
type Source interface {
	Snapshot() Snapshot
}

// Snapshot is what the gateway counts, all since its start but where a comment says
// "now". Maps go from a label's value to a figure; a counter that can occur stands
// there from the start, with 0.
type Snapshot struct {
	Flows       map[string]uint64 // now, by transport: udp, tcp, tls, ws, wss
	FlowsOpened map[string]uint64 // by transport
	FlowsClosed map[string]uint64 // by sip.CloseReason
	Bindings    uint64            // now
	Relayed     uint64            // now, at registrars behind us
	RelayEvents map[string]uint64 // what became of these, and what was refused, by relay.Change
	Calls       uint64            // now, in the call table

	ServerTransactions uint64            // now
	ClientTransactions uint64            // now
	Requests           map[string]uint64 // received, by method; methods that are not known are put together as OTHER
	Responses          map[string]uint64 // final ones to requests that the proxy took, by class: 2xx to 6xx
	Drops              map[string]uint64 // messages that went nowhere, by reason

	Refused map[string]uint64 // connections turned away before they were flows, by reason
	Events  map[string]uint64 // what the proxy did beside passing on, by event: failover, moved, held, released, …

	Limited map[string]uint64 // requests refused by a limit, by its key in the configuration

	Registered map[string]uint64 // 1: the upstream has us registered now, 0: it has not; by upstream with a registration of ours

	Upstreams []Upstream // each address of each upstream, now

	Transport map[string]uint64 // what UDP, TCP and TLS did beside passing messages on, by event
	TimedOut  map[string]uint64 // transactions, by kind
	Repeated  map[string]uint64 // retransmissions, by what
	Pending   uint64            // requests that the proxy has taken and not answered, now
	Declined  map[string]uint64 // requests that the proxy answered itself, by class: 3xx to 6xx
	Logins    map[string]uint64 // requests that were asked for credentials or brought some, by result

	CertificateEnds   map[string]uint64 // when the certificate in use ends, Unix seconds, by file
	CertificateFailed map[string]uint64 // 1: newer files cannot be used; by file

	AuthFailures uint64
	Panics       uint64
	Fragmented   uint64 // UDP messages sent that do not fit into one packet
}

// Upstream is one address of an upstream.
type Upstream struct {
	Name  string
	Hop   string        // address and transport
	Up    bool          // calls go there
	Calls int           // in progress
	Downs uint64        // how often it went out of use
	Probe time.Duration // what the last answered probe took
}

// methods are the labels that requests may have: a peer's made-up ones must not make
// series.
var methods = map[string]bool{
	"ACK": true, "BYE": true, "CANCEL": true, "INFO": true, "INVITE": true, "MESSAGE": true, "NOTIFY": true,
	"OPTIONS": true, "PRACK": true, "PUBLISH": true, "REFER": true, "REGISTER": true, "SUBSCRIBE": true, "UPDATE": true,
}

// metric is one family and where its figures stand in a snapshot.
type metric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	one    func(*Snapshot) uint64            // without a label
	labels func(*Snapshot) map[string]uint64 // by one label
}

func single(kind prometheus.ValueType, name, help string, get func(*Snapshot) uint64) metric {
	return metric{desc: prometheus.NewDesc(name, help, nil, nil), kind: kind, one: get}
}

func labelled(kind prometheus.ValueType, name, label, help string, get func(*Snapshot) map[string]uint64) metric {
	return metric{desc: prometheus.NewDesc(name, help, []string{label}, nil), kind: kind, labels: get}
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

// metrics are all families of ours; docs/metrics.md describes each.
var metrics = []metric{
	labelled(gauge, "ringway_flows", "transport", "Connections open now, and UDP peers that have registered or called.", func(s *Snapshot) map[string]uint64 { return s.Flows }),
	labelled(counter, "ringway_flows_opened_total", "transport", "Connections opened.", func(s *Snapshot) map[string]uint64 { return s.FlowsOpened }),
	labelled(counter, "ringway_flows_closed_total", "reason", "Connections closed.", func(s *Snapshot) map[string]uint64 { return s.FlowsClosed }),
	single(gauge, "ringway_bindings", "Contacts registered now.", func(s *Snapshot) uint64 { return s.Bindings }),
	single(gauge, "ringway_relayed_bindings", "Contacts registered now at upstreams that keep their users.", func(s *Snapshot) uint64 { return s.Relayed }),
	labelled(counter, "ringway_relayed_events_total", "event", "What became of relayed registrations, and what was refused to relayed users.", func(s *Snapshot) map[string]uint64 { return s.RelayEvents }),
	single(gauge, "ringway_calls", "Calls known now.", func(s *Snapshot) uint64 { return s.Calls }),
	single(gauge, "ringway_server_transactions", "Server transactions pending now.", func(s *Snapshot) uint64 { return s.ServerTransactions }),
	single(gauge, "ringway_client_transactions", "Client transactions pending now.", func(s *Snapshot) uint64 { return s.ClientTransactions }),
	labelled(counter, "ringway_requests_total", "method", "Requests received.", requests),
	labelled(counter, "ringway_responses_total", "class", "Final responses to requests that were proxied.", func(s *Snapshot) map[string]uint64 { return s.Responses }),
	labelled(counter, "ringway_drops_total", "reason", "Messages that went nowhere.", func(s *Snapshot) map[string]uint64 { return s.Drops }),
	labelled(counter, "ringway_connections_refused_total", "reason", "Connections turned away.", func(s *Snapshot) map[string]uint64 { return s.Refused }),
	labelled(counter, "ringway_proxy_events_total", "event", "What the proxy did beside passing messages on.", func(s *Snapshot) map[string]uint64 { return s.Events }),
	labelled(counter, "ringway_limited_total", "limit", "Requests refused by a limit.", func(s *Snapshot) map[string]uint64 { return s.Limited }),
	labelled(counter, "ringway_transport_events_total", "event", "What UDP, TCP and TLS did beside passing messages on.", func(s *Snapshot) map[string]uint64 { return s.Transport }),
	labelled(counter, "ringway_transactions_timed_out_total", "kind", "Transactions that ended for want of an answer or ACK.", func(s *Snapshot) map[string]uint64 { return s.TimedOut }),
	labelled(counter, "ringway_retransmissions_total", "what", "Messages that were sent or came again.", func(s *Snapshot) map[string]uint64 { return s.Repeated }),
	single(gauge, "ringway_requests_pending", "Requests without a final response now.", func(s *Snapshot) uint64 { return s.Pending }),
	labelled(counter, "ringway_requests_declined_total", "class", "Requests that the proxy answered itself.", func(s *Snapshot) map[string]uint64 { return s.Declined }),
	labelled(counter, "ringway_logins_total", "result", "What became of requests that need credentials.", func(s *Snapshot) map[string]uint64 { return s.Logins }),
	labelled(gauge, "ringway_certificate_not_after_seconds", "file", "When the certificate in use ends, in Unix time.", func(s *Snapshot) map[string]uint64 { return s.CertificateEnds }),
	labelled(gauge, "ringway_certificate_failed", "file", "1 when newer files cannot be used.", func(s *Snapshot) map[string]uint64 { return s.CertificateFailed }),
	labelled(gauge, "ringway_upstream_registered", "upstream", "1 while the upstream has us registered, 0 when not.", func(s *Snapshot) map[string]uint64 { return s.Registered }),
	single(counter, "ringway_auth_failures_total", "Credentials that were wrong.", func(s *Snapshot) uint64 { return s.AuthFailures }),
	single(counter, "ringway_panics_total", "Handlers that panicked.", func(s *Snapshot) uint64 { return s.Panics }),
	single(counter, "ringway_udp_fragmented_total", "UDP messages too long for one packet.", func(s *Snapshot) uint64 { return s.Fragmented }),
}

// upstreamMetrics are the families by upstream and hop.
var upstreamMetrics = []struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	get  func(*Upstream) float64
}{
	{ofHop("ringway_upstream_up", "1 when calls go there, 0 when not."), gauge, func(u *Upstream) float64 {
		if u.Up {
			return 1
		}
		return 0
	}},
	{ofHop("ringway_upstream_calls", "Calls in progress."), gauge, func(u *Upstream) float64 { return float64(u.Calls) }},
	{ofHop("ringway_upstream_downs_total", "Times it went out of use."), counter, func(u *Upstream) float64 { return float64(u.Downs) }},
	{ofHop("ringway_upstream_probe_seconds", "What the last answered probe took."), gauge, func(u *Upstream) float64 { return u.Probe.Seconds() }},
}

func ofHop(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, []string{"upstream", "hop"}, nil)
}

var buildInfo = prometheus.NewDesc("ringway_build_info", "1, labelled with the version.", []string{"version"}, nil)

func requests(s *Snapshot) map[string]uint64 {
	out := map[string]uint64{"OTHER": 0}
	for method, n := range s.Requests {
		if !methods[method] {
			method = "OTHER"
		}
		out[method] += n
	}
	return out
}

// collector turns a snapshot into what Prometheus scrapes.
type collector struct {
	source  Source
	version string
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for i := range metrics {
		ch <- metrics[i].desc
	}
	for i := range upstreamMetrics {
		ch <- upstreamMetrics[i].desc
	}
	ch <- buildInfo
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.source.Snapshot()
	ch <- prometheus.MustNewConstMetric(buildInfo, gauge, 1, c.version)
	for i := range metrics {
		m := &metrics[i]
		if m.one != nil {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.one(&s)))
			continue
		}
		values := m.labels(&s)
		for _, label := range slices.Sorted(maps.Keys(values)) {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(values[label]), label)
		}
	}
	for i := range upstreamMetrics {
		m := &upstreamMetrics[i]
		for j := range s.Upstreams {
			u := &s.Upstreams[j]
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.get(u), u.Name, u.Hop)
		}
	}
}
