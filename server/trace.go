package server

import (
	"context"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	experimental "google.golang.org/grpc/experimental/opentelemetry"
	"google.golang.org/grpc/stats/opentelemetry"
)

// tracerName is the scope of the spans of phases; gRPC's own have another.
const tracerName = "kantor/server"

// phase is a part of the time that a request or batch takes.
type phase int

// The phases, in the order in which a request goes through them.
const (
	phaseDecode phase = iota
	phaseQueue
	phaseCompute
	phaseEncode
	phaseCount
)

// phaseNames are those of labels, spans and the log.
var phaseNames = [phaseCount]string{"decode", "queue", "compute", "encode"}

// phases are how long each took.
type phases [phaseCount]time.Duration

func (p phases) plus(q phases) phases {
	for i := range p {
		p[i] += q[i]
	}
	return p
}

// phasesOf are those of one evaluation.
func phasesOf(f Finished) phases { return phases{f.Decode, f.Queue, f.Compute, f.Encode} }

// tracing has gRPC's plugin make a span of every call, whose parent is the one that the caller's headers name (W3C's traceparent).
func (c Config) tracing() grpc.ServerOption {
	if c.Tracer == nil {
		return grpc.EmptyServerOption{}
	}
	return opentelemetry.ServerOption(opentelemetry.Options{TraceOptions: experimental.TraceOptions{
		TracerProvider:    c.Tracer,
		TextMapPropagator: propagation.TraceContext{},
	}})
}

// spans adds to the call's span one for what was evaluated, and in it one for each phase. They are made afterwards, of the times that are taken anyway, so an
// evaluation costs nothing more while it runs.
type spans struct{ unobserved }

// Finished implements [Observer].
func (spans) Finished(ctx context.Context, f Finished) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return
	}
	tracer := parent.TracerProvider().Tracer(tracerName)
	ctx, whole := tracer.Start(ctx, "evaluate", trace.WithTimestamp(f.Start), trace.WithAttributes(
		attribute.String("kantor.losses", strings.Join(f.Losses, ",")),
		attribute.Int("kantor.points", f.Points),
		attribute.Int("kantor.dimension", f.Dimension),
	))
	if f.Err != nil {
		whole.SetStatus(otelcodes.Error, "")
	}
	at := f.Start
	for i, d := range phasesOf(f) {
		_, span := tracer.Start(ctx, phaseNames[i], trace.WithTimestamp(at))
		at = at.Add(d)
		span.End(trace.WithTimestamp(at))
	}
	whole.End(trace.WithTimestamp(at))
}

// Rejected implements [Observer].
func (spans) Rejected(ctx context.Context, reason string) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("rejected", trace.WithAttributes(attribute.String("kantor.reason", reason)))
	}
}

// Panicked implements [Observer].
func (spans) Panicked(ctx context.Context) {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.AddEvent("panic")
	}
}
