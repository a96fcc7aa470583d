package server

import (
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	kantorv1 "kantor/gen/kantor/v1"
)

// scrape returns the families of a server's metrics by name.
func scrape(t testing.TB, s *Server) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := s.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

// metricOf returns the metric of a family that has these labels, written as in a query without quotes: "loss=kl,phase=queue".
func metricOf(t testing.TB, s *Server, family, labels string) *dto.Metric {
	t.Helper()
	for _, m := range scrape(t, s)[family].GetMetric() {
		var pairs []string
		for _, l := range m.GetLabel() {
			pairs = append(pairs, l.GetName()+"="+l.GetValue())
		}
		if strings.Join(pairs, ",") == labels {
			return m
		}
	}
	t.Fatalf("there is no %s{%s}", family, labels)
	return nil
}

func wantCount(t testing.TB, s *Server, family, labels string, want float64) {
	t.Helper()
	m := metricOf(t, s, family, labels)
	got := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	if got != want {
		t.Errorf("%s{%s}: got %v, want %v", family, labels, got, want)
	}
}

func TestMetricsOfCalls(t *testing.T) {
	s := start(t, Config{})
	for range 3 {
		if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
			t.Fatal(err)
		}
	}
	both := &kantorv1.EvaluateRequest{
		Objective: objective(klTerm(), sinkhornTerm(&kantorv1.SinkhornDivergence{})),
		Inputs:    map[string]*kantorv1.Input{"posterior": normal(1, 0), "source": line(0, 1, 2), "target": line(1, 2, 4)},
	}
	if _, err := s.losses.Evaluate(testContext(t), both); err != nil {
		t.Fatal(err)
	}
	if _, err := s.losses.Evaluate(testContext(t), &kantorv1.EvaluateRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
	wantCount(t, s.Server, "kantor_evaluations_total", "code=OK", 4)
	wantCount(t, s.Server, "kantor_evaluations_total", "code=InvalidArgument", 1)
	wantCount(t, s.Server, "kantor_evaluations_total", "code=Internal", 0)
	wantCount(t, s.Server, "kantor_sinkhorn_iterations", "", 1)
	wantCount(t, s.Server, "kantor_panics_total", "", 0)
	for _, phase := range phaseNames {
		wantCount(t, s.Server, "kantor_eval_seconds", "loss=kl,phase="+phase, 3)
		wantCount(t, s.Server, "kantor_eval_seconds", "loss=several,phase="+phase, 1)
	}
	const evaluate = "grpc_method=Evaluate,grpc_service=kantor.v1.LossService,grpc_type=unary"
	wantCount(t, s.Server, "grpc_server_handled_total", "grpc_code=OK,"+evaluate, 4)
	wantCount(t, s.Server, "grpc_server_handled_total", "grpc_code=InvalidArgument,"+evaluate, 1)
	wantCount(t, s.Server, "grpc_server_handling_seconds", evaluate, 5)
	wantCount(t, s.Server, "kantor_inflight_bytes", "", 0)
	for _, size := range []string{"small", "large"} {
		wantCount(t, s.Server, "kantor_queue_length", "size="+size, 0)
		wantCount(t, s.Server, "kantor_running", "size="+size, 0)
	}
}

func TestMetricsOfPanics(t *testing.T) {
	s := start(t, Config{}, func(s *Server) { s.evaluator.solve = panicking })
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); status.Code(err) != codes.Internal {
		t.Fatal(err)
	}
	wantCount(t, s.Server, "kantor_panics_total", "", 1)
	wantCount(t, s.Server, "kantor_evaluations_total", "code=Internal", 1)
}

func TestMetricsOfWhatIsObserved(t *testing.T) {
	m := newMetrics("v1")
	for _, reason := range RejectionReasons() {
		m.Rejected(context.Background(), reason)
	}
	m.Finished(context.Background(), Finished{Err: context.Canceled, Admitted: Admitted{Losses: []string{"kl"}}})
	m.Finished(context.Background(), Finished{
		Admitted: Admitted{Losses: []string{"sinkhorn"}, Queue: time.Second},
		Solves:   []Solve{{"sinkhorn", 7, false}, {"sinkhorn", 9, true}, {"transport", 100, false}},
	})
	s := &Server{metrics: m}
	for _, reason := range RejectionReasons() {
		wantCount(t, s, "kantor_admission_rejected_total", "reason="+reason, 1)
	}
	wantCount(t, s, "kantor_unconverged_total", "loss=sinkhorn", 1)
	wantCount(t, s, "kantor_unconverged_total", "loss=transport", 1)
	wantCount(t, s, "kantor_unconverged_total", "loss=kantorovich", 0)
	if h := metricOf(t, s, "kantor_sinkhorn_iterations", "").GetHistogram(); h.GetSampleSum() != 16 {
		t.Errorf("%v iterations, want 16", h.GetSampleSum())
	}
	if h := metricOf(t, s, "kantor_eval_seconds", "loss=sinkhorn,phase=queue").GetHistogram(); h.GetSampleSum() != 1 {
		t.Errorf("%v s in the queue, want 1", h.GetSampleSum())
	}
	if len(scrape(t, s)["kantor_eval_seconds"].GetMetric()) != len(phaseNames) {
		t.Error("what gave no result has phases")
	}
}

// Two servers in one process count each for itself.
func TestMetricsAreTheServersOwn(t *testing.T) {
	a, b := start(t, Config{}), start(t, Config{})
	if _, err := a.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Fatal(err)
	}
	wantCount(t, a.Server, "kantor_evaluations_total", "code=OK", 1)
	wantCount(t, b.Server, "kantor_evaluations_total", "code=OK", 0)
	families, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "kantor_") || strings.HasPrefix(f.GetName(), "grpc_") {
			t.Errorf("%s is in the registry that all of a process share", f.GetName())
		}
	}
}

var metricRow = regexp.MustCompile("(?m)^\\| `([a-z_*]+)` \\| ([a-z]*) ?\\| ([^|]*?) ?\\|")

// The list of metrics in the documentation is that of a scrape: names, types and labels.
func TestDocumentedMetricsAreThoseOfAScrape(t *testing.T) {
	text, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, row := range metricRow.FindAllStringSubmatch(string(text), -1) {
		var labels []string
		for _, label := range strings.Split(row[3], ",") {
			if label = strings.Trim(label, " `"); label != "" {
				labels = append(labels, label)
			}
		}
		slices.Sort(labels)
		documented[row[1]] = fmt.Sprint(row[2], labels)
	}
	s := start(t, Config{})
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); err != nil {
		t.Fatal(err)
	}
	scraped := map[string]string{}
	for name, f := range scrape(t, s.Server) {
		if prefix, _, _ := strings.Cut(name, "_"); prefix == "go" || prefix == "process" {
			scraped[prefix+"_*"] = "[]"
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		scraped[name] = fmt.Sprint(strings.ToLower(f.GetType().String()), labels)
	}
	for _, name := range slices.Sorted(maps.Keys(scraped)) {
		if documented[name] != scraped[name] {
			t.Errorf("%s is %s; documented is %q", name, scraped[name], documented[name])
		}
	}
	for name := range documented {
		if scraped[name] == "" {
			t.Errorf("%s is documented, and no scrape has it", name)
		}
	}
}
