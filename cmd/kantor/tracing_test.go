package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	kantorv1 "kantor/gen/kantor/v1"
	"kantor/server"
)

// collector takes spans by OTLP as a real one does, over gRPC or HTTP.
type collector struct {
	tracecollector.UnimplementedTraceServiceServer
	mu     sync.Mutex
	spans  []*tracepb.Span
	about  map[string]string // of the resource
	header string            // of the last export
}

// Export implements TraceServiceServer.
func (c *collector) Export(ctx context.Context, req *tracecollector.ExportTraceServiceRequest) (*tracecollector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if values := metadata.ValueFromIncomingContext(ctx, "x-tenant"); len(values) > 0 {
		c.header = values[0]
	}
	for _, resource := range req.GetResourceSpans() {
		c.about = map[string]string{}
		for _, attribute := range resource.GetResource().GetAttributes() {
			c.about[attribute.GetKey()] = attribute.GetValue().GetStringValue()
		}
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	return &tracecollector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP takes an export over HTTP.
func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req tracecollector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		http.Error(w, "no export", http.StatusBadRequest)
		return
	}
	ctx := metadata.NewIncomingContext(r.Context(), metadata.Pairs("x-tenant", r.Header.Get("X-Tenant")))
	_, _ = c.Export(ctx, &req)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// named returns the spans of a name.
func (c *collector) named(name string) []*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.spans), func(s *tracepb.Span) bool { return s.GetName() != name })
}

// overGRPC serves a collector, and says by the standard variables where it is.
func (c *collector) overGRPC(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	collecting := grpc.NewServer()
	tracecollector.RegisterTraceServiceServer(collecting, c)
	go func() { _ = collecting.Serve(listener) }()
	t.Cleanup(collecting.Stop)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
}

// overHTTP does what overGRPC does, by the protocol that the standard takes where none is named.
func (c *collector) overHTTP(t *testing.T) {
	collecting := httptest.NewServer(c)
	t.Cleanup(collecting.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collecting.URL)
}

// traced serves with the tracing of the environment while use runs, and sends all spans before it returns.
func traced(t *testing.T, use func(context.Context, *grpc.ClientConn)) {
	t.Helper()
	traces := newTracing(t.Context(), slog.New(slog.DiscardHandler), "v1.2.3")
	srv, err := server.New(server.Config{Tracer: traces.tracer()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := server.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, listener) }()
	conn, err := grpc.NewClient(server.Address(listener), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	use(ctx, conn)
	_ = conn.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	traces.close()
}

const parentTrace, parentSpan = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

// klRequest is a request that gives a result, its input by a name that nobody is to see.
func klRequest(name string) *kantorv1.EvaluateRequest {
	number := func() *kantorv1.Tensor {
		return &kantorv1.Tensor{Dtype: kantorv1.Dtype_DTYPE_FLOAT64, Shape: []int64{1, 1}, Data: make([]byte, 8)}
	}
	posterior := &kantorv1.Gaussian{Mean: number(), Spread: &kantorv1.Gaussian_LogVariance{LogVariance: number()}}
	return &kantorv1.EvaluateRequest{
		Objective: &kantorv1.Objective{Terms: []*kantorv1.Term{{Loss: &kantorv1.Term_Kl{Kl: &kantorv1.GaussianKl{Posterior: "secret"}}}}},
		Inputs:    map[string]*kantorv1.Input{name: {Kind: &kantorv1.Input_Gaussian{Gaussian: posterior}}},
	}
}

func TestSpansReachACollector(t *testing.T) {
	for name, over := range map[string]func(*collector, *testing.T){"grpc": (*collector).overGRPC, "http": (*collector).overHTTP} {
		t.Run(name, func(t *testing.T) {
			c := &collector{}
			over(c, t)
			t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=lab")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
			traced(t, func(ctx context.Context, conn *grpc.ClientConn) {
				ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+parentTrace+"-"+parentSpan+"-01")
				if _, err := kantorv1.NewLossServiceClient(conn).Evaluate(ctx, klRequest("secret")); err != nil {
					t.Fatal(err)
				}
			})
			call := one(t, c, "Recv.kantor.v1.LossService.Evaluate")
			if hex.EncodeToString(call.GetTraceId()) != parentTrace || hex.EncodeToString(call.GetParentSpanId()) != parentSpan {
				t.Errorf("the call's span is %x in %x, want it in the caller's", call.GetParentSpanId(), call.GetTraceId())
			}
			if c.about["service.name"] != "kantor" || c.about["service.version"] != "v1.2.3" || c.about["deployment.environment"] != "test" || c.header != "lab" {
				t.Errorf("the resource is %v and the header %q", c.about, c.header)
			}
			wantPhases(t, c, call)
		})
	}
}

func one(t *testing.T, c *collector, name string) *tracepb.Span {
	t.Helper()
	spans := c.named(name)
	if len(spans) != 1 {
		t.Fatalf("%d spans %q, want one, of %v", len(spans), name, c.spans)
	}
	return spans[0]
}

// wantPhases fails unless the call has a span of the evaluation, and that one span for each phase, one after the other.
func wantPhases(t *testing.T, c *collector, call *tracepb.Span) {
	t.Helper()
	evaluation := one(t, c, "evaluate")
	if !bytes.Equal(evaluation.GetParentSpanId(), call.GetSpanId()) {
		t.Error("the evaluation is not part of the call")
	}
	at := evaluation.GetStartTimeUnixNano()
	for _, phase := range []string{"decode", "queue", "compute", "encode"} {
		span := one(t, c, phase)
		if !bytes.Equal(span.GetParentSpanId(), evaluation.GetSpanId()) {
			t.Errorf("%s is not part of the evaluation", phase)
		}
		if span.GetStartTimeUnixNano() != at || span.GetEndTimeUnixNano() < at {
			t.Errorf("%s is from %d to %d, want it from %d on", phase, span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano(), at)
		}
		at = span.GetEndTimeUnixNano()
	}
	if at != evaluation.GetEndTimeUnixNano() || at > call.GetEndTimeUnixNano() || at == evaluation.GetStartTimeUnixNano() {
		t.Error("the phases do not fill the evaluation, or it not the call")
	}
}

// Each batch of a stream has its own spans.
func TestSpansOfAStream(t *testing.T) {
	c := &collector{}
	c.overGRPC(t)
	traced(t, func(ctx context.Context, conn *grpc.ClientConn) {
		wire, err := kantorv1.NewLossServiceClient(conn).EvaluateStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		request := klRequest("secret")
		open := &kantorv1.EvaluateStreamRequest_Open{Open: &kantorv1.Open{Objective: request.GetObjective()}}
		err = wire.Send(&kantorv1.EvaluateStreamRequest{Message: open})
		for id := range uint64(3) {
			batch := &kantorv1.EvaluateStreamRequest_Batch{Batch: &kantorv1.Batch{Id: id + 1, Inputs: request.GetInputs()}}
			err = errors.Join(err, wire.Send(&kantorv1.EvaluateStreamRequest{Message: batch}))
		}
		for err = errors.Join(err, wire.CloseSend()); err == nil; _, err = wire.Recv() {
		}
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
	call := one(t, c, "Recv.kantor.v1.LossService.EvaluateStream")
	evaluations := c.named("evaluate")
	if len(evaluations) != 3 || len(c.named("compute")) != 3 {
		t.Errorf("%d evaluations, %d times compute, want 3 each", len(evaluations), len(c.named("compute")))
	}
	for _, e := range evaluations {
		if !bytes.Equal(e.GetParentSpanId(), call.GetSpanId()) {
			t.Error("an evaluation is not part of the stream")
		}
	}
}

// Spans tell neither what the caller sent, which errors repeat, nor of health checks.
func TestSpansAreDiscreet(t *testing.T) {
	c := &collector{}
	c.overGRPC(t)
	traced(t, func(ctx context.Context, conn *grpc.ClientConn) {
		if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		_, err := kantorv1.NewLossServiceClient(conn).Evaluate(ctx, klRequest("posterior"))
		if err == nil || !strings.Contains(err.Error(), "secret") {
			t.Fatalf("got %v, want an error that tells the name", err)
		}
	})
	if len(c.spans) != 1 || c.spans[0].GetStatus().GetCode() != tracepb.Status_STATUS_CODE_ERROR || strings.Contains(c.spans[0].String(), "secret") {
		t.Errorf("want one span of an error without its words: %v", c.spans)
	}
}

func TestTracesAreOffUnlessAsked(t *testing.T) {
	for _, test := range []struct {
		env    map[string]string
		wanted bool
		warned string
	}{
		{map[string]string{}, false, ""},
		{map[string]string{"OTEL_SERVICE_NAME": "x"}, false, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "console,otlp"}, true, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, false, ""},
		{map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, false, ""},
		{map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, false, `OTEL_TRACES_EXPORTER=zipkin want="otlp or none"`},
	} {
		var log bytes.Buffer
		wanted := tracesWanted(func(name string) string { return test.env[name] }, slog.New(slog.NewTextHandler(&log, nil)))
		if wanted != test.wanted || (test.warned == "") != (log.Len() == 0) || !strings.Contains(log.String(), test.warned) {
			t.Errorf("%v: got %v and %q", test.env, wanted, log.String())
		}
	}
}

// Variables that are wrong, or meant for the program that starts the server, are told of and keep no server from serving.
func TestWrongVariablesAreWarnedOf(t *testing.T) {
	for _, test := range []struct {
		env, value, warned string
		traced             bool
	}{
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", `OTEL_EXPORTER_OTLP_PROTOCOL=http/json want="grpc or http/protobuf"`, true},
		{"OTEL_RESOURCE_ATTRIBUTES", "no attribute", "OTEL_RESOURCE_ATTRIBUTES", true},
		{"OTEL_TRACES_EXPORTER", "jaeger", "nothing is traced", false},
	} {
		t.Run(test.env, func(t *testing.T) {
			c := &collector{}
			c.overHTTP(t)
			t.Setenv(test.env, test.value)
			var log bytes.Buffer
			traces := newTracing(t.Context(), slog.New(slog.NewTextHandler(&log, nil)), "v1")
			traces.close()
			if (traces.tracer() != nil) != test.traced || !strings.Contains(log.String(), test.warned) {
				t.Errorf("traced: %v, %s", traces != nil, log.String())
			}
		})
	}
}
