package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const scrapeTimeout = 5 * time.Second

// Metrics are the Prometheus metrics of one service. Names and units follow
// https://prometheus.io/docs/practices/naming. All its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	alerts   *prometheus.CounterVec
	attempts *prometheus.CounterVec
	took     *prometheus.HistogramVec
	latency  *prometheus.HistogramVec
}

// NewMetrics makes the metrics of a service of the given version. Register adds what has to be asked for.
func NewMetrics(version string, log *slog.Logger) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), log: log,
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_alerts_total", Help: "Alerts that checks raised and that are on disk.",
		}, []string{"entity", "severity", "action"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tocsin_delivery_attempts_total", Help: "Attempts to deliver, by what the service's answer meant.",
		}, []string{"endpoint", "recipient", "outcome"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_delivery_attempt_duration_seconds", Help: "Time of one request to a service, from its first byte to the answer's last.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2.5, 12),
		}, []string{"endpoint"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tocsin_delivery_latency_seconds", Help: "Time from an alert being queued to its delivery.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 12),
		}, []string{"endpoint"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tocsin_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.alerts, m.attempts, m.took, m.latency, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Register adds the figures of a source; call it once.
func (m *Metrics) Register(s Source) error {
	return m.registry.Register(&collector{source: s, log: m.log})
}

// Alert counts a stored alert.
func (m *Metrics) Alert(entity, severity, action string) {
	m.alerts.WithLabelValues(entity, severity, action).Inc()
}

// Attempt counts an attempt to deliver. waited is the time since the delivery was queued, if it arrived; else zero.
func (m *Metrics) Attempt(endpoint, recipient, outcome string, took, waited time.Duration) {
	m.attempts.WithLabelValues(endpoint, recipient, outcome).Inc()
	m.took.WithLabelValues(endpoint).Observe(took.Seconds())
	if waited > 0 {
		m.latency.WithLabelValues(endpoint).Observe(waited.Seconds())
	}
}

// Handler serves the metrics in the text format, or what else the scraper asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4, Timeout: scrapeTimeout,
	})
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tocsin_"+name, help, labels, nil)
}

var (
	deliveries = desc("deliveries", "Deliveries in the ledger, by state.", "recipient", "endpoint", "state")
	oldest     = desc("delivery_oldest_waiting_seconds", "Age of the oldest delivery that waits; 0 if none does.", "recipient", "endpoint")
	matched    = desc("recipient_alerts_matched_total", "Alerts that passed the recipient's filters.", "recipient", "endpoint")
	filtered   = desc("recipient_alerts_filtered_total", "Alerts that a filter of the recipient held back.", "recipient", "endpoint", "filter")
	dropped    = desc("deliveries_dropped_total", "Deliveries given up because the queue or the disk was full.", "recipient", "endpoint", "severity")
	held       = desc("endpoint_held", "1 while nothing is sent to the endpoint: the service asked for it, refuses, or fails.", "endpoint", "type")
	broken     = desc("endpoint_broken", "1 while the endpoint's configuration is at fault and a person has to act.", "endpoint", "type")

	pluginInfo   = desc("plugin_info", "Always 1; the labels say which version serves.", "plugin", "version")
	generation   = desc("plugin_generation", "How often a version of the plug-in took over since the start.", "plugin")
	onTrial      = desc("plugin_on_trial", "1 while a new version is on trial beside the old one.", "plugin")
	calls        = desc("plugin_calls_total", "Calls of the plug-in; starts again with each generation.", "plugin")
	callSeconds  = desc("plugin_call_seconds_total", "Time spent in calls of the plug-in.", "plugin")
	fuel         = desc("plugin_fuel_total", "Fuel used by calls of the plug-in.", "plugin")
	pluginErrors = desc("plugin_errors_total", "Calls that failed, by what was wrong.", "plugin", "kind")
	poolWaits    = desc("plugin_pool_waits_total", "Calls that had to wait for a free instance.", "plugin")
	discarded    = desc("plugin_instances_discarded_total", "Instances thrown away after a fault, many calls or growth.", "plugin")
	instances    = desc("plugin_instances", "Instances now.", "plugin")
	memory       = desc("plugin_memory_max_bytes", "The most memory that one instance had.", "plugin")

	packets = desc("capture_packets_total", "Packets read.")
	octets  = desc("capture_bytes_total", "Bytes read, layer 2, as on the wire.")
	flows   = desc("capture_flows_total", "Flows seen.")
	drops   = desc("capture_packets_dropped_total", "Packets that belong to no flow, by reason.", "reason")
)

// collector turns a source's figures into metrics at each scrape, so that they are never kept twice.
type collector struct {
	source Source
	log    *slog.Logger
}

// Describe lists what Collect may give.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		deliveries, oldest, matched, filtered, dropped, held, broken, pluginInfo, generation, onTrial, calls, callSeconds, fuel,
		pluginErrors, poolWaits, discarded, instances, memory, packets, octets, flows, drops,
	} {
		ch <- d
	}
}

// Collect asks the source. What it cannot tell is left out and logged: the rest of the page is served.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	recipients, err := c.source.Recipients(ctx)
	if err != nil {
		c.log.Warn("metrics lack the recipients", "error", err)
	}
	for i := range recipients {
		r := &recipients[i]
		for _, state := range slices.Sorted(maps.Keys(r.Deliveries)) {
			gauge(deliveries, float64(r.Deliveries[state]), r.Name, r.Endpoint, state)
		}
		age := 0.0
		if !r.Oldest.IsZero() {
			age = max(0, time.Since(r.Oldest).Seconds())
		}
		gauge(oldest, age, r.Name, r.Endpoint)
		count(matched, float64(r.Matched), r.Name, r.Endpoint)
		for name, n := range r.Filtered {
			count(filtered, float64(n), r.Name, r.Endpoint, name)
		}
		for severity, n := range r.Dropped {
			count(dropped, float64(n), r.Name, r.Endpoint, severity)
		}
	}
	endpoints, err := c.source.Endpoints(ctx)
	if err != nil {
		c.log.Warn("metrics lack the endpoints", "error", err)
	}
	for _, e := range endpoints {
		gauge(held, flag(e.Held), e.Name, e.Type)
		gauge(broken, flag(e.Held && e.Broken), e.Name, e.Type)
	}
	for _, p := range c.source.Plugins() {
		gauge(pluginInfo, 1, p.Name, p.Version)
		gauge(generation, float64(p.Generation), p.Name)
		gauge(onTrial, flag(p.OnTrial), p.Name)
		count(calls, float64(p.Calls), p.Name)
		count(callSeconds, p.Time.Seconds(), p.Name)
		count(fuel, float64(p.Fuel), p.Name)
		for kind, n := range map[string]int64{
			"guest_error": p.GuestErrors, "trap": p.Traps, "out_of_fuel": p.OutOfFuel, "bad_output": p.BadOutput,
		} {
			count(pluginErrors, float64(n), p.Name, kind)
		}
		count(poolWaits, float64(p.Waits), p.Name)
		count(discarded, float64(p.Discarded), p.Name)
		gauge(instances, float64(p.Instances), p.Name)
		gauge(memory, float64(p.MaxMemory), p.Name)
	}
	capture := c.source.Capture()
	count(packets, float64(capture.Packets))
	count(octets, float64(capture.Bytes))
	count(flows, float64(capture.Flows))
	for reason, n := range capture.Drops {
		count(drops, float64(n), reason)
	}
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
