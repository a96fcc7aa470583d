package server

import (
	"slices"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A panic and a refusal are events of the call's span, the refusal with its reason.
func TestSpansHaveEvents(t *testing.T) {
	ended := tracetest.NewSpanRecorder()
	s := start(t, Config{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(ended))}, func(s *Server) { s.evaluator.solve = panicking })
	if _, err := s.losses.Evaluate(testContext(t), klRequest(1)); status.Code(err) != codes.Internal {
		t.Fatal(err)
	}
	call := func() sdktrace.ReadOnlySpan {
		i := slices.IndexFunc(ended.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.Name() == "Recv.kantor.v1.LossService.Evaluate" })
		if i < 0 {
			return nil
		}
		return ended.Ended()[i]
	}
	waitUntil(t, func() bool { return call() != nil }, "the call's span has ended")
	if !slices.ContainsFunc(call().Events(), func(e sdktrace.Event) bool { return e.Name == "panic" }) {
		t.Errorf("the events are %v, want a panic among them", call().Events())
	}
	ctx, span := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(ended)).Tracer("test").Start(t.Context(), "refused")
	spans{}.Rejected(ctx, ReasonQueueFull)
	span.End()
	refused := ended.Ended()[len(ended.Ended())-1]
	if events := refused.Events(); len(events) != 1 || events[0].Name != "rejected" || events[0].Attributes[0].Value.AsString() != ReasonQueueFull {
		t.Errorf("the events are %v, want the refusal with its reason", events)
	}
}
