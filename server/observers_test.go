package server

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// BenchmarkObserving is what a small call pays for its metrics, its line of log and, without a tracer, its spans: everything that is done for them and
// nothing else.
func BenchmarkObserving(b *testing.B) {
	for name, w := range map[string]*slog.Logger{
		"text":  slog.New(slog.NewTextHandler(io.Discard, nil)),
		"json":  slog.New(slog.NewJSONHandler(io.Discard, nil)),
		"quiet": slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelWarn})),
	} {
		b.Run(name, func(b *testing.B) {
			s, err := New(Config{Logger: w})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Drain(0)
			ctx, _ := withRequestID(b.Context())
			f := Finished{
				Admitted: Admitted{Losses: []string{"sinkhorn", "kl"}, Caller: "127.0.0.1", Queue: time.Microsecond},
				Start:    time.Now(), Decode: 10 * time.Microsecond, Compute: time.Millisecond, Encode: 5 * time.Microsecond,
				Points: 64, Dimension: 16, Solves: []Solve{{"sinkhorn", 20, true}},
			}
			handler := func(ctx context.Context, _ any) (any, error) {
				s.config.Observer.Admitted(ctx, f.Admitted)
				s.config.Observer.Finished(ctx, f)
				return nil, nil
			}
			interceptors := []grpc.UnaryServerInterceptor{s.logUnary, s.metrics.calls.UnaryServerInterceptor()}
			b.ReportAllocs()
			for b.Loop() {
				if err := throughUnary(ctx, interceptors, handler); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Each of several observers is told everything.
func TestObserversAreAllTold(t *testing.T) {
	var a, b countingObserver
	both := observers{&a, &b}
	both.Admitted(t.Context(), Admitted{})
	both.Finished(t.Context(), Finished{})
	both.Rejected(t.Context(), ReasonQueueFull)
	both.Panicked(t.Context())
	if a != (countingObserver{1, 1, 1, 1}) || a != b {
		t.Errorf("they were told %v and %v, want everything once", a, b)
	}
}

type countingObserver struct{ admitted, finished, rejected, panicked int }

func (c *countingObserver) Admitted(context.Context, Admitted) { c.admitted++ }
func (c *countingObserver) Finished(context.Context, Finished) { c.finished++ }
func (c *countingObserver) Rejected(context.Context, string)   { c.rejected++ }
func (c *countingObserver) Panicked(context.Context)           { c.panicked++ }
