package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"slices"
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
)

// traceFlush is how long the end of the process waits for a collector to take the last spans.
const traceFlush = 3 * time.Second

// tracing sends spans by OTLP as OpenTelemetry's standard environment variables say, and not at all where none of them names an exporter. What the variables
// hold beside that (headers, certificates, samplers, limits, attributes) the SDK reads by itself.
type tracing struct{ provider *sdktrace.TracerProvider }

// newTracing returns nil where no spans are wanted. What is wrong with the variables is logged and keeps no server from serving: whoever starts one from a
// program has often set them for that program.
func newTracing(ctx context.Context, logger *slog.Logger, version string) *tracing {
	logger = logger.With(slog.String("of", "tracing"))
	if !tracesWanted(os.Getenv, logger) {
		return nil
	}
	exporter, err := newExporter(ctx, os.Getenv, logger)
	if err != nil {
		logger.Warn("nothing is traced", slog.Any("error", err))
		return nil
	}
	// What comes later wins: OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "kantor"), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil {
		logger.Warn("OTEL_RESOURCE_ATTRIBUTES", slog.Any("error", err))
	}
	// The one thing that the SDK has for the whole process alone: where it says that spans are lost.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("spans are lost", slog.Any("error", err)) }))
	return &tracing{sdktrace.NewTracerProvider(sdktrace.WithBatcher(discreet{exporter}), sdktrace.WithResource(about))}
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

// tracesWanted reads which exporters the variables name.
func tracesWanted(env func(string) string, logger *slog.Logger) bool {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	exporters := env("OTEL_TRACES_EXPORTER")
	if exporters == "" {
		return env("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
	}
	names := strings.Split(exporters, ",")
	wanted := slices.Contains(names, "otlp")
	if !wanted && !slices.Contains(names, "none") {
		logger.Warn("nothing is traced", slog.String("OTEL_TRACES_EXPORTER", exporters), slog.String("want", "otlp or none"))
	}
	return wanted
}

// newExporter connects in the background, so that a server starts whether or not its collector runs.
func newExporter(ctx context.Context, env func(string) string, logger *slog.Logger) (*otlptrace.Exporter, error) {
	const standard = "http/protobuf"
	protocol := cmp.Or(env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), env("OTEL_EXPORTER_OTLP_PROTOCOL"), standard)
	switch protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case standard:
	default:
		logger.Warn("spans are sent by "+standard, slog.String("OTEL_EXPORTER_OTLP_PROTOCOL", protocol), slog.String("want", "grpc or "+standard))
	}
	return otlptracehttp.New(ctx)
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
