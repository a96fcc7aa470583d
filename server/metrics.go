package server

import (
	"context"
	"runtime"
	"time"

	grpcprometheus "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"google.golang.org/grpc/codes"

	"kantor/losses"
)

// severalLosses is the label loss of an objective of different losses: there are more sets of losses than a label should have values.
const severalLosses = "several"

// sinkhornLoss is the loss whose iterations are counted: those of others are other things, such as a simplex's pivots.
const sinkhornLoss = "sinkhorn"

// secondsBuckets are of what takes from microseconds to minutes: each bound is 2 or 2.5 times the one before.
var secondsBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10, 25, 60, 120}

// iterationBuckets are of what converges in tens of iterations and is bounded by thousands.
var iterationBuckets = prometheus.ExponentialBuckets(5, 2, 12)

// metrics are what a server tells Prometheus, in a registry of its own. docs/observability.md says what each is for.
type metrics struct {
	registry    *prometheus.Registry
	start       time.Time
	calls       *grpcprometheus.ServerMetrics
	phases      *prometheus.HistogramVec // by loss and phase
	iterations  prometheus.Histogram
	unconverged *prometheus.CounterVec // by loss
	rejected    *prometheus.CounterVec // by reason
	panics      prometheus.Counter
}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		start:    time.Now(),
		calls:    grpcprometheus.NewServerMetrics(grpcprometheus.WithServerHandlingTimeHistogram(grpcprometheus.WithHistogramBuckets(secondsBuckets))),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kantor_eval_seconds", Buckets: secondsBuckets,
			Help: "Seconds that requests and batches which gave a result spent in each phase, by what they compute.",
		}, []string{"loss", "phase"}),
		iterations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "kantor_sinkhorn_iterations", Buckets: iterationBuckets,
			Help: "Iterations of the cross problem of each problem of a sinkhorn term.",
		}),
		unconverged: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kantor_unconverged_total",
			Help: "Problems whose solver ended before its tolerance or gap was reached, by loss.",
		}, []string{"loss"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kantor_admission_rejected_total",
			Help: "Requests and batches that were refused before they were computed, by reason.",
		}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kantor_panics_total",
			Help: "Panics that were turned into INTERNAL errors.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kantor_build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "kernel": losses.Kernel(), "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.calls, m.phases, m.iterations, m.unconverged, m.rejected, m.panics, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// An increase from nothing is none that Prometheus sees, so what is counted begins with 0.
	for _, loss := range lossNames() {
		m.unconverged.WithLabelValues(loss)
	}
	for _, reason := range RejectionReasons() {
		m.rejected.WithLabelValues(reason)
	}
	return m
}

// describe adds what is read from the server itself, when that is wired.
func (m *metrics) describe(s *Server) {
	m.calls.InitializeMetrics(s.grpc)
	m.registry.MustRegister(loadCollector{s.Load})
	for code := range s.counters.codes {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "kantor_evaluations_total", ConstLabels: prometheus.Labels{"code": codes.Code(code).String()},
			Help: "Requests and batches of the LossService that ended, by gRPC's code; a batch of a stream ends with a code of its own.",
		}, func() float64 { return float64(s.counters.codes[code].Load()) }))
	}
}

var (
	queueDesc   = prometheus.NewDesc("kantor_queue_length", "Requests and batches that wait for their turn, by how long they take.", []string{"size"}, nil)
	runningDesc = prometheus.NewDesc("kantor_running", "Requests and batches that are computed, by how long they take.", []string{"size"}, nil)
	bytesDesc   = prometheus.NewDesc("kantor_inflight_bytes", "Bytes of requests: inputs, what computing takes, and answers until they are sent.", nil, nil)
	limitDesc   = prometheus.NewDesc("kantor_memory_limit_bytes", "The most that kantor_inflight_bytes may be; 0: there is no limit.", nil, nil)
)

// loadCollector reads what there is to do when it is asked, all of it at one moment.
type loadCollector struct{ load func() Load }

// Describe implements prometheus.Collector.
func (loadCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueDesc, runningDesc, bytesDesc, limitDesc} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c loadCollector) Collect(to chan<- prometheus.Metric) {
	load := c.load()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(queueDesc, float64(load.QueuedSmall), "small")
	gauge(queueDesc, float64(load.QueuedLarge), "large")
	gauge(runningDesc, float64(load.RunningSmall), "small")
	gauge(runningDesc, float64(load.RunningLarge), "large")
	gauge(bytesDesc, float64(load.Bytes))
	gauge(limitDesc, float64(load.MemoryBytes))
}

// lossLabel is the value of the label loss for an objective's losses, each once.
func lossLabel(names []string) string {
	if len(names) == 1 {
		return names[0]
	}
	return severalLosses
}

// Admitted implements [Observer].
func (m *metrics) Admitted(context.Context, Admitted) {}

// Finished implements [Observer]. What gave no result is counted by its code elsewhere: how long it took until it was cancelled says nothing of the server.
func (m *metrics) Finished(_ context.Context, f Finished) {
	if f.Err != nil {
		return
	}
	loss := lossLabel(f.Losses)
	for i, d := range phasesOf(f) {
		m.phases.WithLabelValues(loss, phaseNames[i]).Observe(d.Seconds())
	}
	for _, solve := range f.Solves {
		if solve.Loss == sinkhornLoss {
			m.iterations.Observe(float64(solve.Iterations))
		}
		if !solve.Converged {
			m.unconverged.WithLabelValues(solve.Loss).Inc()
		}
	}
}

// Rejected implements [Observer].
func (m *metrics) Rejected(_ context.Context, reason string) {
	m.rejected.WithLabelValues(reason).Inc()
}

// Panicked implements [Observer].
func (m *metrics) Panicked(context.Context) { m.panics.Inc() }
