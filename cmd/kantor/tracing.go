package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"kantor/losses"
)

// traceFlush is how long the end of the process waits for a collector to take the last spans.
const traceFlush = 3 * time.Second

// tracing sends spans by OTLP as OpenTelemetry's standard environment variables say, and not at all where none of them names an exporter. What the variables
// hold beside that (headers, certificates, samplers, limits, attributes) the SDK reads by itself.
type tracing struct{ provider *sdktrace.TracerProvider }

// newTracing returns nil where no spans are wanted.
func newTracing(ctx context.Context, logger *slog.Logger, version string) (*tracing, error) {
	wanted, err := tracesWanted(os.Getenv)
	if err != nil || !wanted {
		return nil, err
	}
	exporter, err := newExporter(ctx, os.Getenv)
	if err != nil {
		return nil, err
	}
	// What comes later wins: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "kantor"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// The one thing that the SDK has for the whole process alone: where it says that spans are lost.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("tracing", slog.Any("error", err)) }))
	return &tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(discreet{exporter}), sdktrace.WithResource(about))}, nil
}

// tracer is what makes spans; nil: nothing does.
func (t *tracing) tracer() trace.TracerProvider {
	if t == nil {
		return nil
	}
	return t.provider
}

// close sends what was not sent yet.
func (t *tracing) close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceFlush)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// tracesWanted reads which exporter the variables name.
func tracesWanted(env func(string) string) (bool, error) {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false, nil
	}
	switch exporter := env("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
		return true, nil
	case "":
		return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "", nil
	default:
		return false, &losses.InputError{Field: "OTEL_TRACES_EXPORTER", Reason: fmt.Sprintf("is %q, want otlp or none", exporter)}
	}
}

// newExporter connects in the background, so that a server starts whether or not its collector runs.
func newExporter(ctx context.Context, env func(string) string) (*otlptrace.Exporter, error) {
	switch protocol := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf"); protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "http/protobuf":
		return otlptracehttp.New(ctx)
	default:
		return nil, &losses.InputError{Field: "OTEL_EXPORTER_OTLP_PROTOCOL", Reason: fmt.Sprintf("is %q, want grpc or http/protobuf", protocol)}
	}
}

// discreet leaves out of spans what the caller may have sent, and the spans of health checks, of which there is one every few seconds.
type discreet struct{ sdktrace.SpanExporter }

// ExportSpans implements sdktrace.SpanExporter.
func (d discreet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	kept := make([]sdktrace.ReadOnlySpan, 0, len(spans))
	for _, span := range spans {
		if !strings.HasPrefix(span.Name(), "Recv.grpc.health.") {
			kept = append(kept, wordless{span})
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return d.SpanExporter.ExportSpans(ctx, kept)
}

// wordless is a span without the words of its error, which name what the caller sent. Its log line, found by the trace's id, has the reason.
type wordless struct{ sdktrace.ReadOnlySpan }

// Status implements sdktrace.ReadOnlySpan.
func (w wordless) Status() sdktrace.Status {
	return sdktrace.Status{Code: w.ReadOnlySpan.Status().Code}
}
